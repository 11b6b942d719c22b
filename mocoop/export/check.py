"""Whether an exported model answers as the run does, on real images; and what a smaller number format costs.

Both get the same images and go their own ways from there. Two answers differ by the largest difference of a
probability or gate. In single precision no image may differ by more than rounding does; what a smaller format may
differ by is a choice, made here and raised by `--tolerance`. N images, C classes, E experts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from mocoop.data.views import Preprocess, centre_crop, normalised
from mocoop.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

    from mocoop.backbone.backbone import Backbone
    from mocoop.mixture.classifier import Predictor

BATCH = 16


class Allowed(NamedTuple):
    """By how much an answer may differ, and the share of images that may differ by more."""

    difference: float
    share: float


ALLOWED = {"float32": Allowed(1e-3, 0.0), "float16": Allowed(0.02, 0.0), "int8": Allowed(0.1, 0.05)}
_CLOSE = 1e-4  # router weights nearer than this at the border of the top K may change places by rounding

Progress = Callable[[int, int], None]  # images done, images in total
Candidate = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]  # pixels to probabilities (N, C) and gates (N, E)


@dataclass(frozen=True)
class Checked:
    """What a comparison found. Accuracies are in percent, None without labels."""

    images: int
    largest_difference: float
    beyond: int  # images that differ by more than is allowed
    same_class: float  # percent of images
    accuracy_before: float | None
    accuracy_after: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "images": self.images,
            "largest_difference": float(f"{self.largest_difference:.3g}"),
            "same_class": self.same_class,
            "accuracy_before": self.accuracy_before,
            "accuracy_after": self.accuracy_after,
        }


def compare(
    candidate: Candidate,
    backbone: Backbone,
    predictor: Predictor,
    images: Sequence[Image.Image],
    *,
    pixels: str,
    allowed: Allowed,
    labels: Sequence[int] | None = None,
    progress: Progress = lambda _done, _total: None,
) -> Checked:
    """Compare a candidate with the run's own backbone and predictor on some images; `progress` hears how many."""
    before, after, differences = [], [], []
    for start in range(0, len(images), BATCH):
        crops = np.stack([centre_crop(image, backbone.preprocess) for image in images[start : start + BATCH]])
        prepared = _prepared(crops, backbone.preprocess)
        expected = predictor.predict(backbone.encode_images(torch.from_numpy(prepared)))
        probabilities, gates = candidate(crops if pixels == "uint8" else prepared)
        known = expected.probabilities.cpu().numpy()
        gate = expected.gate.cpu().numpy()
        difference = np.maximum(np.abs(probabilities - known).max(-1), np.abs(gates - gate).max(-1))
        difference[_undecided(expected.router.cpu().numpy(), gate)] = 0
        differences.append(difference)
        before.append(known.argmax(-1))
        after.append(probabilities.argmax(-1))
        progress(min(start + BATCH, len(images)), len(images))
    was, now, apart = np.concatenate(before), np.concatenate(after), np.concatenate(differences)
    right = None if labels is None else np.asarray(labels)
    return Checked(
        images=len(images),
        largest_difference=float(apart.max()),
        beyond=int((~(apart <= allowed.difference)).sum()),  # so that NaN counts
        same_class=round(100 * float((was == now).mean()), 2),
        accuracy_before=None if right is None else round(100 * float((was == right).mean()), 2),
        accuracy_after=None if right is None else round(100 * float((now == right).mean()), 2),
    )


def refuse_if_different(checked: Checked, allowed: Allowed, precision: str) -> None:
    """Raises DataError if more images differ than may."""
    if checked.beyond <= allowed.share * checked.images:
        return
    most = "none" if not allowed.share else f"{100 * allowed.share:.0f} %"
    remedy = "report it" if precision == "float32" else "take a larger number format, or accept it with --tolerance"
    raise DataError(
        f"the exported model differs from the run by up to {checked.largest_difference:.3g} in a probability or gate: "
        f"{checked.beyond} of {checked.images} images by more than {allowed.difference:g} ({most} may); "
        "nothing was written",
        remedy,
    )


def _prepared(crops: np.ndarray, preprocess: Preprocess) -> np.ndarray:
    return np.stack([normalised(crop, preprocess) for crop in crops])


def _undecided(router: np.ndarray, gate: np.ndarray) -> np.ndarray:
    """(N,) whether rounding may choose another expert: the last one in and the first one out weigh the same."""
    chosen = gate > 0
    if chosen.all():
        return np.zeros(len(gate), bool)
    last = np.where(chosen, router, np.inf).min(-1)
    first_out = np.where(chosen, -np.inf, router).max(-1)
    undecided: np.ndarray = last - first_out < _CLOSE
    return undecided
