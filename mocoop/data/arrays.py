"""Image features computed elsewhere, in a .npz or .safetensors file.

    features    (N, D) float16, float32 or float64: image features as the backbone gives them, not normalised
    labels      (N,) integers 0 .. C-1
    classnames  C strings
    paths       N strings, optional: which image a row came from, for messages and predictions
    split       N strings, optional: train, val (valid, validation) or test

In a .npz all five are arrays, the strings of a unicode dtype: np.savez(path, features=x, labels=y,
classnames=np.array(["forest", "river"])). In a .safetensors file `features` and `labels` are tensors, and the
strings are JSON lists in the metadata: save_file({"features": x, "labels": y}, path,
metadata={"classnames": json.dumps(["forest", "river"])}).

Every row is checked when a file is opened, some megabytes at a time, and stays in the file until it is asked for
(`mocoop.data.storedrows`). How a .npz is read without trusting it is in `mocoop.data.npz`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from mocoop import strictjson
from mocoop.data.classnames import nearest
from mocoop.data.dataset import MAX_NAMED, SPLITS, UNSPLIT, Example, Listing, named
from mocoop.data.npz import open_npz
from mocoop.data.splitwords import split_word
from mocoop.data.storedrows import StoredRows, check_floats
from mocoop.errors import DataError
from mocoop.files import os_error

if TYPE_CHECKING:
    from numpy.typing import NDArray

SUFFIXES = (".npz", ".safetensors")
MAX_TEXT_BYTES = 1024**3
_STRINGS = ("classnames", "paths", "split")
_KEYS = ("features", "labels", *_STRINGS)


@dataclass(frozen=True)
class _Raw:
    """What a file holds, before its values are checked."""

    features: StoredRows
    labels: NDArray[Any] | None  # None if not requested
    strings: Mapping[str, list[str]]
    ignored: list[str]


def read_arrays(path: Path) -> Listing:
    """List the rows of a file of features. Raises DataError."""
    with _reading(path):
        raw = _read(path, needed=("features", "labels", "classnames"))
    assert raw.labels is not None
    features = raw.features
    _check_values(features, path)
    keys = raw.strings["classnames"]
    labels = _checked_labels(raw.labels, len(features), len(keys), path)
    for key in ("paths", "split"):
        if key in raw.strings and len(raw.strings[key]) != len(features):
            raise DataError(f"{path}: {len(raw.strings[key])} {key} for {len(features)} rows", "one for each row")
    notes = [f"not used in {path.name}: {named(raw.ignored)}"] if raw.ignored else []
    return Listing(
        keys=keys,
        splits=_splits(labels, raw.strings, path),
        features=features,
        notes=[*notes, *_norm_notes(features)],
    )


def read_features(path: Path) -> tuple[StoredRows, list[str]]:
    """Features (N, D) of a file, and a name for each row: from `paths`, else its number. Raises DataError.

    Labels and class names are not read and may be missing.
    """
    with _reading(path):
        raw = _read(path, needed=("features",), wanted=("features", "paths"))
    features = raw.features
    _check_values(features, path)
    names = raw.strings.get("paths") or [f"{path} row {row}" for row in range(len(features))]
    if len(names) != len(features):
        raise DataError(f"{path}: {len(names)} paths for {len(features)} rows", "one for each row")
    return features, names


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise os_error(error, "read", path, DataError) from error
    except MemoryError as error:
        raise DataError(f"{path}: not enough memory for its arrays", "write fewer rows") from error


def _read(path: Path, needed: Sequence[str], wanted: Sequence[str] = _KEYS) -> _Raw:
    """Read the `wanted` entries of a file; the `needed` ones must be present."""
    read = _read_npz if path.suffix.lower() == ".npz" else _read_safetensors
    return read(path, needed, wanted)


def _splits(labels: list[int], strings: Mapping[str, list[str]], path: Path) -> dict[str, list[Example]]:
    paths = map(Path, strings["paths"]) if "paths" in strings else repeat(None, len(labels))
    rows = [Example(*row) for row in zip(paths, labels, range(len(labels)), strict=True)]
    if "split" not in strings:
        return {UNSPLIT: rows}
    splits: dict[str, list[Example]] = {split: [] for split in SPLITS}
    for row, word in zip(rows, strings["split"], strict=True):
        split = split_word(word)
        if split is None:
            raise DataError(f'{path}: row {row.row} has the split "{word}"', "write train, val or test")
        splits[split].append(row)
    return {split: found for split, found in splits.items() if found}


def _check_values(features: StoredRows, path: Path) -> None:
    """Raises DataError for a row that is not finite as float32, or all zeros."""
    import numpy as np

    first, bad, zero = 0, _Faults(), _Faults()
    for block in features.blocks():  # (n, D)
        bad.add(np.flatnonzero(~np.isfinite(block).all(axis=1)) + first)
        zero.add(np.flatnonzero(~block.any(axis=1)) + first)
        first += len(block)
    for faults, what in ((bad, "NaN or infinity"), (zero, "nothing but zeros")):
        if faults.total:
            raise DataError(f"{path}: {what} in row {named(faults.rows, faults.total)}", "compute the features again")


class _Faults:
    """The first few rows with a fault, and how many there are."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.total = 0

    def add(self, rows: NDArray[Any]) -> None:
        self.total += len(rows)
        self.rows += rows[: MAX_NAMED - len(self.rows)].tolist()


