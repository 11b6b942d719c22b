"""A server in a process of its own, and plain HTTP to it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FORM = "----a-form"


class Server:
    """`mocoop serve` on a free port of the loopback, from which it says what it prints."""

    def __init__(self, model: Path, *options: object, python: str = sys.executable, cwd: Path | None = None) -> None:
        command = [python, "-m", "mocoop", "serve", str(model), "--port", "0", "--threads", "1"]
        self.process = subprocess.Popen(
            [*command, *map(str, options)],
            stderr=subprocess.PIPE,
            text=True,
            cwd=cwd,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        self.said: list[str] = []
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line)
            if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
                self.port = int(found[1])
                break
        else:
            raise AssertionError(f"the server did not start: {''.join(self.said)}")
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.said += list(self.process.stderr)

    def ask(
        self,
        path: str,
        body: bytes | None = None,
        kind: str = "image/png",
        *,
        method: str | None = None,
        headers: dict[str, str] | None = None,
        timeout: float = 30,
    ) -> tuple[int, Any, http.client.HTTPResponse]:
        """Status, content (JSON if it is that, else bytes) and the response with its headers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        with contextlib.closing(connection):
            all_headers = {**({"Content-Type": kind} if body is not None else {}), **(headers or {})}
            connection.request(method or ("GET" if body is None else "POST"), path, body, all_headers)
            response = connection.getresponse()
            content = response.read()
        is_json = response.headers.get_content_type() == "application/json"
        return response.status, json.loads(content) if is_json else content, response

    def metric(self, name: str) -> float:
        """The value of one line of /metrics, 0 if it is not there."""
        text = self.ask("/metrics")[1].decode()
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, wait, and give the exit code."""
        self.process.send_signal(how)
        code = self.process.wait(timeout=60)
        self._reader.join(timeout=10)
        return code


@contextlib.contextmanager
def serving(model: Path, *options: object, **where: Any) -> Iterator[Server]:
    """A server for a while."""
    server = Server(model, *options, **where)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()
        server._reader.join(timeout=10)
        assert server.process.stderr is not None
        server.process.stderr.close()


def form(*files: tuple[str, bytes]) -> tuple[bytes, str]:
    """The body and content type of a form with files."""
    parts = [
        f'--{FORM}\r\nContent-Disposition: form-data; name="images"; filename="{name}"\r\n\r\n'.encode()
        + data
        + b"\r\n"
        for name, data in files
    ]
    return b"".join(parts) + f"--{FORM}--\r\n".encode(), f"multipart/form-data; boundary={FORM}"
