"""Reading Qt's binary resource files (.rcc, `qres`), in which GCompris ships its pictures. Nothing is unpacked."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

_FOLDER = 2
_COMPRESSED = 1 | 4


@lru_cache(maxsize=32)
def read(path: Path) -> dict[str, bytes]:
    """The files of a resource that are stored as they are, by their place in it. Raises OSError, ValueError."""
    content = path.read_bytes()
    try:
        return dict(_entries(content))
    except (struct.error, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is no resource file of Qt") from error


def _entries(content: bytes) -> Iterator[tuple[str, bytes]]:
    if content[:4] != b"qres":
        raise ValueError("no resource file of Qt")
    version, tree, data, names = struct.unpack_from(">4I", content, 4)
    size = 22 if version >= 2 else 14

    def name(at: int) -> str:
        (length,) = struct.unpack_from(">H", content, names + at)
        return content[names + at + 6 : names + at + 6 + 2 * length].decode("utf-16-be")

    def below(number: int, place: str) -> Iterator[tuple[str, bytes]]:
        at = tree + number * size
        named, flags = struct.unpack_from(">IH", content, at)
        here = f"{place}/{name(named)}" if number else ""
        if flags & _FOLDER:
            count, first = struct.unpack_from(">II", content, at + 6)
            for child in range(max(first, number + 1), first + count):  # children lie behind: no circles
                yield from below(child, here)
        elif not flags & _COMPRESSED:
            (start,) = struct.unpack_from(">I", content, at + 10)
            (length,) = struct.unpack_from(">I", content, data + start)
            yield here, content[data + start + 4 : data + start + 4 + length]

    yield from below(0, "")
