"""A folder of arrays, each named by the hash of everything its values depend on.

An entry is `<key>.npy` plus `<key>.json`, which describes it and holds the hashes of both. The array is written under
a temporary name and renamed, the description is written last, and one process builds a key while others wait and then
read: what a killed builder leaves is never read. A truncated or changed entry is detected, reported and rebuilt. If
the cache cannot be written (full or read-only disk), the array stays in memory and a notice is given.

How keys are made and what the values mean is in `mocoop.data.features`.
"""

from __future__ import annotations

import hashlib
import io
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mocoop.errors import StorageError
from mocoop.files import (
    atomic_path,
    cache_root,
    json_bytes,
    os_error,
    read_json,
    sha256_bytes,
    sha256_file,
    sweep_stale,
    write_json,
)

if TYPE_CHECKING:
    from filelock import BaseFileLock

Notice = Callable[[str], None]

_ELSEWHERE = "set MOCOOP_CACHE to a folder that can be written"
_NAME = re.compile(r"[0-9a-f]{64}\.(npy|json|lock)")
_PARTS = "parts"  # in a description: keys of entries that the whole was made of, until they are removed
_PIECE = 1 << 24  # bytes written and hashed at a time

_log = logging.getLogger(__name__)
_verified: set[tuple[str, int, int, int]] = set()  # array files whose hash this process has verified


@dataclass(frozen=True)
class Stored:
    """A read-only array and its description. Memory-mapped if it comes from the cache."""

    array: np.ndarray
    about: dict[str, Any]


@dataclass(frozen=True)
class Blocks:
    """An array in parts along its second axis, (V, N1, D), (V, N2, D), ..., and the description of the whole.

    `keys` are the parts' own entries, which go once the whole is one.
    """

    arrays: Sequence[np.ndarray]
    about: dict[str, Any]
    keys: Sequence[str] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the whole array."""
        first = self.arrays[0].shape
        return (first[0], sum(array.shape[1] for array in self.arrays), *first[2:])

    @classmethod
    def of(cls, stored: Stored) -> Blocks:
        """One block, which is the whole."""
        return cls((stored.array,), stored.about)

    def joined(self) -> Stored:
        """The whole array, in memory."""
        if len(self.arrays) == 1:
            return Stored(self.arrays[0], self.about)
        array = np.concatenate(self.arrays, axis=1)
        array.flags.writeable = False
        return Stored(array, self.about)


@dataclass(frozen=True)
class CacheEntry:
    """One entry in a listing of the cache; `about` is None if its description is missing or damaged."""

    key: str
    bytes: int  # size of all its files
    about: dict[str, Any] | None


class FeatureCache:
    """The cache of one kind of features; `root` defaults to $MOCOOP_CACHE, else the platform's cache folder."""

    def __init__(self, root: Path | None = None, kind: Literal["image", "text"] = "image") -> None:
        self.root, self.kind = root or cache_root(), kind

    @property
    def folder(self) -> Path:
        """The folder with the entries of this kind."""
        return self.root / f"{self.kind}s"

    def path(self, key: str) -> Path:
        """The array file of an entry."""
        return self.folder / f"{key}.npy"

    def fetch(
        self,
        key: str,
        build: Callable[[], Stored],
        *,
        in_blocks: Callable[[], Blocks] | None = None,
        usable: Callable[[Stored], bool] | None = None,
        notice: Notice = _log.warning,
    ) -> Stored:
        """The entry of a key, built if it is missing, damaged or not `usable`.

        Where the cache can be written, `in_blocks` builds it instead, out of entries of their own: those that are there
        stay if the process ends, and none but one is in memory. `notice` is called on damage, on waiting, and if the
        cache cannot be written. Errors of both propagate.
        """

        def found(notice: Notice | None = None) -> Stored | None:
            stored = self.read(key, notice)
            return stored if stored is not None and (usable is None or usable(stored)) else None

        if (stored := found()) is not None:
            if _PARTS in stored.about:  # whoever put them together died before they were removed
                with suppress(StorageError), self._held(key) as held:
                    if held:
                        self._remove_parts(key, stored.about)
            return stored
        with self._builder(key, notice) as writable:
            if not writable:
                return build()
            if (stored := found(notice)) is not None:  # another process may have built it while we waited
                return stored
            blocks = Blocks.of(build()) if in_blocks is None else in_blocks()
            try:
                self._write(key, blocks)
            except StorageError as error:
                notice(f"the {self.kind} features cannot be kept: {error}; {_ELSEWHERE}")
                return blocks.joined()
            stored = self.read(key, notice) or blocks.joined()
            if _PARTS in stored.about:
                self._remove_parts(key, stored.about)
            return stored

    def read(self, key: str, notice: Notice | None = None) -> Stored | None:
        """An entry, or None if it is missing or damaged; `notice` is called on damage."""
        path = self.path(key)
        if not path.with_suffix(".json").exists():
            return None
        try:
            return _open(path)
        except (StorageError, OSError, ValueError) as error:
            if notice is not None:
                notice(f"the cached {self.kind} features {path} are damaged ({error}) and are computed again")
            return None

    def entries(self) -> tuple[CacheEntry, ...]:
        """All entries, sorted by key. Raises StorageError."""
        return tuple(self._entry(key, files) for key, files in sorted(self._files().items()) if not _only_lock(files))

    def clear(self) -> tuple[CacheEntry, ...]:
        """Remove what dead builders left and all entries except those being built now; returns the entries removed.

        Only files named like entries are touched. On POSIX a process can still read the arrays it has open.
        Raises StorageError.
        """
        removed = []
        sweep_stale(self.folder)
        for key, files in sorted(self._files().items()):
            entry = self._entry(key, files)
            if self._remove(key) and not _only_lock(files):
                removed.append(entry)
        return tuple(removed)

    def _remove(self, key: str) -> bool:
        """Remove an entry unless it is being built now."""
        with self._held(key) as held:
            if not held:
                return False
            _unlink(self.path(key).with_suffix(".json"))  # first: never a description without its array
            _unlink(self.path(key))
        _unlink(self.folder / f"{key}.lock")
        return True

    def _remove_parts(self, key: str, about: Mapping[str, Any]) -> None:
        """Remove the entries of which a whole one was made, and then their names in its description.

        What cannot be removed now is tried again when the entry is next used.
        """
        with suppress(StorageError):
            sweep_stale(self.folder)
            for part in about[_PARTS]:
                if _NAME.fullmatch(f"{part}.lock"):  # nothing but an entry, whatever stands there
                    self._remove(part)
            self._describe(key, {name: value for name, value in about.items() if name != _PARTS})

    def _files(self) -> dict[str, list[Path]]:
        try:
            found = [path for path in self.folder.iterdir() if _NAME.fullmatch(path.name)]
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise os_error(error, "read", self.folder) from error
        grouped: dict[str, list[Path]] = {}
        for path in found:
            grouped.setdefault(path.stem, []).append(path)
        return grouped

    def _entry(self, key: str, files: list[Path]) -> CacheEntry:
        try:
            about: dict[str, Any] | None = _description(self.path(key))
        except StorageError:
            about = None
        return CacheEntry(key, sum(_size(file) for file in files), about)

    def _write(self, key: str, blocks: Blocks) -> None:
        path = self.path(key)
        _unlink(path.with_suffix(".json"))  # a description must never be paired with another array
        with atomic_path(path) as temporary:
            digest = _write_array(temporary, blocks)
            size = temporary.stat().st_size
        parts = {_PARTS: list(blocks.keys)} if blocks.keys else {}
        self._describe(key, {**blocks.about, "shape": list(blocks.shape), "bytes": size, "sha256": digest, **parts})

    def _describe(self, key: str, about: Mapping[str, Any]) -> None:
        content = {"entry": about, "sha256": sha256_bytes(json_bytes(about))}
        write_json(self.path(key).with_suffix(".json"), content)

    @contextmanager
    def _builder(self, key: str, notice: Notice) -> Iterator[bool]:
        """Wait for the lock to build an entry; False if the cache cannot be written at all."""
        try:
            lock = self._lock(key)
            sweep_stale(self.folder)
            if not _take(lock):
                notice(f"another process is computing the same {self.kind} features; waiting for it")
                lock.acquire()
        except (OSError, StorageError) as error:
            notice(f"the {self.kind} features cannot be kept: {error}; {_ELSEWHERE}")
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    @contextmanager
    def _held(self, key: str) -> Iterator[bool]:
        """The lock of an entry if it is free."""
        try:
            lock = self._lock(key)
            held = _take(lock)
        except OSError as error:
            raise os_error(error, "lock", self.folder) from error
        try:
            yield held
        finally:
            lock.release()

    def _lock(self, key: str) -> BaseFileLock:
        """The build lock of an entry; it is released when the process ends."""
        from filelock import FileLock

        self.folder.mkdir(parents=True, exist_ok=True)
        return FileLock(self.folder / f"{key}.lock")


