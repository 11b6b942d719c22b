"""The pictures in a tar, one after another: nothing is unpacked to disk, and names are text only.

A tar is read header by header. What it says of itself is not believed: a picture's size is bounded, long names are
bounded, and what is not a plain file is never followed. tarfile's own reader is not used, since it takes a damaged
header in the middle of a file for its end, and reads a long name of any length into memory.
"""

from __future__ import annotations

import os
import posixpath
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from mocoop.bulk.items import MAX_INSIDE, Item, as_text, too_large
from mocoop.data.imageformats import READ_SUFFIXES, REFUSED_SUFFIXES, sniff

MAX_HEADERS = 2_000_000  # in one tar, and
MAX_NAME_BYTES = 64 * 1024  # of one long name, with what else its header says
_BLOCK = tarfile.BLOCKSIZE
_NOT_PICTURES = {".npy", ".mat", ".h5", ".hdf", ".pdf", ".raw"}  # lie beside pictures in a tar


class _Damaged(Exception):
    """Why a tar cannot be read any further."""


def pictures_in(path: Path, name: str) -> Iterator[Item]:
    """The pictures of a tar, named NAME/MEMBER; if it is damaged, last an item that says so, named as the tar."""
    try:
        with path.open("rb") as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode):
                raise _Damaged("this is no file")
            for member, content in _members(file, about.st_size):
                if _is_picture(member):
                    yield Item(f"{name}/{member}", content)
    except _Damaged as error:
        yield Item(name, str(error))
    except OSError as error:
        yield Item(name, f"cannot be read: {error.strerror or error}")


def _is_picture(member: str) -> bool:
    """Whether a name is a picture's; formats that are not read count, so that their row says so."""
    base = posixpath.basename(member)
    suffix = posixpath.splitext(base)[1].lower()
    return not base.startswith(".") and (
        suffix in READ_SUFFIXES or (suffix in REFUSED_SUFFIXES and suffix not in _NOT_PICTURES)
    )


def _members(file: IO[bytes], end: int) -> Iterator[tuple[str, bytes | str]]:
    """Names of all files and links, with the bytes of pictures or the reason why they are not read."""
    given: dict[str, str] = {}  # said by extension headers of the next member
    for count in range(MAX_HEADERS + 1):
        header = _header(file, end, first=count == 0)
        if header is None:
            return
        if header.type in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE):
            given |= _records(_whole(file, header.size, end))
            continue
        if header.type == tarfile.GNUTYPE_LONGNAME:
            given["path"] = _text(_whole(file, header.size, end).split(b"\0")[0])
            continue
        name, size = given.get("path", header.name), _size(given.get("size"), header)
        if header.type in (tarfile.XGLTYPE, tarfile.GNUTYPE_LONGLINK):
            _skip(file, header.size, end)
            continue
        sparse = header.type == tarfile.GNUTYPE_SPARSE or any(key.startswith("GNU.sparse") for key in given)
        given = {}
        if header.islnk() or header.issym():
            yield as_text(name), "a link inside a tar, which is not followed"
        elif sparse:
            raise _Damaged(
                f"it holds a sparse file ({as_text(name)}), which is not read: make the tar without --sparse"
            )
        elif header.type in tarfile.REGULAR_TYPES:
            yield as_text(name), _content(file, name, size, end)
        else:
            _skip(file, 0 if header.type in tarfile.SUPPORTED_TYPES else size, end)
    raise _Damaged(f"more than {MAX_HEADERS:,} members: make several tars of it")


def _header(file: IO[bytes], end: int, *, first: bool) -> tarfile.TarInfo | None:
    """The next header; None at the end. Raises _Damaged."""
    at = file.tell()
    block = file.read(_BLOCK)
    if first and (kind := sniff(block)).name == "gzip data":
        raise _Damaged(f"{kind.name}, no plain tar: unpack it first, for example with gunzip")
    if block == bytes(_BLOCK):  # the mark of the end; without it the tar was cut
        return None
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        raise _Damaged(f"damaged, or cut, at byte {at:,} of {end:,}: {error}; make it again") from error


def _content(file: IO[bytes], name: str, size: int, end: int) -> bytes | str:
    """The bytes of a file; of one that is no picture, or too large, only the reason. Raises _Damaged."""
    if size > MAX_INSIDE or not _is_picture(name):
        _skip(file, size, end)
        return too_large(size)
    return _whole(file, size, end, MAX_INSIDE)


def _whole(file: IO[bytes], size: int, end: int, most: int = MAX_NAME_BYTES) -> bytes:
    """The bytes after a header, and past their padding. Raises _Damaged before more than `most` are read."""
    start = file.tell()
    _skip(file, size, end)
    after = file.tell()
    if size > most:
        raise _Damaged(f"damaged at byte {start:,}: a name of {size:,} bytes; make it again")
    file.seek(start)
    data = file.read(size)
    file.seek(after)
    return data


def _skip(file: IO[bytes], size: int, end: int) -> None:
    """Go past some bytes and their padding. Raises _Damaged beyond the end of the file."""
    at = file.tell()
    if size < 0 or at + size > end:
        raise _Damaged(f"cut: a member at byte {at:,} has {size:,} bytes, and the tar ends at {end:,}; make it again")
    file.seek(at + -(-size // _BLOCK) * _BLOCK)


def _size(said: str | None, header: tarfile.TarInfo) -> int:
    """The size of a member: an extension header's word goes first. Raises _Damaged."""
    if said is None:
        return header.size
    if not (said.isascii() and said.isdigit() and len(said) < 20):
        raise _Damaged(f"damaged: a size of {said!a}; make it again")
    return int(said)


def _records(data: bytes) -> dict[str, str]:
    """The records "LENGTH KEY=VALUE" of a pax header. Raises _Damaged."""
    found: dict[str, str] = {}
    while data.strip(b"\0"):
        length, _, _ = data.partition(b" ")
        if not (length.isdigit() and len(length) < 7 and len(length) < int(length) <= len(data)):
            raise _Damaged("damaged: a pax header that cannot be read; make it again")
        key, _, value = data[len(length) + 1 : int(length) - 1].partition(b"=")
        found[_text(key)] = _text(value)
        data = data[int(length) :]
    return found


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
