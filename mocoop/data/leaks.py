"""Whether training pictures also appear in val or test.

Files are compared by content, rows of features bit by bit. Only files of equal size are read, so this is cheap if
nothing leaks. The same file listed in two splits is refused when a data set is opened; copies under other names are
reported here, as notes, because published data sets have them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from pathlib import Path

from mocoop.data.contents import picture_sha256, picture_size
from mocoop.data.dataset import Dataset, Example, named
from mocoop.errors import StorageError
from mocoop.files import sha256_bytes


def leaks(dataset: Dataset) -> tuple[str, ...]:
    """One note for each of val and test that shares pictures with train; empty if none does.

    A file that cannot be read is skipped here: it is reported when it is decoded.
    """
    by_size = _grouped(dataset.train, lambda example: _size(dataset, example))
    digests: dict[int, dict[Hashable, list[Example]]] = {}
    notes = []
    for split in ("val", "test"):
        pairs = []
        for example in dataset.split(split):
            size = _size(dataset, example)
            if size is None or size not in by_size:
                continue
            if size not in digests:
                digests[size] = _grouped(by_size[size], lambda candidate: content(dataset, candidate))
            twins = digests[size].get(content(dataset, example), [])
            pairs += [f"{example} = {twins[0]}"] if twins else []
        if pairs:
            share = f"{len(pairs):,} of {len(dataset.split(split)):,}"
            effect = f"which flatters what is measured on {split}"
            notes.append(f"{share} pictures of {split} are in train too, {effect}: {named(pairs)}")
    return tuple(notes)


def content(dataset: Dataset, example: Example) -> str | None:
    """The sha256 of an example's file, or of its row of features; None for a file that cannot be read."""
    if dataset.features is not None and example.row is not None:
        return sha256_bytes(dataset.features[example.row].tobytes())
    try:
        return picture_sha256(_file(example))
    except StorageError:
        return None


def _grouped(examples: Iterable[Example], key: Callable[[Example], Hashable | None]) -> dict[Hashable, list[Example]]:
    groups: dict[Hashable, list[Example]] = {}
    for example in examples:
        if (value := key(example)) is not None:
            groups.setdefault(value, []).append(example)
    return groups


def _size(dataset: Dataset, example: Example) -> int | None:
    if dataset.features is not None:
        return 0  # rows all have the same size
    try:
        return picture_size(_file(example))
    except StorageError:
        return None


def _file(example: Example) -> Path:
    assert example.path is not None, "an example without features has a file"
    return example.path
