"""How deep and many-banded pictures become 8-bit RGB: one rule for a whole data set, recorded with the run.

A picture of 8 bits is taken as it is. Deeper values are brought to 0..255 in the same way in every picture: by limits
that were asked for, else by the bits that the training images fill (integers) or their full scale (numbers with a
point). In a TIFF extra samples are bands, never transparency: the first three are used unless others are asked for.

No file is read here: `mocoop.data.survey` finds the rule of a data set, `mocoop.data.images` applies it, and
`mocoop.data.remarks` puts into words what was met.
H, W: height and width in pixels; K: bands used.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from mocoop.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

PERCENTILE = "percentile"
ValueRange = tuple[float, float] | Literal["percentile"]

_DEPTHS = (8, 10, 12, 14, 16, 20, 24, 28, 32)
_FULL_DEPTH = 16  # of pictures of 16 bits for which nothing else is known
NEARLY = 16  # of 255: below it a picture is nearly black, or its transparency complete
_CUT = 0.05  # a share of values beyond the scale that is worth a remark
_ROWS = 256  # converted at a time, so that copies in wider types stay small
BLACK, CLEAR, CUT, EMPTY, MANY, TWO = "black", "clear", "cut", "empty", "many", "two"  # remarks on a picture


@dataclass(frozen=True)
class Reading:
    """The rule. All None: 8-bit pictures only, or nothing is known; then 16-bit values lose their low byte."""

    bands: tuple[int, ...] | None = None  # counted from 1; one or three
    limits: tuple[float, float] | None = None  # values that become 0 and 255, for pictures of more than 8 bits
    bits: int | None = None  # that integer values fill, without limits
    top: float | None = None  # the full scale of floating-point values, without limits

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, for run.json."""
        return {
            "bands": None if self.bands is None else list(self.bands),
            "limits": None if self.limits is None else list(self.limits),
            "bits": self.bits,
            "top": self.top,
        }

    @classmethod
    def of_record(cls, record: Mapping[str, Any] | None) -> Reading:
        """The rule recorded with a run; runs from before there was one read 16 bits by their high byte."""
        if record is None:
            return cls(bits=_FULL_DEPTH)
        bands, limits = record["bands"], record["limits"]
        return cls(
            None if bands is None else tuple(bands),
            None if limits is None else (limits[0], limits[1]),
            record["bits"],
            record["top"],
        )


class Raster(NamedTuple):
    """A picture's values as stored: (H, W, K), K = 1 or 3; `alpha` and `valid` (H, W), where there are such."""

    values: np.ndarray
    alpha: np.ndarray | None = None
    valid: np.ndarray | None = None  # False where the file says that there is no value

    def known(self) -> np.ndarray:
        """The values that are numbers and not "no data", as one row."""
        import numpy as np

        values = self.values if self.valid is None else self.values[self.valid]
        return values[np.isfinite(values)] if values.dtype.kind == "f" else values.reshape(-1)


def parse_bands(text: str | None) -> tuple[int, ...] | None:
    """The bands of "4,3,2", counted from 1. Raises UsageError."""
    if text is None:
        return None
    try:
        bands = tuple(int(word) for word in text.split(","))
    except ValueError:
        bands = ()
    if len(bands) not in (1, 3) or min(bands) < 1:
        raise UsageError(f"--bands {text!r} cannot be", "give one band or three, counted from 1: 4,3,2")
    return bands


def parse_range(text: str | None) -> ValueRange | None:
    """The two numbers of "0,3000", or "percentile". Raises UsageError."""
    if text is None:
        return None
    if text == "percentile":
        return "percentile"
    try:
        low, high = (float(word) for word in text.split(","))
    except ValueError:
        low, high = math.nan, math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UsageError(f"--range {text!r} cannot be", "give LOW,HIGH, for example 0,3000, or the word percentile")
    return low, high


def depth_of(highest: int) -> int:
    """The smallest of the usual depths that holds a value."""
    return next((bits for bits in _DEPTHS if highest < 1 << bits), _DEPTHS[-1])


def eight_bits(raster: Raster, reading: Reading) -> tuple[np.ndarray, list[str]]:
    """The picture (H, W, K) uint8, transparency laid on white, and the remarks on it.

    Floating-point values need `limits` or `top`.
    """
    import numpy as np

    values, remarks = raster.values, []
    out = np.empty(values.shape, np.uint8)
    for start in range(0, len(values), _ROWS):
        part = slice(start, start + _ROWS)
        out[part] = _scaled(values[part], reading)
    known = raster.known()
    if raster.valid is not None:
        out[~raster.valid] = 0
    if known.size == 0:
        remarks.append(EMPTY)
    elif values.dtype != np.uint8:
        shades = out if raster.valid is None else out[raster.valid]
        if np.quantile(shades.reshape(-1)[:: max(1, shades.size // 100_000)], 0.99) < NEARLY:
            remarks.append(BLACK)
        beyond = np.count_nonzero(known > _highest(values, reading)) + np.count_nonzero(known < 0)
        if reading.limits is None and beyond > _CUT * known.size:
            remarks.append(CUT)
    if raster.alpha is not None:
        opaque = np.minimum(raster.alpha.astype(np.float32) / _alpha_scale(raster.alpha, reading), 1)[..., None]
        if opaque.max() * 255 < NEARLY:
            remarks.append(CLEAR)
        out = np.rint(out * opaque + 255 * (1 - opaque)).astype(np.uint8)
    return out, remarks


def _scaled(values: np.ndarray, reading: Reading) -> np.ndarray:
    """Some rows brought to 0..255."""
    import numpy as np

    if values.dtype == np.uint8:
        return values
    if reading.limits is None and values.dtype.kind in "iu":
        shift = (reading.bits or _FULL_DEPTH) - 8
        shifted = values >> values.dtype.type(min(shift, values.dtype.itemsize * 8 - 1))
        top: np.ndarray = np.clip(shifted, 0, 255).astype(np.uint8)
        return top
    low, high = reading.limits or (0.0, reading.top or 1.0)
    with np.errstate(invalid="ignore", over="ignore"):  # some NaN are told when they are cast
        share = (values.astype(np.float64) - low) / (high - low)
    share = np.clip(np.nan_to_num(share, nan=0.0, posinf=1.0, neginf=0.0), 0, 1)
    scaled: np.ndarray = np.rint(255 * share).astype(np.uint8)
    return scaled


def _highest(values: np.ndarray, reading: Reading) -> float:
    if values.dtype.kind == "f":
        return reading.top or 1.0
    return float((1 << (reading.bits or _FULL_DEPTH)) - 1)


def _alpha_scale(alpha: np.ndarray, reading: Reading) -> int:
    import numpy as np

    return 255 if alpha.dtype == np.uint8 else int((1 << (reading.bits or _FULL_DEPTH)) - 1)
