"""Confine paths read from files to one folder.

A list of images (split JSON, manifest) may come from anywhere, so a path in it must be relative, must not contain
"..", and must not leave the folder through a symbolic link unless the user allows links.
"""

from __future__ import annotations

import difflib
import os
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

from mocoop.data.contents import is_there
from mocoop.data.dataset import Example, named
from mocoop.errors import DataError

_HERE = Path()
_DRIVE = re.compile(r"[A-Za-z]:")
_CLOSE = 0.75  # likeness by difflib from which a name may be another one's slip of the pen
_MANY = 5_000  # names in a folder; among more none is looked for, which would take seconds


class Fence:
    """Turns relative paths from a file into paths below `root`, which itself may be a link.

    Each folder is resolved once, so checking costs about one `lstat` per file.
    """

    def __init__(self, root: str | os.PathLike[str], *, follow_links: bool = False) -> None:
        self.root = Path(root)
        self._real_root = os.path.realpath(root)
        self._follow_links = follow_links
        self._inside: dict[str, bool] = {}

    def path(self, relative: str) -> Path:
        """The normalised path below the root ("./a//b" is "a/b"), which need not exist. Raises DataError."""
        if reason := _refusal(relative):
            raise DataError(f"the path {relative!a} {reason}", f"write it relative to {self.root}, with /")
        path = self.root / relative
        self.check(path)
        return path

    def listed(self, relative: str, where: str) -> Path:
        """Like `path`, for a path at `where` in a file, which the message names. Raises DataError."""
        try:
            return self.path(relative)
        except DataError as error:
            raise DataError(f"{where}: {error.message}", error.hint) from error

    def check(self, path: Path) -> None:
        """Check that a path does not leave the root through a symbolic link. Raises DataError."""
        if self._follow_links:
            return
        folder = os.path.dirname(path)
        if folder not in self._inside:
            self._inside[folder] = self._holds(folder)
        if not self._inside[folder] or (os.path.islink(path) and not self._holds(path)):
            root = self.root if self.root.name else "this folder"  # "." ends a line so that nobody sees it
            raise DataError(f"{path} is a link that leaves {root}", "allow it with --follow-links, or copy the files")

    def _holds(self, path: str | os.PathLike[str]) -> bool:
        real = os.path.realpath(path)
        return os.path.commonpath((real, self._real_root)) == self._real_root


def absence_notes(splits: Mapping[str, Sequence[Example]], root: Path) -> list[str]:
    """Notes on listed files that are missing: they are errors only when their images are read.

    Raises DataError if all are missing: then the folder is the wrong one.
    """
    files = [example.file for examples in splits.values() for example in examples if example.file is not None]
    absent = [file for file in files if not is_there(file)]
    if not absent:
        return []
    message = f"{len(absent):,} of {len(files):,} listed images are missing: {named(absent)}"
    message += meant(Path(absent[0]).relative_to(root), root, frozenset(files))
    if len(absent) == len(files):
        raise DataError(message, f"the images belong below {root}")
    return [message]


def meant(path: Path, root: Path = _HERE, listed: frozenset[str] = frozenset()) -> str:
    """What is there in place of a missing file, for the end of a message; empty if nothing is like it.

    `path` is below `root`, or any with the root left out. One of `listed` is a neighbour, not what was meant.
    """
    found, how = root, ""
    for part in path.parts:
        if part not in (path.anchor, os.pardir):
            part, said = _like(part, found, listed)
            if not part:
                return ""
            how = said or how
        found = found / part
    shown = found.relative_to(root) if found.is_relative_to(root) else found
    return f" ({shown} is there{how})" if how else ""


def _like(name: str, folder: Path, listed: frozenset[str]) -> tuple[str, str]:
    """The name in a folder that is this one or most like it, and in what it differs; empty if none is like it."""
    try:
        beside = os.listdir(folder)
    except (OSError, ValueError):  # no folder, or none that may be looked into
        return "", ""
    twins = [one for one in beside if _folded(one) == _folded(name)]
    if twins:
        twin = min(twins, key=lambda one: (one != name, one))
        if twin == name:
            return twin, ""
        same_letters = twin.casefold() == name.casefold()
        return twin, ", in other case" if same_letters else ", with its accents in other Unicode characters"
    if len(beside) > _MANY:
        return "", ""
    free = [one for one in beside if str(folder / one) not in listed]
    return next(iter(difflib.get_close_matches(name, free, 1, _CLOSE)), ""), ": is that meant?"


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _refusal(relative: str) -> str | None:
    if not relative.strip():
        return "is empty"
    if "\0" in relative:
        return "holds a NUL character"
    if "\\" in relative:
        return "holds a backslash"
    if relative.startswith("/") or _DRIVE.match(relative):
        return "is absolute"
    if ".." in relative.split("/"):
        return "climbs out with .."
    return None
