"""Small files for the tests of data: pictures and class folders."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def pixels(seed: int = 0, height: int = 24, width: int = 24) -> np.ndarray:
    """A picture of noise, (height, width, 3) uint8."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def encoded(image: Image.Image | np.ndarray, kind: str, **options: Any) -> bytes:
    """A picture as the bytes of a file."""
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, kind, **options)
    return buffer.getvalue()


def put_image(path: Path, seed: int = 0) -> Path:
    """A small PNG of its own content for every seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(pixels(seed, 4, 4), "PNG"))
    return path


def put_classes(root: Path, counts: dict[str, int], suffix: str = ".png") -> Path:
    """Class folders with so many pictures each: {"train/forest": 3}."""
    for number, (folder, count) in enumerate(counts.items()):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            put_image(root / folder / f"{index:02d}{suffix}", seed=1000 * number + index)
    return root
