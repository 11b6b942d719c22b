"""What answers in bulk prediction: a run with its backbone, or an exported model. Importing this imports neither.

B pictures, D joint width, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mocoop.bulk.options import Options

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from mocoop.certainty.doubt import Doubt
    from mocoop.data.reading import Reading


class Tower(Protocol):
    """A classifier: what it is can be asked at once; it answers after `load`."""

    sha256: str  # of the file that has the hashes of all others
    classnames: tuple[str, ...]
    reading: Reading  # its own rule for bands and depths
    doubt: Doubt | None  # what its rows say of doubt

    def check_features(self, path: Path, width: int) -> None:
        """Raises an error of ours if rows of features of this width cannot be answered."""

    def load(self, *, pictures: bool) -> tuple[str, ...]:
        """Get ready for pictures, or for features alone; notes for the user."""

    def view(self, image: Image.Image) -> np.ndarray:
        """What it sees of a picture (3, H, W), or (H, W, 3)."""

    def rows(self, names: Sequence[str], stacked: np.ndarray, hashes: Sequence[str]) -> list[dict[str, Any]]:
        """Answers of B views (B, ...), or B features (B, D), with the hashes of what they were made of."""


def tower_of(options: Options) -> Tower:
    """The run or the exported model that is meant. Raises what opening it raises."""
    if options.engine == "onnx":
        from mocoop.bulk.exported import ExportedTower

        return ExportedTower(options)
    from mocoop.bulk.trained import RunTower

    return RunTower(options)
