"""Reading an untrusted .npz file.

Arrays of Python objects are refused: reading one would run code from the file. Sizes are checked against the headers
before anything is allocated. What the arrays mean is up to the caller.
"""

from __future__ import annotations

import math
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from mocoop.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_BYTES = 16 * 1024**3  # per array: ImageNet's training set with D = 768 takes 4 GB
MAX_INFLATION = 200  # a higher compression ratio is taken for a zip bomb
MAX_DIMENSIONS = 32  # what every numpy can have

# What numpy's reader of headers lets out: they are Python literals, and some are tokenised again.
_UNREADABLE = (ValueError, TypeError, SyntaxError, tokenize.TokenError, RecursionError, MemoryError)


@dataclass(frozen=True)
class Npz:
    """An open .npz; `names` are the names of its arrays."""

    path: Path
    archive: zipfile.ZipFile
    names: Mapping[str, zipfile.ZipInfo]

    def array(self, name: str) -> NDArray[Any]:
        """One of its arrays, read-only. Raises DataError."""
        return _member(self.archive, self.names[name], self.path)


@contextmanager
def open_npz(path: Path) -> Iterator[Npz]:
    """Open a .npz for reading. Raises DataError if it is damaged, OSError if it cannot be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield Npz(path, archive, {info.filename.removesuffix(".npy"): info for info in archive.infolist()})
    # Nothing is unfinished here: NotImplementedError is what zipfile itself raises for a compression it does not know.
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{path}: damaged or no .npz file: {error}", "write it again with np.savez") from error


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> NDArray[Any]:
    """Read one array of a .npz; numpy's own reader allocates what a header says before checking the data."""
    import numpy as np

    where = f"{path}: {info.filename}"
    if info.file_size > MAX_BYTES or info.file_size > MAX_INFLATION * max(info.compress_size, 1 << 16):
        raise DataError(f"{where}: {info.file_size:,} bytes when unpacked", "write it with np.savez, in smaller files")
    with archive.open(info) as file:
        shape, fortran, dtype, header = _npy_header(file, where)
        if dtype.hasobject:
            raise DataError(f"{where} is an array of Python objects", "write strings as np.array(list_of_strings)")
        if math.prod(shape) * dtype.itemsize != info.file_size - header:
            raise DataError(f"{where}: its size does not fit its shape {shape}", "write it again with np.savez")
        flat = np.frombuffer(file.read(), dtype=dtype)
    return flat.reshape(shape, order="F" if fortran else "C")


def _npy_header(file: IO[bytes], where: str) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Shape, whether the order is Fortran, dtype, and the length of the header in bytes."""
    from numpy.lib import format as npy

    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    try:
        version = npy.read_magic(file)
        if version not in readers:
            raise ValueError(f"version {version} of the format")
        shape, fortran, dtype = readers[version](file)
        if len(shape) > MAX_DIMENSIONS or not all(type(size) is int and size >= 0 for size in shape):
            raise ValueError(f"shape is not valid: {shape}")
        if dtype.subdtype is not None:
            raise ValueError(f"descr is an array of its own: {dtype}")
    except _UNREADABLE as error:
        why = " ".join(str(error).split())[:120]
        raise DataError(f"{where} is no array: {why}", "write it again with np.savez") from error
    return shape, fortran, dtype, file.tell()
