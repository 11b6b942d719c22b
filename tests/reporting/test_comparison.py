"""The report on a comparison: its sections, what they show, and that it is the same for rows in any order."""

from __future__ import annotations

import random

import pytest
from result_rows import drawn_rows, plain_cell, row_of

from mocoop.bench.protocols import ABLATIONS, INFERENCE
from mocoop.reporting.comparison import comparison
from mocoop.reporting.document import Picture, Table, Words
from mocoop.reporting.page import html
from mocoop.reporting.plain import csv_text, markdown

EVERYTHING = ("base-to-new", "few-shot")


@pytest.fixture(scope="module")
def rows():
    own = drawn_rows(ablations=(*ABLATIONS, INFERENCE)) + drawn_rows(protocols=("few-shot",), shots=(1, 16))
    sets = ("imagenet", "dtd", "imagenetv2")
    return [*own, *drawn_rows(protocols=("cross-dataset", "domain-shift"), datasets=sets, methods=("coop", "mocoop"))]


@pytest.fixture(scope="module")
def document(rows):
    return comparison(rows)


def sections(document):
    return {section.anchor: section for section in document.sections}


def table(document, name):
    found = next(one for one in document.tables() if one.name == name)
    return [dict(zip(found.columns, row, strict=True)) for row in found.rows]


def words(section):
    return " ".join(block.text for block in section.blocks if isinstance(block, Words))


def test_every_protocol_and_ablation_has_its_section(document):
    assert list(sections(document)) == [
        "about", "base-to-new", "few-shot", "cross-dataset", "domain-shift", "differences",
        "ablation-components", "ablation-top-k", "ablation-grouping", "ablation-router-loss", "ablation-experts",
        "ablation-lambda-router", "ablation-lambda-text", "ablation-position", "ablation-init-position",
        "ablation-routing",
        "inference-time", "expert-use", "calibration", "training-time",
    ]  # fmt: skip


def test_tables_and_pictures_have_names_of_their_own(document):
    names = [one.name for one in document.tables()]
    assert len(set(names)) == len(names)
    pictures = [block for section in document.sections for block in section.blocks if isinstance(block, Picture)]
    pictures += [p for section in document.sections for b in section.blocks if isinstance(b, list) for p in b]
    assert len({one.name for one in pictures}) == len(pictures) > 8


def test_only_what_was_measured_has_a_section():
    found = sections(comparison(drawn_rows(methods=("coop",), datasets=("scenes",))))
    assert list(found) == ["about", "base-to-new", "differences", "calibration", "training-time"]
    assert "The paper has no numbers for scenes." in words(found["base-to-new"])
    assert "No result of mocoop" in words(found["differences"])
    assert not any(isinstance(block, Table) and block.name == "published" for block in found["base-to-new"].blocks)


def test_the_order_of_rows_changes_nothing(rows):
    some = [row for row in rows if row["protocol"] in EVERYTHING][::3]
    twin = {**some[0], "key": "0" * 24, "accuracy": dict.fromkeys(some[0]["accuracy"], 1.0), "finished": "2020"}
    forms = set()
    for seed in range(3):
        mixed = [*some, twin]
        random.Random(seed).shuffle(mixed)
        document = comparison(mixed)
        forms.add((markdown(document), csv_text(document), html(document)))
    assert len(forms) == 1


def test_the_papers_numbers_stand_in_columns_of_their_own(document):
    found = {row["method"]: row for row in table(document, "base-to-new-eurosat")}
    assert (str(found["MoCoOp"]["paper base"]), str(found["MoCoOp"]["paper H"])) == ("94.79", "89.73")
    assert found["LASP (E = 1)"]["paper H"] is None
    average = {row["method"]: row for row in table(document, "base-to-new-average")}
    assert str(average["MoCoOp"]["paper base"]) == f"{(94.79 + 83.10) / 2:.2f}"
    assert "budget small" in words(sections(document)["base-to-new"])


def test_a_changed_setting_or_other_shots_have_no_number_of_the_paper():
    rows = [row_of(plain_cell()), row_of(plain_cell(changes={"lr": 0.5})), row_of(plain_cell(shots=4))]
    found = table(comparison(rows), "base-to-new-eurosat")
    assert [(row["method"], row["shots"], row["paper H"] is None) for row in found] == [
        ("MoCoOp", "4", True), ("MoCoOp", "16", False), ("MoCoOp (lr=0.5)", "16", True),
    ]  # fmt: skip


