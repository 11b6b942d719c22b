"""Copies of pictures for the page: decoded by our safe decoder, shrunk, written anew; never a file's own bytes."""

from __future__ import annotations

import functools
import io
import threading
from collections.abc import Sequence
from pathlib import Path

from mocoop.data.contents import picture_bytes
from mocoop.data.images import open_image
from mocoop.data.reading import Reading

SIDES = {"small": 192, "large": 1024}  # pixels along the longer side
_QUALITY = 80
_KEPT = 2_000  # small copies in memory, of about 10 kB
_AT_ONCE = 3  # pictures decoded at once: one may take some hundred MB


def jpeg_copy(path: Path, reading: Reading, side: int) -> bytes:
    """A picture as JPEG, its longer side at most `side` pixels. Raises ImageError."""
    picture = open_image(picture_bytes(path), name=path, reading=reading)
    picture.thumbnail((side, side))
    picture.info.clear()  # a comment would be written again
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=_QUALITY)
    return out.getvalue()


class Album:
    """The copies of a list of pictures by their numbers, the small ones kept. For several threads."""

    def __init__(self, paths: Sequence[Path | None], reading: Reading | None) -> None:
        """`paths`: None for an image that has no picture."""
        self._paths, self._reading = tuple(paths), reading or Reading()
        self._gate = threading.BoundedSemaphore(_AT_ONCE)
        self._small = functools.lru_cache(_KEPT)(self._copy)

    def copy(self, number: int, size: str) -> bytes | None:
        """A copy, "small" or "large"; None for a number or size that there is not. Raises ImageError."""
        if not 0 <= number < len(self._paths) or size not in SIDES or self._paths[number] is None:
            return None
        return self._small(number, size) if size == "small" else self._copy(number, size)

    def _copy(self, number: int, size: str) -> bytes:
        path = self._paths[number]
        assert path is not None
        with self._gate:
            return jpeg_copy(path, self._reading, SIDES[size])
