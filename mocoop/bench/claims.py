"""Which cells are done and who runs which.

A claim is a file lock, which the operating system frees when a process ends, however it ends. Beside the locks lie the
failures of this comparison, so that no other process tries again what has just failed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mocoop.bench.rows import read_rows
from mocoop.files import atomic_write


class Claims:
    """The claims on the cells of one results file, in a folder beside it."""

    def __init__(self, results: Path) -> None:
        from filelock import FileLock

        self._folder = results.with_name(f"{results.name}.claims")
        self._lock, self._mine = FileLock, dict[str, FileLock]()

    def take(self, key: str) -> bool:
        """Claim a cell; False where another process has it."""
        from filelock import Timeout

        self._folder.mkdir(parents=True, exist_ok=True)
        lock = self._lock(self._folder / f"{key}.lock")
        try:
            lock.acquire(timeout=0)
        except (Timeout, FileNotFoundError):  # the folder may go when another process ends
            return False
        self._mine[key] = lock
        return True

    @contextmanager
    def held(self, key: str) -> Iterator[None]:
        """A claim that was taken, until the end of the block.

        Its file goes first: whoever waits for it finds the row, or the failure, that the block has left.
        """
        try:
            yield
        finally:
            with suppress(OSError):
                (self._folder / f"{key}.lock").unlink()
            self._mine.pop(key).release()

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
        """Failed cells may be tried again: the data may have been mended."""
        for path in self._folder.glob("*.failed"):
            path.unlink(missing_ok=True)

    def tidy(self) -> None:
        """Remove the folder where nothing is left in it."""
        with suppress(OSError):
            self._folder.rmdir()


class Done:
    """The keys of the rows there are. Rows are checked once; of a file that grows only what is new is read."""

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
        whole = added[: added.rfind(b"\n") + 1]  # the rest is being written, or was cut short
        self._keys |= {json.loads(line)["key"] for line in whole.split(b"\n") if line.strip()}
        self._read += len(whole)
        return self._keys
