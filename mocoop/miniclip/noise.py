"""Random fields for textures, coasts and clouds: cut from a small bank, so that a tile costs no Fourier transform.

A bank holds periodic fields of one roughness, each with mean 0 and standard deviation 1. It is made on first use
from fixed seeds, so that every process and machine uses the same fields.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
Kind = Literal["rough", "patchy", "smooth"]

_PERIOD = 128  # pixels; a power of two, so that wrapping is one bit operation
_FIELDS = 24
_FALLOFF = {"rough": 0.4, "patchy": 1.2, "smooth": 2.2}  # amplitude ~ frequency ** -falloff


@cache
def _bank(kind: Kind) -> Field:
    """All fields of one kind, (F, P, P)."""
    rng = np.random.default_rng(list(_FALLOFF).index(kind))
    steps = np.fft.fftfreq(_PERIOD) * _PERIOD
    frequency = np.hypot(steps[:, None], steps[None, :])
    frequency[0, 0] = 1.0
    gain = frequency ** -_FALLOFF[kind]
    gain[0, 0] = 0.0
    white = rng.standard_normal((_FIELDS, _PERIOD, _PERIOD))
    fields = np.fft.ifft2(np.fft.fft2(white) * gain).real
    unit: Field = (fields / fields.std(axis=(1, 2), keepdims=True)).astype(np.float32)
    return unit


def sample(kind: Kind, rng: np.random.Generator, x: Field, y: Field, pixels_per_unit: float = 20.0) -> Field:
    """A random field of this kind, sampled at the coordinates x and y; has their shape."""
    field = _bank(kind)[rng.integers(_FIELDS)]
    row, column = rng.integers(0, _PERIOD, 2)
    rows = (np.floor(y * pixels_per_unit).astype(np.int64) + row) & (_PERIOD - 1)
    columns = (np.floor(x * pixels_per_unit).astype(np.int64) + column) & (_PERIOD - 1)
    read: Field = field[rows, columns]
    return read


def patch(kind: Kind, rng: np.random.Generator, size: int) -> Field:
    """A random square crop of a field, (size, size), without rescaling."""
    field = _bank(kind)[rng.integers(_FIELDS)]
    row, column = rng.integers(0, _PERIOD - size, 2)
    cut: Field = field[row : row + size, column : column + size]
    return cut
