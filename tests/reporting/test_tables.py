"""Tables say what was measured, what is missing, and what every row was trained with."""

from __future__ import annotations

import statistics

import pytest
from result_rows import drawn_rows, plain_cell, row_of

from mocoop.reporting import tables
from mocoop.reporting.document import Number
from mocoop.reporting.results import by_shots, line_of, lines_of, numbers
from mocoop.runs.evaluate import harmonic_mean


def rows_of_one_method(values):
    """Rows of the mixture from (data set, seed) -> (base, new)."""
    rows = []
    for (dataset, seed), (base, new) in values.items():
        row = row_of(plain_cell(dataset=dataset, seed=seed))
        h = harmonic_mean(base, new) if new is not None else None
        rows.append({**row, "accuracy": {"base": base, "new": new, "H": h}})
    return rows


def cells_of_one_method(values):
    return next(iter(lines_of(rows_of_one_method(values)).values()))


VALUES = {
    ("dtd", 1): (50.0, 40.0), ("dtd", 2): (54.0, 44.0), ("eurosat", 1): (80.0, 60.0), ("eurosat", 2): (84.0, 52.0),
}  # fmt: skip


def test_a_data_set_has_the_mean_of_its_seeds():
    found = tables.base_new_entries(cells_of_one_method(VALUES), "dtd")
    assert (found["base"].value, found["new"].value) == (52.0, 42.0)
    assert found["base"].deviation == pytest.approx(8**0.5)
    seeds = [harmonic_mean(50, 40), harmonic_mean(54, 44)]
    assert (found["H"].value, found["H"].deviation) == pytest.approx((sum(seeds) / 2, statistics.stdev(seeds)))


def test_h_of_the_average_is_of_the_averages():
    found = tables.base_new_entries(cells_of_one_method(VALUES), None)
    assert (found["base"].value, found["new"].value) == (67.0, 49.0)
    assert found["H"].value == pytest.approx(2 * 67 * 49 / (67 + 49))
    seeds = [harmonic_mean(65, 50), harmonic_mean(69, 48)]
    assert found["H"].deviation == pytest.approx(statistics.stdev(seeds))


def test_what_was_not_measured_stays_empty_and_what_cannot_be_says_so():
    some = {**VALUES, ("dtd", 2): (54.0, None)}
    found = tables.base_new_entries(cells_of_one_method(some), None)
    assert found["H"] is None  # base and new would be of other cells
    cannot = tables.base_new_entries(cells_of_one_method({("dtd", 1): (50.0, None)}), "dtd")
    assert (str(cannot["base"]), cannot["new"], cannot["H"]) == ("50.00", "cannot", "cannot")
    assert tables.base_new_entries(cells_of_one_method(VALUES), "sun397") == dict.fromkeys(tables.PARTS)


def test_a_partial_average_is_marked_with_its_counts():
    wanted = set(VALUES) | {("sun397", 1), ("sun397", 2)}
    assert tables.measured(VALUES, VALUES, None) == "4 of 4 cells"
    assert tables.measured(VALUES, wanted, None) == "partial: 4 of 6 cells, 2 of 3 data sets"
    assert tables.measured(set(VALUES) - {("dtd", 1)}, VALUES, None) == "partial: 3 of 4 cells"
    assert tables.measured({("dtd", 1)}, VALUES, "dtd") == "1 of 2 seeds"


def test_every_row_names_preset_budget_and_extras():
    rows = drawn_rows(protocols=("base-to-new", "few-shot", "cross-dataset"), source="dtd")
    lines = lines_of(rows)
    few = by_shots(lines_of(row for row in rows if row["protocol"] == "few-shot"))
    cross = lines_of(row for row in rows if row["protocol"] == "cross-dataset")
    made = [
        tables.base_new_table(
            "t", tables.rows_of(lines, "dtd", lambda *_: None), tables.wanted_cells(lines), tables.Naming(lines), ""
        ),
        tables.few_shot_table("f", few, ""),
        tables.transfer_table("c", cross, "dtd", ""),
        tables.difference_table("d", {"H": {line: numbers(cells, "H") for line, cells in lines.items()}}, "coop", ""),
    ]
    for table in made:
        assert {"method", "preset", "budget", "extra names"} <= set(table.columns)
        assert table.rows
        for row in table.rows:
            told = dict(zip(table.columns, row, strict=True))
            assert (told["preset"], told["budget"], told["extra names"]) == ("recommended", "small", "none")


def test_backbone_shots_and_groups_are_told_where_they_differ():
    plain = row_of(plain_cell())
    other = {**plain, "backbone": {**plain["backbone"], "name": "ViT-B-16", "pretrained": "openai", "stand_in": False}}
    assert tables.Naming([line_of(plain)]).columns == ("method", "preset", "budget", "extra names")
    both = tables.Naming([line_of(plain), line_of(other), line_of(row_of(plain_cell(shots=4)))])
    assert both.columns == ("method", "preset", "budget", "extra names", "shots", "backbone")
    assert both.entries(line_of(other)) == ("MoCoOp", "recommended", "as the preset", "none", "16", "ViT-B-16, openai")


