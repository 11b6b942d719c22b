"""Calibration error against scikit-learn's curve, sets and risk against loops."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from mocoop.certainty.measures import (
    BINS,
    calibration_error,
    certainty_of,
    chance_error,
    confidence_bins,
    coverage_and_size,
    risk_area,
    risk_at,
    wrong_by_confidence,
)

RNG = np.random.default_rng(0)
PROBABILITIES = RNG.dirichlet(np.ones(3), 200)
LABELS = RNG.integers(0, 3, 200)


def test_the_bins_are_those_of_scikit_learn():
    right = PROBABILITIES.argmax(1) == LABELS
    accuracy, confidence = calibration_curve(right, PROBABILITIES.max(1), n_bins=BINS, strategy="uniform")
    bins = confidence_bins(PROBABILITIES, LABELS)
    assert [one[1] for one in bins] == pytest.approx(confidence)
    assert [one[2] for one in bins] == pytest.approx(accuracy)
    assert sum(one[0] for one in bins) == 200


def test_the_error_is_the_distance_of_confidence_and_accuracy_averaged_over_images():
    total = 0.0
    for number in range(BINS):
        inside = [i for i in range(200) if number <= PROBABILITIES[i].max() * BINS < number + 1]
        if inside:
            sure = sum(PROBABILITIES[i].max() for i in inside) / len(inside)
            right = sum(PROBABILITIES[i].argmax() == LABELS[i] for i in inside) / len(inside)
            total += len(inside) / 200 * abs(sure - right)
    assert calibration_error(PROBABILITIES, LABELS) == pytest.approx(total)


def test_the_error_of_chance_is_that_of_answers_that_are_right_as_often_as_they_say():
    rng = np.random.default_rng(1)
    sure = rng.uniform(0.5, 1, 90)
    given = np.stack([sure, 1 - sure], axis=1)
    errors = [calibration_error(given, (rng.uniform(size=90) > sure).astype(int)) for _ in range(2000)]
    bins = confidence_bins(given, np.zeros(90, int))
    assert chance_error(bins) == pytest.approx(100 * np.mean(errors), rel=0.05)


def test_certain_and_right_is_no_error_and_certain_and_wrong_is_all():
    certain = np.eye(2)
    assert calibration_error(certain, np.array([0, 1])) == 0
    assert calibration_error(certain, np.array([1, 0])) == 1


def test_risk_is_the_share_of_errors_among_the_surest():
    given = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.55, 0.45]])
    wrong = wrong_by_confidence(given, np.array([0, 0, 1, 0]))
    assert wrong.tolist() == [False, False, True, False]
    assert [risk_at(wrong, share) for share in (0.25, 0.5, 0.6, 0.75, 1.0)] == [0, 0, 1 / 3, 1 / 3, 0.25]
    assert risk_area(wrong) == pytest.approx((0 + 0 + 1 / 3 + 1 / 4) / 4)


def test_coverage_and_size_are_counted():
    sets = np.array([[True, False, True], [False, True, False], [True, True, True]])
    assert coverage_and_size(sets, np.array([0, 0, 2])) == (pytest.approx(2 / 3), pytest.approx(2))


def test_all_of_it_in_percent():
    found = certainty_of(PROBABILITIES, LABELS, before=PROBABILITIES, temperature=2.0, limits={0.9: [1.0, 1.0, 1.0]})
    assert found.ece == found.ece_before == 100 * calibration_error(PROBABILITIES, LABELS)
    assert list(found.to_dict()["sets"]) == [{"coverage": 90.0, "covered": 100.0, "mean_size": 3.0}]
    assert [one["answered"] for one in found.to_dict()["risk"]] == [50, 80, 90, 100]
    assert found.risk[-1][1] == pytest.approx(100 * (PROBABILITIES.argmax(1) != LABELS).mean())
