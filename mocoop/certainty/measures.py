"""What measures certainty on test images: calibration error, coverage and size of sets, risk against coverage.

N images, C classes; shares are between 0 and 1, `Certainty` is in percent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mocoop.certainty.conformal import prediction_sets

if TYPE_CHECKING:
    from numpy.typing import NDArray

BINS = 15  # of confidence, of equal width
COVERAGES = (0.8, 0.9, 0.95)  # at which sets are measured
ANSWERED = (0.5, 0.8, 0.9, 1.0)  # shares of the images, the surest, of which the error is told

Bin = tuple[int, float, float]  # images, mean confidence, share of right answers


@dataclass(frozen=True)
class Sets:
    """Prediction sets at a coverage: how many held the true class, both in percent, and the mean classes of a set."""

    coverage: float
    covered: float
    mean_size: float


@dataclass(frozen=True)
class Certainty:
    """How a classifier's certainty fared on some images, in percent; `risk` is (images answered, errors of them)."""

    temperature: float | None  # None: the probabilities are as the training left them
    ece_before: float
    ece: float
    risk: tuple[tuple[float, float], ...]
    risk_area: float
    sets: tuple[Sets, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**asdict(self), "risk": [{"answered": share, "wrong": wrong} for share, wrong in self.risk]}


def certainty_of(
    probabilities: NDArray[Any],
    labels: NDArray[Any],
    *,
    before: NDArray[Any],
    temperature: float | None,
    limits: Mapping[float, Sequence[float]],
) -> Certainty:
    """All measures of probabilities (N, C), which were `before`, against labels (N,); `limits` (C,) by coverage."""
    wrong = wrong_by_confidence(probabilities, labels)
    return Certainty(
        temperature=temperature,
        ece_before=100 * calibration_error(before, labels),
        ece=100 * calibration_error(probabilities, labels),
        risk=tuple((100 * share, 100 * risk_at(wrong, share)) for share in ANSWERED),
        risk_area=100 * risk_area(wrong),
        sets=tuple(
            Sets(100 * coverage, 100 * covered, size)
            for coverage, some in limits.items()
            for covered, size in [coverage_and_size(prediction_sets(probabilities, some), labels)]
        ),
    )


def chance_error(bins: Sequence[Bin]) -> float:
    """The calibration error, in percent, that chance alone gives on average where every probability is exactly right.

    In a bin of n images with mean probability p the share of right answers is then off by sqrt(2 p (1 - p) / (pi n)),
    the mean absolute deviation of a normal distribution of variance p (1 - p) / n.
    """
    images = sum(count for count, *_ in bins)
    off = (count * math.sqrt(2 * sure * (1 - sure) / (math.pi * count)) for count, sure, _ in bins)
    return 100 * math.fsum(off) / images


def confidence_bins(probabilities: NDArray[Any], labels: NDArray[Any]) -> list[Bin]:
    """The images by the probability of their answer, in `BINS` bins of equal width, without the empty ones."""
    confidence = np.asarray(probabilities).max(axis=1).astype(np.float64)
    right = np.asarray(probabilities).argmax(axis=1) == labels
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    inside = [place == number for number in range(BINS)]
    return [(int(one.sum()), float(confidence[one].mean()), float(right[one].mean())) for one in inside if one.any()]


def calibration_error(probabilities: NDArray[Any], labels: NDArray[Any]) -> float:
    """The expected calibration error: how far confidence is from accuracy, averaged over images in bins."""
    bins = confidence_bins(probabilities, labels)
    return math.fsum(count * abs(sure - right) for count, sure, right in bins) / len(labels)


def coverage_and_size(sets: NDArray[np.bool_], labels: NDArray[Any]) -> tuple[float, float]:
    """The share of sets (N, C) with the true class, and the mean number of classes of a set."""
    return float(sets[np.arange(len(sets)), labels].mean()), float(sets.sum(axis=1).mean())


def wrong_by_confidence(probabilities: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether each answer is wrong (N,), the surest first; equals in the order of the images."""
    given = np.asarray(probabilities)
    wrong: NDArray[np.bool_] = given.argmax(axis=1) != labels
    return wrong[np.argsort(-given.max(axis=1), kind="stable")]


def risk_at(wrong: NDArray[np.bool_], share: float) -> float:
    """The share of errors if only that share of the images, the surest, is answered; `wrong` has the surest first."""
    return float(wrong[: max(1, math.ceil(round(share * len(wrong), 9)))].mean())


def risk_area(wrong: NDArray[np.bool_]) -> float:
    """The area under risk against coverage: the errors among the k surest, averaged over all k (Geifman 2017)."""
    return float((np.cumsum(wrong) / np.arange(1, len(wrong) + 1)).mean())
