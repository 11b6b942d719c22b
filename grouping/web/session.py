"""The working copy of a group file behind the review page: operations, undo and redo, saving, and the file on disk.

Nothing is written to the group file but by `save`, which goes the way of all editing commands (`inplace`), so that
`mocoop-groups undo` takes a save back. Until then every change is kept as it is made (`kept`). If something else
changes the file meanwhile, nothing is overwritten: without unsaved work the new file is taken, else the person chooses.

Each change has a version. Who asks for an operation says which version they saw; one that another tab has outdated is
refused. All methods may be called from any thread.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from mocoop import files
from mocoop.errors import GroupFileError, MoCoOpError, StorageError, UsageError
from mocoop.groupfile.groups import dump_groups, parse_groups
from mocoop.grouping.editing.byhand import stamped
from mocoop.grouping.editing.diff import Change, differences, one_line
from mocoop.grouping.editing.inplace import Opened, open_groups, read_raw, write_anew, write_bytes
from mocoop.grouping.editing.lookup import Document
from mocoop.grouping.provenance import now
from mocoop.grouping.web.kept import Entry, Kept, Unsaved
from mocoop.grouping.web.operations import REPLACE, Operation, apply, told

MOST_STATES = 1000  # that can be undone
MOST_VERSIONS = 100  # of which it is known what changed since

Choice = Literal["theirs", "mine", "both"]


class Stale(UsageError):
    """An operation on what another tab has changed meanwhile."""


@dataclass(frozen=True)
class State:
    """One state of the document, and the operation that led to it."""

    document: Document
    told: str = ""
    operation: Operation | None = None  # None for a state that no operation led to


@dataclass(frozen=True)
class OnDisk:
    """What stands in the file, if that is not what the work began from: changed, gone, or invalid."""

    kind: Literal["changed", "gone", "invalid"]
    message: str
    opened: Opened | None = None  # None unless it is a valid group file


@dataclass
class Session:
    """The working copy; `open` makes one."""

    base: Opened  # the file as it was read or written last
    kept: Kept
    names: tuple[str, ...] | None = None  # class names that are checked too
    states: list[State] = field(default_factory=list)
    place: int = 0  # which of the states is the current one
    version: int = 1
    disk: OnDisk | None = None
    notes: list[str] = field(default_factory=list)  # for the person, in the order they came
    listeners: list[Callable[[], None]] = field(default_factory=list)  # called after every change
    lock: threading.RLock = field(default_factory=threading.RLock)
    _floor: int | None = 0  # the state that is in the file; None if no state that is left is
    _replayable: bool = True  # whether what is kept leads from the file to the same states as here
    _past: dict[int, Document] = field(default_factory=dict)
    _seen: object = None  # what the system said of the file when it was looked at
    _unkept: str | None = None  # why changes are not kept, if so
    _is_begun: bool = False  # whether anything of this work is kept
    _over: OnDisk | None = None  # what is in the file, if it is no group file and the person writes over it

    @classmethod
    def open(cls, path: str, kept: Kept, names: tuple[str, ...] | None = None) -> Session:
        """Open a file, and take up the unsaved work on it; that alone if the file is gone.

        Raises GroupFileError for an invalid file, or one that is gone and on which there is no unsaved work.
        """
        opened, gone = _opened(path, kept)
        session = cls(opened, kept, names, [State(opened.document)])
        session._seen = _looks(path)
        session._take_up(opened)
        session.disk = gone or session.disk
        session._remember()
        return session

    @property
    def document(self) -> Document:
        """The current document. It has no provenance of this session, which is added when it is saved."""
        return self.states[self.place].document

    @property
    def path(self) -> str:
        """The group file."""
        return self.base.path

    @property
    def unsaved(self) -> bool:
        """Whether the document says something else than the file that was read or written last, or the file is lost."""
        return self._over is not None or (self.place != self._floor and not _same(self.document, self.base.document))

    @property
    def unkept(self) -> str | None:
        """Why the unsaved work would not outlive a crash, if so."""
        return self._unkept

    def do(self, operation: Operation, version: int) -> None:
        """Apply an operation. Raises UsageError for what is not possible, Stale for an old version."""
        with self.lock:
            self._expect(version)
            before = self.document
            after = apply(before, operation)
            if after is before:
                return
            self._push(State(after, told(before, after), dict(operation)))
            self._keep({"do": dict(operation)})
            self._tell()

    def undo(self, version: int) -> None:
        """Go back by one state. Raises UsageError if there is none, Stale."""
        self._go(-1, version)

    def redo(self, version: int) -> None:
        """Go forth again by one state. Raises UsageError if there is none, Stale."""
        self._go(1, version)

    def look(self) -> None:
        """See whether something else changed the file; without unsaved work the new one is taken."""
        with self.lock:
            looks = _looks(self.path)
            if looks == self._seen:
                return
            self._seen = looks
            over, found = self._over, self._read()
            if found == self.disk and self._over is over:
                return
            self.disk = found
            if found is not None and found.opened is not None and not self.unsaved:
                self._begin_from(found.opened)
                self._try_to_keep(self.kept.clear)
                self.notes.append("the file was changed by something else; this is what it holds now")
            self._tell()

    def changes(self) -> list[Change]:
        """What a save would change in the file."""
        with self.lock:
            return differences(self.base.document, self.document)

    def changes_on_disk(self) -> list[Change]:
        """What something else changed in the file meanwhile."""
        with self.lock:
            found = self.disk.opened if self.disk else None
            return differences(self.base.document, found.document) if found else []

    @property
    def can_join(self) -> bool:
        """Whether the unsaved changes can be done once more, on what stands in the file now."""
        if self._floor is None or self._floor > self.place:
            return False
        steps = self.states[self._floor + 1 : self.place + 1]
        return all(step.operation and step.operation.get("operation") != REPLACE for step in steps)

    def settle(self, choice: Choice, version: int) -> None:
        """Choose between the changed file and the unsaved work. Undo or redo brings the other one back.

        Arguments:
            choice: "theirs" is the file as it stands now, "mine" the work, which a save then writes over the file;
                "both" does the work's operations once more on the file.
            version: as for `do`.

        Raises UsageError if there is nothing to choose or it cannot be chosen, Stale.
        """
        with self.lock:
            self._expect(version)
            self.look()
            if self.disk is None:
                raise UsageError("the file is as it was read", "there is nothing to choose")
            self._settle(choice, self.disk)
            self._tell()

    def save(self, version: int) -> Opened:
        """Check and write the file, with a step of provenance, and a step that `mocoop-groups undo` takes back.

        Raises GroupFileError for an invalid document, UsageError if the file was changed by something else or there is
        nothing to save, Stale, StorageError.
        """
        with self.lock:
            self._expect(version)
            self.look()
            if self.disk is not None:
                raise UsageError(f"{self.disk.message}; nothing was written", "choose which version is right first")
            if not self.unsaved:
                raise UsageError("there is nothing to save", "the file holds all of it")
            document = _with_provenance(self.document, self.base.document)
            line = one_line(differences(self.base.document, document))
            data = dump_groups(stamped(document, "review", line, now()))
            files.crash_point("review-save", 1)
            self.base = self._written(data, line)
            files.crash_point("review-save", 2)
            self._seen, self._over, self._floor = _looks(self.path), None, self.place
            self._replayable = self.place == len(self.states) - 1
            self._try_to_keep(self.kept.clear)
            self._tell()
            return self.base

    def since(self, version: int) -> Document | None:
        """The document of an earlier version; None if that is too long ago."""
        with self.lock:
            return self._past.get(version)

    def close(self) -> None:
        """Leave nothing on the disk if nothing is unsaved; else try once more to keep what could not be kept."""
        with self.lock:
            if self.unsaved and self._unkept:
                self._keep_whole()
            if not self.unsaved and self.disk is None:
                self._try_to_keep(self.kept.clear)

    # ---- parts of the above

    def _written(self, data: bytes, line: str) -> Opened:
        if self._over is not None and self._over.kind == "gone":
            notice = write_anew(self.path, data, command="review", told=line)
            return Opened(self.path, data, parse_groups(data, source=self.path), notice)
        try:
            return write_bytes(self.path, data, before=self.base.data, command="review", told=line)
        except StorageError:
            self.look()
            raise

    def _expect(self, version: int) -> None:
        if version != self.version:
            hint = "you see its changes now; look at them, then do it again"
            raise Stale("another tab changed something in the meantime, so nothing was done", hint)

    def _go(self, way: int, version: int) -> None:
        with self.lock:
            self._expect(version)
            if not 0 <= self.place + way < len(self.states):
                raise UsageError(f"there is nothing to {'undo' if way < 0 else 'redo'}", "this is as far as it goes")
            self.place += way
            self._keep({"go": way})
            self._tell()

    def _push(self, state: State) -> None:
        """A new current state, in place of all that was undone."""
        self.states = [*self.states[: self.place + 1], state]
        if self._floor is not None and self._floor > self.place:
            self._floor = None
        self.place += 1
        if len(self.states) > MOST_STATES:
            self.states.pop(0)
            self.place -= 1
            self._floor = None if not self._floor else self._floor - 1

    def _keep(self, entry: Entry) -> None:
        """Keep a change: as it is if what is kept leads here by it, else as the whole document."""
        if not (self._replayable and self._floor is not None and self.place >= self._floor):
            self._keep_whole()
        elif not self._is_begun:
            self._is_begun = True
            self._try_to_keep(lambda: self.kept.begin(self.base.data, [entry]))
        else:
            self._try_to_keep(lambda: self.kept.append(entry))
            if self._unkept:  # perhaps what was kept is gone, and can be made anew
                self._keep_whole()

    def _keep_whole(self) -> None:
        """Keep the whole document in place of what was kept, since it says all."""
        self._replayable, self._is_begun = False, True
        whole = {"do": {"operation": REPLACE, "document": self.document}}
        self._try_to_keep(lambda: self.kept.begin(self.base.data, [whole]))

    def _try_to_keep(self, keep: Callable[[], None]) -> None:
        try:
            keep()
            self._unkept = None
        except StorageError as error:
            self._unkept = f"unsaved changes are not kept in case of a crash: {error.message}"
            self._replayable = False  # what is kept lacks a change: the next one must say all
        if keep == self.kept.clear:
            self._is_begun = False

    def _tell(self) -> None:
        self.version += 1
        self._remember()
        for changed in self.listeners:
            changed()

    def _remember(self) -> None:
        self._past[self.version] = self.document
        self._past.pop(self.version - MOST_VERSIONS, None)

    def _read(self) -> OnDisk | None:
        """What stands in the file; None if it is what the work began from."""
        try:
            data = read_raw(self.path)
        except GroupFileError as error:
            gone = _gone(error)
            return None if gone == self._over else gone
        if data == self.base.data:
            if self._over is not None and self._over.kind == "gone":  # it came back
                self._over = None
            return None
        try:
            found = Opened(self.path, data, parse_groups(data, source=self.path))
        except GroupFileError as error:
            return OnDisk("invalid", f"the file was changed by something else, and is not valid now: {error.message}")
        return OnDisk("changed", "the file was changed by something else", found)

    def _settle(self, choice: Choice, found: OnDisk) -> None:
        if found.opened is None:
            if choice != "mine":
                raise UsageError("the file holds nothing that could be taken", "go on with your own version")
            self._write_over(found)
            return
        joined = self._joined(found.opened.document) if choice == "both" else self.document
        self._begin_from(found.opened)
        if _same(joined, found.opened.document):
            self._try_to_keep(self.kept.clear)
            return
        whole = {"operation": REPLACE, "document": _bare(joined)}
        self._push(State(joined, "your changes, on what the file holds" if choice == "both" else "your version", whole))
        self._keep({"do": whole})
        if choice == "theirs":
            self.place = 0
            self._keep({"go": -1})

    def _begin_from(self, opened: Opened) -> None:
        """A history that begins with what the file holds now."""
        self.base, self.disk, self._over = opened, None, None
        self.states, self.place, self._floor = [State(opened.document)], 0, 0
        self._replayable, self._is_begun = True, False

    def _write_over(self, found: OnDisk) -> None:
        """Go on with one's own version where the file is gone or invalid: a save writes over whatever is there."""
        if found.kind == "invalid":
            self.base = replace(self.base, data=read_raw(self.path))
        self.disk, self._over = None, found
        self._floor, self._is_begun = None, False
        self._keep({})

    def _joined(self, theirs: Document) -> Document:
        """The operations of the unsaved work, done once more on another document. Raises UsageError."""
        if not self.can_join or self._floor is None:
            raise UsageError("these changes cannot be done once more", "choose one of the two versions")
        refused = []
        for step in self.states[self._floor + 1 : self.place + 1]:
            try:
                theirs = apply(theirs, step.operation or {})
            except MoCoOpError as error:
                refused.append(f"not done on the changed file: {step.told} ({error.message})")
        self.notes += refused
        return theirs

    def _take_up(self, opened: Opened) -> None:
        """Take up what an earlier page of this file left unsaved."""
        try:
            left = self.kept.unsaved()
        except MoCoOpError as error:
            self._set_aside(error)
            return
        if left is None:
            return
        if left.base == opened.data:
            self._replay(left, opened)
            return
        try:
            base = Opened(opened.path, left.base, parse_groups(left.base, source=opened.path))
        except GroupFileError:  # a person chose to write over an invalid file, which is valid by now
            base = replace(opened, data=left.base)
        earlier = Session(base, self.kept, self.names)
        earlier.states = [State(earlier.base.document)]
        earlier._replay(left, earlier.base)
        if _same(earlier.document, opened.document):  # saved, and killed before that was noted
            self._try_to_keep(self.kept.clear)
            return
        self.base, self.states, self.place, self._floor = earlier.base, earlier.states, earlier.place, earlier._floor
        self.notes, self._is_begun, self._replayable = earlier.notes, True, earlier._replayable
        self.disk = OnDisk("changed", "the file was changed by something else", opened)

    def _replay(self, left: Unsaved, base: Opened) -> None:
        done = 0
        for entry in left.entries:
            try:
                self._repeat(entry)
            except (MoCoOpError, KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
                self._set_aside(error)
                break
            done += 1
        entries = list(left.entries[:done])
        if not entries or (_same(self.document, base.document) and os.path.lexists(self.path)):
            self._try_to_keep(self.kept.clear)
            return
        self._is_begun = True
        self._try_to_keep(lambda: self.kept.begin(base.data, entries))  # without a line that was cut off
        count = self.place - (self._floor or 0)
        self.notes.append(f"{count} unsaved change{'s' * (count != 1)} of last time {_are(count)} taken up")

    def _repeat(self, entry: Entry) -> None:
        if "go" in entry:
            place = self.place + int(entry["go"])
            if not 0 <= place < len(self.states):
                raise ValueError("a step beyond the end")
            self.place = place
            return
        operation = entry["do"]
        before = self.document
        if operation["operation"] == REPLACE:
            after = parse_groups(dump_groups(operation["document"]), source=self.path).document
        else:
            after = apply(before, operation)
        self._push(State(after, told(before, after), operation))

    def _set_aside(self, error: Exception) -> None:
        with suppress(StorageError):
            aside = self.kept.set_aside()
            self.notes.append(f"unsaved work of last time could not all be taken up ({error}); it lies in {aside}")


def _gone(error: GroupFileError) -> OnDisk:
    return OnDisk("gone", f"the file cannot be read any more: {error.message}")


def _opened(path: str, kept: Kept) -> tuple[Opened, OnDisk | None]:
    """A file, or, if it is gone, what it was when the unsaved work on it began, and that. Raises GroupFileError."""
    try:
        return open_groups(path), None
    except GroupFileError as error:
        with suppress(MoCoOpError):
            if not os.path.lexists(path) and (left := kept.unsaved()) is not None:
                return Opened(path, left.base, parse_groups(left.base, source=path)), _gone(error)
        raise


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _same(one: Document, other: Document) -> bool:
    """Whether two documents say the same, however they came to be."""
    return _bare(one) == _bare(other)


def _bare(document: Document) -> Document:
    return {key: value for key, value in document.items() if key != "provenance"}


def _with_provenance(document: Document, base: Document) -> Document:
    """The document with the provenance of the file, which only grows: an undo takes no step out of it."""
    if "provenance" not in base:
        return _bare(document)
    return {**document, "provenance": base["provenance"]}


def _looks(path: str) -> object:
    """What changes whenever a file is written: cheap to ask for."""
    try:
        about = os.stat(path)
    except OSError:
        return None
    return about.st_mtime_ns, about.st_size, about.st_ino


def news_of(session: Session) -> dict[str, Any]:
    """What of a session is neither groups nor findings: history, the file, notes."""
    with session.lock:
        before = session.states[session.place].told if session.place else None
        after = session.states[session.place + 1].told if session.place + 1 < len(session.states) else None
        disk = session.disk
        return {
            "undo": before,
            "redo": after,
            "unsaved": session.unsaved,
            "unkept": session.unkept,
            "notes": list(session.notes),
            "disk": disk and {"kind": disk.kind, "message": disk.message, "can_join": session.can_join},
        }
