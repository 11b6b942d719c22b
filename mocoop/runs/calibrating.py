"""The calibration of a training, on images that it neither learned from, nor chose settings on, nor is measured on."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mocoop.certainty.calibration import FEWEST, Calibration
from mocoop.certainty.doubt import NO_CALIBRATION
from mocoop.certainty.temperature import COLDEST
from mocoop.data.dataset import Dataset, Example
from mocoop.data.features import FeatureCache
from mocoop.data.leaks import content
from mocoop.data.splits import up_to
from mocoop.errors import DataError
from mocoop.training.inputs import load_inputs
from mocoop.training.trainer import Listener

if TYPE_CHECKING:
    from mocoop.backbone.backbone import Backbone
    from mocoop.mixture.classifier import Predictor

A_CLASS, IN_ALL = 20, 400  # images to encode: so many a class, or with few classes so many in all
ROWS = 8192  # stored features read and predicted at a time: there may be more than fit into memory
TOO_EQUAL = (
    f"calibration: the probabilities are so nearly equal that even a temperature of {COLDEST:g} leaves them too small: "
    "answers are right more often than they say"
)


class NotEnough(Exception):
    """Too few images are left for a calibration; the text says so and what to do."""


def held_out(
    drawn: Dataset, available: Dataset, chosen: Sequence[Example], trained: Container[str], seed: int
) -> tuple[Example, ...]:
    """The images to calibrate on: val, then training images that were not drawn; no copies of those trained on.

    `drawn` has the images trained on and `trained` their hashes, `available` all images of the same classes, `chosen`
    those that settings were chosen on.
    At most 20 a class, or 400 in all, are taken if they have to be encoded, and all if features are stored.
    """
    most = max(A_CLASS, -(-IN_ALL // len(drawn.classnames)))
    if drawn.features is not None:
        most = len(available.train) + len(available.val)
    used = {*drawn.train, *chosen}
    kept = tuple(example for example in available.val if example not in used)
    found = up_to(most, tuple(used), replace(available, val=kept), seed)
    return tuple(example for example in found if content(drawn, example) not in trained)


def calibrate(
    predictor: Predictor,
    backbone: Backbone,
    dataset: Dataset,
    images: Sequence[Example],
    *,
    chosen: int,
    cache: FeatureCache | None,
    listener: Listener,
) -> Calibration:
    """Fit a calibration of a predictor; images that cannot be read are left out.

    `chosen` is how many others its settings were chosen on, for the message. Raises NotEnough.
    """
    if len(images) < FEWEST:
        raise NotEnough(_told(len(images), chosen))
    try:
        probabilities, labels = _predicted(predictor, backbone, dataset, images, cache, listener)
    except DataError as error:  # none of them can be read
        raise NotEnough(f"{NO_CALIBRATION}{error.message}") from error
    if len(labels) < FEWEST:
        raise NotEnough(_told(len(labels), chosen))
    return Calibration.fit(probabilities, labels, dataset.classnames)


def _predicted(
    predictor: Predictor,
    backbone: Backbone,
    dataset: Dataset,
    images: Sequence[Example],
    cache: FeatureCache | None,
    listener: Listener,
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (N, C) and labels (N,) of the images that can be read. Raises DataError if none can."""
    step = len(images) if dataset.features is None else ROWS
    probabilities, labels = list[np.ndarray](), list[np.ndarray]()
    for start in range(0, len(images), step):
        some = images[start : start + step]
        inputs = load_inputs(backbone, dataset, some, cache=cache, on_bad_image="skip", listener=listener)
        probabilities.append(predictor.predict(inputs.view(0)).probabilities.cpu().numpy())
        labels.append(inputs.labels.numpy())
    return np.concatenate(probabilities), np.concatenate(labels)


def _told(count: int, chosen: int) -> str:
    used = f", since its settings were chosen on {chosen} others" if chosen else ""
    return (
        f"{NO_CALIBRATION}it needs {FEWEST} images that are neither trained on nor test images, and {count} can be "
        f"used{used}; probabilities are as the training left them: give more images, or fewer --shots"
    )
