"""What is being typed lies on disk while it is, so that a closed terminal, a kill or a power cut does not lose it.

A text that is open in an editor lies in a private folder under `files.state_root()`. The folder is locked by the
process and removed when the edit ends; one that is neither locked nor removed was left by a process that died. When
their terminal closes, editors put what was not saved beside the file (vim a swap file, nano `.save`, emacs `#...#`),
and vim finds it there again. A line that was being typed at the screen of a review is kept as one small file.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from mocoop import files
from mocoop.errors import StorageError

_SMALL = 1024 * 1024  # bytes of the JSON files here


@dataclass(frozen=True)
class Draft:
    """An edit that was cut off: the file in its private folder, and which group was edited (None: the whole file)."""

    path: Path
    group: str | None

    def read(self) -> bytes:
        """The newest text: the file, or what nano or emacs saved of it as the terminal closed. Raises StorageError."""
        named = (self.path.name, f"{self.path.name}.save", f"#{self.path.name}#")
        there = [path for path in map(self.path.with_name, named) if path.is_file()]
        if not there:
            raise StorageError(f"{self.path} is no longer there", "edit again, without --resume")
        newest = max(there, key=lambda path: path.stat().st_mtime_ns)
        return files.read_bytes(newest, max_bytes=files.MAX_JSON_BYTES, what="kept edit")


@dataclass(frozen=True)
class Line:
    """A line that was being typed: at which prompt, about which template."""

    prompt: str
    about: str
    typed: str


@contextmanager
def workplace(path: str, name: str, group: str | None, text: bytes, draft: Draft | None = None) -> Iterator[Path]:
    """The file to open in an editor, in a private folder that is removed at the end.

    `draft` is taken up where it lies, so that an editor finds what it saved; if this ends in an error and the editor's
    own files are still there, they stay. Without a state folder, a temporary one serves. Raises StorageError.
    """
    try:
        folder = draft.path.parent if draft else _new_folder()
        place = folder / name
        if not (draft and place.is_file() and place.read_bytes() == text):
            place.write_bytes(text)
        if draft is None:
            named = os.fsencode(name).decode("latin-1")  # a name need not be UTF-8
            told = {"of": _key(path), "group": group, "name": named, "before": files.sha256_bytes(text)}
            files.write_json(_about(folder), told)
    except OSError as error:
        raise files.os_error(error, "make a place to edit in", files.state_root()) from error
    with files.folder_locked(folder):
        try:
            yield place
        except BaseException:
            if _only(place):
                _remove(folder)
            raise
        _remove(folder)


def left_behind(path: str) -> list[Draft]:
    """The edits of a file that were cut off, the newest first; those that changed nothing are removed."""
    with suppress(OSError):
        folders = [entry for entry in _root().iterdir() if entry.is_dir()]
        ordered = sorted(folders, key=lambda entry: entry.stat().st_mtime, reverse=True)
        return [draft for folder in ordered if not _in_use(folder) and (draft := _draft(folder, _key(path)))]
    return []


def _draft(folder: Path, key: str) -> Draft | None:
    try:
        about = files.read_json(_about(folder), max_bytes=_SMALL)
        if about["of"] != key:
            return None
        name = os.fsdecode(about["name"].encode("latin-1"))
        draft = Draft(folder / Path(name).name, about["group"])
        if _only(draft.path) and files.sha256_file(draft.path) == about["before"]:
            _remove(folder)
            return None
    except (StorageError, KeyError, TypeError, ValueError, AttributeError, OSError):
        return None
    return draft


def keep_line(path: str, line: Line) -> None:
    """Keep a half-typed line for the next start. Raises nothing: there is nobody left to tell."""
    with suppress(OSError, StorageError):
        _root().mkdir(parents=True, mode=0o700, exist_ok=True)
        typed = line.typed.encode("utf-8", "backslashreplace").decode()  # as the terminal sent it
        files.write_json(_line(path), {**asdict(line), "typed": typed})


def take_line(path: str) -> Line | None:
    """The line that was being typed when the terminal closed, once; None if there was none."""
    try:
        line = Line(**files.read_json(_line(path), max_bytes=_SMALL))
        _line(path).unlink(missing_ok=True)
    except (StorageError, TypeError, OSError):
        return None
    return line if all(isinstance(value, str) for value in asdict(line).values()) else None


def drop_line(path: str) -> None:
    """Keep no half-typed line any more: it was entered, or given up. Raises nothing."""
    with suppress(OSError):
        _line(path).unlink(missing_ok=True)


def read_kept(read: Callable[[], str], typed: Callable[[], str], keep: Callable[[str], None]) -> str:
    """The line that `read` gives; if the terminal closes meanwhile, `keep` gets what was typed, and the process ends.

    `typed` tells what stands in the line so far. It is asked ten times a second, since readline empties the line as the
    terminal closes.
    """
    seen = ""

    def look(*_: object) -> None:
        nonlocal seen
        seen = typed()

    def closed(number: int, _frame: object) -> None:
        keep(typed() or seen)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    if not hasattr(signal, "SIGHUP") or threading.current_thread() is not threading.main_thread():
        return read()
    earlier = [signal.signal(signal.SIGHUP, closed), signal.signal(signal.SIGALRM, look)]
    signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
    try:
        return read()
    except EOFError:  # the end of a closed terminal may be read before the signal comes
        keep(seen)
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGHUP, earlier[0])
        signal.signal(signal.SIGALRM, earlier[1])


def _root() -> Path:
    return files.state_root() / "edits"


def _key(path: str) -> str:
    return files.sha256_bytes(os.fsencode(os.path.realpath(path)))


def _line(path: str) -> Path:
    return _root() / f"{_key(path)}.line.json"


def _about(folder: Path) -> Path:
    """Of which file a folder holds an edit; beside it, so that an editor shows a short path."""
    return folder.with_name(f"{folder.name}.json")


def _new_folder() -> Path:
    try:
        _root().mkdir(parents=True, mode=0o700, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix="", dir=_root()))
    except OSError:
        return Path(tempfile.mkdtemp(prefix="mocoop-edit-"))


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        _about(folder).unlink()


def _only(place: Path) -> bool:
    """Whether an editor left nothing beside the text."""
    with suppress(OSError):
        return all(entry.name == place.name for entry in place.parent.iterdir())
    return True


def _in_use(folder: Path) -> bool:
    """Whether a living process holds the folder's lock."""
    try:
        import fcntl

        handle = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False
