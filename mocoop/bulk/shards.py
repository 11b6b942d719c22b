"""A source of images in shards, each of which is predicted as a whole and becomes one part of the output.

What a source can be: a folder of images, a table of paths (the rules of `mocoop train --data`), Parquet files that hold
the pictures themselves, and tar files (WebDataset); of the last two one file, a folder or a pattern. Besides, image
files and files of features as they were given one by one. Files and rows are cut into shards of a size, row groups are
put together up to it, a tar is a shard. Shards are small and can be sent to another machine that sees the same files.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from mocoop.bulk import parquet, tars
from mocoop.bulk.items import Item, as_text
from mocoop.data.arrays import read_features
from mocoop.data.images import list_images
from mocoop.data.manifest import SUFFIXES, check_columns, read_paths
from mocoop.errors import DataError
from mocoop.files import sha256_bytes

if TYPE_CHECKING:
    from mocoop.data.storedrows import StoredRows

_TAR, _PARQUET = ".tar", ".parquet"
_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")


class Shard(Protocol):
    """Some of a source's pictures, in order."""

    @property
    def images(self) -> int | None:
        """How many; None if that is not known before they are read."""

    def items(self) -> Iterator[Item]:
        """The pictures, read as they are asked for."""


@dataclass(frozen=True)
class Files:
    """Image files, by the names that they were given; relative ones start at `home`."""

    home: str
    names: tuple[str, ...]

    @property
    def images(self) -> int:
        """How many."""
        return len(self.names)

    def items(self) -> Iterator[Item]:
        """The files, not yet opened."""
        for name in self.names:
            yield Item(as_text(name), Path(self.home, name))


@dataclass(frozen=True)
class Tar:
    """The pictures of one tar."""

    home: str
    name: str
    images = None

    def items(self) -> Iterator[Item]:
        """The pictures, and what is wrong with the tar."""
        return tars.pictures_in(Path(self.home, self.name), as_text(self.name))


@dataclass(frozen=True)
class RowGroups:
    """Row groups of a Parquet file that holds pictures, from `start` to before `stop`."""

    home: str
    name: str
    column: parquet.Column
    start: int
    stop: int
    first: int  # row
    images: int

    def items(self) -> Iterator[Item]:
        """The pictures, a few rows read at a time."""
        path, groups = Path(self.home, self.name), range(self.start, self.stop)
        return parquet.pictures_in(path, as_text(self.name), self.column, groups, self.first)


@dataclass(frozen=True)
class FeatureRows:
    """Rows of a file of image features, from `start` to before `stop`; they are `width` wide."""

    name: str
    width: int
    start: int
    stop: int

    @property
    def images(self) -> int:
        """How many rows."""
        return self.stop - self.start

    def items(self) -> Iterator[Item]:
        """The rows, named by their own path or their number. Raises DataError."""
        features, names = _features(self.name)
        for row in range(self.start, self.stop):
            yield Item(as_text(names[row]), features[row])


@lru_cache(maxsize=1)  # the shards of a file come one after another
def _features(name: str) -> tuple[StoredRows, list[str]]:
    return read_features(Path(name))


@dataclass(frozen=True)
class Source:
    """A source in shards. `identity` changes with any file's name, size or time; `files` are those that are images
    themselves; `notes` are for the user."""

    kind: str
    shards: tuple[Shard, ...]
    identity: str
    files: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def feature_files(self) -> dict[Path, int]:
        """The files of image features, and how wide they are."""
        return {Path(one.name): one.width for one in self.shards if isinstance(one, FeatureRows)}

    @property
    def pictures(self) -> bool:
        """Whether there are pictures, not features alone."""
        return not all(isinstance(one, FeatureRows) for one in self.shards)


def open_given(given: Sequence[tuple[bool, Sequence[Path]]], *, part_size: int) -> Source:
    """Image files, or files of features where the first of a pair is true, in their order. Raises DataError.

    A file that is not there is a picture that cannot be read.
    """
    shards, names = list[Shard](), list[Path]()
    for are_features, paths in given:
        names += paths
        if not are_features:
            shards += _cut([str(path) for path in paths], part_size)
            continue
        for path in paths:
            rows, width = _features(str(path))[0].shape
            starts = range(0, rows, part_size)
            shards += [FeatureRows(str(path), width, one, min(one + part_size, rows)) for one in starts]
    pictures = tuple(path for are_features, paths in given if not are_features for path in paths)
    identity = _identity([str(path) for path in names], [_stamp(path) for path in names])
    return Source("given", tuple(shards), identity, pictures)


