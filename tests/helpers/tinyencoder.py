"""A real image encoder that costs nothing, a fixed random linear projection of the pixels; and features by it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from datafiles import encoded, pixels

from mocoop.data.cache import FeatureCache
from mocoop.data.dataset import Example
from mocoop.data.features import ImageFeatures, image_features
from mocoop.data.images import open_image
from mocoop.data.views import Preprocess, ViewPlan, centre_view, random_view, view_rng
from mocoop.files import sha256_bytes, sha256_file

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


PLAN = ViewPlan(count=3, seed=5, scale=(0.3, 0.9))


def seven_images(folder: Path) -> list[Path]:
    """Seven images of several sizes and formats."""
    folder.mkdir()
    made = []
    for number in range(7):
        kind = ("png", "jpeg", "webp")[number % 3]
        made.append(folder / f"{number}.{kind}")
        made[-1].write_bytes(encoded(pixels(number, 20 + 5 * number, 30), kind.upper()))
    return made


def features_of(encoder: TinyEncoder, paths: list[Path], cache: FeatureCache | None, **options) -> ImageFeatures:
    options.setdefault("plan", PLAN)
    return image_features(encoder, examples_of(paths), cache=cache, **options)


def naive(encoder: TinyEncoder, paths: list[Path], plan: ViewPlan) -> np.ndarray:
    """Image by image and view by view, (max(V, 1), N, D)."""
    rows = []
    for path in paths:
        image = open_image(path)
        if plan.count == 0:
            views = [centre_view(image, encoder.preprocess)]
        else:
            rngs = [view_rng(plan.seed, number, sha256_file(path)) for number in range(plan.count)]
            views = [random_view(image, encoder.preprocess, rng, plan.scale) for rng in rngs]
        rows.append(np.stack([view.reshape(-1) @ encoder._projection.numpy() for view in views]))
    return np.stack(rows, axis=1)


def entry_of(cache: FeatureCache) -> Path:
    (entry,) = cache.entries()
    return cache.path(entry.key)


def spoil(path: Path) -> Path:
    """Cut an image short, so that it cannot be read."""
    path.write_bytes(path.read_bytes()[:60])
    return path
