"""Means, deviations, intervals and paired differences, against numpy, scipy and sums done by hand."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_rel

from mocoop.reporting.statistics import (
    Spread,
    by_dataset,
    confidence_interval,
    over_datasets,
    paired_differences,
    seed_averages,
    spread,
)

PERCENT = st.floats(0, 100)
CELLS = st.dictionaries(st.tuples(st.sampled_from("abcd"), st.integers(1, 5)), PERCENT, min_size=1)


@given(st.lists(PERCENT, min_size=2, max_size=30))
def test_mean_and_deviation_are_numpys(values):
    found = spread(values)
    assert found.mean == pytest.approx(np.mean(values))
    assert found.deviation == pytest.approx(np.std(values, ddof=1), abs=1e-9)
    assert found.count == len(values)


def test_one_number_has_no_deviation_and_none_has_nothing():
    assert spread([71.5]) == Spread(71.5, None, 1)
    assert spread([]) is None


def test_an_interval_by_hand():
    low, high = confidence_interval([1.0, 2.0, 3.0])  # 2 +- 4.302653 * 1 / sqrt(3)
    assert (low, high) == pytest.approx((-0.484138, 4.484138), abs=1e-6)
    assert confidence_interval([1.0]) is None
    assert confidence_interval([2.0, 2.0]) == (2.0, 2.0)


@given(st.lists(st.tuples(PERCENT, PERCENT), min_size=2, max_size=30))
def test_paired_intervals_are_scipys(pairs):
    first = {("a", number): one for number, (one, _) in enumerate(pairs)}
    second = {("a", number): other for number, (_, other) in enumerate(pairs)}
    found = paired_differences(first, second)
    if np.std([a - b for a, b in pairs]) < 1e-6:  # scipy warns of numbers that are all the same
        return
    expected = ttest_rel(list(first.values()), list(second.values())).confidence_interval(0.95)
    assert found.interval == pytest.approx((expected.low, expected.high), rel=1e-6, abs=1e-6)
    assert found.mean == pytest.approx(np.mean([a - b for a, b in pairs]), abs=1e-9)


def test_only_what_both_have_is_compared():
    first = {("a", 1): 60.0, ("a", 2): 61.0, ("b", 1): 70.0, ("c", 1): 99.0}
    second = {("a", 1): 58.0, ("a", 2): 61.0 + 1e-12, ("b", 1): 71.0, ("d", 1): 1.0}
    found = paired_differences(first, second)
    assert (found.count, found.wins, found.ties, found.losses) == (3, 1, 1, 1)
    assert found.mean == pytest.approx(1 / 3)
    alone = paired_differences({("a", 1): 60.0}, second)
    assert (alone.count, alone.interval) == (1, None)
    assert paired_differences({("x", 1): 1.0}, second) is None


def test_an_average_weighs_data_sets_alike_whatever_their_seeds():
    cells = {("a", 1): 50.0, ("a", 2): 60.0, ("b", 1): 80.0}
    assert by_dataset(cells)["a"] == Spread(55.0, pytest.approx(50**0.5), 2)
    assert over_datasets(cells) == Spread(67.5, None, 3)  # seed 2 lacks b, so one whole seed is left
    assert seed_averages(cells) == {1: 65.0}
    whole = over_datasets({**cells, ("b", 2): 84.0})
    assert whole == Spread(68.5, pytest.approx(np.std([65.0, 72.0], ddof=1)), 4)
    assert over_datasets({}) is None


@given(CELLS, CELLS, st.randoms())
def test_the_order_of_cells_changes_no_bit(first, second, dice: random.Random):
    def shuffled(cells):
        items = list(cells.items())
        dice.shuffle(items)
        return dict(items)

    assert over_datasets(shuffled(first)) == over_datasets(first)
    assert paired_differences(shuffled(first), shuffled(second)) == paired_differences(first, second)
    assert spread(shuffled(first).values()) is not None


@given(CELLS, CELLS)
def test_swapping_sides_swaps_signs(first, second):
    found, back = paired_differences(first, second), paired_differences(second, first)
    if found is None:
        assert back is None
        return
    assert (found.wins, found.losses, found.ties) == (back.losses, back.wins, back.ties)
    assert found.mean == -back.mean
    if found.interval:
        assert found.interval == pytest.approx((-back.interval[1], -back.interval[0]))
        assert found.interval[0] <= found.mean <= found.interval[1]
