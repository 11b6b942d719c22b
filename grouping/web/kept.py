"""The unsaved work of a review page on disk, so that neither a kill nor a power cut loses it.

In a folder of `files.state_root()`, named by the hash of the group file's real path: the bytes of the file that the
work began from, named by their hash, and `operations.jsonl`, which names them, with a line for each change since,
synced as it is made. A line that was cut off is no line. Both go when the work is saved. The folder is locked as long
as a page of the file is open.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mocoop import files
from mocoop.errors import StorageError, UsageError
from mocoop.groupfile.groups import MAX_BYTES

FORMAT = 1
MOST_BYTES = 256 * 1024 * 1024  # of all lines

Entry = dict[str, Any]


@dataclass(frozen=True)
class Unsaved:
    """What an earlier page left: the bytes of the file it began from, and its changes in order."""

    base: bytes
    entries: tuple[Entry, ...]


class Kept:
    """The place where the unsaved work of one group file is kept."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = os.path.realpath(path)
        self.folder = files.state_root() / "reviews" / files.sha256_bytes(os.fsencode(self._path))

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Be the only page of this file. Raises UsageError if another one is open."""
        try:
            self._make()
            handle = os.open(self.folder, os.O_RDONLY)
        except (OSError, StorageError):  # nothing can be kept here, which the page says once there is something to keep
            yield
            return
        try:
            if not _locked(handle):
                hint = "go on there, or end it with Ctrl-C; two tabs of one page are no trouble"
                raise UsageError(f"a review page of {self._path} is open already", hint)
            yield
        finally:
            os.close(handle)
            with suppress(OSError):
                self.folder.rmdir()  # if nothing is kept in it

    def unsaved(self) -> Unsaved | None:
        """What was left, if anything. Raises StorageError for what is not of this version."""
        if not self._lines.exists():
            return None
        data = files.read_bytes(self._lines, max_bytes=MOST_BYTES, what="unsaved work")
        head, *entries = _entries(data) or [{}]
        if head.get("format") != FORMAT:
            hint = "remove it to begin anew; the group file is not touched"
            raise StorageError(f"{self._lines} is no unsaved work of this version", hint)
        place = self._base(str(head.get("base")))
        base = files.read_bytes(place, max_bytes=MAX_BYTES, what="kept group file")
        if files.sha256_bytes(base) != head.get("base"):
            raise StorageError(f"{place} is damaged", "remove its folder to begin anew")
        return Unsaved(base, tuple(entries))

    def begin(self, base: bytes, entries: list[Entry]) -> None:
        """Keep these changes of a file with these bytes, in place of all that was kept. Raises StorageError.

        A kill at any moment leaves what was kept before, or this.
        """
        self._make()
        files.sweep_stale(self.folder)
        about = os.fsencode(self._path).decode("utf-8", "backslashreplace")
        sha256 = files.sha256_bytes(base)
        head: Entry = {"format": FORMAT, "file": about, "base": sha256}
        files.atomic_write(self._base(sha256), base)
        files.crash_point("review-keep", 1)
        files.atomic_write(self._lines, b"".join(map(_line, [head, *entries])))
        self._remove_bases(but=sha256)

    def append(self, entry: Entry) -> None:
        """Keep one more change, on the disk when this returns. Raises StorageError, also if what was kept is gone."""
        try:
            with open(self._lines, "r+b") as file:
                file.seek(0, os.SEEK_END)
                file.write(_line(entry))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise files.os_error(error, "write", self._lines) from error

    def clear(self) -> None:
        """Everything is saved: keep nothing. Raises StorageError."""
        try:
            self._lines.unlink(missing_ok=True)  # first: without it the other is nothing
            self._remove_bases()
        except OSError as error:
            raise files.os_error(error, "remove", self._lines) from error

    def set_aside(self) -> Path:
        """Move what cannot be taken up out of the way; returns where to. Raises StorageError."""
        aside = self._lines.with_suffix(".old")
        try:
            os.replace(self._lines, aside)
        except OSError as error:
            raise files.os_error(error, "move", self._lines) from error
        return aside

    def _make(self) -> None:
        try:
            self.folder.mkdir(parents=True, mode=0o700, exist_ok=True)
        except OSError as error:
            raise files.os_error(error, "make", self.folder) from error

    def _remove_bases(self, but: str = "") -> None:
        for path in self.folder.glob("*.json"):
            if path.stem != but:
                path.unlink(missing_ok=True)

    def _base(self, sha256: str) -> Path:
        if not re.fullmatch("[0-9a-f]{64}", sha256):
            raise StorageError(f"{self._lines} names no group file", "remove it to begin anew")
        return self.folder / f"{sha256}.json"

    @property
    def _lines(self) -> Path:
        return self.folder / "operations.jsonl"


def _line(entry: Entry) -> bytes:
    return json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _entries(data: bytes) -> list[Entry]:
    """The whole lines; the last one may have been cut off."""
    found = []
    for line in data.split(b"\n")[:-1]:
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            break
        if not isinstance(entry, dict):
            break
        found.append(entry)
    return found


def _locked(handle: int) -> bool:
    """Take a folder's lock at once; True also where folders cannot be locked."""
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # some network file systems have no locks
        return True
    return True
