"""Prediction sets: the quantile in exact arithmetic, which classes stand alone, and what the sets cover."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import betabinom

from mocoop.certainty.conformal import ALL, prediction_sets, quantile, rank, thresholds

COVERAGES = st.integers(1, 999).map(lambda thousandths: thousandths / 1000)
SCORES = st.lists(st.floats(0, 1), max_size=60)


@given(st.integers(0, 10_000), COVERAGES)
def test_the_rank_is_exact(images, coverage):
    assert rank(images, coverage) == math.ceil((images + 1) * Fraction(round(coverage * 1000), 1000))


@pytest.mark.parametrize(("coverage", "fewest"), [(0.8, 4), (0.9, 9), (0.95, 19), (0.5, 1), (0.99, 99)])
def test_the_fewest_images_of_a_finite_threshold(coverage, fewest):
    scores = [0.5] * fewest
    assert quantile(scores, coverage) == 0.5
    assert quantile(scores[1:], coverage) == ALL


@given(SCORES, COVERAGES)
def test_the_quantile_is_the_smallest_score_that_enough_scores_are_within(scores, coverage):
    found = quantile(scores, coverage)
    needed = math.ceil((len(scores) + 1) * Fraction(round(coverage * 1000), 1000))
    allowed = [q for q in scores if sum(score <= q for score in scores) >= needed]
    assert found == (min(allowed) if allowed else ALL)


@given(SCORES, COVERAGES, COVERAGES)
def test_more_coverage_never_makes_a_smaller_set(scores, one, other):
    assert quantile(scores, min(one, other)) <= quantile(scores, max(one, other))


@pytest.mark.parametrize(("coverage", "fewest"), [(0.8, 24), (0.9, 49), (0.95, 99)])
def test_a_class_stands_alone_from_so_many_images_on(coverage, fewest):
    others = [0.9] * 500
    assert thresholds([[0.1] * fewest, others], coverage) == (0.1, 0.9)
    short = [0.1] * (fewest - 1)
    assert thresholds([short, others], coverage) == (quantile(short + others, coverage),) * 2


def test_a_class_with_many_images_stands_alone_and_the_others_together():
    many, few, fewer = [i / 100 for i in range(1, 61)], [0.5] * 30, [0.9] * 25
    found = thresholds([many, few, fewer], 0.9)
    assert found == (0.55, quantile(few + fewer, 0.9), quantile(few + fewer, 0.9))


def test_the_smallest_of_those_that_stand_alone_joins_the_rest_while_that_is_too_few():
    large, small, rest = [0.1] * 60, [0.2] * 50, [0.9] * 2
    assert thresholds([large, small, rest], 0.9) == (0.1, quantile(small + rest, 0.9), quantile(small + rest, 0.9))
    assert thresholds([large, rest], 0.9) == (quantile(large + rest, 0.9),) * 2
    assert thresholds([[0.1] * 20, []], 0.9) == (0.1, 0.1)
    assert thresholds([[0.1] * 3, []], 0.9) == (ALL, ALL)


@given(st.lists(SCORES, min_size=1, max_size=6), COVERAGES)
def test_every_class_has_a_threshold_of_its_own_or_the_shared_one(scores, coverage):
    found = thresholds(scores, coverage)
    shared = {q for q, own in zip(found, scores, strict=True) if q != quantile(own, coverage)}
    assert len(found) == len(scores)
    assert len(shared) <= 1


@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 10**6))
def test_a_set_is_never_empty_and_has_the_answer(images, classes, seed):
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(classes), images)
    limits = rng.random(classes)
    found = prediction_sets(probabilities, limits)
    for row, probability in enumerate(probabilities):
        for c in range(classes):
            assert found[row, c] == (1 - probability[c] <= limits[c] or c == probability.argmax())


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
def test_the_sets_cover_as_often_as_theory_says(coverage):
    """Scores drawn alike: of 500 tests, n scores and m images each, all but few lie within the interval of 99 %."""
    rng, n, m = np.random.default_rng(0), 60, 200
    k = rank(n, coverage)
    low, high = betabinom.interval(0.99, m, k, n + 1 - k)
    inside = 0
    for _ in range(500):
        limit = quantile(rng.random(n).tolist(), coverage)
        inside += low <= (rng.random(m) <= limit).sum() <= high
    assert inside >= 485