def _norm_notes(features: StoredRows) -> list[str]:
    import numpy as np

    norms = np.linalg.norm(features[:1000].astype(np.float64), axis=1)  # (N,)
    if np.abs(norms - 1).max() > 1e-2:
        return []
    return ["the features have length 1, as if normalised; a linear probe wants them as they come"]


def _checked_labels(labels: NDArray[Any], rows: int, classes: int, path: Path) -> list[int]:
    import numpy as np

    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        message = f"{path}: labels are {labels.dtype} of shape {labels.shape}"
        raise DataError(message, "they should be whole numbers, one for each row of features")
    if len(labels) != rows:
        raise DataError(f"{path}: {len(labels)} labels for {rows} rows of features", "one for each row")
    outside = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(outside):
        message = f"{path}: label {labels[outside[0]]} in row {outside[0]}, with {classes} class names"
        raise DataError(message, f"labels run from 0 to {classes - 1}")
    numbers = list(range(classes))
    return [numbers[label] for label in labels.tolist()]  # one object a class, not one a row


def _check_keys(found: list[str], path: Path, needed: Sequence[str]) -> list[str]:
    """Check that the `needed` keys are present; returns the unknown ones."""
    unknown = [key for key in found if key not in _KEYS]
    for key in needed:
        if key not in found:
            near = nearest(key, unknown)
            raise DataError(f"{path}: no {key}{near}", f"such a file holds {', '.join(needed)}")
    return unknown


def _read_npz(path: Path, needed: Sequence[str], wanted: Sequence[str]) -> _Raw:
    with open_npz(path) as archive:
        ignored = _check_keys(list(archive.names), path, needed)
        features = archive.rows("features")
        labels = archive.array("labels") if "labels" in wanted and "labels" in archive.names else None
        strings = {
            key: archive.strings(key, MAX_TEXT_BYTES) for key in _STRINGS if key in wanted and key in archive.names
        }
    return _Raw(features, labels, strings, ignored)


def _read_safetensors(path: Path, needed: Sequence[str], wanted: Sequence[str]) -> _Raw:
    from safetensors import SafetensorError, safe_open

    try:
        with open(path, "rb") as raw, safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            ignored = _check_keys([*file.keys(), *metadata], path, needed)
            features = _tensor_rows(raw, file, path)
            labels = file.get_tensor("labels") if "labels" in wanted and "labels" in file.keys() else None  # noqa: SIM118 (no mapping)
    except (SafetensorError, TypeError, AttributeError) as error:  # for example, numpy has no bfloat16
        raise DataError(
            f"{path}: cannot be read by NumPy: {error}", "write float32 with safetensors' save_file"
        ) from error
    strings = {key: _json_strings(metadata[key], key, path) for key in _STRINGS if key in wanted and key in metadata}
    return _Raw(features, labels, strings, ignored)


def _tensor_rows(raw: IO[bytes], file: Any, path: Path) -> StoredRows:
    """The rows of `features`, which safetensors has found to lie inside the file. Raises DataError."""
    tensor = file.get_slice("features")
    shape = tuple(tensor.get_shape())
    few = tensor[:1] if shape and shape[0] else file.get_tensor("features")
    rows, width = check_floats(shape, few.dtype, path)
    size = int.from_bytes(raw.read(8), "little")
    begin, end = json.loads(raw.read(size))["features"]["data_offsets"]
    if end - begin != math.prod(shape) * few.dtype.itemsize:
        raise DataError(f"{path} changed while it was opened", "run again when it is complete")
    return StoredRows(raw, path, 8 + size + begin, (rows, width), few.dtype)


def _json_strings(text: str, key: str, path: Path) -> list[str]:
    parsed = strictjson.parse(text.encode(), max_bytes=MAX_TEXT_BYTES)
    value = parsed.value
    if parsed.faults or not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise DataError(f'{path}: "{key}" in the metadata is no JSON list of strings', "write json.dumps(list)")
    return value
