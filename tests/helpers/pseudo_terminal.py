"""A person at a terminal, for tests: runs a command in a pseudo-terminal, waits for what it shows, and types."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from grouping_cli import ROOT

PATIENCE = 40.0  # seconds until something is shown; far above what it takes


def _at_a_terminal() -> None:
    """Make stdin the terminal of this process, whose end counts although the tests may run under nohup."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


class Terminal:
    """`mocoop-groups` in a terminal of a given width; `expect` reads up to a text, `type` sends keys."""

    def __init__(self, *arguments: str | Path, columns: int = 100, **environment: str | None) -> None:
        self._mine, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
        # a runner may have set the size of its own terminal, which would hide that of this one
        set_ = {**os.environ, "COLUMNS": None, "LINES": None, "TERM": "xterm", **environment}
        command = [sys.executable, "-m", "mocoop.grouping.commands", *map(str, arguments)]
        options: dict[str, Any] = {"stdin": theirs, "stdout": theirs, "stderr": theirs, "start_new_session": True}
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={name: value for name, value in set_.items() if value is not None},
            preexec_fn=_at_a_terminal,
            **options,
        )
        os.close(theirs)
        self.shown = ""
        self._seen = 0

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        self.hang_up()

    def expect(self, text: str) -> str:
        """Wait until a text is shown after what was expected before; gives what came up to it."""
        deadline = time.monotonic() + PATIENCE
        while (found := self.plain().find(text, self._seen)) < 0:
            if not self._read(deadline):
                raise AssertionError(
                    f"{text!r} was not shown after {self.plain()[: self._seen][-80:]!r}: {self.rest()!r}"
                )
        before, self._seen = self.plain()[self._seen : found], found + len(text)
        return before

    def type(self, keys: str) -> None:
        os.write(self._mine, keys.encode())

    def insist(self, keys: str) -> None:
        """Type until the process ends, as a person would: a key is lost if it comes while the terminal changes its
        mode between the question and the reading of its answer.
        """
        for _ in range(4):
            with contextlib.suppress(OSError):  # it ended meanwhile
                self.type(keys)
            deadline = time.monotonic() + PATIENCE / 4
            while self.process.poll() is None and time.monotonic() < deadline:
                self._read(time.monotonic() + 0.1)

    def resize(self, columns: int) -> None:
        fcntl.ioctl(self._mine, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))

    def ended(self) -> int:
        """The exit code, after everything shown was read."""
        deadline = time.monotonic() + PATIENCE
        while self._read(deadline):
            pass
        return self.process.wait(PATIENCE)

    def hang_up(self) -> None:
        """Close the terminal's window."""
        with contextlib.suppress(OSError):
            os.close(self._mine)

    def rest(self) -> str:
        return self.plain()[self._seen :]

    def plain(self) -> str:
        """What was shown, without colours and with plain line ends."""
        return re.sub(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|[=>])", "", self.shown).replace("\r\n", "\n")

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._mine], [], [], max(deadline - time.monotonic(), 0))
        try:
            data = os.read(self._mine, 65536) if ready else b""
        except OSError:  # the other side is gone
            data = b""
        self.shown += data.decode("utf-8", errors="replace")
        return bool(data)
