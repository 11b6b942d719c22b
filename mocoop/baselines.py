"""Training-free classifiers over the hard templates: what a learned mixture must be compared with.

Zero-shot with one template, the ensemble of all templates, and the ensembles of the groups mixed by the reference
gate (Eq. 5-6), where nothing is learned. E groups, C classes, B images, D joint width; all features normalised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from mocoop.hard_features import hard_features
from mocoop.losses import mix_similarities
from mocoop.router import group_cosines, group_prototypes, top_k_gate

if TYPE_CHECKING:
    from mocoop.backbone import Backbone
    from mocoop.data.cache import FeatureCache
    from mocoop.groups import GroupFile

ONE_TEMPLATE = "zero-shot, one template"
ENSEMBLE = "zero-shot, ensemble of all templates"
GATED = "gated ensembles, nothing learned"


@dataclass(frozen=True)
class TrainingFree:
    """Accuracies in percent by classifier, and each image's first group under the reference gate."""

    accuracy: dict[str, float]
    first_group: tuple[int, ...]


def training_free(
    backbone: Backbone,
    groups: GroupFile,
    classnames: Sequence[str],
    x: Tensor,
    labels: Tensor,
    *,
    top_k: int,
    cache: FeatureCache | None = None,
) -> TrainingFree:
    """Measure the three classifiers on normalised image features x (B, D) with labels (B,).

    The one template is the first group's init. `cache` keeps the templates' features.
    """
    x = x.to(backbone.device)
    hard = hard_features(backbone, [group.texts for group in groups.groups], classnames, cache=cache)
    one = hard_features(backbone, [[groups.groups[0].init]], classnames, cache=cache)[0][0]
    gated, gate = gated_zero_shot(x, hard, logit_scale=backbone.logit_scale, top_k=top_k)
    scores = {ONE_TEMPLATE: zero_shot(x, one), ENSEMBLE: zero_shot(x, ensemble(hard)), GATED: gated}
    accuracy = {name: percent_right(found.argmax(-1).cpu(), labels) for name, found in scores.items()}
    return TrainingFree(accuracy, tuple(gate.argmax(-1).tolist()))


def percent_right(guesses: Tensor, labels: Tensor) -> float:
    """Accuracy in percent of guesses (B,)."""
    return 100 * int((guesses == labels).sum()) / len(labels)


def zero_shot(x: Tensor, features: Tensor) -> Tensor:
    """Cosines (B, C) of images with one feature a class (C, D)."""
    return x @ features.T


def ensemble(hard: Sequence[Tensor]) -> Tensor:
    """(C, D): the mean of all templates of all groups (each (T_g, C, D)), normalised again."""
    return F.normalize(torch.cat(list(hard)).mean(dim=0), dim=-1)


def group_ensembles(hard: Sequence[Tensor]) -> Tensor:
    """(E, C, D): the mean over each group's templates, normalised again."""
    return F.normalize(torch.stack([features.mean(dim=0) for features in hard]), dim=-1)


def gated_zero_shot(x: Tensor, hard: Sequence[Tensor], *, logit_scale: float, top_k: int) -> tuple[Tensor, Tensor]:
    """Cosines (B, C) with the group ensembles mixed by the reference gate, and that gate (B, E).

    The class set of the gate's prototypes is the one evaluated.
    """
    gate = top_k_gate(logit_scale * group_cosines(x, group_prototypes(hard)), top_k)
    return mix_similarities(x, group_ensembles(hard), gate, renormalise=True), gate