def test_the_papers_ablations_stand_beside_ours(document):
    found = {row["method"]: row for row in table(document, "ablation-components") if row["data set"] == "eurosat"}
    assert {name: str(row["paper H"]) for name, row in found.items()} == {
        "CoOp": "68.15†", "MoCoOp (+ mixture)": "72.60", "MoCoOp (+ L_router)": "71.34", "MoCoOp (+ L_text)": "89.73",
        "MoCoOp (+ templates of new classes)": "None",
    }  # fmt: skip
    assert "rotated" in words(sections(document)["ablation-components"])
    found = table(document, "ablation-experts")
    sizes = {row["method"]: row["paper H"] for row in found if row["data set"] == "eurosat"}
    assert sizes["MoCoOp (2 experts)"] is None
    assert str(sizes["MoCoOp (6 experts)"]) == "89.73"


def test_both_weights_have_a_curve_over_all_their_values(document, tmp_path):
    for name, values in (("lambda-router", {"0", "0.5", "1", "2", "5"}), ("lambda-text", {"0", "1", "3", "5", "8"})):
        pictures = sections(document)[f"ablation-{name}"].blocks[-1]
        assert len(pictures) == 1
        drawn = pictures[0].draw(tmp_path / f"{name}.svg").read_text()
        assert all(f">{value}</text>" in drawn for value in values)


def test_differences_explain_their_interval(document):
    section = sections(document)["differences"]
    assert "95 of 100 repetitions" in words(section)
    found = table(document, "differences")
    assert {row["part"] for row in found} == {
        "base", "new", "H", "few-shot", "cross-dataset, targets", "domain-shift, targets",
    }  # fmt: skip
    assert all(row["method"] != row["against"] for row in found)
    other = table(comparison(drawn_rows(), reference="coop"), "differences")
    assert {row["against"] for row in other} == {"CoOp"}


def test_variants_are_held_against_the_method_as_it_is(document):
    found = [row for row in table(document, "ablation-routing-differences") if row["part"] == "H"]
    assert [row["method"] for row in found][:4] == [
        "MoCoOp (uniform weights)", "MoCoOp (fixed random router)", "MoCoOp (the reference gate, fixed)",
        "MoCoOp (linear router, K = 2)",
    ]  # fmt: skip
    assert {(row["against"], row["pairs"]) for row in found} == {("MoCoOp", "6")}
    places = table(document, "ablation-position-differences")
    assert {(row["method"], row["against"]) for row in places} == {
        ("CoOp (ctx around the name)", "CoOp"), ("CoOp (ctx after the name)", "CoOp"),
    }  # fmt: skip


def test_a_stand_in_and_extra_names_are_told_on_top():
    plain = row_of(plain_cell())
    row = {**plain, "config": {**plain["config"], "extra_class_names": ["dam"], "text_classes": "all"}}
    other = row_of(plain_cell(seed=2))
    real = {**other, "backbone": {**other["backbone"], "name": "ViT-B-16", "pretrained": "openai", "stand_in": False}}
    notes = [b.text for b in comparison([row, real]).sections[0].blocks if isinstance(b, Words) and b.kind == "note"]
    assert notes[0].startswith("The backbone of 1 of 2 results is miniclip")
    assert notes[1].startswith("In 1 of 2 results, training read the names of classes that are not trained on")
    assert {entry["extra names"] for entry in table(comparison([row, real]), "base-to-new-eurosat")} == {
        "none", "read in training",
    }  # fmt: skip
    quiet = comparison([real]).sections[0]
    assert not [block for block in quiet.blocks if isinstance(block, Words) and block.kind == "note"]


def test_what_is_left_out_is_counted():
    odd = {**row_of(plain_cell(seed=2)), "ablation": "colours", "setting": "blue"}
    twice = [row_of(plain_cell(seed=3)), {**row_of(plain_cell(seed=3)), "key": "0" * 24}]
    said = words(comparison([odd, *twice]).sections[0])
    assert "no table for the ablations colours" in said
    assert "a newer one is of the same cell: 1 result." in said


def test_notes_that_differ_in_numbers_alone_are_one():
    notes = [
        ["C = 0.01, on 64 images", "see a2.jpg"],
        ["C = 1e-05, on 128 images", "see a10.jpg"],
        ["C = 3, on 64 images"],
    ]
    rows = [{**row_of(plain_cell(seed=seed)), "notes": some} for seed, some in enumerate(notes)]
    assert [(line["note"], line["results"]) for line in table(comparison(rows), "notes")] == [
        ("C = 1e-05 to 3, on 64 to 128 images", "3"), ("see a10.jpg", "1"), ("see a2.jpg", "1"),
    ]  # fmt: skip


def test_notes_of_trainings_are_counted():
    rows = [{**row_of(plain_cell(seed=seed)), "notes": ["odd", f"seed{seed}"]} for seed in range(1, 31)]
    document = comparison(rows)
    found = table(document, "notes")
    assert (found[0]["note"], found[0]["results"]) == ("odd", "30")
    assert found[-1]["note"] == "and 11 other notes"


