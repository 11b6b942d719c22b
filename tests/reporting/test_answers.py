"""Reports set more beside an accuracy, and never call one answer to everything better."""

from __future__ import annotations

import pytest
from result_rows import drawn_rows

from mocoop.reporting.answers import answers_section, constant_cells
from mocoop.reporting.comparison import comparison
from mocoop.reporting.results import lines_of, numbers
from mocoop.reporting.statistics import paired_differences

SOUND = {
    "balanced_accuracy": 70.0, "worst_recall": 40.0, "worst_class": "a", "largest_class": "b",
    "largest_class_share": 90.0, "answered": "b", "answered_share": 80.0, "constant": False, "chance": False,
}  # fmt: skip
ONE_ANSWER = {**SOUND, "balanced_accuracy": 50.0, "worst_recall": 0.0, "answered_share": 100.0, "constant": True}


def rows_with(constant, **accuracy):
    """Rows of CoOp and MoCoOp on one data set; those for which `constant(row)` holds answer one class on base."""
    found = []
    for row in drawn_rows(methods=("coop", "mocoop"), datasets=("dtd",)):
        one = ONE_ANSWER if constant(row) else SOUND
        base = accuracy.get(row["method"], row["accuracy"]["base"])
        found.append({**row, "accuracy": {"base": base, "new": 50.0, "H": base}, "scores": {"base": one, "new": SOUND}})
    return found


def differences(rows):
    table = next(table for table in comparison(rows).tables() if table.name == "differences")
    return {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}, table


def test_one_answer_with_the_larger_number_is_not_better():
    found, table = differences(rows_with(lambda row: row["method"] == "coop", coop=90.0, mocoop=80.0))
    for part in ("base", "H"):
        assert [found[part][name] for name in ("pairs", "better", "equal", "worse", "one answer")] == list("30003")
    assert [found["new"][name] for name in ("better", "equal", "worse", "one answer")] == list("0300")
    assert "count neither as better nor as worse" in table.caption


def test_a_reference_with_one_answer_is_not_better_either():
    found, _ = differences(rows_with(lambda row: row["method"] == "mocoop", coop=80.0, mocoop=90.0))
    assert [found["base"][name] for name in ("better", "equal", "worse", "one answer")] == list("0003")


def test_one_answer_with_the_smaller_number_is_worse_as_any_other():
    found, table = differences(rows_with(lambda row: row["method"] == "coop", coop=50.0, mocoop=80.0))
    assert [found["base"][name] for name in ("better", "equal", "worse")] == list("003")
    assert "one answer" not in table.columns


def test_sound_results_and_those_of_older_versions_have_no_such_column():
    for rows in (rows_with(lambda row: False), drawn_rows(methods=("coop", "mocoop"))):
        assert "one answer" not in differences(rows)[1].columns


def test_pairs_count_once():
    first, second = {("a", 1): 90.0, ("a", 2): 70.0, ("b", 1): 60.0}, {("a", 1): 80.0, ("a", 2): 70.0, ("b", 1): 65.0}
    found = paired_differences(first, second, ({("a", 1), ("a", 2)}, {("b", 1)}))
    assert (found.count, found.wins, found.ties, found.losses, found.constant) == (3, 0, 1, 0, 2)
    assert found.mean == paired_differences(first, second).mean


def test_what_stands_beside_the_accuracy_is_a_table_a_data_set():
    rows = rows_with(lambda row: row["method"] == "coop" and row["seed"] == 1, coop=90.0)
    section = answers_section(lines_of(rows))
    told, table = section.blocks
    assert "100/C" in told.text
    coop = next(dict(zip(table.columns, row, strict=True)) for row in table.rows if row[0] == "CoOp")
    assert (coop["part"], coop["constant"]) == ("base", "1 of 3")
    assert coop["accuracy"].value == 90.0
    assert coop["balanced accuracy"].value == pytest.approx((70 + 70 + 50) / 3)
    assert coop["worst class's recall"].value == pytest.approx((40 + 40 + 0) / 3)
    assert coop["largest class's share"].value == 90.0
    assert coop["largest answer's share"].value == pytest.approx((80 + 80 + 100) / 3)
    cells = next(cells for line, cells in lines_of(rows).items() if line.method == "coop")
    assert constant_cells(cells, "base") == constant_cells(cells, "H") == {("dtd", 1)}
    assert constant_cells(cells, "new") == set()
    assert set(numbers(cells, "base")) == set(cells)


def test_rows_of_older_versions_have_no_such_section():
    assert answers_section(lines_of(drawn_rows())).blocks == []


def test_the_first_section_says_how_many_answers_are_constant():
    about = comparison(rows_with(lambda row: row["seed"] == 2)).sections[0]
    said = [block.text for block in about.blocks if getattr(block, "kind", "") == "note"]
    assert any("one answer to nearly everything" in text and "2 of 6" in text for text in said), said