def test_lines_of_one_name_are_told_apart_in_pictures():
    lines = [line_of(row_of(plain_cell(preset=name))) for name in ("paper", "recommended")]
    names = tables.distinct_names([*lines, line_of(row_of(plain_cell(method="coop")))])
    assert len(set(names)) == 3
    assert names[0] == "MoCoOp, paper"
    assert names[2] == "CoOp"


def test_few_shots_have_a_column_each_and_a_row_for_the_average():
    rows = drawn_rows(protocols=("few-shot",), methods=("coop",), shots=(1, 4))
    rows = [row for row in rows if not (row["dataset"] == "dtd" and row["shots"] == 4 and row["seed"] != 2)]
    table = tables.few_shot_table("few", by_shots(lines_of(rows)), "")
    assert table.columns[-3:] == ("measured", "1 shot", "4 shots")
    told = {row[0]: row[-3:] for row in table.rows}
    assert told["average"][0] == "10 of 10 cells"  # no other line has those two
    seed_two = next(r["accuracy"]["all"] for r in rows if (r["dataset"], r["shots"], r["seed"]) == ("dtd", 4, 2))
    assert told["dtd"][2] == Number(seed_two)
    others = [*rows, *drawn_rows(protocols=("few-shot",), methods=("mocoop",), shots=(1, 4))]
    table = tables.few_shot_table("few", by_shots(lines_of(others)), "")
    assert table.rows[0][-3] == "partial: 10 of 12 cells"


def test_a_transfer_is_averaged_over_its_targets_alone():
    rows = drawn_rows(protocols=("cross-dataset",), datasets=("imagenet", "dtd", "eurosat"), methods=("mocoop",))
    table = tables.transfer_table("cross", lines_of(rows), "imagenet", "")
    assert table.columns[-4:] == ("imagenet (source)", "dtd", "eurosat", "average of targets")
    *_, source, dtd, eurosat, average = table.rows[0]
    assert average.value == pytest.approx((dtd.value + eurosat.value) / 2)
    assert source.value == pytest.approx(statistics.fmean(row["accuracy"]["all"] for row in rows))


def test_differences_are_to_the_reference_that_was_trained_alike():
    rows = [
        *drawn_rows(methods=("coop", "mocoop")),
        *drawn_rows(methods=("coop",), preset="paper"),  # has no reference of its preset
    ]
    values = {"H": {line: numbers(cells, "H") for line, cells in lines_of(rows).items()}}
    table = tables.difference_table("d", values, "mocoop", "")
    assert len(table.rows) == 1
    told = dict(zip(table.columns, table.rows[0], strict=True))
    assert (told["method"], told["against"], told["pairs"]) == ("CoOp", "MoCoOp", "6")
    h = {(row["method"], row["dataset"], row["seed"]): row["accuracy"]["H"] for row in rows if row["preset"] != "paper"}
    mean = statistics.fmean(h["coop", d, s] - h["mocoop", d, s] for d in ("dtd", "eurosat") for s in (1, 2, 3))
    assert told["difference"].value == pytest.approx(mean)
    assert told["95 % from"].value < mean < told["95 % to"].value
    assert tables.difference_table("d", values, "kgcoop", "") is None


TUNED = {"mocoop": {"lr": 0.1}, "coop": {"lr": 0.5, "ctx_init": None}}


def test_what_a_search_chose_is_named_with_the_preset_and_is_no_other_method():
    line = line_of(row_of(plain_cell(changes={"lr": 0.1, "top_k": 1}, tuned={"lr": 0.1})))
    entries = tables.Naming([line]).entries(line)
    assert entries[:2] == ("MoCoOp (top_k=1)", "recommended, tuned: lr=0.1")


def test_tuned_lines_are_held_against_the_tuned_reference():
    methods = ("zero-shot", "coop", "mocoop")
    plain, tuned = (list(lines_of(drawn_rows(methods=methods, tuned=by))) for by in ({}, TUNED))
    both = [*plain, *(line for line in tuned if line.tuned)]
    found = {(line.method, line.tuned): tables.reference_of(line, both, "mocoop") for line in both}
    against = {name: other.tuned if other else None for name, other in found.items()}
    assert against == {
        ("zero-shot", ""): "", ("coop", ""): "", ("mocoop", ""): None,
        ("coop", "ctx_init=null, lr=0.5"): "lr=0.1", ("mocoop", "lr=0.1"): None,
    }  # fmt: skip
    assert tables.distinct_names(both) == ["zero-shot CLIP", "CoOp", "MoCoOp", "CoOp, tuned", "MoCoOp, tuned"]
    alone = tables.reference_of(tuned[0], tuned, "mocoop")
    assert (tuned[0].method, alone.tuned) == ("zero-shot", "lr=0.1")


def test_one_pair_has_a_difference_and_no_interval():
    values = {"H": {line: numbers(cells, "H") for line, cells in lines_of(
        drawn_rows(methods=("coop", "mocoop"), seeds=(1,), datasets=("dtd",))).items()}}  # fmt: skip
    told = dict(zip((table := tables.difference_table("d", values, "mocoop", "")).columns, table.rows[0], strict=True))
    assert (told["pairs"], told["95 % from"], told["95 % to"]) == ("1", None, None)
