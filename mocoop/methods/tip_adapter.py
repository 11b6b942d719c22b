"""Tip-Adapter (Zhang et al. 2022): zero-shot CLIP with the training images as a cache of answers. Nothing is trained.

    logits = x . t / tau + alpha * exp(-beta (1 - x . F^T)) Y

F (N, D) are the training images' features and Y (N, C) their labels as one-hot rows (Eq. 4-5 of the paper, whose first
term is CLIP's own logits). alpha and beta are sought on a grid by accuracy on val; without any val on the training
images themselves, each with its own entry left out of the cache. x and t are normalised.
B images, N training images, C classes, D joint width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from mocoop.methods.zero_shot import ZeroShot
from mocoop.mixture.classifier import Classifier, Learned, Prediction
from mocoop.training.method import Loop, Samples, Task
from mocoop.training.prompt_learning import learned_of, template_features

if TYPE_CHECKING:
    from mocoop.backbone.backbone import Backbone

DEFAULT = (1.0, 5.5)  # alpha, beta: where no image is there to choose on
_ALPHAS = (0.0, *(2.0**power for power in range(-2, 7)))
_BETAS = tuple(2.0**power for power in range(7))


@dataclass(frozen=True)
class CacheClassifier:
    """Zero-shot logits plus those of the cache: keys (N, D) normalised, values (N, C). One expert, which sees all."""

    text: Classifier
    keys: Tensor
    values: Tensor
    alpha: Tensor
    beta: Tensor

    @property
    def classnames(self) -> tuple[str, ...]:
        """The C classes."""
        return self.text.classnames

    @property
    def group_ids(self) -> tuple[str, ...]:
        """The one expert."""
        return self.text.group_ids

    @torch.no_grad()
    def predict(self, features: Tensor) -> Prediction:
        """Predict for image features (B, D), normalised or not."""
        known = self.text.predict(features)
        x = F.normalize(features.float(), dim=-1)
        logits = x @ self.text.h[0].T / self.text.tau
        logits = logits + self.alpha * affinity(x, self.keys, self.beta) @ self.values
        return Prediction(logits.softmax(-1), known.gate, known.router)


class TipAdapter(ZeroShot):
    """The data set's own template, and the training images as a cache."""

    name = "tip-adapter"
    title = "Tip-Adapter"
    settings = ZeroShot.settings | {"tip_alpha", "tip_beta"}
    learns = True
    chooses_on_val = True

    def learn(self, task: Task, loop: Loop) -> Learned:
        """Keep the training images, and choose alpha and beta."""
        samples = task.samples()
        task.stage("choosing alpha and beta")
        tau = task.config.class_temperature(task.backbone.logit_scale)
        alpha, beta, why = best_weights(
            samples, template_features(task).cpu(), tau, task.config.tip_alpha, task.config.tip_beta
        )
        if why:  # nobody need be told what they set
            task.notice(f"Tip-Adapter: alpha = {alpha:g}, beta = {beta:g}, {why}")
        tensors = {
            "keys": F.normalize(samples.train.float(), dim=-1),
            "labels": samples.train_labels.float(),
            "alpha": torch.tensor(alpha),
            "beta": torch.tensor(beta),
        }
        return learned_of(task, tensors)

    def predictor(  # type: ignore[override]
        self, learned: Learned, classnames: Sequence[str], features: Tensor | None, backbone: Backbone | None = None
    ) -> CacheClassifier:
        """For classes without training images the cache has nothing: there it is zero-shot."""
        places = {name: place for place, name in enumerate(classnames)}
        columns = torch.tensor([places.get(name, -1) for name in learned.classnames])[learned.tensors["labels"].long()]
        met = columns >= 0
        return CacheClassifier(
            text=super().predictor(learned, classnames, features, backbone),
            keys=learned.tensors["keys"][met],
            values=F.one_hot(columns[met], len(classnames)).float(),
            alpha=learned.tensors["alpha"],
            beta=learned.tensors["beta"],
        )


def affinity(x: Tensor, keys: Tensor, beta: float | Tensor) -> Tensor:
    """exp(-beta (1 - x . F^T)), (B, N), of normalised features (B, D) and keys (N, D)."""
    return torch.exp(-beta * (1 - x @ keys.T))


def best_weights(
    samples: Samples, text: Tensor, tau: float, alpha: float | None = None, beta: float | None = None
) -> tuple[float, float, str]:
    """alpha and beta of the best accuracy, the least loss among equals, and how they were found.

    `text` (C, D) normalised. An `alpha` or `beta` that is given is kept; if both are, nothing is to be said of it.
    """
    if alpha is not None and beta is not None:
        return alpha, beta, ""
    keys = F.normalize(samples.train.float(), dim=-1)
    values = F.one_hot(samples.train_labels, len(text)).float()
    if len(samples.val_labels):
        x, labels, why = F.normalize(samples.val.float(), dim=-1), samples.val_labels, "validation images"
    elif int(torch.bincount(samples.train_labels).max()) > 1:
        x, labels, why = keys, samples.train_labels, "training images, each left out of the cache in turn"
    else:
        found = (DEFAULT[0] if alpha is None else alpha, DEFAULT[1] if beta is None else beta)
        return *found, "the default, as there is no image to choose on"
    zero_shot = x @ text.T / tau

    def quality(pair: tuple[float, float], cached: Tensor) -> tuple[float, float]:
        logits = zero_shot + pair[0] * cached
        right = (logits.argmax(-1) == labels).float().mean()
        return float(right), -float(F.cross_entropy(logits, labels))

    tried: dict[tuple[float, float], tuple[float, float]] = {}
    for b in _BETAS if beta is None else (beta,):
        near = affinity(x, keys, b)
        if x is keys:
            near = near * (1 - torch.eye(len(keys)))
        cached = near @ values
        for a in _ALPHAS if alpha is None else (alpha,):
            tried[a, b] = quality((a, b), cached)
    best = max(tried, key=lambda pair: tried[pair])
    return *best, f"chosen on {len(labels)} {why}"


METHOD = TipAdapter()
