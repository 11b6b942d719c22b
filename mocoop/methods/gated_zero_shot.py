"""Gated ensembles: those of the groups, mixed by the reference gate (Eq. 5-6) over the classes that are evaluated.

Nothing is learned. What a learned mixture adds is what it adds to this.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mocoop.methods.zero_shot import TrainingFree
from mocoop.mixture.classifier import Learned


class GatedZeroShot(TrainingFree):
    """Each group's ensemble, mixed by the reference gate."""

    name = "gated-zero-shot"
    title = "gated zero-shot"
    settings = frozenset({"top_k", "tau_gate", "gate_softness", "tau_class"})
    fixed = {"views": 0, "routing": "learned", "tune_layer_norm": False}
    reads_groups = True

    def _router(self, learned: Learned, features: Tensor) -> Tensor:
        scale = 1 / learned.config.gate_temperature(learned.logit_scale)
        return scale * F.normalize(torch.as_tensor(features.mean(dim=1)), dim=-1)


METHOD = GatedZeroShot()