def _take(lock: BaseFileLock) -> bool:
    from filelock import Timeout

    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    return True


def _open(path: Path) -> Stored:
    """A complete entry, memory-mapped. Raises StorageError, OSError or ValueError for anything else."""
    about = _description(path)
    state = path.stat()
    if state.st_size != about["bytes"]:
        raise StorageError(f"{state.st_size:,} bytes instead of {about['bytes']:,}")
    identity = (str(path), state.st_size, state.st_mtime_ns, state.st_ino)
    if identity not in _verified:  # hashing a large file is slow: once per process
        if sha256_file(path) != about["sha256"]:
            raise StorageError("its content has changed")
        _verified.add(identity)
    return Stored(np.load(path, mmap_mode="r", allow_pickle=False), about)


def _description(path: Path) -> dict[str, Any]:
    """The description of an array file, checked against its own hash. Raises StorageError."""
    document = read_json(path.with_suffix(".json"), what="cache entry")
    if not isinstance(document, dict) or not isinstance(document.get("entry"), dict):
        raise StorageError("its description is not one")
    about: dict[str, Any] = document["entry"]
    if document.get("sha256") != sha256_bytes(json_bytes(about)):
        raise StorageError("its description has changed")
    return about


def _write_array(path: Path, blocks: Blocks) -> str:
    """Write the whole array in numpy's format; returns the hash of the intended content."""
    digest = hashlib.sha256()
    with path.open("wb") as file:  # in pieces: numpy's own writer hides the reason of a write error
        for piece in _pieces(blocks):
            digest.update(piece)
            file.write(piece)
    return digest.hexdigest()


def _pieces(blocks: Blocks) -> Iterator[bytes | memoryview[int]]:
    """The bytes of a .npy file of the whole array, of which only some are in memory."""
    header, first = io.BytesIO(), blocks.arrays[0]
    described = {"descr": np.lib.format.dtype_to_descr(first.dtype), "fortran_order": False, "shape": blocks.shape}
    np.lib.format.write_array_header_1_0(header, described)
    yield header.getvalue()
    for view in range(len(first)):
        for array in blocks.arrays:
            data = np.ascontiguousarray(array[view]).reshape(-1).view(np.uint8).data  # also of no rows
            yield from (data[start : start + _PIECE] for start in range(0, len(data), _PIECE))


def _only_lock(files: list[Path]) -> bool:
    return all(file.suffix == ".lock" for file in files)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise os_error(error, "remove", path) from error
