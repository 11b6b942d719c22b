"""Reading a group file, changing it and writing it back in place, each change with a step in its undo journal.

Concurrent changes by another process are never overwritten: the bytes that were read are compared with those on disk
right before the write, while the folder is locked against other writers that use this module. Edits are defined in
`mocoop.grouping.editing.edit`, valid files in `mocoop.groupfile.groups`, what is kept for an undo in
`mocoop.grouping.editing.journal`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from mocoop import files
from mocoop.errors import GroupFileError, StorageError
from mocoop.groupfile.groups import MAX_BYTES, GroupFile, dump_groups, parse_groups
from mocoop.grouping.editing.journal import History, Journal, Step


@dataclass(frozen=True)
class Opened:
    """A group file as it was when read, or written."""

    path: str
    data: bytes
    file: GroupFile
    notice: str | None = None  # why the change just written cannot be undone, if so

    @property
    def document(self) -> dict[str, Any]:
        """The JSON as read; do not modify it."""
        return self.file.document


@dataclass(frozen=True)
class Restored:
    """What an undo or redo put back: the file's bytes, and the steps that were taken, in the order taken."""

    data: bytes
    steps: tuple[Step, ...]


def read_raw(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a group file, valid or not. Raises GroupFileError."""
    return files.read_bytes(path, max_bytes=MAX_BYTES, what="group file", error=GroupFileError)


def open_groups(path: str | os.PathLike[str]) -> Opened:
    """Read a group file for editing. Raises GroupFileError with all its problems."""
    data = read_raw(path)
    return Opened(os.fspath(path), data, parse_groups(data, source=os.fspath(path)))


def write_document(opened: Opened, document: dict[str, Any], *, command: str, told: str) -> Opened:
    """Check a document and overwrite the opened file with it.

    `command` and `told` name the step in the undo journal. Raises GroupFileError with all problems of the document,
    StorageError if the file changed since it was read.
    """
    return write_bytes(opened.path, dump_groups(document), before=opened.data, command=command, told=told)


def write_bytes(path: str, data: bytes, *, before: bytes, command: str, told: str) -> Opened:
    """Like `write_document`, for exact bytes; the file must still contain `before`."""
    saved = Opened(path, data, parse_groups(data, source=path))
    with _alone(path, before) as journal:
        return replace(saved, notice=_write(journal, path, before, data, command, told))


def write_anew(path: str | os.PathLike[str], data: bytes, *, command: str, told: str) -> str | None:
    """Write a file, or overwrite one with a step in its journal, whatever both hold.

    Returns why the step cannot be undone, if so; what is too large for a group file goes without a word. Raises
    StorageError.
    """
    target = os.fspath(path)
    before = _on_disk(target)
    if before is None:  # not there, or nothing that could be kept
        files.sweep_stale(os.path.dirname(os.path.realpath(target)))
        files.atomic_write(target, data)
        return None
    with _alone(target, before) as journal:
        return _write(journal, target, before, data, command, told)


def put_back(opened: Opened, data: bytes) -> Opened:
    """Write what the file held before its last change, as the caller remembers it; that change is undone.

    Works without a journal too. Raises StorageError if the file changed since it was read.
    """
    with _alone(opened.path, opened.data) as journal:
        files.atomic_write(opened.path, data)
        with suppress(StorageError):
            history = journal.history().settled(files.sha256_bytes(opened.data))
            if history.done and history.steps[history.done - 1].before == files.sha256_bytes(data):
                journal.save(replace(history, done=history.done - 1))
    return Opened(opened.path, data, parse_groups(data, source=opened.path))


def history_of(path: str | os.PathLike[str]) -> tuple[History, bool]:
    """The steps kept for a file, and whether the file is as the last one left it. Raises StorageError."""
    history = Journal(path).history()
    data = _on_disk(os.fspath(path))
    content = files.sha256_bytes(data) if data is not None else ""
    history = history.settled(content)
    return history, bool(history.done) and history.steps[history.done - 1].after == content


def earlier(path: str | os.PathLike[str], count: int = 1) -> Restored:
    """What a file held before its last `count` steps, whatever it holds now. Raises UsageError, StorageError."""
    steps = history_of(path)[0].back(count)
    return Restored(Journal(path).content(steps[-1].before), steps)


def undo(path: str | os.PathLike[str], count: int = 1, *, write: bool = True) -> Restored:
    """Take the last `count` changes of a file back, to the byte.

    Arguments:
        path: the group file.
        count: how many steps, 1 at least.
        write: whether to do it; otherwise only to say what would be done.

    Raises UsageError if there are fewer steps, StorageError if the file was changed by something else since.
    """
    return _travel(os.fspath(path), count, -1, write)


def redo(path: str | os.PathLike[str], count: int = 1, *, write: bool = True) -> Restored:
    """Do the next `count` changes again that an undo took back. Arguments and errors as in `undo`."""
    return _travel(os.fspath(path), count, +1, write)


def _travel(path: str, count: int, way: int, write: bool) -> Restored:
    before = read_raw(path)
    with _alone(path, before) as journal:
        content = files.sha256_bytes(before)
        history = journal.history().settled(content)
        steps = history.back(count) if way < 0 else history.forth(count)
        for step in steps:
            left, there = (step.after, step.before) if way < 0 else (step.before, step.after)
            if left != content:
                raise _changed_by_hand(path, step, way)
            content = there
        data = journal.content(content)
        if write:
            files.atomic_write(path, data)
            with suppress(StorageError):  # the place is found again by what the file holds
                journal.save(replace(history, done=history.done + way * count))
    return Restored(data, steps)


def _changed_by_hand(path: str, step: Step, way: int) -> StorageError:
    when = "after" if way < 0 else "before"
    return StorageError(
        f"{path} was changed by something else {when} the step {step.command} of {step.at}; nothing was written",
        "mocoop-groups undo FILE -o earlier.json writes what it held; mocoop-groups diff compares the two",
    )


def _write(journal: Journal, path: str, before: bytes, data: bytes, command: str, told: str) -> str | None:
    """Write the file and its step; returns why the step cannot be undone, if so. A step that fails is not kept."""
    if data == before:
        return None
    try:
        history = journal.record(before, data, command, told)
    except StorageError as error:
        files.atomic_write(path, data)
        return f"this change cannot be undone: {error.message} (set MOCOOP_STATE to a folder that can be written)"
    try:
        files.atomic_write(path, data)
    except BaseException:
        with suppress(StorageError):
            journal.save(history)
        raise
    return None


@contextmanager
def _alone(path: str, before: bytes) -> Iterator[Journal]:
    """The file's journal, while other writers are locked out. Raises StorageError if it does not hold `before` now."""
    folder, journal = os.path.dirname(os.path.realpath(path)), Journal(path)
    files.sweep_stale(folder)
    with files.folder_locked(folder), journal.locked():
        if _on_disk(path) != before:
            message = f"{path} was changed by someone else after it was read; nothing was written"
            raise StorageError(message, "look at the file, then do it again")
        yield journal


def _on_disk(path: str) -> bytes | None:
    try:
        return read_raw(path)
    except GroupFileError:  # deleted or no longer readable, so not what was read
        return None
