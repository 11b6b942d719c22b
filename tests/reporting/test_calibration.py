"""Calibration of several results together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from result_rows import drawn_rows

from mocoop.reporting.calibration import (
    BINS,
    calibration_parts,
    calibration_section,
    calibration_table,
    pooled,
    reliability,
)
from mocoop.reporting.document import Table
from mocoop.reporting.results import lines_of

BIN = st.tuples(st.integers(1, 500), st.floats(0, 1), st.floats(0, 1))


@given(st.lists(BIN, max_size=40), st.randoms())
def test_pooled_bins_hold_the_same_images_and_hits_in_any_order(bins, dice):
    found = pooled(bins)
    assert sum(count for count, *_ in found) == sum(count for count, *_ in bins)
    for which in (1, 2):
        assert sum(one[0] * one[which] for one in found) == pytest.approx(sum(one[0] * one[which] for one in bins))
    assert len(found) <= BINS
    dice.shuffle(bins)
    assert pooled(bins) == found


def test_two_results_are_weighed_by_their_images():
    assert pooled([(10, 0.50, 0.4), (30, 0.52, 0.8), (5, 0.99, 1.0)]) == [
        (40, pytest.approx(0.515), pytest.approx(0.7)), (5, 0.99, 1.0),
    ]  # fmt: skip
    assert pooled([]) == []


def test_the_table_averages_the_error_of_each_part():
    lines = lines_of(drawn_rows(methods=("coop", "mocoop")))
    table = calibration_table("c", lines, "")
    assert table.columns[-2:] == ("base, ECE %", "new, ECE %")
    coop = next(cells for line, cells in lines.items() if line.method == "coop")
    by_hand = sum(row["calibration"]["new"]["ece"] for row in coop.values()) / 6
    assert table.rows[0][-1].value == pytest.approx(by_hand)
    assert sum(count for count, *_ in reliability(coop, "base")) == 6 * sum(10 * n for n in range(1, 15))


def test_a_diagram_shows_no_bin_of_a_few_images():
    row = drawn_rows(methods=("coop",))[0]
    few = {"ece": 1.0, "bins": [[9, 0.2, 1.0], [10, 0.5, 0.4]]}
    section = calibration_section(lines_of([{**row, "calibration": {"base": few}}]))
    assert section.blocks[-1][0].draw.args[0] == {"CoOp": [(10, 0.5, 0.4)]}


def test_rows_without_calibration_have_no_section():
    rows = [{**row, "calibration": None} for row in drawn_rows(methods=("coop",))]
    assert calibration_parts(lines_of(rows)) == []
    assert calibration_section(lines_of(rows)).blocks == []
    some = lines_of([*rows[:3], *drawn_rows(methods=("mocoop",))])
    table = next(block for block in calibration_section(some).blocks if isinstance(block, Table))
    assert [row[0] for row in table.rows] == ["MoCoOp"]
