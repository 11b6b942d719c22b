"""Reading a group file, changing it and writing it back in place.

Concurrent changes by another process are never overwritten: the bytes that were read are compared with those on disk
right before the write, while the folder is locked against other writers that use this module. Edits are defined in
`mocoop.grouping.editing.edit`, valid files in `mocoop.groupfile.groups`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from mocoop import files
from mocoop.errors import GroupFileError, StorageError
from mocoop.groupfile.groups import MAX_BYTES, GroupFile, dump_groups, parse_groups


@dataclass(frozen=True)
class Opened:
    """A group file as it was when read."""

    path: str
    data: bytes
    file: GroupFile

    @property
    def document(self) -> dict[str, Any]:
        """The JSON as read; do not modify it."""
        return self.file.document


def read_raw(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a group file, valid or not. Raises GroupFileError."""
    return files.read_bytes(path, max_bytes=MAX_BYTES, what="group file", error=GroupFileError)


def open_groups(path: str | os.PathLike[str]) -> Opened:
    """Read a group file for editing. Raises GroupFileError with all its problems."""
    data = read_raw(path)
    return Opened(os.fspath(path), data, parse_groups(data, source=os.fspath(path)))


def write_document(opened: Opened, document: dict[str, Any]) -> Opened:
    """Check a document and overwrite the opened file with it.

    Raises GroupFileError with all problems of the document, StorageError if the file changed since it was read.
    """
    return write_bytes(opened.path, dump_groups(document), before=opened.data)


def write_bytes(path: str, data: bytes, *, before: bytes) -> Opened:
    """Like `write_document`, for exact bytes, so that undo restores the file; it must still contain `before`."""
    saved = Opened(path, data, parse_groups(data, source=path))
    folder = os.path.dirname(os.path.realpath(path))
    files.sweep_stale(folder)
    with _folder_locked(folder):
        if _on_disk(path) != before:
            message = f"{path} was changed by someone else after it was read; nothing was written"
            raise StorageError(message, "look at the file, then do it again")
        files.atomic_write(path, data)
    return saved


def _on_disk(path: str) -> bytes | None:
    try:
        return read_raw(path)
    except GroupFileError:  # deleted or no longer readable, so not what was read
        return None


@contextmanager
def _folder_locked(folder: str) -> Iterator[None]:
    """Lock out other writers that use this module; if folders cannot be locked, only the comparison protects."""
    try:
        import fcntl

        handle = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):  # Windows, or a folder that is writable but not readable
        yield
        return
    try:
        with suppress(OSError):  # some network file systems have no locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
