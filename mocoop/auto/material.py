"""What methods are tried on: features and labels of the training images, and one training on some of them.

N training images, D joint width. No test image is here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from mocoop.config import Config, preset
from mocoop.methods import method_named
from mocoop.mixture.classifier import Learned
from mocoop.runs.fitting import Fitted, fit
from mocoop.training.method import Samples
from mocoop.training.trainer import Listener

if TYPE_CHECKING:
    from mocoop.backbone.backbone import Backbone
    from mocoop.data.cache import FeatureCache
    from mocoop.groupfile.groups import GroupFile


@dataclass(frozen=True, kw_only=True)
class Material:
    """Features (N, D), not normalised, and labels (N,) of train and val, with what a training needs besides."""

    backbone: Backbone
    groups: GroupFile | None
    dataset: str  # its name, which may tell its own template
    classnames: tuple[str, ...]
    samples: Samples
    shots: int
    seed: int
    text_cache: FeatureCache | None = None

    def config(self, method: str) -> Config:
        """The recommended settings of a method on these images, as `mocoop train` has them."""
        found = method_named(method)
        return found.adapt(found.settle(preset("recommended", method)), self.dataset, self.shots)

    def learn(
        self,
        method: str,
        rows: Tensor,
        *,
        classes: Sequence[int] | None = None,
        val: bool = True,
        parts: Mapping[str, Learned] | None = None,
        listener: Listener | None = None,
    ) -> Fitted:
        """Train a method on some rows of the images.

        Args:
            classes: the labels trained on, if not all; `rows` are images of these.
            val: whether the method may choose its settings on val.
            parts: what other methods learned of the same rows, by name: a method made of them only joins them.
        """
        own = method_named(method)
        kept = torch.arange(len(self.classnames)) if classes is None else torch.tensor(classes)
        samples = self._some(rows, kept, val)
        shots = int(torch.bincount(samples.train_labels).max())
        config, epochs = self.config(method).scheduled(shots, len(rows))
        x = F.normalize(samples.train.float(), dim=-1).to(self.backbone.device)
        known = [(parts or {}).get(name) for name in own.parts]
        return fit(
            self.backbone,
            own.groups(self.groups, config),
            lambda _epoch, index: x[index.to(x.device)],
            samples.train_labels,
            [self.classnames[label] for label in kept.tolist()],
            config,
            seed=self.seed,
            epochs=epochs,
            samples=lambda: samples,
            listener=listener,
            text_cache=self.text_cache,
            parts=[one for one in known if one is not None] if all(known) else (),
        )

    def right(self, fitted: Fitted, x: Tensor, labels: Tensor, classes: Sequence[int] | None = None) -> Tensor:
        """Which of some images (B, D) a classifier names rightly, (B,) bool; among all classes, or some labels'."""
        learned, method = fitted.learned, method_named(fitted.learned.config.method)
        names = tuple(self.classnames if classes is None else (self.classnames[label] for label in classes))
        features = fitted.class_features
        if names != learned.classnames:
            features = method.class_features(learned, names, self.backbone, cache=self.text_cache)
        guesses = method.predictor(learned, names, features, self.backbone).predict(x).probabilities.argmax(-1).cpu()
        return guesses == (labels if classes is None else torch.searchsorted(torch.tensor(classes), labels))

    def _some(self, rows: Tensor, kept: Tensor, val: bool) -> Samples:
        """Some rows of train, and val of the labels kept, numbered anew."""
        mine = torch.isin(self.samples.val_labels, kept) & val
        return Samples(
            self.samples.train[rows],
            torch.searchsorted(kept, self.samples.train_labels[rows]),
            self.samples.val[mine],
            torch.searchsorted(kept, self.samples.val_labels[mine]),
        )
