"""An exported model as what answers in bulk prediction, without torch. B pictures, H x W pixels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mocoop.bulk.options import Options
from mocoop.certainty.doubt import doubt_of
from mocoop.errors import UsageError
from mocoop.export.engine import Engine
from mocoop.files import sha256_file

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image


class ExportedTower:
    """See `mocoop.bulk.towers.Tower`."""

    def __init__(self, options: Options, engine: Engine | None = None, trained: frozenset[str] = frozenset()) -> None:
        """`options.run` is its file, `engine` the model if it is open, `trained` the hashes of the training images, if
        they are known. Raises what opening it raises."""
        self._engine, self._top = engine or Engine(options.run, threads=options.threads), options.top
        self.sha256 = sha256_file(self._engine.path)
        self.classnames = self._engine.classnames
        self.reading = self._engine.record.reading
        self._trained = trained
        self.doubt = doubt_of(
            self._engine.calibration, str(options.run), coverage=options.coverage, unsure_below=options.unsure_below
        )

    def check_features(self, path: Path, width: int) -> None:  # noqa: ARG002  # of the protocol
        """Raises UsageError."""
        raise UsageError(f"an exported model takes images, not features: {path}", "use --engine torch with the run")

    def load(self, *, pictures: bool) -> tuple[str, ...]:  # noqa: ARG002
        """The model is open already."""
        return self._engine.notes

    def view(self, image: Image.Image) -> np.ndarray:
        """The centre of a picture, as the model takes it."""
        return self._engine.view(image)

    def rows(self, names: Sequence[str], stacked: np.ndarray, hashes: Sequence[str]) -> list[dict[str, Any]]:
        """Raises StorageError if the model fails."""
        answer = self._engine.predict(stacked)
        return [
            self._engine.describe(name, answer, row, self._top, self.doubt)
            | ({"trained_on": True} if hashes[row] in self._trained else {})
            for row, name in enumerate(names)
        ]