HOSTILE = '<img src=x onerror="alert(1)">|\x1b[2J\n$x_1$'


def test_whatever_rows_say_is_text(rows):
    row = next(row for row in rows if row["protocol"] == "base-to-new" and row["expert_use"])
    bad = {
        **row, "dataset": HOSTILE, "title": HOSTILE, "preset": HOSTILE, "budget": HOSTILE, "device": HOSTILE,
        "setting": HOSTILE, "changes": {HOSTILE: HOSTILE}, "notes": [HOSTILE], "finished": HOSTILE,
        "backbone": {**row["backbone"], "name": HOSTILE, "pretrained": HOSTILE, "fingerprint": HOSTILE},
        "groups": {**row["groups"], "file": HOSTILE, "domain": HOSTILE, "ids": [f"{HOSTILE}{n}" for n in range(8)]},
        "versions": {HOSTILE: HOSTILE}, "accuracy": {"base": 1.0, "new": 2.0, "H": 1.3, HOSTILE: 1.0},
        "expert_use": {"base": {HOSTILE: [0.125] * 8}}, "calibration": {HOSTILE: {"ece": 1.0, "bins": [[1, 0.5, 0.5]]}},
        "config": {**row["config"], "template": [], "extra_class_names": [HOSTILE]},
    }  # fmt: skip
    bad_rows = [
        {**bad, "key": f"{number:024x}", **more}
        for number, more in enumerate(
            [
                {"ablation": None},
                {"ablation": "lambda-text"},
                {"ablation": "top-k", "groups": None},
                {"protocol": "few-shot"},
                {"protocol": "cross-dataset"},
                {"protocol": "inference-time", "seconds_per_100": 1.0, "image_tower_seconds_per_100": HOSTILE},
                {"method": HOSTILE, "groups": {**bad["groups"], "ids": []}},
            ]
        )
    ]
    document = comparison(bad_rows, title=HOSTILE)
    page = html(document)
    assert "<img src=x" not in page
    assert "<script" not in page
    assert "\x1b" not in page + markdown(document) + csv_text(document)
    assert "<img" not in markdown(document)


def test_partial_averages_are_no_points_of_a_curve_and_marked_as_bars(tmp_path):
    rows = drawn_rows(protocols=("base-to-new", "few-shot"), methods=("coop", "mocoop"), shots=(4, 16))
    lost = [row for row in rows if not (row["method"] == "coop" and row["shots"] == 4 and row["dataset"] == "dtd")]
    found = sections(comparison([row for row in lost if row["shots"] == 16 or row["protocol"] == "few-shot"]))
    average = found["few-shot"].blocks[-1][0].draw.args[0]
    assert [x for x, *_ in average["CoOp"]] == [16]
    assert [x for x, *_ in average["MoCoOp"]] == [4, 16]
    missing = sections(comparison([row for row in rows if row["method"] != "coop" or row["seed"] != 3]))
    bars = next(block for block in missing["base-to-new"].blocks if isinstance(block, Picture)).draw
    assert "(partial) CoOp" in (drawn := bars(tmp_path / "bars.svg").read_text())
    assert "(partial) MoCoOp" not in drawn


def test_a_changed_reference_is_no_reference():
    rows = [row for name in ("coop", "mocoop") for row in drawn_rows(methods=(name,))]
    changed = drawn_rows(methods=("mocoop",), changes={"lr": 0.001})
    found = [row for row in table(comparison([*rows, *changed]), "differences") if row["part"] == "H"]
    assert [(row["method"], row["against"]) for row in found] == [("CoOp", "MoCoOp"), ("MoCoOp (lr=0.001)", "MoCoOp")]
    only_changed = comparison([*drawn_rows(methods=("coop",)), *changed])
    assert not [one for one in only_changed.tables() if one.name == "differences"]


def test_seconds_of_the_paper_are_of_its_data_set_alone():
    rows = drawn_rows(protocols=(), ablations=(INFERENCE,), datasets=("caltech101", "dtd"), methods=("coop", "lasp"))
    found = {(row["method"], row["data set"]): row for row in table(comparison(rows), "inference-time")}
    assert str(found["CoOp", "caltech101"]["paper seconds (Caltech101)"]) == "0.09"
    assert found["CoOp", "dtd"]["paper seconds (Caltech101)"] is None
    assert found["LASP (E = 1)", "caltech101"]["paper seconds (Caltech101)"] is None
    mine = next(row for row in rows if (row["method"], row["dataset"]) == ("coop", "dtd"))
    assert found["CoOp", "dtd"]["seconds"].value == mine["seconds_per_100"]
