"""What is said of doubt beside an answer: its prediction set, and whether it counts as "not sure". C classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mocoop.certainty.calibration import Calibration
from mocoop.certainty.conformal import prediction_sets
from mocoop.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

NO_CALIBRATION = "no calibration: "  # how the note of a training begins that has none, and why


@dataclass(frozen=True)
class Doubt:
    """What was asked for: thresholds (C,) of prediction sets, and the probability below which an answer is unsure."""

    limits: tuple[float, ...] | None = None
    unsure_below: float | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        """What `told` may add to a row."""
        sets, unsure = self.limits is not None, self.unsure_below is not None
        return (*(["set"] * sets), *(["unsure"] * unsure))

    def told(self, probabilities: NDArray[Any], classnames: Sequence[str]) -> dict[str, Any]:
        """`set`, the classes that cannot be ruled out, the likeliest first; and `unsure`, only where it is true."""
        row: dict[str, Any] = {}
        if self.limits is not None:
            inside = prediction_sets(probabilities[None], self.limits)[0]
            order = (-probabilities).argsort(kind="stable").tolist()
            row["set"] = [classnames[c] for c in order if inside[c]]
        if self.unsure_below is not None and float(probabilities.max()) < self.unsure_below:
            row["unsure"] = True
        return row


def doubt_of(
    calibration: Calibration | None,
    of: str,
    *,
    coverage: float | None = None,
    unsure_below: float | None = None,
    notes: Sequence[str] = (),
) -> Doubt | None:
    """What is to be said of doubt beside the answers of a classifier; None if nothing was asked for.

    `of` names the classifier, `notes` are those of its training. Raises UsageError for sets that its calibration does
    not allow, or without any.
    """
    if coverage is None:
        return None if unsure_below is None else Doubt(unsure_below=unsure_below)
    if calibration is None:
        told = next((note for note in notes if note.startswith(NO_CALIBRATION)), "").removeprefix(NO_CALIBRATION)
        why = f" ({told.partition(';')[0]})" if told else ""
        raise UsageError(
            f"{of} has no calibration{why}, without which no set can promise anything",
            "leave --coverage out, or train again with images left for it: more val images, or fewer --shots",
        )
    return Doubt(calibration.limits(coverage), unsure_below)
