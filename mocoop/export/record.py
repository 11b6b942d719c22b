"""What an exported model says of itself: classes, experts, how images are prepared. No torch here.

It is one JSON document in the file's metadata, under the key `mocoop`. Whatever a stranger's file holds there is
checked value by value before anything uses it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from mocoop import __version__, strictjson
from mocoop.certainty.calibration import Calibration
from mocoop.data.reading import Reading
from mocoop.data.views import Preprocess
from mocoop.errors import BackboneError, StorageError

KEY = "mocoop"
FORMAT = 1
PIXELS = ("float32", "uint8")  # what the graph takes: prepared values (N, 3, H, W), or a crop's bytes (N, H, W, 3)
PRECISIONS = ("float32", "float16", "int8")
MAX_BYTES = 16 * 1024 * 1024
_MAX_SHIFT = 1000.0  # of pixels between 0 and 1
_MAX_SIDE = 4096  # of the pixels that a model takes

_REMEDY = "export the run again: mocoop export RUN"


@dataclass(frozen=True, kw_only=True)
class Record:
    """The description of an exported model. `templates` of each expert by id, in the order of the gates.

    `about` holds what no computation needs: the method, temperature, experts an image, backbone.
    """

    classnames: tuple[str, ...]
    templates: Mapping[str, tuple[str, ...]]
    preprocess: Preprocess
    reading: Reading
    pixels: str = "float32"
    precision: str = "float32"
    top: int = 5  # classes in the output `top_classes`
    run_sha256: str | None = None  # of the run.json that it was exported from
    calibration: Calibration | None = None  # its temperature is in the probabilities already
    notes: tuple[str, ...] = ()  # what whoever uses its answers must know
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """One image of the input: (3, H, W), or (H, W, 3) for bytes."""
        height, width = self.preprocess.size
        return (3, height, width) if self.pixels == "float32" else (height, width, 3)

    def to_json(self) -> str:
        """The document, in a fixed order."""
        document = {
            "format": FORMAT,
            "made_by": f"mocoop {__version__}",
            "classes": list(self.classnames),
            "experts": [{"id": one, "templates": list(texts)} for one, texts in self.templates.items()],
            "image": asdict(self.preprocess),
            "reading": self.reading.to_dict(),
            "pixels": self.pixels,
            "precision": self.precision,
            "top": self.top,
            "run_sha256": self.run_sha256,
            "calibration": self.calibration.to_dict() if self.calibration else None,
            "notes": list(self.notes),
            "about": dict(self.about),
        }
        return json.dumps(document, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: bytes, source: str) -> Record:
        """Read and check a document. Raises StorageError, naming `source` and what is wrong in it."""
        parsed = strictjson.parse(text, max_bytes=MAX_BYTES)
        if parsed.faults:
            fault = parsed.faults[0]
            raise StorageError(f"{source}: its description is no JSON: {fault.message}", _REMEDY)
        try:
            return _record(parsed.value)
        except (_Wrong, BackboneError, ValueError) as error:
            raise StorageError(f"{source}: its description cannot be used: {error}", _REMEDY) from error


class _Wrong(Exception):
    """A value of the document that cannot be."""


def _record(document: Any) -> Record:
    _need(isinstance(document, dict), "it is no object")
    version = _whole(document, "format", 1, 10**6)
    _need(version <= FORMAT, f"it has format {version}, of a newer mocoop")
    experts = _of(document, "experts", list)
    _need(all(isinstance(one, dict) for one in experts), "experts are no objects")
    ids = [_of(one, "id", str) for one in experts]
    _need(bool(ids) and len(set(ids)) == len(ids), "experts need ids of their own")
    classnames = _texts(document, "classes")
    _need(bool(classnames), "there are no classes")
    _need(all(classnames) and len(set(classnames)) == len(classnames), "classes need names of their own")
    pixels, precision = _of(document, "pixels", str), _of(document, "precision", str)
    _need(pixels in PIXELS, f"pixels are {pixels!r}")
    _need(precision in PRECISIONS, f"precision is {precision!r}")
    run_sha256 = document.get("run_sha256")
    _need(run_sha256 is None or isinstance(run_sha256, str), "run_sha256 is no text")
    known = document.get("calibration")  # files of earlier versions have none
    return Record(
        classnames=classnames,
        templates={one: _texts(expert, "templates") for one, expert in zip(ids, experts, strict=True)},
        preprocess=_preprocess(_of(document, "image", dict)),
        reading=_reading(_of(document, "reading", dict)),
        pixels=pixels,
        precision=precision,
        top=_whole(document, "top", 1, len(classnames)),
        run_sha256=run_sha256,
        calibration=None if known is None else Calibration.of_dict(known, classnames),
        notes=_texts(document, "notes"),
        about=_of(document, "about", dict),
    )


def _preprocess(image: dict[str, Any]) -> Preprocess:
    size = _numbers(image, "size", 2)
    _need(all(isinstance(side, int) and 0 < side <= _MAX_SIDE for side in size), "image.size cannot be")
    mean, std = _numbers(image, "mean", 3), _numbers(image, "std", 3)
    _need(all(abs(one) <= _MAX_SHIFT for one in mean), "image.mean cannot be")
    _need(all(1 / _MAX_SHIFT <= one <= _MAX_SHIFT for one in std), "image.std cannot be")
    return Preprocess(
        size=(int(size[0]), int(size[1])),
        mean=(mean[0], mean[1], mean[2]),
        std=(std[0], std[1], std[2]),
        interpolation=_of(image, "interpolation", str),
        resize_mode=_of(image, "resize_mode", str),
        fill_color=_whole(image, "fill_color", 0, 255),
    )


def _reading(reading: dict[str, Any]) -> Reading:
    """The rule for bands and depths; None, where there is no rule, is a value of each."""
    bands, limits, top = reading.get("bands"), reading.get("limits"), reading.get("top")
    if bands is not None:
        _need(isinstance(bands, list) and len(bands) in (1, 3), "reading.bands cannot be")
        _need(all(type(one) is int and 0 < one < 10**6 for one in bands), "reading.bands cannot be")
    if limits is not None:
        low, high = _numbers(reading, "limits", 2)
        _need(low < high, "reading.limits cannot be")
    if top is not None:
        _need(_is_number(top) and top > 0, "reading.top cannot be")
    bits = None if reading.get("bits") is None else _whole(reading, "bits", 1, 64)
    return Reading(
        None if bands is None else tuple(bands), None if limits is None else (float(low), float(high)), bits, top
    )


def _need(good: bool, why: str) -> None:
    if not good:
        raise _Wrong(why)


def _of(document: dict[str, Any], key: str, kind: type[Any]) -> Any:
    value = document.get(key)
    _need(isinstance(value, kind), f"{key} is missing or of another kind")
    return value


def _texts(document: dict[str, Any], key: str) -> tuple[str, ...]:
    texts = _of(document, key, list)
    _need(all(isinstance(text, str) for text in texts), f"{key} are no texts")
    return tuple(texts)


def _whole(document: dict[str, Any], key: str, low: int, high: int) -> int:
    value = document.get(key)
    _need(type(value) is int and low <= value <= high, f"{key} is no whole number from {low} to {high}")
    assert isinstance(value, int)
    return value


def _numbers(document: dict[str, Any], key: str, count: int) -> list[float]:
    values = _of(document, key, list)
    _need(len(values) == count and all(map(_is_number, values)), f"{key} are no {count} numbers")
    return list(values)


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) <= sys.float_info.max  # false for NaN, and for whole numbers that no float can hold
