"""A real image encoder that costs nothing: a fixed random linear projection of the pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from mocoop.data.dataset import Example
from mocoop.data.views import Preprocess
from mocoop.files import sha256_bytes

PREPROCESS = Preprocess(size=(16, 16), mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))


class TinyEncoder:
    """Counts the batches it has encoded; `before_batch` runs ahead of each."""

    def __init__(
        self, seed: int = 0, width: int = 5, before_batch: Callable[[], None] = lambda: None, spoil: bool = False
    ) -> None:
        self.fingerprint = sha256_bytes(f"tiny {seed}".encode())
        self.preprocess = PREPROCESS
        self.embed_dim = width
        self.batches: list[int] = []
        self._before_batch, self._spoil = before_batch, spoil
        self._projection = torch.randn(3 * 16 * 16, width, generator=torch.Generator().manual_seed(seed)) / 30

    def encode_images(self, pixels: torch.Tensor) -> torch.Tensor:
        self._before_batch()
        self.batches.append(len(pixels))
        features = pixels.flatten(1) @ self._projection
        return features / 0 if self._spoil else features


def examples_of(paths: Sequence[Path]) -> list[Example]:
    return [Example(path, label % 2) for label, path in enumerate(paths)]
