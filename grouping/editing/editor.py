"""Editing a text in the user's editor: which editor, at which line, repeated until the text is valid.

`edit_text` opens a text and reads it back; errors are shown and the editor is reopened at the line, as often as the
user wants. The caller interprets the text and says where it lies (`mocoop.grouping.editing.drafts`). An edit is never
lost: if the user gives up, it is returned in `Abandoned`.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
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
_MUST_WAIT = {*_GOTO, "subl", "zed", "gvim"}  # these return at once unless given a wait option
_FALLBACKS = ("nano", "vi", "vim")


class Abandoned(Exception):
    """An edited text that the user gave up on, and the reason: an error, or Ctrl-C."""

    def __init__(self, text: bytes, reason: MoCoOpError | KeyboardInterrupt) -> None:
        super().__init__()
        self.text = text
        self.reason = reason


def find_editor(*, terminal: bool) -> list[str]:
    """The command of $VISUAL, $EDITOR, or an installed editor. Raises UsageError if there is none.

    Without a terminal only $VISUAL and $EDITOR are considered, as they may not need a screen.
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
    """The command that opens a file at a line; without the line if the editor's syntax for it is not known."""
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
    path: Path,
    make: Callable[[bytes], Made],
    ask: Callable[[MoCoOpError], bool],
    *,
    before: bytes,
    line: int = 1,
    terminal: bool = True,
) -> Made | None:
    """Let the user edit a text until `make` accepts it; None if it is unchanged.

    Arguments:
        path: the file to open, in a private folder; editors show its name and use it for syntax highlighting.
        make: processes the edited text, or raises a MoCoOpError.
        ask: shows a GroupFileError or UsageError of `make` and returns whether to reopen the editor.
        before: the text that counts as unchanged.
        line: the line to open at.
        terminal: whether a terminal is available.

    Raises Abandoned if the user gives up a changed text, and UsageError for an editor that cannot be started.
    """
    editor, text = find_editor(terminal=terminal), _read(path)
    try:
        return _until_right(editor, path, before, make, ask, line)
    except (MoCoOpError, KeyboardInterrupt) as reason:
        latest = _read(path) if path.exists() else text
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
    """The line of the first error among the findings of an exception."""
    findings = error.findings if isinstance(error, GroupFileError) else ()
    return next((finding.line for finding in findings if finding.severity == "error"), 1)


def _run(command: list[str]) -> None:
    """Run the editor and wait for it; Ctrl-C goes to the editor until it exits. Raises UsageError."""
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
    except ValueError:  # not the main thread, which alone receives Ctrl-C
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
