"""The mixture of prompts as a module: learned contexts, router, and the forward pass.

E experts, C classes, D joint width, W text width, M learned tokens of all experts together. The loss is in
`objective.py`, the training loop in `trainer.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mocoop.backbone.prompts import Context
from mocoop.backbone.text_engine import Encoder
from mocoop.errors import ConfigError
from mocoop.mixture.losses import mix_similarities
from mocoop.mixture.router import CorrectedGate, Router, group_prototypes, new_router, top_k_gate

if TYPE_CHECKING:
    from mocoop.backbone.backbone import Backbone
    from mocoop.config import Config


@dataclass(frozen=True, slots=True)
class Mixed:
    """One forward pass: similarities (B, C), router logits (B, E) and the gate (B, E), zero outside the top K."""

    similarities: Tensor
    router_logits: Tensor
    gate: Tensor


class MixtureOfPrompts(nn.Module):
    """Learned: `ctx` (M, W), expert by expert; the router; and optionally one text offset (D)."""

    def __init__(
        self,
        contexts: Sequence[Context],
        *,
        width: int,
        dim: int,
        top_k: int,
        renormalise_mix: bool,
        router: Router,
        text_offset: bool,
        ctx_copies: int = 1,
    ) -> None:
        """`ctx_copies`: how many copies of ctx the table has: one, or one per class."""
        super().__init__()
        if top_k > len(contexts):
            raise ConfigError(
                f"top_k = {top_k} experts cannot be chosen out of {len(contexts)}",
                f"set top_k to {len(contexts)} or less, or use a group file with more groups",
            )
        self.contexts = tuple(contexts)
        self.top_k = top_k
        self.renormalise_mix = renormalise_mix
        self.ctx = nn.Parameter(torch.zeros(ctx_copies * sum(len(context) for context in contexts), width))
        self.router = router
        self.text_offset = nn.Parameter(torch.zeros(dim)) if text_offset else None

    @property
    def context_ids(self) -> Tensor:
        """Token ids (M,) that the learned tokens are initialised from."""
        return torch.tensor([i for context in self.contexts for i in (*context.before, *context.after)])

    def class_features(self, encoder: Encoder) -> Tensor:
        """h (E, C, D): normalised class text features of every expert."""
        features = encoder(self.ctx).float()
        if self.text_offset is not None:
            features = features + self.text_offset
        return F.normalize(features, dim=-1)

    def forward(self, x: Tensor, h: Tensor, gram: Tensor | None = None) -> Mixed:
        """Route normalised image features x (B, D); similarities to the mix of h (E, C, D)."""
        router_logits = self.router(x)
        gate = top_k_gate(router_logits, self.top_k)
        similarities = mix_similarities(x, h, gate, renormalise=self.renormalise_mix, gram=gram)
        return Mixed(similarities, router_logits, gate)


def new_model(
    backbone: Backbone,
    contexts: Sequence[Context],
    config: Config,
    hard: Sequence[Tensor],
    seed: int,
    images: Callable[[], Tensor] | None = None,
    weights: Tensor | None = None,
) -> MixtureOfPrompts:
    """A newly initialised model: contexts from their templates' embeddings, the router by the settings.

    Args:
        hard: the groups' hard features (T_g, C, D) over the classes trained on.
        seed: for a randomly initialised router.
        images: returns the training images' normalised features (N, D); a `CorrectedGate` needs them.
        weights: those of the training images (N,); None: all the same.
    """
    model = empty_model(backbone, contexts, config)
    with torch.no_grad():
        model.ctx.copy_(backbone.text.embed(model.context_ids))
    if isinstance(model.router, CorrectedGate):
        assert images is not None
        model.router.init_gate(group_prototypes(hard), images().to(backbone.device), weights)
    elif config.routing == "random" or (config.routing == "learned" and config.router_init == "random"):
        model.router.init_random(seed)
    elif config.routing in ("learned", "reference"):
        model.router.init_groups(group_prototypes(hard))
    return model


def chosen_experts(config: Config, experts: int) -> int:
    """K: the number of the E experts used per image."""
    return experts if config.routing == "uniform" or config.top_k == "all" else config.top_k


def empty_model(
    backbone: Backbone, contexts: Sequence[Context], config: Config, classes: int | None = None
) -> MixtureOfPrompts:
    """A model of the right shapes on the backbone's device, to be loaded from a run or initialised.

    `classes` is the number of classes trained on, which matters if each has its own ctx.
    """
    return MixtureOfPrompts(
        contexts,
        width=backbone.text.width,
        dim=backbone.embed_dim,
        top_k=chosen_experts(config, len(contexts)),
        renormalise_mix=config.renormalise_mix,
        router=new_router(config, backbone.embed_dim, len(contexts), backbone.logit_scale),
        text_offset=config.text_offset,
        ctx_copies=classes if config.class_ctx and classes else 1,
    ).to(backbone.device)
