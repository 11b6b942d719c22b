"""Which cells are done and which process runs which.

A claim is a file lock, which the operating system releases when a process ends, however it ends. Next to the locks
are the failures of this comparison, so that no other process retries what has just failed.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from mocoop.bench.rows import read_rows, whole_lines
from mocoop.files import atomic_write


class Claims:
    """The claims on the cells of one results file, in a folder next to it."""

    def __init__(self, results: Path) -> None:
        from filelock import FileLock

        self._folder = results.with_name(f"{results.name}.claims")
        self._lock, self._mine = FileLock, dict[str, FileLock]()

    def take(self, key: str) -> bool:
        """Claim a cell; False if another process has it."""
        from filelock import Timeout

        self._folder.mkdir(parents=True, exist_ok=True)
        lock = self._lock(self._folder / f"{key}.lock")
        try:
            lock.acquire(timeout=0)
        except (Timeout, FileNotFoundError):  # the folder may be removed when another process ends
            return False
        self._mine[key] = lock
        return True

    def release(self, key: str) -> None:
        """Give up a claim, after the row or the failure is written: a process that waits for it finds that.

        Its file is removed first.
        """
        with suppress(OSError):
            (self._folder / f"{key}.lock").unlink()
        self._mine.pop(key).release()

    def close(self) -> None:
        """Give up all claims, and remove the folder if it is empty."""
        for key in list(self._mine):
            self.release(key)
        self.tidy()

    def fail(self, key: str, why: str) -> None:
        """Remember that a cell failed."""
        self._folder.mkdir(parents=True, exist_ok=True)
        atomic_write(self._folder / f"{key}.failed", why)

    def failure(self, key: str) -> str | None:
        """Why a cell failed in this comparison, or None."""
        try:
            return (self._folder / f"{key}.failed").read_text(encoding="utf-8")
        except OSError:
            return None

    def forget_failures(self) -> None:
        """Let failed cells be tried again: the data may have been fixed."""
        for path in self._folder.glob("*.failed"):
            path.unlink(missing_ok=True)

    def tidy(self) -> None:
        """Remove the folder if it is empty."""
        with suppress(OSError):
            self._folder.rmdir()


class Done:
    """The keys of the rows in the results file. Each row is checked once; only appended lines are read again."""

    def __init__(self, results: Path) -> None:
        self._results, self._read = results, 0
        self._keys = {row["key"] for row in read_rows(results)}

    def __call__(self) -> set[str]:
        """The keys as of now."""
        if not self._results.is_file():
            return self._keys
        with self._results.open("rb") as file:
            file.seek(self._read)
            added = file.read()
        whole = whole_lines(added)  # the rest is still being written, or was cut off
        self._keys |= {json.loads(line)["key"] for line in whole.split(b"\n") if line.strip()}
        self._read += len(whole)
        return self._keys
