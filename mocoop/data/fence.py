"""Paths that come out of files stay below one folder.

A list of images (split JSON, manifest) may come from anywhere, so a path in it must be relative, must not
climb with "..", and must not leave through a symbolic link unless links are followed on request.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from mocoop.data.dataset import Example, named
from mocoop.errors import DataError

_DRIVE = re.compile(r"[A-Za-z]:")


class Fence:
    """Turns relative paths out of a file into paths below `root`, which itself may be a link.

    Folders are resolved once each, so checking costs about one `lstat` a file.
    """

    def __init__(self, root: str | os.PathLike[str], *, follow_links: bool = False) -> None:
        self.root = Path(root)
        self._real_root = os.path.realpath(root)
        self._follow_links = follow_links
        self._inside: dict[str, bool] = {}

    def path(self, relative: str) -> Path:
        """The path below the root, made plain ("./a//b" is "a/b"), which need not exist. Raises DataError."""
        if reason := _refusal(relative):
            raise DataError(f"the path {relative!a} {reason}", f"write it relative to {self.root}, with /")
        path = self.root / relative
        self.check(path)
        return path

    def listed(self, relative: str, where: str) -> Path:
        """The same for a path that stands at `where` in a file, which the message then names. Raises DataError."""
        try:
            return self.path(relative)
        except DataError as error:
            raise DataError(f"{where}: {error.message}", error.hint) from error

    def check(self, path: Path) -> None:
        """Refuse a path below the root that leaves it through a symbolic link. Raises DataError."""
        if self._follow_links:
            return
        folder = os.path.dirname(path)
        if folder not in self._inside:
            self._inside[folder] = self._holds(folder)
        if not self._inside[folder] or (os.path.islink(path) and not self._holds(path)):
            raise DataError(
                f"{path} is a link that leaves {self.root}", "allow it with --follow-links, or copy the files"
            )

    def _holds(self, path: str | os.PathLike[str]) -> bool:
        real = os.path.realpath(path)
        return os.path.commonpath((real, self._real_root)) == self._real_root


def absence_notes(splits: Mapping[str, Sequence[Example]], root: Path) -> list[str]:
    """What to know about listed files that are not there: single ones are left to the reader of images.

    Raises DataError when none is there: then the folder is the wrong one.
    """
    paths = [example.path for examples in splits.values() for example in examples if example.path is not None]
    absent = [path for path in paths if not os.path.exists(path)]  # Path.exists raises for a name that is too long
    if not absent:
        return []
    message = f"{len(absent):,} of {len(paths):,} listed images are missing: {named(absent)}"
    if len(absent) == len(paths):
        raise DataError(message, f"the images belong below {root}")
    twin = _other_case(absent[0].relative_to(root), root)
    return [message + (f" ({twin.relative_to(root)} is there, in other case)" if twin else "")]


def _other_case(relative: Path, root: Path) -> Path | None:
    """What lies below the root under names that differ from a path's in upper and lower case alone."""
    found = root
    for part in relative.parts:
        beside = os.listdir(found) if os.path.isdir(found) else []
        twins = [name for name in beside if name.casefold() == part.casefold()]
        if not twins:
            return None
        found = found / min(twins, key=lambda name: (name != part, name))
    return found


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
