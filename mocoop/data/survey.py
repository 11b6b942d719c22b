"""The rule by which a data set's deep or many-banded pictures are read, found from a sample of them.

Deep pictures have more than 8 bits a value. Their scale is one for the data set: asked for (`--range`), recorded with
the run, or taken here from at most 256 of the training images, spread evenly over their list.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from mocoop.data import imageformats
from mocoop.data.contents import head_of
from mocoop.data.dataset import Dataset, Example, named
from mocoop.data.images import is_deep_png, stored_values
from mocoop.data.reading import PERCENTILE, Raster, Reading, ValueRange, depth_of
from mocoop.errors import DataError, ImageError

if TYPE_CHECKING:
    from PIL import Image

T = TypeVar("T")

SAMPLE = 256  # pictures looked at
_VALUES = 20_000  # of each
_PERCENTS = (2, 98)
_FEW = 0.05  # a share of negative values that is taken for noise about zero


class _Seen(NamedTuple):
    """What one deep picture holds: its kind of number, its highest value, and a sample of its values."""

    path: object
    dtype: str
    highest: float
    values: np.ndarray


def settled(
    dataset: Dataset,
    examples: Sequence[Example] | None = None,
    *,
    known: Reading | None = None,
    bands: tuple[int, ...] | None = None,
    value_range: ValueRange | None = None,
) -> Dataset:
    """The data set with the rule for its pictures, and notes on it; `examples` are looked at, or train.

    `known` is the rule of a run; `bands` and `value_range` were asked for now. Raises DataError if there must be a
    range and none is known.
    """
    if dataset.features is not None:
        return dataset
    looked = dataset.train if examples is None else examples
    files = [example.file for example in looked if example.file is not None]
    paths = [Path(file) for file in _spread(files)]
    reading, notes = find_reading(paths, known=known, bands=bands, value_range=value_range)
    return replace(dataset, reading=reading, notes=(*dataset.notes, *notes))


def find_reading(
    paths: Sequence[Path],
    *,
    known: Reading | None = None,
    bands: tuple[int, ...] | None = None,
    value_range: ValueRange | None = None,
) -> tuple[Reading, list[str]]:
    """The rule for some picture files, and notes on what was decided. Raises DataError as `settled`."""
    start = known or Reading()
    start = replace(start, bands=bands or start.bands)
    if value_range is None and (start.limits or (start.bits and start.top)):
        return start, []
    chosen = _spread(paths)
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        looks = list(pool.map(lambda path: _look(path, start.bands), chosen))
    notes = []
    if bands is not None and chosen and not any(is_tiff for is_tiff, _ in looks):
        notes.append("--bands is not used: there is no TIFF among the pictures")
    reading, more = _rule(start, [seen for _, seen in looks if seen is not None], value_range)
    return reading, [*notes, *more]


def reading_of_pictures(pictures: Sequence[Image.Image]) -> tuple[Reading, list[str]]:
    """The same for Pillow images, of which those of 16-bit grey are deep."""
    deep = [(n, np.asarray(one)) for n, one in enumerate(_spread(pictures)) if one.mode.startswith("I;16")]
    seen = [_seen(f"picture {n}", Raster(values.astype(np.uint16)[..., None])) for n, values in deep]
    return _rule(Reading(), [one for one in seen if one is not None], None)


def _spread(things: Sequence[T]) -> list[T]:
    """At most SAMPLE of them, evenly from first to last."""
    if len(things) <= SAMPLE:
        return list(things)
    return [things[i] for i in np.linspace(0, len(things) - 1, SAMPLE).astype(int)]


def _look(path: Path, bands: tuple[int, ...] | None) -> tuple[bool, _Seen | None]:
    """Whether a file is a TIFF, and its values if they are deep. A file that cannot be read is named elsewhere."""
    try:
        head = head_of(path, 1024)
        if not head:
            return False, None
        kind = imageformats.sniff(head)
        if kind is not imageformats.TIFF and not (kind is imageformats.PNG and is_deep_png(head)):
            return False, None
        _, raster = stored_values(path, bands=bands)
    except (ImageError, OSError):
        return False, None
    return kind is imageformats.TIFF, None if raster is None else _seen(path, raster)


def _seen(path: object, raster: Raster) -> _Seen | None:
    known = raster.known()
    if not known.size:
        return None
    step = max(1, known.size // _VALUES) | 1  # odd, so that it goes through all bands
    return _Seen(path, str(raster.values.dtype), float(known.max()), known[::step].astype(np.float64))


def _rule(start: Reading, seen: list[_Seen], value_range: ValueRange | None) -> tuple[Reading, list[str]]:
    if value_range is not None and not seen:
        unused = "--range is not used: no picture of more than 8 bits was met"
        return (replace(start, limits=value_range) if isinstance(value_range, tuple) else start), [unused]
    if value_range == PERCENTILE:
        low, high = (float(v) for v in np.percentile(np.concatenate([one.values for one in seen]), _PERCENTS))
        if not low < high:
            raise DataError(f"the 2nd and 98th percentile are both {low:g}", "give --range LOW,HIGH")
        said = f"--range percentile: {low:g} to {high:g} becomes 0..255 in all pictures of more than 8 bits"
        return replace(start, limits=(low, high)), [f"{said} (2nd and 98th percentile of {len(seen)} of them)"]
    if isinstance(value_range, tuple):
        return replace(start, limits=value_range), []
    return _own_scale(start, seen)


def _own_scale(start: Reading, seen: list[_Seen]) -> tuple[Reading, list[str]]:
    """The scale by the pictures themselves, where `start` does not know it. Raises DataError for negative values."""
    floats = [one for one in seen if one.dtype.startswith("float") and start.top is None]
    whole = [one for one in seen if not one.dtype.startswith("float") and start.bits is None]
    if below := [one for one in (*floats, *whole) if (one.values < 0).mean() > _FEW]:
        one = below[0]
        lowest = min(float(other.values.min()) for other in below)
        highest = max(other.highest for other in below)
        raise DataError(
            f"values from {lowest:g} to {highest:g} ({one.dtype}) in {named(other.path for other in below)}: "
            "what is black and what is white is not clear",
            "say it with --range LOW,HIGH, or --range percentile",
        )
    notes = []
    if whole:
        bits = depth_of(int(max(one.highest for one in whole)))
        start = replace(start, bits=bits)
        notes.append(_said(whole, f"{bits} bits", (1 << bits) - 1))
    if floats:
        usual, highest = np.percentile(np.concatenate([one.values for one in floats]), 99), floats[0].highest
        highest = max(one.highest for one in floats)
        top = 1.0 if usual <= 1 else 255.0 if usual <= 255 else float((1 << depth_of(int(highest))) - 1)
        start = replace(start, top=top)
        notes.append(_said(floats, f"a scale up to {top:g}", top))
    return start, notes


def _said(seen: list[_Seen], scale: str, top: float) -> str:
    kinds = "/".join(sorted({one.dtype for one in seen}))
    highest = max(one.highest for one in seen)
    return (
        f"pictures of {kinds} use {scale}: 0 to {top:g} becomes 0..255 in all of them "
        f"(the highest value of {len(seen)} is {highest:g}; choose with --range)"
    )
