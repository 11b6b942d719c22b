"""What goes with X: the labels y, and the weights of the images. N images, C classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mocoop.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def read_labels(y: Any) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The sorted distinct labels (C,), and each image's place among them (N,). Raises DataError."""
    classes, encoded = np.unique(_one_dimensional(y), return_inverse=True)
    if len(classes) < 2:
        raise DataError(f"y has one class only, {classes[0]!r}", "two classes or more are needed")
    return classes, encoded.astype(np.int64)


def read_known_labels(y: Any, classes: NDArray[Any]) -> NDArray[np.int64]:
    """Each image's place (N,) among known labels. Raises DataError for a label that is not among them."""
    places = {label: place for place, label in enumerate(classes.tolist())}
    given = _one_dimensional(y).tolist()
    if unknown := [label for label in given if label not in places]:
        raise DataError(
            f"validation_data has the label {unknown[0]!r}, which y lacks", "give images of the same classes"
        )
    return np.array([places[label] for label in given], dtype=np.int64)


def _one_dimensional(y: Any) -> NDArray[Any]:
    """Labels (N,), all names or all whole numbers. Raises DataError."""
    from sklearn.utils import column_or_1d

    given = np.asarray(y if isinstance(y, (np.ndarray, torch.Tensor)) or hasattr(y, "__array__") else list(y))
    if given.ndim == 2 and given.shape[1] == 1:
        given = column_or_1d(given, warn=True)
    if given.ndim != 1 or len(given) == 0:
        raise DataError(f"y should be a 1d array, and has the shape {given.shape}", "give one label an image")
    if given.dtype.kind == "O" and all(isinstance(value, (int, np.integer)) for value in given):
        given = given.astype(np.int64)
    if given.dtype.kind == "f" and (given == given.round()).all() and np.abs(given).max() < 2**53:  # of any number type
        given = given.astype(np.int64)
    if given.dtype.kind not in "iuUSbO" or (given.dtype.kind == "O" and not all(isinstance(v, str) for v in given)):
        raise DataError(f"Unknown label type: y holds {given.dtype}", "give class names or whole numbers")
    return given


def read_weights(sample_weight: Any, images: int) -> NDArray[np.float64] | None:
    """Weights (N,), finite and none below 0; None if all images weigh the same. Raises DataError."""
    if sample_weight is None:
        return None
    weights = np.asarray(sample_weight, dtype=np.float64)
    if weights.shape != (images,):
        raise DataError(
            f"sample_weight has the shape {weights.shape}, X {images} images", "give one weight an image, in one list"
        )
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise DataError("sample_weight holds a number below 0, or one that is not finite", "give numbers of 0 or more")
    return weights


def check_all_weigh(weights: NDArray[np.float64], encoded: NDArray[np.int64], classes: NDArray[Any]) -> None:
    """Raises DataError for a class whose images all weigh nothing."""
    total = np.bincount(encoded, weights=weights, minlength=len(classes))  # (C,)
    if not (total > 0).all():
        named = classes.tolist()[int(total.argmin())]
        raise DataError(f"sample_weight is zero for all images of the class {named!r}", "leave the class out of y")
