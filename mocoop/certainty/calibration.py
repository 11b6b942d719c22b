"""What is kept of a calibration: one temperature, and the scores from which a threshold at any coverage follows.

It is fitted on images that the classifier was neither trained on nor measured on. N images, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mocoop.certainty.conformal import rank, thresholds
from mocoop.certainty.temperature import COLDEST, HOTTEST, by_rows, fit_temperature, log_of, tempered
from mocoop.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT = 1
FEWEST = 20  # images for a calibration
_STEPS = 1_000_000  # scores are kept to six digits, rounded up, so that no set loses a class by it


@dataclass(frozen=True)
class Calibration:
    """The temperature, and for each of the classes the scores 1 - p_true of its images, ascending."""

    temperature: float
    classnames: tuple[str, ...]
    scores: tuple[tuple[float, ...], ...]

    @classmethod
    def fit(cls, probabilities: NDArray[Any], labels: NDArray[Any], classnames: Sequence[str]) -> Calibration:
        """From probabilities (N, C) as the training left them, and labels (N,)."""
        temperature = fit_temperature(log_of(probabilities), labels)
        scores = 1 - by_rows(lambda p, y: tempered(p, temperature)[np.arange(len(y)), y], probabilities, labels)
        own = [sorted(_rounded_up(float(score)) for score in scores[labels == c]) for c in range(len(classnames))]
        return cls(temperature, tuple(classnames), tuple(map(tuple, own)))

    @property
    def images(self) -> int:
        """How many images it was fitted on."""
        return sum(map(len, self.scores))

    def possible(self, coverages: Sequence[float]) -> list[float]:
        """Those coverages for which there are enough images."""
        return [coverage for coverage in coverages if rank(self.images, coverage) <= self.images]

    def limits(self, coverage: float) -> tuple[float, ...]:
        """The thresholds (C,) of sets with that coverage. Raises UsageError if there are too few images for it."""
        if not self.possible([coverage]):
            raise UsageError(
                f"sets that hold the class in {100 * coverage:g} % of images need more than the {self.images} images "
                "of this calibration: each would hold every class",
                "ask for a smaller --coverage, or train again with more val images",
            )
        return thresholds(self.scores, coverage)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "format": FORMAT,
            "temperature": self.temperature,
            "classes": list(self.classnames),
            "scores": [list(own) for own in self.scores],
        }

    @classmethod
    def of_dict(cls, document: Any, classnames: Sequence[str]) -> Calibration:
        """Read and check a document; `classnames` are the classifier's. Raises ValueError, saying what is wrong."""
        _need(isinstance(document, dict), "it is no object")
        _need(document.get("format") == FORMAT, f"its format is {document.get('format')!r}, not {FORMAT}")
        temperature, scores = document.get("temperature"), document.get("scores")
        _need(_between(temperature, COLDEST, HOTTEST), "temperature cannot be")
        _need(document.get("classes") == list(classnames), "its classes are not those of the classifier")
        _need(isinstance(scores, list) and len(scores) == len(classnames), "scores are not of each class")
        for own in scores:
            _need(isinstance(own, list) and all(_between(one, 0, 1) for one in own), "scores cannot be")
            _need(own == sorted(own), "scores are not in order")
        return cls(float(temperature), tuple(classnames), tuple(tuple(map(float, own)) for own in scores))


def _rounded_up(score: float) -> float:
    return min(1.0, math.ceil(max(0.0, score) * _STEPS) / _STEPS)


def _need(good: bool, why: str) -> None:
    if not good:
        raise ValueError(why)


def _between(value: Any, low: float, high: float) -> bool:
    return type(value) in (int, float) and bool(low <= value <= high)  # false for NaN
