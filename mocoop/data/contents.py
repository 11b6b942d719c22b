"""The bytes of a picture, whether it is a file or inside an Arrow file (`mocoop.data.arrowfile`)."""

from __future__ import annotations

import os
from pathlib import Path

from mocoop.data import arrowfile
from mocoop.data.arrowfile import is_inside
from mocoop.errors import ImageError, StorageError
from mocoop.files import os_error, sha256_bytes, sha256_file

__all__ = [
    "MAX_BYTES",
    "check_is_file",
    "head_of",
    "is_inside",
    "is_there",
    "picture_bytes",
    "picture_sha256",
    "picture_size",
]

MAX_BYTES = 512 * 1024 * 1024


def picture_bytes(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """The bytes of a picture, of a file up to one more than `max_bytes`. Raises ImageError."""
    if is_inside(path):
        return arrowfile.picture(path, max_bytes)
    check_is_file(path)
    try:
        with path.open("rb") as file:
            return file.read(max_bytes + 1)
    except OSError as error:
        raise ImageError(path, f"cannot be read: {error.strerror or error}", "check the path") from error


def check_is_file(path: Path) -> None:
    """Raises ImageError for a folder, a pipe or the like."""
    if os.path.exists(path) and not os.path.isfile(path):  # reading a pipe could block forever
        raise ImageError(path, "not a file", "give the path of an image")


def head_of(path: Path, size: int) -> bytes:
    """The first bytes of a picture; none if it is no file. Raises ImageError, OSError."""
    if is_inside(path):
        return arrowfile.picture(path, MAX_BYTES)[:size]
    if not os.path.isfile(path):
        return b""
    with open(path, "rb") as file:
        return file.read(size)


def is_there(path: str | os.PathLike[str]) -> bool:
    """Whether a picture is where it is said to be."""
    return os.path.exists(path) or is_inside(Path(path))  # Path.exists raises for too long names


def picture_sha256(path: Path) -> str:
    """The hash of a picture's bytes. Raises StorageError."""
    if not is_inside(path):
        return sha256_file(path)
    try:
        return sha256_bytes(arrowfile.picture(path, MAX_BYTES))
    except ImageError as error:
        raise StorageError(error.message, error.hint) from error


def picture_size(path: Path) -> int:
    """The number of a picture's bytes. Raises StorageError."""
    if is_inside(path):
        try:
            return len(arrowfile.picture(path, MAX_BYTES))
        except ImageError as error:
            raise StorageError(error.message, error.hint) from error
    try:
        return os.stat(path).st_size
    except OSError as error:
        raise os_error(error, "read", path) from error
