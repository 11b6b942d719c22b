"""Terminal input and output: single keys if supported, otherwise whole lines, and text wrapped to the width.

The cursor is never moved and nothing is cleared, so resizing, narrow windows and plain terminals (TERM=dumb) are safe.
"""

from __future__ import annotations

import os
import select
import shutil
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from mocoop.cli import printable

NARROWEST = 20  # columns; below that, wrapping is left to the terminal
WIDEST = 100


def has_terminal() -> bool:
    """Whether stdin and stdout are both terminals."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))


class Terminal:
    """The terminal on stdin and stdout."""

    def __init__(self) -> None:
        self.plain = os.environ.get("TERM", "dumb") == "dumb" or _termios() is None
        self._coloured = not self.plain and not os.environ.get("NO_COLOR")

    @property
    def columns(self) -> int:
        """The current width; it may change during the session."""
        return min(max(shutil.get_terminal_size().columns, NARROWEST), WIDEST)

    def show(self, text: str = "", *, indent: int = 0, **style: Any) -> None:
        """Print a text, wrapped to the width, with control characters escaped."""
        room, margin = self.columns - 1, " " * indent
        rows = textwrap.wrap(printable(text), room, initial_indent=margin, subsequent_indent=margin) or [""]
        click.echo(click.style("\n".join(rows), **style) if self._coloured and style else "\n".join(rows))

    def key(self, prompt: str) -> str:
        """Read one key, without Enter; in a plain terminal, the first letter of a line.

        Raises EOFError at end of input, KeyboardInterrupt.
        """
        if self.plain:
            return self.line(prompt).strip()[:1]
        with _single_keys() as handle:  # before the prompt: who answers at once is heard as a key, not as a line
            click.echo(prompt, nl=False)
            sys.stdout.flush()
            pressed = _one_key(handle)
        click.echo(printable(pressed) if pressed.isprintable() else "")
        return pressed

    def line(self, prompt: str, given: str = "") -> str:
        """Read a line; `given` is pre-filled for editing if the terminal supports that."""
        edited = not self.plain and _readline() is not None  # imported, it takes over `input`
        if given and not edited:
            self.show(f"now: {given}")
        with _prefilled("" if self.plain else given):
            return input(prompt)

    def typed(self) -> str:
        """What stands typed in the line that is being read; nothing where the terminal itself edits it."""
        readline = None if self.plain else _readline()
        return str(readline.get_line_buffer()) if readline else ""


def _termios() -> Any:
    try:
        import termios
    except ImportError:  # Windows: keys need Enter there
        return None
    return termios


def _readline() -> Any:
    try:
        import readline
    except ImportError:
        return None
    return readline


@contextmanager
def _prefilled(text: str) -> Iterator[None]:
    readline = _readline() if text else None
    if readline is None:
        yield
        return
    readline.set_startup_hook(lambda: readline.insert_text(text))
    try:
        yield
    finally:
        readline.set_startup_hook()


@contextmanager
def _single_keys() -> Iterator[int]:
    """Unbuffered input: keys arrive as they are typed; type-ahead is kept, and Ctrl-C still interrupts."""
    import termios
    import tty

    handle = sys.stdin.fileno()
    earlier = termios.tcgetattr(handle)
    tty.setcbreak(handle, termios.TCSADRAIN)
    try:
        yield handle
    finally:
        termios.tcsetattr(handle, termios.TCSADRAIN, earlier)


def _one_key(handle: int) -> str:
    """Read one character; an arrow or function key is returned as Escape and its other bytes are discarded."""
    read = os.read(handle, 1)
    if read in (b"", b"\x04", b"\x00"):  # Ctrl-D: end of input; NUL is what Linux keeps of one typed between two keys
        raise EOFError
    if read == b"\x1b":
        while select.select([handle], [], [], 0.02)[0] and os.read(handle, 1):
            pass
        return "\x1b"
    while read[0] >= 0xC0 and len(read) < _utf8_length(read[0]):
        read += os.read(handle, 1)
    return read.decode("utf-8", errors="replace")


def _utf8_length(first: int) -> int:
    return 2 if first < 0xE0 else 3 if first < 0xF0 else 4
