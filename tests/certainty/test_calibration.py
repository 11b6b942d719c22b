"""What a run keeps: the same after writing and reading, refused where it cannot be; and doubt beside an answer."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mocoop.certainty.calibration import Calibration
from mocoop.certainty.conformal import prediction_sets, rank
from mocoop.certainty.doubt import doubt_of
from mocoop.certainty.temperature import tempered
from mocoop.errors import UsageError

NAMES = ("dune", "forest", "lake")


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(1)
    probabilities = rng.dirichlet(np.full(3, 0.3), 90).astype(np.float32)
    labels = np.array([rng.choice(3, p=row / row.sum()) for row in probabilities.astype(float)])
    return probabilities, labels


@pytest.fixture(scope="module")
def fitted(data):
    return Calibration.fit(*data, NAMES)


def test_written_and_read_it_is_the_same(fitted):
    assert Calibration.of_dict(json.loads(json.dumps(fitted.to_dict())), NAMES) == fitted


def test_scores_are_of_the_calibrated_probabilities_and_a_millionth_larger_at_most(fitted, data):
    probabilities, labels = data
    calibrated = tempered(probabilities, fitted.temperature)
    for c in range(3):
        exact = np.sort(1 - calibrated[labels == c, c])
        kept = np.array(fitted.scores[c])
        assert ((kept >= exact) & (kept - exact < 1.1e-6)).all()
    assert fitted.images == 90


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9, 0.95])
def test_its_own_images_are_covered(fitted, data, coverage):
    probabilities, labels = data
    sets = prediction_sets(tempered(probabilities, fitted.temperature), fitted.limits(coverage))
    assert sets[np.arange(90), labels].sum() >= rank(90, coverage)


def test_a_coverage_beyond_the_images_is_refused(fitted):
    assert fitted.possible([0.9, 0.999]) == [0.9]
    with pytest.raises(UsageError, match=r"in 99\.9 % of images need more than the 90 images"):
        fitted.limits(0.999)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format": 2}, "format is 2"),
        ({"temperature": 0}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"temperature": 10**400}, "temperature"),
        ({"classes": ["dune", "lake", "forest"]}, "classes"),
        ({"scores": [[0.1], [0.2]]}, "scores are not of each class"),
        ({"scores": [[0.1], [0.2], [1.5]]}, "scores cannot be"),
        ({"scores": [[0.1], [0.2], ["0"]]}, "scores cannot be"),
        ({"scores": [[0.1], [0.2], 3]}, "scores cannot be"),
        ({"scores": [[0.1], [0.3, 0.2], []]}, "not in order"),
    ],
)
def test_what_cannot_be_is_refused(fitted, changes, said):
    with pytest.raises(ValueError, match=said):
        Calibration.of_dict(fitted.to_dict() | changes, NAMES)


def test_doubt_names_the_set_and_says_when_it_is_not_sure(fitted):
    doubt = doubt_of(fitted, "run", coverage=0.9, unsure_below=0.6)
    given = np.array([0.2, 0.5, 0.3])
    inside = prediction_sets(given[None], fitted.limits(0.9))[0]
    assert doubt.keys == ("set", "unsure")
    assert doubt.told(given, NAMES) == {
        "set": [n for n in ("forest", "lake", "dune") if inside[NAMES.index(n)]],
        "unsure": True,
    }
    assert "unsure" not in doubt.told(np.array([0.1, 0.6, 0.3]), NAMES)


def test_without_a_calibration_there_are_no_sets_but_a_probability_to_be_sure_from(fitted):
    with pytest.raises(UsageError, match="run has no calibration"):
        doubt_of(None, "run", coverage=0.9)
    assert doubt_of(None, "run", unsure_below=0.5).told(np.array([0.4, 0.3, 0.3]), NAMES) == {"unsure": True}
    assert doubt_of(fitted, "run") is None