def open_source(
    source: str, *, part_size: int, columns: Mapping[str, str] | None = None, follow_links: bool = False
) -> Source:
    """Cut a source into shards of at most `part_size` images, or of one tar. Raises DataError."""
    check_columns(columns or {})
    if source.lower().endswith(_COMPRESSED):
        raise DataError(f"{source} is compressed", "unpack it to a plain .tar first: it could unpack to anything")
    path, asked = Path(source), (columns or {}).get("path")
    if os.path.isdir(path):
        return _of_folder(path, part_size, asked)
    if not os.path.exists(path):
        return _of_pattern(source, part_size, asked)
    suffix = path.suffix.lower()
    if suffix == _TAR:
        return _of_tars([path])
    if suffix == _PARQUET and parquet.picture_column(path, asked):
        return _of_parquet([path], part_size, asked)
    if suffix not in SUFFIXES:
        raise DataError(f"{source} is no source of images", "give a folder, a table (CSV, JSON, Parquet) or .tar files")
    paths, notes = read_paths(path, follow_links=follow_links, columns=columns)
    return _of_files("table", paths, part_size, notes)


def _of_folder(folder: Path, part_size: int, asked: str | None) -> Source:
    """The tars or Parquet files in a folder, else the images in it and in its subfolders."""
    found = list_images(folder)
    if inside := [path for suffix in (_TAR, _PARQUET) for path in sorted(folder.glob(f"[!.]*{suffix}"))]:
        holds = {path.suffix for path in inside} | ({"images"} if found.images else set())
        if len(holds) > 1:
            hint = f"give one kind, for example {folder}/*{inside[0].suffix}"
            raise DataError(f"{folder} holds several kinds of source: {', '.join(sorted(holds))}", hint)
        return _of_archives(inside, part_size, asked)
    if not found.images:
        raise DataError(f"{folder} has no images", "give a folder of images or .tar files")
    return _of_files("folder", found.images, part_size, found.left_out(folder))


def _of_pattern(pattern: str, part_size: int, asked: str | None) -> Source:
    """The files that a pattern finds. Raises DataError if there are none, or of several kinds."""
    paths = [Path(found) for found in sorted(glob.glob(pattern))]
    if not paths:
        raise DataError(f"there is nothing at {pattern}", "check the path")
    if len({path.suffix for path in paths}) > 1 or paths[0].suffix not in (_TAR, _PARQUET):
        raise DataError(f"{pattern} finds other files than .tar or .parquet", "give a folder of images, or a table")
    return _of_archives(paths, part_size, asked)


def _of_archives(paths: Sequence[Path], part_size: int, asked: str | None) -> Source:
    return _of_tars(paths) if paths[0].suffix == _TAR else _of_parquet(paths, part_size, asked)


def _of_files(kind: str, paths: Sequence[Path], part_size: int, notes: Sequence[str]) -> Source:
    names = [str(path) for path in paths]
    stamps = [_stamp(path) for path in paths]
    absent = sum(stamp is None for stamp in stamps)
    if absent == len(paths):
        raise DataError(f"none of the {len(paths):,} listed images is there: {paths[0]}", "check the folder")
    said = [f"{absent:,} of {len(paths):,} listed images are missing"] if absent else []
    return Source(kind, _cut(names, part_size), _identity(names, stamps), tuple(paths), (*notes, *said))


def _cut(names: Sequence[str], part_size: int) -> tuple[Shard, ...]:
    """Files in shards of a size."""
    home = os.getcwd()
    return tuple(Files(home, tuple(names[start : start + part_size])) for start in range(0, len(names), part_size))


def _of_tars(paths: Sequence[Path]) -> Source:
    home, names = os.getcwd(), [str(path) for path in paths]
    return Source("tar", tuple(Tar(home, name) for name in names), _identity(names, [_stamp(path) for path in paths]))


def _of_parquet(paths: Sequence[Path], part_size: int, asked: str | None) -> Source:
    """Raises DataError for a file that cannot be read at all: its rows could not be counted."""
    home, shards = os.getcwd(), list[Shard]()
    for path in paths:
        column = parquet.picture_column(path, asked)
        if column is None:
            raise DataError(f"{path} has no column of pictures", "give one table of paths, or name it: --columns path=")
        first = 0
        rows = parquet.row_groups(path)
        for start, stop in _joined(rows, part_size):
            count = sum(rows[start:stop])
            shards.append(RowGroups(home, str(path), column, start, stop, first, count))
            first += count
    names = [str(path) for path in paths]
    return Source("parquet", tuple(shards), _identity(names, [_stamp(path) for path in paths]))


def _joined(rows: Sequence[int], part_size: int) -> Iterator[tuple[int, int]]:
    """Neighbouring row groups put together, as (start, stop), up to a size; a larger one stays alone."""
    start = count = 0
    for number, more in enumerate(rows):
        if number > start and count + more > part_size:
            yield start, number
            start, count = number, 0
        count += more
    if rows:
        yield start, len(rows)


def _stamp(path: Path) -> tuple[int, int] | None:
    """Size and time of a file; None if it is not there."""
    try:
        about = os.stat(path)
    except (OSError, ValueError):
        return None
    return about.st_size, about.st_mtime_ns


def _identity(names: Sequence[str], stamps: Sequence[tuple[int, int] | None]) -> str:
    lines = (f"{as_text(name)!r} {stamp}\n" for name, stamp in zip(names, stamps, strict=True))
    return sha256_bytes("".join(lines).encode())
