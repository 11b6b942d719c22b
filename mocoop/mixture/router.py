"""The router and its gates: which experts an image uses, and with what weights (Eq. 1, 5 and 6).

B batch, E experts, K chosen, C classes, D joint width. Image features `x` are normalised. Only tensors, no files.

There are two forms of router. The paper's is one linear layer. It is ill-conditioned in CLIP's feature space: all
image features share a large common mean, so one step shifts the logits of all images alike, and at a logit scale of
100 by whole logits. The other form, a *correction*, adds a learned term to the reference gate, both on features minus
the training images' mean; its steps do not depend on the logit scale (docs/method.md has the measurements).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from mocoop.config import Config


_ALIKE = 1e-4  # a spread of normalised features below it is rounding: all images are one, and 1 is taken for it


class Router(nn.Module):
    """Eq. 1: one linear layer with bias on the image feature, `logits = scale (W x + b)`, shape (B, E)."""

    def __init__(self, dim: int, experts: int, *, scale: float = 1.0) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, experts)
        self.scale = scale
        with torch.no_grad():  # a uniform gate until initialised
            self.linear.weight.zero_()
            self.linear.bias.zero_()

    def init_random(self, seed: int) -> None:
        """PyTorch's default initialisation of a linear layer, drawn from `seed` only."""
        generator = torch.Generator().manual_seed(seed)
        bound = 1 / math.sqrt(self.linear.in_features)
        with torch.no_grad():
            for parameter in (self.linear.weight, self.linear.bias):
                drawn = torch.empty(parameter.shape).uniform_(-bound, bound, generator=generator)
                parameter.copy_(drawn)

    def init_groups(self, prototypes: Tensor) -> None:
        """Initialise as the reference gate: rows = normalised group prototypes (E, D), bias 0."""
        with torch.no_grad():
            self.linear.weight.copy_(F.normalize(prototypes, dim=-1))
            self.linear.bias.zero_()

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight (E, D) and bias (E,) with `logits = weight x + bias`, used by both training and prediction."""
        return self.scale * self.linear.weight, self.scale * self.linear.bias

    def centred(self, x: Tensor) -> Tensor:
        """Image features (B, D) as input of the reference gate for this router."""
        return x

    def forward(self, x: Tensor) -> Tensor:
        """Router logits (B, E) of image features x (B, D)."""
        return F.linear(x, *self.folded())


class CorrectedGate(Router):
    """The reference gate plus a learned correction: `logits = scale P (x - m) + V (x - m) / s + b`.

    P (E, D) are the unit group prototypes, m (D) the training images' mean feature and s the mean norm of their x - m:
    buffers, saved with the run and not trained. V and b are trained, from 0.
    """

    prototypes: Tensor
    centre: Tensor
    spread: Tensor

    def __init__(self, dim: int, experts: int, *, scale: float) -> None:
        super().__init__(dim, experts, scale=scale)
        self.register_buffer("prototypes", torch.zeros(experts, dim))
        self.register_buffer("centre", torch.zeros(dim))
        self.register_buffer("spread", torch.ones(()))

    def init_gate(self, prototypes: Tensor, x: Tensor, weights: Tensor | None = None) -> None:
        """Initialise as the reference gate of prototypes (E, D), centred by the training images' features x (N, D).

        `weights` (N,), of any mean, make m and s weighted means.
        """
        share = None if weights is None else (weights / weights.sum()).to(x)
        centre = x.mean(dim=0) if share is None else share @ x
        self.prototypes.copy_(F.normalize(prototypes, dim=-1))
        self.centre.copy_(centre)
        norms = (x - centre).norm(dim=-1)
        spread = norms.mean() if share is None else share @ norms
        self.spread.copy_(spread.where(spread > _ALIKE, 1.0))

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight (E, D) and bias (E,) with `logits = weight x + bias`."""
        weight = self.scale * self.prototypes + self.linear.weight / self.spread
        return weight, self.linear.bias - weight @ self.centre

    def centred(self, x: Tensor) -> Tensor:
        """x - m."""
        return x - self.centre


def new_router(config: Config, dim: int, experts: int, logit_scale: float) -> Router:
    """A router of the form in the settings, to be initialised or loaded from a run."""
    if config.router_form == "correction" and config.routing in ("learned", "reference"):
        router: Router = CorrectedGate(dim, experts, scale=1 / config.gate_temperature(logit_scale))
    else:
        own = logit_scale if config.router_scale else 1.0
        gate = 1 / config.gate_temperature(logit_scale)  # scale of a router that is the reference gate
        router = Router(dim, experts, scale=gate if config.routing == "reference" else own)
    return router.requires_grad_(config.routing == "learned")


def router_of(tensors: Mapping[str, Tensor], prefix: str, config: Config, logit_scale: float) -> Router:
    """The router of a run, from the tensors whose names start with `prefix`.

    Raises ValueError if they do not match the form in the settings.
    """
    mine = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    experts, dim = mine["linear.weight"].shape
    router = new_router(config, dim, experts, logit_scale)
    if {name: t.shape for name, t in mine.items()} != {name: t.shape for name, t in router.state_dict().items()}:
        raise ValueError("the tensors are not those of such a router")
    router.load_state_dict(mine)
    return router


def top_k_gate(logits: Tensor, top_k: int) -> Tensor:
    """Weights (B, E): softmax over the K largest logits of each image, zero elsewhere. Raises ValueError if K > E."""
    if not 1 <= top_k <= logits.shape[-1]:
        raise ValueError(f"top_k = {top_k} does not fit {logits.shape[-1]} experts")
    values, chosen = logits.topk(top_k, dim=-1)  # (B, K)
    return torch.zeros_like(logits).scatter(-1, chosen, values.softmax(-1))


def group_prototypes(hard: Sequence[Tensor]) -> Tensor:
    """h_g of Eq. 5 (E, D): the mean over templates and classes of each group's hard features (T_g, C, D)."""
    return torch.stack([features.mean(dim=(0, 1)) for features in hard])


def class_prototypes(hard: Sequence[Tensor]) -> Tensor:
    """(E, C, D): the mean over the templates of each group, per class (the released code's reference)."""
    return torch.stack([features.mean(dim=0) for features in hard])


def reference_gate(x: Tensor, prototypes: Tensor, tau: float) -> Tensor:
    """W_hard of Eq. 6: softmax over groups of cos(h_g, x) / tau, shape (B, E).

    With x minus the training images' mean m it is the softmax of (cos(h_g, x) - cos(h_g, m) |m|) / tau: each group's
    cosine minus its mean over the training images.
    """
    return (group_cosines(x, prototypes) / tau).softmax(-1)


def two_hot_gate(x: Tensor, prototypes: Tensor, tau: float) -> Tensor:
    """The released code's reference: cosines / tau with 10 added to the two largest, then softmax, (B, E)."""
    cosines = group_cosines(x, prototypes) / tau
    largest = cosines.topk(min(2, cosines.shape[-1]), dim=-1).indices
    return cosines.scatter_add(-1, largest, torch.full_like(largest, 10, dtype=cosines.dtype)).softmax(-1)


def group_cosines(x: Tensor, prototypes: Tensor) -> Tensor:
    """x . h_g / |h_g|, (B, E): the cosine if x is normalised.

    `prototypes` are (E, D), or (B, E, D) if each image has its own.
    """
    unit = F.normalize(prototypes, dim=-1)
    return x @ unit.T if unit.ndim == 2 else torch.einsum("bd,bed->be", x, unit)
