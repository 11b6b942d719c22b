"""One picture of a source: where its bytes are, or why there are none."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np

MAX_INSIDE = 128 * 1024 * 1024  # bytes of a picture inside a tar or a Parquet file


class Item(NamedTuple):
    """A picture: the name that its row has, and a file, its bytes, its features (D), or why it cannot be read."""

    name: str
    content: Path | bytes | np.ndarray | str


def as_text(name: str) -> str:
    """A name as text that any file can hold: what is no text in it (a surrogate) is written as an escape."""
    return name.encode("utf-8", "backslashreplace").decode()


def too_large(size: int) -> str:
    """Why a picture inside another file is not read."""
    return f"{size:,} bytes, more than {MAX_INSIDE:,}"
