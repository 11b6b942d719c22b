"""The temperature: against a search by hand, against scikit-learn, and where no minimum exists."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression

from mocoop.certainty.calibration import Calibration
from mocoop.certainty.temperature import COLDEST, HOTTEST, fit_temperature, log_of, tempered
from mocoop.mixture.classifier import Prediction


def drawn(images=60, classes=4, scale=3.0, noise=0.5, seed=0):
    """Log-probabilities that are `scale` times too sure, and labels drawn from the right ones."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(images, classes)) / noise
    likely = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = np.array([rng.choice(classes, p=row) for row in likely])
    return scale * logits, labels


def naive_loss(logits, labels, temperature):
    losses = []
    for row, label in zip(logits, labels, strict=True):
        total = sum(np.exp(value / temperature) for value in row)
        losses.append(-np.log(np.exp(row[label] / temperature) / total))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("seed", range(3))
def test_no_other_temperature_has_a_smaller_loss(seed):
    logits, labels = drawn(seed=seed)
    found = fit_temperature(logits, labels)
    assert COLDEST < found < HOTTEST
    best = naive_loss(logits, labels, found)
    assert all(best <= naive_loss(logits, labels, found * factor) for factor in (0.5, 0.9, 0.999, 1.001, 1.1, 2))


def test_probabilities_that_are_too_sure_by_a_factor_get_that_factor():
    logits, labels = drawn(images=4000, scale=3.0)
    assert fit_temperature(logits, labels) == pytest.approx(3, rel=0.1)


def test_it_is_the_temperature_of_scikit_learn():
    pytest.importorskip("sklearn.frozen")
    from sklearn.frozen import FrozenEstimator

    x, y = make_classification(600, 20, n_informative=6, n_classes=4, random_state=0)
    fitted = LogisticRegression(C=100).fit(x[:60], y[:60])
    try:
        theirs = CalibratedClassifierCV(FrozenEstimator(fitted), method="temperature").fit(x[60:300], y[60:300])
    except ValueError:
        pytest.skip("this scikit-learn has no temperature scaling")
    found = fit_temperature(log_of(fitted.predict_proba(x[60:300])), y[60:300])
    assert found == pytest.approx(1 / theirs.calibrated_classifiers_[0].calibrators[0].beta_, rel=1e-4)
    ours = tempered(fitted.predict_proba(x[300:]), found)
    np.testing.assert_allclose(ours, theirs.predict_proba(x[300:]), atol=1e-5)


@pytest.mark.parametrize("images", [1, 20, 400])
def test_where_all_are_right_the_answers_are_as_sure_as_the_rule_of_succession_allows(images):
    logits, _ = drawn(images)
    labels = logits.argmax(1)
    found = fit_temperature(logits, labels)
    mean = tempered(np.exp(logits), found).max(1).mean()
    assert mean == pytest.approx((images + 1) / (images + 2), abs=1e-6)


def test_a_classifier_that_is_always_wrong_is_as_unsure_as_can_be():
    logits, _ = drawn(classes=2)
    assert fit_temperature(logits, logits.argmin(1)) == HOTTEST


@given(st.integers(1, 30), st.integers(2, 5), st.integers(0, 10**6))
def test_it_is_positive_and_keeps_every_answer(images, classes, seed):
    rng = np.random.default_rng(seed)
    logits, labels = rng.normal(size=(images, classes)) * 10, rng.integers(0, classes, images)
    found = fit_temperature(logits, labels)
    assert COLDEST <= found <= HOTTEST
    given = np.exp(logits - logits.max(1, keepdims=True))
    np.testing.assert_array_equal(tempered(given, found).argmax(1), given.argmax(1))


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_tensors_are_tempered_as_arrays_are(temperature):
    given = torch.tensor([[0.7, 0.2, 0.1], [1.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3]])
    found = Prediction(given, given, given).at_temperature(temperature).probabilities
    np.testing.assert_allclose(found.numpy(), tempered(given.numpy(), temperature), atol=1e-6)
    if temperature == 1.0:
        np.testing.assert_allclose(found.numpy(), given.numpy(), atol=1e-6)


def test_rows_taken_a_few_at_a_time_give_the_same_bits(monkeypatch):
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(500, 7)) * 3, rng.integers(0, 7, 500)
    logits[np.arange(500), labels] += 2
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)

    def fitted():
        return fit_temperature(log_of(probabilities), labels), Calibration.fit(probabilities, labels, list("abcdefg"))

    whole = fitted()
    monkeypatch.setattr("mocoop.certainty.temperature.ROWS", 3)
    assert fitted() == whole
