"""Training-free classifiers over the hard templates: what a learned mixture must be compared with.

Zero-shot with one template, the ensemble of all templates, and the ensembles of the groups mixed by the reference
gate (Eq. 5-6), where nothing is learned. E groups, C classes, B images, D joint width; all features normalised.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mocoop.losses import mix_similarities
from mocoop.router import group_cosines, group_prototypes, top_k_gate


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
