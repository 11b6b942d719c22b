"""What a classifier got wrong: the confusion matrix, precision and recall of each class, the commonest mistakes.

N images, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class ClassScores:
    """One class: its test images, and in percent precision, recall and F1; None where there is nothing to divide by."""

    name: str
    images: int
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True)
class Mistake:
    """How many images of one class were taken for another."""

    true: str
    said: str
    images: int


def confusion(labels: Sequence[int], guesses: Sequence[int], classes: int) -> NDArray[np.int64]:
    """Images (C, C) by true class (row) and answer (column)."""
    from sklearn.metrics import confusion_matrix

    found: NDArray[np.int64] = confusion_matrix(labels, guesses, labels=range(classes))
    return found


def class_scores(matrix: NDArray[np.int64], classnames: Sequence[str]) -> list[ClassScores]:
    """Precision, recall and F1 of each class of a confusion matrix."""
    right, true, said = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
    return [
        ClassScores(
            name,
            int(true[c]),
            _percent(right[c], said[c]),
            _percent(right[c], true[c]),
            _percent(2 * right[c], true[c] + said[c]),
        )
        for c, name in enumerate(classnames)
    ]


def commonest(matrix: NDArray[np.int64], classnames: Sequence[str], most: int) -> list[Mistake]:
    """The commonest mistakes, at most so many; equals in the order of the classes."""
    found = [
        Mistake(classnames[true], classnames[said], int(matrix[true, said]))
        for true, said in zip(*np.nonzero(matrix), strict=True)
        if true != said
    ]
    return sorted(found, key=lambda mistake: -mistake.images)[:most]


def _percent(part: int, whole: int) -> float | None:
    return 100 * float(part) / float(whole) if whole else None
