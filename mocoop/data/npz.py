"""Reading an untrusted .npz file.

Arrays of Python objects are refused: reading one would run code from the file. Sizes are checked against the headers
before anything is allocated. What the arrays mean is up to the caller.

Large ones are not held in memory: every member is read in blocks to its end, which checks its CRC. Rows of a stored
member then stay where they are in the file. Those of a compressed one, or of one whose order is Fortran's, cannot be
read one by one there; they are written once, unpacked, into a temporary file without a name in the cache's folder (the
system's folder for temporary files is often in memory), as read-only rows that go when they are no longer used.
"""

from __future__ import annotations

import lzma
import math
import struct
import sys
import tempfile
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from mocoop.data.storedrows import BLOCK_BYTES, StoredRows, check_floats, read_at
from mocoop.errors import DataError, StorageError
from mocoop.files import cache_root

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_BYTES = 16 * 1024**3  # per array: ImageNet's training set with D = 768 takes 4 GB
MAX_INFLATION = 200  # a higher compression ratio is taken for a zip bomb
MAX_DIMENSIONS = 32  # what every numpy can have

# What numpy's reader of headers lets out: they are Python literals, and some are tokenised again.
_UNREADABLE = (ValueError, TypeError, SyntaxError, tokenize.TokenError, RecursionError, MemoryError)

# The same of zipfile and its unpackers; what zipfile raises for a compression it does not know is a RuntimeError too.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    RuntimeError,
    ValueError,
    LookupError,
    OverflowError,
)


@dataclass(frozen=True)
class Npz:
    """An open .npz; `names` are the names of its arrays."""

    path: Path
    file: IO[bytes]
    archive: zipfile.ZipFile
    names: Mapping[str, zipfile.ZipInfo]

    def array(self, name: str) -> NDArray[Any]:
        """One of its arrays, read-only. Raises DataError."""
        import numpy as np

        with self._member(name) as member:
            flat = _checked_text(np.frombuffer(b"".join(member.blocks()), dtype=member.dtype), member.where)
        return flat.reshape(member.shape, order="F" if member.fortran else "C")

    def strings(self, name: str, max_bytes: int) -> list[str]:
        """An array of strings as a list. Raises DataError."""
        import numpy as np

        with self._member(name) as member:
            size = math.prod(member.shape) * member.dtype.itemsize
            if len(member.shape) != 1 or member.dtype.kind != "U" or size > max_bytes:
                message = f"{self.path}: {name} are {member.dtype} of shape {member.shape}"
                raise DataError(message, "write them as np.array(list_of_strings)")
            found: list[str] = []
            for block in member.blocks():
                found += _checked_text(np.frombuffer(block, member.dtype), member.where).tolist()
            return found

    def rows(self, name: str) -> StoredRows:
        """A matrix of floats, whose rows stay on disk. Raises DataError, StorageError."""
        with self._member(name) as member:
            shape = check_floats(member.shape, member.dtype, self.path)
            info = self.names[name]
            if info.compress_type == zipfile.ZIP_STORED and not member.fortran:
                for _ in member.blocks():  # to the end, where the CRC is checked
                    pass
                start = _data_start(self.file, info) + member.header
                return StoredRows(self.file, self.path, start, shape, member.dtype)
            try:
                with _spool() as unpacked:
                    for block in member.blocks():
                        unpacked.write(block)
                    unpacked.flush()
                    if not member.fortran:
                        return StoredRows(unpacked, self.path, 0, shape, member.dtype)
                    with _spool() as turned:
                        _turn(unpacked, turned, shape, member.dtype)
                        return StoredRows(turned, self.path, 0, shape, member.dtype)
            except OSError as error:
                raise StorageError(
                    f"cannot unpack {self.path} below {cache_root()}: {error.strerror or error}",
                    "make room there, set MOCOOP_CACHE to another folder, or write it with np.savez",
                ) from error

    @contextmanager
    def _member(self, name: str) -> Iterator[_Member]:
        """One array, after its header; numpy's own reader allocates what a header says before checking the data."""
        info = self.names[name]
        where = f"{self.path}: {info.filename}"
        if info.file_size > MAX_BYTES or info.file_size > MAX_INFLATION * max(info.compress_size, 1 << 16):
            message = f"{where}: {info.file_size:,} bytes when unpacked"
            raise DataError(message, "write it with np.savez, in smaller files")
        with self.archive.open(info) as file:
            shape, fortran, dtype, header = _npy_header(file, where)
            if dtype.hasobject:
                raise DataError(f"{where} is an array of Python objects", "write strings as np.array(list_of_strings)")
            if math.prod(shape) * dtype.itemsize != info.file_size - header:
                raise _wrong_size(where, shape)
            yield _Member(file, where, shape, fortran, dtype, header)


