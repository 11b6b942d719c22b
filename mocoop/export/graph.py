"""What is exported: one module from pixels to probabilities, made of the run's own image tower and classifier.

N images, C classes, E experts, D joint width, H x W pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from mocoop.data.views import Preprocess
from mocoop.errors import UsageError

if TYPE_CHECKING:
    from mocoop.backbone.backbone import Backbone
    from mocoop.mixture.classifier import Predictor
    from mocoop.runs.run import Run

INPUT = "pixels"
FEATURES = "features"
OUTPUTS = ("probabilities", "gates", "top_classes", FEATURES)


class ImageClassifier(nn.Module):
    """Pixels to probabilities (N, C), gates (N, E), the numbers of the top classes (N, top), image features (N, D).

    The pixels are prepared values (N, 3, H, W) float32, or with `preprocess` the bytes of a crop (N, H, W, 3) uint8,
    which are then brought to those values here. Features are not normalised.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, backbone: Backbone, predictor: Predictor, *, top: int, preprocess: Preprocess | None = None
    ) -> None:
        super().__init__()
        self.visual: Any = backbone.model.visual
        self._predictor, self._top = predictor, top
        self._bytes = preprocess is not None
        if preprocess is not None:
            self.register_buffer("mean", torch.tensor(preprocess.mean)[:, None, None], persistent=False)
            self.register_buffer("std", torch.tensor(preprocess.std)[:, None, None], persistent=False)
        predictor.predict(torch.zeros(1, backbone.embed_dim))  # what it computes once, before it is traced

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """See the class."""
        if self._bytes:
            pixels = (pixels.permute(0, 3, 1, 2).float() / 255 - self.mean) / self.std
        features = self.visual(pixels)
        features = features[0] if isinstance(features, tuple) else features  # CoCa's come with those of all places
        prediction = self._predictor.predict(features)
        top = prediction.probabilities.topk(self._top).indices
        return prediction.probabilities, prediction.gate, top, features


def graph_of(run: Run, backbone: Backbone, *, pixels: str, top: int) -> ImageClassifier:
    """The module of a run's own classes. Raises UsageError for a method whose prompts depend on the image."""
    if run.method.conditional:
        raise UsageError(
            f"{run.method.title} makes its prompts anew for each image, with the text tower: it is not exported",
            "export a run of another method",
        )
    given = backbone.preprocess if pixels == "uint8" else None
    return ImageClassifier(backbone, run.classifier(), top=top, preprocess=given).eval()


def example_pixels(preprocess: Preprocess, pixels: str) -> Tensor:
    """An input of two images, which fixes every size but the number of images."""
    height, width = preprocess.size
    if pixels == "uint8":
        return torch.zeros(2, height, width, 3, dtype=torch.uint8)
    return torch.zeros(2, 3, height, width)
