"""A person's editor around a text: which one, at which line, and until the text is right.

`edit_text` gives the text to the editor in a private folder and takes it back; what is wrong with it is shown and the
editor reopened at the line, as often as the person wants. What the text means is the caller's; it is never lost:
whoever gives up gets it back in `Abandoned`.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from mocoop.errors import GroupFileError, MoCoOpError, UsageError
from mocoop.files import os_error

Made = TypeVar("Made")

_PLUS_LINE = {"vi", "vim", "nvim", "view", "gvim", "nano", "pico", "emacs", "emacsclient", "kak", "micro", "joe", "mg"}
_GOTO = {"code", "code-insiders", "codium", "cursor"}
_COLON_LINE = {"subl", "hx", "helix", "zed"}
_MUST_WAIT = {*_GOTO, "subl", "zed", "gvim"}  # they return at once unless told to wait
_FALLBACKS = ("nano", "vi", "vim")


class Abandoned(Exception):
    """A text that a person changed and gave up on, and why: an error, or Ctrl-C."""

    def __init__(self, text: bytes, reason: MoCoOpError | KeyboardInterrupt) -> None:
        super().__init__()
        self.text = text
        self.reason = reason


def find_editor(*, terminal: bool) -> list[str]:
    """$VISUAL, $EDITOR, or an editor that is installed, as a command. Raises UsageError where there is none.

    Without a terminal only a named one will do: it may need no screen.
    """
    for name in ("VISUAL", "EDITOR"):
        value = os.environ.get(name, "").strip()
        if value:
            try:
                return shlex.split(value)
            except ValueError as error:
                raise UsageError(f"${name} cannot be read as a command: {error}", "check its quotes") from error
    found = next((editor for editor in _FALLBACKS if shutil.which(editor)), None) if terminal else None
    if found is None:
        where = "no editor was found" if terminal else "there is no terminal for an editor"
        raise UsageError(where, "name one in $VISUAL or $EDITOR, or change the file with add, remove, move, ...")
    return [found]


def at_line(editor: Sequence[str], path: str, line: int) -> list[str]:
    """The command that opens a file at a line, where the editor is one whose way is known; else just opens it."""
    name = Path(editor[0]).name.removesuffix(".exe")
    waiting = {"gvim": "--nofork"}.get(name, "--wait")
    given = {"-w", "-f", waiting} & set(editor)
    command = [*editor, waiting] if name in _MUST_WAIT and not given else list(editor)
    if line <= 1:
        return [*command, path]
    if name in _PLUS_LINE:
        return [*command, f"+{line}", path]
    if name in _GOTO:
        return [*command, "--goto", f"{path}:{line}"]
    return [*command, f"{path}:{line}" if name in _COLON_LINE else path]


def edit_text(
    text: bytes,
    name: str,
    make: Callable[[bytes], Made],
    ask: Callable[[MoCoOpError], bool],
    *,
    before: bytes | None = None,
    line: int = 1,
    terminal: bool = True,
) -> Made | None:
    """Let a person edit a text until `make` takes it; None where it is as it was.

    Arguments:
        text: what the editor shows first.
        name: of the temporary file, which editors show and choose their colours by.
        make: does what the text means, or raises a MoCoOpError.
        ask: shows a GroupFileError or UsageError of `make` and says whether to open the editor again.
        before: the text that counts as unchanged, where it is not `text`.
        line: where the editor opens.
        terminal: whether the editor has one.

    Raises Abandoned where a changed text was given up, and UsageError for an editor that cannot be started.
    """
    editor, before = find_editor(terminal=terminal), text if before is None else before
    with tempfile.TemporaryDirectory(prefix="mocoop-edit-") as folder:
        path = Path(folder) / name
        path.write_bytes(text)
        try:
            return _until_right(editor, path, before, make, ask, line)
        except (MoCoOpError, KeyboardInterrupt) as reason:
            latest = path.read_bytes() if path.exists() else text
            if latest == before:
                raise
            raise Abandoned(latest, reason) from reason


def _until_right(
    editor: Sequence[str],
    path: Path,
    before: bytes,
    make: Callable[[bytes], Made],
    ask: Callable[[MoCoOpError], bool],
    line: int,
) -> Made | None:
    while True:
        _run(at_line(editor, str(path), line))
        latest = _read(path)
        if latest == before:
            return None
        try:
            return make(latest)
        except (GroupFileError, UsageError) as error:
            if not ask(error):
                raise
            line = line_of(error)


def line_of(error: MoCoOpError) -> int:
    """The line of the first error among a refusal's findings."""
    findings = error.findings if isinstance(error, GroupFileError) else ()
    return next((finding.line for finding in findings if finding.severity == "error"), 1)


def _run(command: list[str]) -> None:
    """Wait for the editor; Ctrl-C is the editor's until it ends. Raises UsageError."""
    try:
        with _interrupts_are_the_editors():
            code = subprocess.run(command, check=False).returncode
    except OSError as error:
        hint = "name another in $VISUAL or $EDITOR"
        raise UsageError(f"the editor {command[0]} cannot be started: {error.strerror}", hint) from error
    if code != 0:
        raise UsageError(f"the editor {command[0]} ended with code {code}", "that counts as giving up")


@contextmanager
def _interrupts_are_the_editors() -> Iterator[None]:
    try:
        earlier = signal.signal(signal.SIGINT, lambda *_: None)  # unlike SIG_IGN, the editor does not inherit it
    except ValueError:  # not the main thread: there is no Ctrl-C here
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, earlier)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise os_error(error, "read back", path) from error
