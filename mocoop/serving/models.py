"""What can be served: an exported model (`mocoop.export.engine.Engine`), or a run itself, by torch.

N images, C classes, E experts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mocoop.answers import describe
from mocoop.certainty.calibration import Calibration
from mocoop.certainty.doubt import Doubt
from mocoop.data.images import open_image
from mocoop.data.views import centre_view
from mocoop.export.engine import Answer

if TYPE_CHECKING:
    from mocoop.backbone.backbone import Backbone
    from mocoop.runs.run import Run


class Model(Protocol):
    """What the server asks of a model. `pixels` may be called from several threads, `predict` from one."""

    @property
    def classnames(self) -> tuple[str, ...]:
        """The C classes."""

    @property
    def experts(self) -> tuple[str, ...]:
        """The ids of the E experts."""

    @property
    def calibration(self) -> Calibration | None:
        """From which prediction sets follow, if there is one."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What whoever uses its answers must know."""

    def pixels(self, source: bytes, name: object, *, max_pixels: int) -> np.ndarray:
        """One picture, as the model takes it. Raises ImageError."""

    def predict(self, pixels: np.ndarray) -> Answer:
        """Probabilities (N, C) and gates (N, E) of a batch of pixels (N, ...)."""

    def describe(self, name: str, answer: Answer, row: int, top: int, doubt: Doubt | None = None) -> dict[str, Any]:
        """The answer to one image of a batch."""


class RunModel:
    """A run with its backbone."""

    def __init__(self, run: Run, backbone: Backbone) -> None:
        from mocoop.export.writing import notes_of

        backbone.check_sees()
        self._run, self._backbone = run, backbone
        self._classifier = run.classifier(None, backbone)
        groups = run.groups.groups
        self._templates = {group.id: list(group.texts) for group in groups} if len(groups) > 1 else {}
        self.notes = notes_of(run, backbone)

    @property
    def classnames(self) -> tuple[str, ...]:
        """The classes trained on."""
        return self._classifier.classnames

    @property
    def experts(self) -> tuple[str, ...]:
        """The ids of the experts."""
        return self._classifier.group_ids

    @property
    def calibration(self) -> Calibration | None:
        """See `Model`."""
        return self._run.calibration

    def pixels(self, source: bytes, name: object, *, max_pixels: int) -> np.ndarray:
        """See `Model`."""
        image = open_image(source, name=name, reading=self._run.reading, max_pixels=max_pixels)
        return centre_view(image, self._backbone.preprocess)

    def predict(self, pixels: np.ndarray) -> Answer:
        """See `Model`."""
        import torch

        prediction = self._classifier.predict(self._backbone.encode_images(torch.from_numpy(pixels)))
        return Answer(prediction.probabilities.cpu().numpy(), prediction.gate.cpu().numpy())

    def describe(self, name: str, answer: Answer, row: int, top: int, doubt: Doubt | None = None) -> dict[str, Any]:
        """See `Model`."""
        return describe(
            name,
            answer.probabilities[row],
            answer.gates[row],
            classnames=self.classnames,
            group_ids=self.experts,
            templates=self._templates,
            top=top,
            doubt=doubt,
        )
