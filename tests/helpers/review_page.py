"""`mocoop-groups review --web` as a process of its own, for tests with and without a browser."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class ReviewServer:
    """The page of a file; `address` is that of the page."""

    def __init__(self, path: Path, *options: object, **environment: str) -> None:
        command = [sys.executable, "-m", "mocoop.grouping.commands", "review", str(path), "--web", "--no-browser"]
        self.process = subprocess.Popen(
            [*command, *map(str, options)],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        )
        self.said: list[str] = []
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line)
            if found := re.search(r"http://127\.0\.0\.1:\d+/\S+/", line):
                self.address = found[0]
                break
        else:
            raise AssertionError(f"the page did not start: {''.join(self.said)}")
        self._reader = threading.Thread(target=lambda: self.said.extend(self.process.stderr or ()), daemon=True)
        self._reader.start()

    def ask(self, path: str, body: Any = None) -> Any:
        """The JSON answer to a request for an address below the page."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def do(self, version: int, **operation: Any) -> Any:
        """One operation."""
        return self.ask("api/do", {"version": version, "operation": operation})

    def end(self, how: signal.Signals = signal.SIGINT) -> int:
        """Send a signal, wait, and give the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        code = self.process.wait(timeout=60)
        self._reader.join(timeout=10)
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code


@contextlib.contextmanager
def reviewing(path: Path, *options: object, **environment: str) -> Iterator[ReviewServer]:
    """The page of a file for a while; what meanings are is compared by wording alone, which starts at once."""
    server = ReviewServer(path, "--lexical", *options, **environment)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.end(signal.SIGKILL)
