"""Rows of vectors as the clustering takes them: of length 1, and without their mean. T texts, D dimensions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Encode = Callable[[Sequence[str]], Array]  # sentences to rows of length 1 (T, D)


def centred(vectors: Array) -> Array:
    """Vectors without their mean, each of length 1 again; one that is the mean itself stays zero."""
    return unit(vectors - vectors.mean(axis=0))


def unit(vectors: Array) -> Array:
    """Rows of length 1; what is zero but for rounding stays zero."""
    import numpy as np

    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.where(lengths > 1e-9, vectors / np.maximum(lengths, 1e-9), 0.0)
