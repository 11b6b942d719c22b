"""The undo journal of a group file: its last changes, byte for byte, so that each can be taken back.

A journal lies outside the file's folder, in `files.state_root()`, in a folder named by the hash of the file's real
path: `journal.json` lists the steps, and each content of the file is kept once, in a file named by its SHA-256. A step
is only taken back while the file holds exactly what the step left there, so neither an edit by hand in between nor
another file that was moved there is overwritten. Nothing here writes a group file: `mocoop.grouping.editing.inplace`.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mocoop import files
from mocoop.errors import StorageError, UsageError
from mocoop.groupfile.groups import MAX_BYTES
from mocoop.grouping.provenance import now

FORMAT = 1
MOST_STEPS = 200  # of one file; the oldest go first
MOST_KEPT = 16 * 1024 * 1024  # bytes of contents of one file
MOST_FILES = 100  # files that have a journal
MOST_TOLD = 300  # characters of what a step says it did

_FOLDER = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Step:
    """One change: the command, what it did in words, when (UTC), and the SHA-256 of the file before and after."""

    command: str
    told: str
    at: str
    before: str
    after: str


@dataclass(frozen=True)
class History:
    """A file's steps, the oldest first; the first `done` of them are in the file, the others were taken back."""

    steps: tuple[Step, ...] = ()
    done: int = 0

    def settled(self, content: str) -> History:
        """The history at the place where a file with this hash stands, the nearest if there are several.

        They differ after a process died between the journal and the file, or where an old file was put back by hand.
        """
        fitting = [place for place in range(len(self.steps) + 1) if content in self._contents(place)]
        return replace(self, done=min(fitting, key=lambda place: abs(place - self.done), default=self.done))

    def _contents(self, place: int) -> set[str]:
        return {step.after for step in self.steps[max(place - 1, 0) : place]} | {
            step.before for step in self.steps[place : place + 1]
        }

    def with_step(self, step: Step) -> History:
        """The history after one more change; what had been taken back can no longer be done again."""
        steps = (*self.steps[: self.done], step)
        return History(steps, len(steps))

    def back(self, count: int) -> tuple[Step, ...]:
        """The last `count` steps, the latest first. Raises UsageError if there are fewer."""
        return tuple(reversed(self._some(self.steps[: self.done][-count:], count, "undo")))

    def forth(self, count: int) -> tuple[Step, ...]:
        """The next `count` steps that were taken back. Raises UsageError if there are fewer."""
        return self._some(self.steps[self.done :][:count], count, "redo")

    def _some(self, steps: tuple[Step, ...], count: int, verb: str) -> tuple[Step, ...]:
        if len(steps) == count:
            return steps
        if not steps:
            hint = "steps are what mocoop-groups changed in this file; what was edited by hand, or made new, is none"
            raise UsageError(f"there is nothing to {verb}", hint)
        hint = "`mocoop-groups undo FILE --list` shows the steps that are kept"
        raise UsageError(f"only {len(steps)} of {count} steps can be {verb}ne", hint)


class Journal:
    """The journal of the group file at a path, which need not exist. Reading it raises StorageError if damaged."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = os.path.realpath(path)
        self.folder = files.state_root() / "undo" / files.sha256_bytes(os.fsencode(self._path))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from changing this journal, if there is one, and so the file. Raises nothing."""
        with files.folder_locked(self.folder):
            yield

    def history(self) -> History:
        """The steps that are kept; none if there is no journal."""
        path = self.folder / "journal.json"
        if not path.exists():
            return History()
        kept = files.read_json(path, what="undo journal", max_bytes=MAX_BYTES)
        try:
            if kept["format"] != FORMAT or type(kept["done"]) is not int or not 0 <= kept["done"] <= len(kept["steps"]):
                raise ValueError
            return History(tuple(_step(entry) for entry in kept["steps"]), kept["done"])
        except (KeyError, TypeError, ValueError):
            raise StorageError(
                f"{path} is no undo journal of this version", "remove it to begin anew; the group file is not touched"
            ) from None

    def content(self, sha256: str) -> bytes:
        """What the file held. Raises StorageError if that is no longer there unharmed."""
        data = files.read_bytes(self.folder / sha256, max_bytes=MAX_BYTES, what="kept content")
        if files.sha256_bytes(data) != sha256:
            raise StorageError(f"{self.folder / sha256} is damaged", "the steps before it cannot be undone")
        return data

    def record(self, before: bytes, after: bytes, command: str, told: str) -> History:
        """Add a step, about to be done, and return the history as it was, for `save` if it fails.

        Raises StorageError where it cannot be kept. A damaged journal is begun anew.
        """
        self._make()
        try:
            earlier = self.history()
        except StorageError:
            earlier = History()
        old, new = files.sha256_bytes(before), files.sha256_bytes(after)
        for sha256, data in ((old, before), (new, after)):
            if not (self.folder / sha256).is_file():
                files.atomic_write(self.folder / sha256, data)
        told = told.encode("utf-8", "backslashreplace").decode()  # it may name a path that is no UTF-8
        short = told if len(told) <= MOST_TOLD else told[: MOST_TOLD - 3] + "..."
        self.save(earlier.settled(old).with_step(Step(command, short, now(), old, new)))
        return earlier

    def save(self, history: History) -> None:
        """Write the history, within its bounds, and drop the contents that it no longer names. Raises StorageError."""
        files.sweep_stale(self.folder)
        bounded = self._bounded(history)
        told = os.fsencode(self._path).decode("utf-8", "backslashreplace")
        content = {"format": FORMAT, "path": told, "done": bounded.done, "steps": list(map(asdict, bounded.steps))}
        files.write_json(self.folder / "journal.json", content)
        named = _named(bounded.steps)
        for path in self.folder.iterdir():
            if _FOLDER.fullmatch(path.name) and path.name not in named:
                with suppress(OSError):  # it is only room
                    path.unlink()

    def _bounded(self, history: History) -> History:
        steps = history.steps[-MOST_STEPS:]
        sizes = {name: _size(self.folder / name) for name in _named(steps)}
        while len(steps) > 1 and sum(sizes[name] for name in _named(steps)) > MOST_KEPT:
            steps = steps[1:]
        return History(steps, max(history.done - (len(history.steps) - len(steps)), 0))

    def _make(self) -> None:
        """Make the folder, for this user only; of too many journals, the longest unused go. Raises StorageError."""
        try:
            if self.folder.exists():
                return
            self.folder.mkdir(parents=True, mode=0o700)
            others = [path for path in self.folder.parent.iterdir() if _FOLDER.fullmatch(path.name)]
            for path in sorted(others, key=_age)[:-MOST_FILES]:
                shutil.rmtree(path, ignore_errors=True)
        except FileExistsError:  # another process made it just now
            pass
        except OSError as error:
            raise files.os_error(error, "make", self.folder) from error


def _step(entry: Any) -> Step:
    if not isinstance(entry, dict):
        raise ValueError
    if not all(isinstance(value, str) for value in entry.values()) or not all(map(_FOLDER.fullmatch, _named([entry]))):
        raise ValueError
    return Step(**entry)


def _named(steps: Sequence[Step | dict[str, Any]]) -> set[str]:
    """The hashes of the contents that steps name."""
    entries = [step if isinstance(step, dict) else asdict(step) for step in steps]
    return {entry[key] for entry in entries for key in ("before", "after")}


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _age(path: Path) -> float:
    """When a journal was last changed; the folder's own time changes with every step."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
