"""Normalising and centring rows of vectors for clustering. T texts, D dimensions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Encode = Callable[[Sequence[str]], Array]  # sentences to rows of length 1 (T, D)


def centred(vectors: Array) -> Array:
    """Vectors minus their mean, each rescaled to length 1; one equal to the mean stays zero."""
    return unit(vectors - vectors.mean(axis=0))


def unit(vectors: Array) -> Array:
    """Rows scaled to length 1; rows that are zero up to rounding become zero."""
    import numpy as np

    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.where(lengths > 1e-9, vectors / np.maximum(lengths, 1e-9), 0.0)
