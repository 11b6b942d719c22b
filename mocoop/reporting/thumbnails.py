"""Small copies of pictures, for pages."""

from __future__ import annotations

from pathlib import Path

from mocoop.data.contents import picture_bytes
from mocoop.data.images import open_image
from mocoop.data.reading import Reading


def small_copy(path: Path, out: Path, reading: Reading | None, side: int = 192) -> Path:
    """A copy of a picture, `side` pixels along its longer side, in the format of `out`. Raises ImageError."""
    picture = open_image(picture_bytes(path), name=path, reading=reading or Reading())
    picture.thumbnail((side, side))
    picture.save(out)
    return out
