"""torchvision's `ImageFolder` as a source: the images and classes that it has listed already."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from mocoop.data.dataset import UNSPLIT, Example, Listing


class ImageFolder(Protocol):
    """What is read of torchvision's `ImageFolder`; `samples` are (path, label)."""

    root: str | os.PathLike[str]
    classes: Sequence[str]
    samples: Sequence[tuple[str, int]]


def read_image_folder(given: ImageFolder) -> Listing:
    """The images and classes in its own order; it has no splits."""
    examples = [Example(Path(path), int(label)) for path, label in given.samples]
    return Listing(keys=list(given.classes), splits={UNSPLIT: examples})
