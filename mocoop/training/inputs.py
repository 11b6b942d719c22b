"""From the examples of a data set to image features for a method, whether given as images or as features.

N images, V views, D joint width. `data.splits` draws the images; `data.features` caches their features.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mocoop.backbone import ranks
from mocoop.data.contents import picture_sha256
from mocoop.data.dataset import Dataset, Example
from mocoop.data.features import BadImages, FeatureCache, image_features, online_views
from mocoop.data.views import ViewPlan
from mocoop.errors import DataError
from mocoop.files import sha256_bytes
from mocoop.training.trainer import Batch, Listener

if TYPE_CHECKING:
    from mocoop.backbone.backbone import Backbone
    from mocoop.config import Config
    from mocoop.data.reading import Reading


@dataclass(frozen=True)
class Inputs:
    """Image features with their examples: features (V, N, D) float32, not normalised; labels (N,)."""

    features: np.ndarray
    examples: tuple[Example, ...]
    skipped: tuple[tuple[Path, str], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def labels(self) -> Tensor:
        """(N,) int64 on the CPU."""
        return torch.tensor([example.label for example in self.examples], dtype=torch.int64)

    @property
    def sha256(self) -> str:
        """Hash of the features and labels, which must match when a run is resumed."""
        digest = hashlib.sha256(str([example.label for example in self.examples]).encode())
        for view in self.features:  # one view at a time: together they can take most of the memory
            digest.update(np.ascontiguousarray(view).data)
        return digest.hexdigest()

    def view(self, number: int) -> Tensor:
        """One view's features (N, D), not normalised."""
        return torch.from_numpy(np.array(self.features[number]))

    def normalised(self, device: torch.device) -> Tensor:
        """Unit features (V, N, D) on a device."""
        return F.normalize(torch.from_numpy(np.array(self.features)), dim=-1).to(device)


def load_inputs(
    backbone: Backbone,
    dataset: Dataset,
    examples: Sequence[Example],
    *,
    plan: ViewPlan | None = None,
    cache: FeatureCache | None = None,
    on_bad_image: BadImages = "fail",
    listener: Listener | None = None,
) -> Inputs:
    """Features of some examples of a data set; `plan` says which views (None: one centre view).

    Raises DataError for unreadable images (with "fail") and for stored features of the wrong width.
    """
    if dataset.features is not None:
        return _stored(backbone, dataset, examples)
    listener = listener or Listener()

    def some(start: int, stop: int) -> Inputs:
        found = image_features(
            backbone,
            examples[start:stop],
            plan or ViewPlan(count=0),
            reading=dataset.reading,
            cache=cache,
            on_bad_image=on_bad_image,
            progress=listener.features,
            notice=listener.notice,
        )
        kept = tuple(examples[start + place] for place in found.kept)
        return Inputs(found.features, kept, found.skipped, found.notes)

    parts = ranks.bounds(len(examples))
    if len(parts) == 1 or len(examples) < len(parts):
        return some(0, len(examples))
    return _together(ranks.gathered(lambda: some(*parts[ranks.number()])))


def _together(parts: Sequence[Inputs]) -> Inputs:
    """What the ranks encoded, in the order of the examples."""
    return Inputs(
        np.concatenate([part.features for part in parts], axis=1),
        tuple(example for part in parts for example in part.examples),
        tuple(one for part in parts for one in part.skipped),
        tuple(dict.fromkeys(note for part in parts for note in part.notes)),
    )


def _stored(backbone: Backbone, dataset: Dataset, examples: Sequence[Example]) -> Inputs:
    assert dataset.features is not None
    if dataset.features.shape[1] != backbone.embed_dim:
        raise DataError(
            f"the features of {dataset.name} are {dataset.features.shape[1]} wide, {backbone.name} makes "
            f"{backbone.embed_dim}",
            "name the backbone the features were made with",
        )
    rows = [example.row for example in examples if example.row is not None]  # here all have one
    return Inputs(dataset.features[rows][None], tuple(examples))


def view_plan(config: Config, epochs: int, seed: int, dataset: Dataset) -> ViewPlan:
    """The cached views that the settings ask for. Raises DataError if stored features would need views."""
    count = epochs if config.views == "epochs" else config.views
    if dataset.features is not None and count != 0:
        raise DataError("stored features have no pixels to draw views from", "set --views 0")
    return ViewPlan(count=int(count), seed=seed, scale=config.view_scale)


def cached_batches(inputs: Inputs, device: torch.device) -> Batch:
    """Batches of cached features: epoch e uses view e, modulo the number of views."""
    x = inputs.normalised(device)  # (V, N, D)
    return lambda epoch, index: x[epoch % len(x), index.to(device)]


def online_batches(
    backbone: Backbone, examples: Sequence[Example], seed: int, config: Config, *, reading: Reading | None = None
) -> Batch:
    """Batches with the image tower in the loop: a new crop and flip of every image in every epoch."""

    def batch(epoch: int, index: Tensor) -> Tensor:
        chosen = [examples[i] for i in index.tolist()]
        pixels = online_views(chosen, backbone.preprocess, seed, epoch, config.view_scale, reading=reading)
        with torch.set_grad_enabled(config.tune_layer_norm):
            return F.normalize(backbone.image_features(pixels), dim=-1)

    return batch


def files_sha256(examples: Sequence[Example]) -> str:
    """Hash of the images and labels of an online training run."""
    parts = [f"{picture_sha256(example.path)} {example.label}" for example in examples if example.path is not None]
    return sha256_bytes("\n".join(parts).encode())