@dataclass(frozen=True)
class _Member:
    """What the header of an array says, its length in bytes, and the file at its end."""

    file: IO[bytes]
    where: str
    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    header: int

    def blocks(self) -> Iterator[bytes]:
        """Its numbers, whole ones, to the end. Raises DataError if there are fewer than its shape says."""
        left = math.prod(self.shape) * self.dtype.itemsize
        step = max(1, BLOCK_BYTES // max(1, self.dtype.itemsize)) * max(1, self.dtype.itemsize)
        while left:
            block = self.file.read(min(step, left))
            if len(block) < min(step, left):
                raise _wrong_size(self.where, self.shape)
            left -= len(block)
            yield block
        self.file.read(1)  # at its end the CRC is checked


@contextmanager
def open_npz(path: Path) -> Iterator[Npz]:
    """Open a .npz for reading. Raises DataError if it is damaged, OSError if it cannot be read."""
    try:
        with open(path, "rb") as file, zipfile.ZipFile(file) as archive:
            yield Npz(path, file, archive, {info.filename.removesuffix(".npy"): info for info in archive.infolist()})
    except DataError:  # a ValueError too, but it says what it is about
        raise
    except _DAMAGE as error:
        raise DataError(f"{path}: damaged or no .npz file: {error}", "write it again with np.savez") from error


def _checked_text(flat: NDArray[Any], where: str) -> NDArray[Any]:
    """The same array, if all of its text, where it holds any, is characters: numpy (2.4) makes a str of others too."""
    if flat.dtype.kind == "U" and flat.nbytes and flat.view(f"{flat.dtype.str[0]}u4").max() > sys.maxunicode:
        raise DataError(f"{where} holds what is no character", "write strings as np.array(list_of_strings)")
    return flat


def _wrong_size(where: str, shape: tuple[int, ...]) -> DataError:
    return DataError(f"{where}: its size does not fit its shape {shape}", "write it again with np.savez")


def _data_start(file: IO[bytes], info: zipfile.ZipInfo) -> int:
    """Where the bytes of a stored member begin: after its local header, which zipfile has checked on opening it."""
    fixed = read_at(file.fileno(), info.header_offset, 30)
    name, extra = (int.from_bytes(fixed[at : at + 2], "little") for at in (26, 28))
    return info.header_offset + len(fixed) + name + extra


def _spool() -> IO[bytes]:
    """A temporary file without a name: nothing is left of it, however the process ends."""
    with suppress(OSError):
        cache_root().mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryFile(dir=cache_root())
    return tempfile.TemporaryFile()


def _turn(columns: IO[bytes], rows: IO[bytes], shape: tuple[int, int], dtype: np.dtype[Any]) -> None:
    """Write a matrix that is stored column by column as rows."""
    import numpy as np

    count, width = shape
    step = max(1, BLOCK_BYTES // (width * dtype.itemsize))
    for start in range(0, count, step):
        size = min(step, count - start)
        parts = [
            read_at(columns.fileno(), (column * count + start) * dtype.itemsize, size * dtype.itemsize)
            for column in range(width)
        ]
        block = np.frombuffer(b"".join(parts), dtype=dtype).reshape(width, size)
        rows.write(block.T.tobytes())
    rows.flush()


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
        if not dtype.itemsize:
            raise ValueError(f"its values have no bytes: {dtype}")
    except _UNREADABLE as error:
        why = " ".join(str(error).split())[:120]
        raise DataError(f"{where} is no array: {why}", "write it again with np.savez") from error
    return shape, fortran, dtype, file.tell()
