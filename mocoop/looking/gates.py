"""The reference gate of images, to be held beside the learned one. N images, E experts, D joint width."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from mocoop.backbone.hard_features import hard_features
from mocoop.mixture.classifier import ROUTER
from mocoop.mixture.objective import Objective
from mocoop.mixture.router import CorrectedGate, reference_gate, router_of

if TYPE_CHECKING:
    from mocoop.backbone.backbone import Backbone
    from mocoop.data.cache import FeatureCache
    from mocoop.runs.run import Run


@torch.no_grad()
def reference_gates(
    run: Run, backbone: Backbone, features: Tensor, labels: Tensor, *, cache: FeatureCache | None = None
) -> Tensor | None:
    """The gate (N, E) that the router of a run was taught, for image features (N, D), normalised or not.

    It is computed as in the training: centred as the router's images are, and by each image's true class (`labels`
    (N,), of the classes trained on) where the settings say so. None for a run without several groups, or that reads
    none. `cache` is that of the templates' features.
    """
    if len(run.groups.ids) < 2 or not run.method.reads_groups:
        return None
    x, config, scale = F.normalize(features.float(), dim=-1), run.config, run.learned.logit_scale
    if any(name.startswith(ROUTER) for name in run.tensors):
        router = router_of(run.tensors, ROUTER, config, scale)
        x = router.centred(x)
        if isinstance(router, CorrectedGate):  # it keeps the prototypes
            return reference_gate(x, router.prototypes, config.gate_temperature(scale))
    hard = hard_features(backbone, [group.texts for group in run.groups.groups], run.classnames, cache=cache)
    objective = Objective(config, [one.cpu() for one in hard], len(run.classnames), scale)
    return objective.reference(x, labels)
