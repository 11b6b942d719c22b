"""Split-conformal prediction sets: the classes that cannot be ruled out at a coverage asked for.

The score of an image is 1 - p_true (LAC; Sadinle, Lei, Wasserman 2019, arXiv:1609.00451). A class is in an image's set
if its own score 1 - p is at most the k-th smallest of n scores of images that were not trained on, k = ceil((n + 1)
coverage). Of images like those, the set then holds the true class with at least that probability, whatever the
classifier. Classes with many images have a threshold of their own, so that this holds for each of them (Mondrian;
Vovk, Gammerman, Shafer 2005); the others share one. N images, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

ALL = 1.0  # the threshold of too few scores: no class can be ruled out
BEYOND = 5  # scores that a class has at its own threshold and beyond; one drawn from fewer is a matter of chance


def rank(images: int, coverage: float) -> int:
    """k = ceil((n + 1) coverage) for n images; more than n where they are too few."""
    return math.ceil(round((images + 1) * coverage, 9))  # rounded: (9 + 1) * 0.9 is to be 9


def quantile(scores: Sequence[float], coverage: float) -> float:
    """The k-th smallest score, in any order; `ALL` if there are fewer."""
    k = rank(len(scores), coverage)
    return ALL if k > len(scores) else sorted(scores)[k - 1]


def thresholds(scores: Sequence[Sequence[float]], coverage: float) -> tuple[float, ...]:
    """A threshold for each of C classes, from the scores of the images of each.

    A class has its own if at least `BEYOND` of its n scores are not below it, n - k + 1 >= 5: from 24 images on at 0.8,
    49 at 0.9, 99 at 0.95. All others are put together. While those together are too few, the class with the fewest
    images of all that have a threshold of their own joins them. Who stands alone is chosen by counts alone, so the
    promise holds for each such class and for the rest.
    """
    alone = sorted((c for c, own in enumerate(scores) if _enough(len(own), coverage)), key=lambda c: len(scores[c]))
    rest = [score for c, own in enumerate(scores) if c not in set(alone) for score in own]
    together = len(alone) < len(scores)
    while together and alone and not _enough(len(rest), coverage):
        rest += scores[alone.pop(0)]
    shared, apart = quantile(rest, coverage), set(alone)
    return tuple(quantile(own, coverage) if c in apart else shared for c, own in enumerate(scores))


def prediction_sets(probabilities: NDArray[Any], limits: Sequence[float]) -> NDArray[np.bool_]:
    """Which classes are in each image's set (N, C), from probabilities (N, C) and the thresholds (C,).

    The most probable class, which is the answer, is always in it, so no set is empty; that can only add coverage.
    """
    inside: NDArray[np.bool_] = 1 - np.asarray(probabilities, np.float64) <= np.asarray(limits)
    inside[np.arange(len(inside)), np.asarray(probabilities).argmax(axis=1)] = True
    return inside


def _enough(images: int, coverage: float) -> bool:
    return images - rank(images, coverage) + 1 >= BEYOND
