"""What went wrong, counted: the confusion matrix, precision and recall, the commonest mistakes."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from mocoop.reporting.mistakes import Mistake, class_scores, commonest, confusion

NAMES = ("dog", "cat", "whale", "unicorn")
RNG = np.random.default_rng(3)
LABELS = RNG.integers(0, 3, 60).tolist()  # no unicorn is ever met
GUESSES = RNG.integers(0, 4, 60).tolist()


def test_the_matrix_is_counted_by_hand():
    matrix = confusion(LABELS, GUESSES, 4)
    by_hand = [
        [sum((t, g) == (y, x) for t, g in zip(LABELS, GUESSES, strict=True)) for x in range(4)] for y in range(4)
    ]
    assert matrix.tolist() == by_hand


def test_scores_are_those_of_scikit_learn():
    found = class_scores(confusion(LABELS, GUESSES, 4), NAMES)
    theirs = precision_recall_fscore_support(LABELS, GUESSES, labels=range(4), zero_division=0)
    for one, precision, recall, f1, images in zip(found, *theirs, strict=True):
        assert (one.precision or 0, one.recall or 0, one.f1 or 0) == pytest.approx(
            (100 * precision, 100 * recall, 100 * f1)
        )
        assert one.images == images
    assert found[3].recall is None  # of no images none can be found
    assert class_scores(confusion([0], [1], 4), NAMES)[2].f1 is None  # neither met nor answered


def test_the_commonest_mistakes_come_first():
    matrix = np.array([[5, 2, 0, 0], [0, 5, 3, 0], [2, 0, 5, 0], [0, 0, 0, 0]])
    assert commonest(matrix, NAMES, 2) == [Mistake("cat", "whale", 3), Mistake("dog", "cat", 2)]
    assert len(commonest(matrix, NAMES, 10)) == 3
    assert commonest(np.eye(4, dtype=int), NAMES, 10) == []
