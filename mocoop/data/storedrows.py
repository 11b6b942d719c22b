"""Rows of numbers that stay in their file, and are read when they are asked for.

A file of features may be larger than memory, and few shots use few of its rows. It is read by its own handle, not
mapped: a file that is cut while it is used is then an error like any other, not a bus error, and pages that were read
do not count as ours. One that is replaced under its name stays the one that was checked; one that is written to is
refused from then on.

N rows, D numbers in each.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from mocoop.errors import DataError
from mocoop.files import os_error

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BLOCK_BYTES = 1 << 22  # read at a time


class StoredRows:
    """N rows of floats in a file, (N, D); what is asked for comes as a new array of float32.

    Like an array as far as reading goes: `shape`, `len`, a row by its number, rows by a slice, numbers or a mask, and
    `np.asarray` for all. `blocks` gives all of them a few at a time. Raises DataError where the file cannot be read or
    has been written to since. It stays in its process: send the path to another.
    """

    def __init__(self, file: IO[bytes], path: Path, offset: int, shape: tuple[int, int], dtype: np.dtype[Any]) -> None:
        """`file` may be closed afterwards; `path` is for messages; the first row begins at `offset`."""
        import numpy as np

        self.shape, self.dtype = shape, np.dtype(np.float32)
        self._path, self._offset, self._stored = path, offset, dtype
        self._handle = os.dup(file.fileno())
        weakref.finalize(self, os.close, self._handle)
        self._stamp = self._now()

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, which: int | slice | Sequence[int] | NDArray[Any]) -> NDArray[np.float32]:
        import numpy as np

        if isinstance(which, slice):
            return self._gathered(np.arange(*which.indices(len(self))))
        if isinstance(which, (int, np.integer)):
            if not -len(self) <= which < len(self):
                raise IndexError(f"row {which} of {len(self)}")
            return self._read(int(which) % len(self), 1).reshape(self.shape[1])  # (D,)
        return self._gathered(np.arange(len(self))[np.asarray(which, dtype=None if len(which) else np.intp)])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        rows = self[:]
        return rows if dtype is None else rows.astype(dtype, copy=False)

    def __reduce__(self) -> str:
        raise TypeError("rows of a file stay in the process that opened it; send its path")

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """All rows in order, some megabytes at a time."""
        step = self._step
        for start in range(0, len(self), step):
            yield self._read(start, min(step, len(self) - start))

    @property
    def _step(self) -> int:
        return max(1, BLOCK_BYTES // (self.shape[1] * self._stored.itemsize))

    def _gathered(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """The rows with these numbers; those that follow each other in the file are read together."""
        import numpy as np

        found = np.empty((len(rows), self.shape[1]), dtype=np.float32)  # (n, D)
        starts = np.flatnonzero(np.diff(rows, prepend=-2) != 1).tolist()
        for start, stop in zip(starts, [*starts[1:], len(rows)], strict=False):  # no starts if there are no rows
            for at in range(start, stop, self._step):
                end = min(at + self._step, stop)
                found[at:end] = self._read(int(rows[at]), end - at)
        return found

    def _read(self, row: int, count: int) -> NDArray[np.float32]:
        import numpy as np

        width = self.shape[1] * self._stored.itemsize
        try:
            data = read_at(self._handle, self._offset + row * width, count * width)
            if len(data) < count * width or self._now() != self._stamp:
                raise DataError(f"{self._path} changed while it was in use", "run again when it is complete")
        except OSError as error:
            raise os_error(error, "read", self._path, DataError) from error
        values = np.frombuffer(data, dtype=self._stored).reshape(count, self.shape[1])
        with np.errstate(over="ignore"):
            return values.astype(np.float32)

    def _now(self) -> tuple[int, int]:
        found = os.fstat(self._handle)
        return found.st_size, found.st_mtime_ns


def read_at(handle: int, offset: int, size: int) -> bytes:
    """Bytes of an open file from an offset; fewer at its end. Other processes' and threads' places do not matter."""
    if hasattr(os, "pread"):
        return os.pread(handle, size, offset)
    os.lseek(handle, offset, os.SEEK_SET)  # Windows
    return os.read(handle, size)


def check_floats(shape: tuple[int, ...], dtype: np.dtype[Any], path: Path) -> tuple[int, int]:
    """The shape of features, (N, D). Raises DataError for anything but rows of floats."""
    if len(shape) != 2 or dtype.kind != "f" or 0 in shape:
        message = f"{path}: features are {dtype} of shape {shape}"
        raise DataError(message, "they should be floats of shape (images, dimensions)")
    return shape
