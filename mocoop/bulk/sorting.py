"""Images sorted into a folder a class, as copies or links; those that are not sure have a folder of their own.

Names of classes and files come from strangers: they become names that every file system takes, no two classes share a
folder, no image overwrites another, and nothing is written outside the folder or through a link out of it. What an
image is called depends on the rows alone, so that a sorting that was killed ends as if nothing had happened.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import unicodedata
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from mocoop.bulk.items import as_text
from mocoop.bulk.parts import JOB
from mocoop.errors import StorageError
from mocoop.files import atomic_link, atomic_path, crash_point, os_error, sweep_stale

UNSURE = "not sure"
MAX_NAME_BYTES = 200  # of 255 that file systems take
_NAMED = 20  # images that were not sorted

# What Windows does not take in a name, besides control and format characters.
_UNFIT = re.compile(r'[<>:"/\\|?*]')
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_MAX_SUFFIX = 16


@dataclass(frozen=True)
class Sorted:
    """How many images lie in each folder, and how many are gone since they were read, the first of them with why."""

    folders: dict[str, int]
    gone: int
    first_gone: tuple[str, ...]


def folder_names(classnames: Sequence[str], *, unsure: bool) -> dict[str, str]:
    """A folder name for each class, all different even where case does not count."""
    names = _Names([JOB, *([UNSURE] if unsure else [])], suffixes=False)
    return {name: names.free(safe_name(name)) for name in classnames}


def sort_images(
    rows: Iterable[tuple[Path | None, dict[str, Any]]],
    out: Path,
    classnames: Sequence[str],
    *,
    unsure: bool = False,
    link: bool = False,
) -> Sorted:
    """Copy, or link, the image of each row into the folder of its class, or into "not sure" (with `unsure`).

    What is there already is not copied again; `out` must hold nothing but an earlier sorting of these rows. Images
    that could not be read stay where they are. Raises StorageError for what cannot be written, and for a link where a
    folder should be.
    """
    out = Path(os.path.realpath(out))
    folders, names = folder_names(classnames, unsure=unsure), dict[str, _Names]()
    counts, gone, first = dict[str, int](), 0, list[str]()
    for place, (path, row) in enumerate(rows):
        crash_point("sort-image", place)
        if row.get("error") is not None or path is None:
            continue
        folder = UNSURE if row.get("unsure") else folders[row["class"]]
        if folder not in names:
            _make_folder(out / folder)
            names[folder] = _Names()
            counts[folder] = 0
        target = out / folder / names[folder].free(safe_name(path.name))
        if why := _place(path, target, link=link):
            gone += 1
            first += [f"{as_text(str(path))}: {why}"] if gone <= _NAMED else []
        else:
            counts[folder] += 1
    return Sorted(counts, gone, tuple(first))


def safe_name(text: str) -> str:
    """A text as one file name that any system takes and shows: no separators, not "..", not hidden, not too long."""
    plain = unicodedata.normalize("NFC", as_text(text))
    kept = "".join("_" if unicodedata.category(c)[0] == "C" or c in "\u2028\u2029" else c for c in plain)
    name = _UNFIT.sub("_", kept).strip(" ").rstrip(" .")
    name = f"_{name[1:]}" if name.startswith(".") else name
    if not name or _RESERVED.fullmatch(name):
        name = f"_{name}"
    return _fitted(name)


class _Names:
    """Names in use in one folder, as a file system compares them that does not tell cases apart."""

    def __init__(self, taken: Iterable[str] = (), *, suffixes: bool = True) -> None:
        self._taken = {_folded(name) for name in taken}
        self._next: dict[str, int] = {}
        self._suffixes = suffixes

    def free(self, name: str) -> str:
        """The name, or one with a number if it is taken, before its suffix; it is taken from now on."""
        found, key = name, _folded(name)
        number = self._next.get(key, 2)
        while _folded(found) in self._taken:
            found, number = _fitted(name, f"-{number}", suffix=self._suffixes), number + 1
        if found != name:
            self._next[key] = number
        self._taken.add(_folded(found))
        return found


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def _fitted(name: str, mark: str = "", *, suffix: bool = True) -> str:
    """A name with a mark at its end, or before its suffix; what is too long is cut before that."""
    stem, ending = os.path.splitext(name)
    if not suffix or len(ending) > _MAX_SUFFIX:
        stem, ending = name, ""
    room = MAX_NAME_BYTES - len((mark + ending).encode())
    return stem.encode()[:room].decode(errors="ignore").rstrip(" .") + mark + ending


def _make_folder(folder: Path) -> None:
    """Raises StorageError if it is there and a link, or no folder."""
    try:
        folder.mkdir(exist_ok=True)
        mode = folder.lstat().st_mode
    except OSError as error:
        raise os_error(error, "write", folder) from error
    if not stat.S_ISDIR(mode):
        raise StorageError(f"{folder} is a link", "remove it, or sort into another folder")
    sweep_stale(folder)


def _place(path: Path, target: Path, *, link: bool) -> str | None:
    """Put an image at its place unless it is there; why it cannot be read any more, or None. Raises StorageError."""
    if link:
        _link(Path(os.path.abspath(path)), target)
        return None
    try:
        source = path.open("rb")
    except OSError as error:
        return f"cannot be read any more: {error.strerror or error}"
    with source:
        _copy(source, target)
    return None


def _copy(source: IO[bytes], target: Path) -> None:
    """A copy with the time of the original, by which it is known to be whole."""
    about = os.fstat(source.fileno())
    with suppress(OSError):
        there = target.lstat()
        if stat.S_ISREG(there.st_mode) and (there.st_size, there.st_mtime_ns) == (about.st_size, about.st_mtime_ns):
            return
        if stat.S_ISLNK(there.st_mode):
            target.unlink()  # an atomic write would go through it
    with atomic_path(target) as temporary:
        with temporary.open("wb") as file:
            shutil.copyfileobj(source, file)
        os.utime(temporary, ns=(about.st_atime_ns, about.st_mtime_ns))


def _link(original: Path, target: Path) -> None:
    if not (target.is_symlink() and os.readlink(target) == str(original)):
        atomic_link(original, target)
