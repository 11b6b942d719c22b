"""The loss of one step: L = L_cls + lambda1 L_router + lambda2 L_text (Eq. 10), according to the settings.

The class text features are encoded once per step, for all class names of L_text; the classes trained on come first.
B batch, E experts, C classes trained on, C' classes including extra names, D joint width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mocoop.backbone.text_engine import Encoder
from mocoop.config import Config
from mocoop.mixture.losses import class_loss, router_loss, text_loss
from mocoop.mixture.model import Mixed, MixtureOfPrompts
from mocoop.mixture.router import class_prototypes, group_prototypes, reference_gate, two_hot_gate


@dataclass(frozen=True, slots=True)
class Terms:
    """The loss and its three terms (scalars), and the forward pass they came from."""

    total: Tensor
    class_term: Tensor
    router_term: Tensor
    text_term: Tensor
    mixed: Mixed
    reference: Tensor | None = None  # the reference gate (B, E), if a router is trained

    @classmethod
    def of(cls, class_term: Tensor, *, mixed: Mixed, text: tuple[float, Tensor] | None = None) -> Terms:
        """A class loss, and optionally a weighted term that preserves the templates' knowledge."""
        nothing = class_term.new_zeros(())
        weight, text_term = text or (0.0, nothing)
        total = class_term + weight * text_term if weight else class_term
        return cls(total, class_term, nothing, text_term, mixed)


class Objective:
    """Eq. 10 over fixed hard features."""

    def __init__(self, config: Config, hard: Sequence[Tensor], classes: int, logit_scale: float) -> None:
        """`hard`: for each group, normalised features (T_g, C', D), the `classes` trained on first."""
        self._config = config
        self._hard = hard
        self._classes = classes
        self._tau_class = config.class_temperature(logit_scale)
        self._tau_text = config.text_temperature(logit_scale)
        self._tau_gate = config.gate_temperature(logit_scale)
        trained = [features[:, :classes] for features in hard]
        by_class = config.gate_prototypes == "true-class"
        self._prototypes = class_prototypes(trained) if by_class else group_prototypes(trained)

    def __call__(
        self, model: MixtureOfPrompts, encoder: Encoder, x: Tensor, labels: Tensor, weights: Tensor | None = None
    ) -> Terms:
        """The terms for normalised image features x (B, D) and labels (B,); `weights` (B,) as in `losses.py`."""
        config = self._config
        h = model.class_features(encoder)  # (E, C', D)
        mixed = model(x, h[:, : self._classes])
        class_term = class_loss(mixed.similarities, labels, self._tau_class, weights)
        router_term = text_term = class_term.new_zeros(())
        reference = self.reference(model.router.centred(x), labels) if config.routing == "learned" else None
        if reference is not None and config.lambda_router > 0:
            router_term = router_loss(mixed.router_logits, reference, config.router_loss, weights)
        if config.lambda_text > 0:
            targets = torch.arange(h.shape[1], device=h.device)
            text_term = text_loss(self._hard, h, targets, self._tau_text, config.text_target)
        total = class_term + config.lambda_router * router_term + config.lambda_text * text_term
        return Terms(total, class_term, router_term, text_term, mixed, reference)

    def reference(self, x: Tensor, labels: Tensor) -> Tensor:
        """The router's target gate (B, E), for features centred as the router's: Eq. 6, or the released code's."""
        prototypes = self._prototypes
        if prototypes.ndim == 3:  # (E, C, D): the prototype of each image's true class
            prototypes = prototypes[:, labels].transpose(0, 1)  # (B, E, D)
        gate = two_hot_gate if self._config.gate_target == "two-hot" else reference_gate
        return gate(x, prototypes, self._tau_gate)
