"""A run with its backbone as what answers in bulk prediction. B pictures, D joint width, H x W pixels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mocoop.bulk.options import Options
from mocoop.certainty.doubt import doubt_of
from mocoop.data.views import centre_view
from mocoop.errors import BackboneError
from mocoop.files import sha256_file
from mocoop.runs.predict import check_width, described, marked, templates_of
from mocoop.runs.record import RUN
from mocoop.runs.run import Run

if TYPE_CHECKING:
    from PIL import Image

    from mocoop.backbone.backbone import Backbone


class RunTower:
    """See `mocoop.bulk.towers.Tower`."""

    def __init__(self, options: Options, backbone: Backbone | None = None) -> None:
        """Open the run; prediction sets are for the classes trained on.

        Raises CheckpointError for a damaged run, DataError for classes that cannot be named, UsageError for sets that
        cannot be had.
        """
        self._options, self._backbone, self._run = options, backbone, Run.open(options.run)
        if options.classnames is not None:
            self._run.method.check_classes(self._run.learned, options.classnames)
        self.sha256 = sha256_file(options.run / RUN)
        self.classnames = options.classnames or self._run.classnames
        self.reading = self._run.reading
        coverage = options.coverage if options.classnames is None else None
        self.doubt = doubt_of(
            self._run.calibration, str(options.run), coverage=coverage, unsure_below=options.unsure_below
        )

    def check_features(self, path: Path, width: int) -> None:
        """Raises DataError for another width, and for a run that tuned its image tower."""
        check_width(self._run, path, width)

    def load(self, *, pictures: bool) -> tuple[str, ...]:
        """Load the backbone; features need none for the classes trained on."""
        options, notes = self._options, tuple[str, ...]()
        if self._backbone is None and (pictures or options.classnames is not None or self._run.method.conditional):
            self._backbone = self._run.load_backbone(
                options.device, precision=options.precision, name=options.backbone, pretrained=options.pretrained
            )
        if self._backbone is not None:
            if pictures:
                self._backbone.check_sees()
            notes = tuple(self._backbone.notes)
        self._classifier = self._run.classifier(options.classnames, self._backbone)
        self._templates = templates_of(self._run)
        return notes

    def view(self, image: Image.Image) -> np.ndarray:
        """The centre of a picture, (3, H, W)."""
        assert self._backbone is not None, "loaded for pictures"
        return centre_view(image, self._backbone.preprocess)

    @torch.no_grad()
    def rows(self, names: Sequence[str], stacked: np.ndarray, hashes: Sequence[str]) -> list[dict[str, Any]]:
        """Raises BackboneError for features that are not finite."""
        if stacked.ndim == 2:
            features = torch.from_numpy(stacked)  # (B, D)
        else:
            assert self._backbone is not None, "loaded for pictures"
            features = self._backbone.encode_images(torch.from_numpy(stacked))  # (B, D)
        finite = torch.isfinite(features).all(dim=1)
        if not finite.all():
            name = names[int(finite.int().argmin())]
            raise BackboneError(f"the features of {name} are not finite", "use --precision float32, or other weights")
        prediction, top = self._classifier.predict(features), self._options.top
        return [
            described(name, prediction, row, self._classifier, self._templates, top, self.doubt)
            | marked(self._run, hashes[row])
            for row, name in enumerate(names)
        ]
