"""The router and its gates: which experts an image uses, and how much of each (Eq. 1, 5 and 6).

B batch, E experts, K chosen, C classes, D joint width. Image features `x` are normalised. Knows tensors, not files.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Router(nn.Module):
    """One linear layer with bias on the image feature: `logits = scale * (x W^T + b)`, shape (B, E)."""

    def __init__(self, dim: int, experts: int, *, scale: float = 1.0) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, experts)
        self.scale = scale
        with torch.no_grad():  # the same weight for every expert, until it is started otherwise
            self.linear.weight.zero_()
            self.linear.bias.zero_()

    def init_random(self, seed: int) -> None:
        """PyTorch's default start of a linear layer, drawn from `seed` alone."""
        generator = torch.Generator().manual_seed(seed)
        bound = 1 / math.sqrt(self.linear.in_features)
        with torch.no_grad():
            for parameter in (self.linear.weight, self.linear.bias):
                drawn = torch.empty(parameter.shape).uniform_(-bound, bound, generator=generator)
                parameter.copy_(drawn)

    def init_groups(self, prototypes: Tensor) -> None:
        """Start as the reference gate itself: rows = normalised group prototypes (E, D), bias 0."""
        with torch.no_grad():
            self.linear.weight.copy_(F.normalize(prototypes, dim=-1))
            self.linear.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        """Router logits (B, E) of image features x (B, D)."""
        logits: Tensor = self.scale * self.linear(x)
        return logits


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
    """(E, C, D): the mean over the templates of each group, a class at a time (released code's reference)."""
    return torch.stack([features.mean(dim=0) for features in hard])


def reference_gate(x: Tensor, prototypes: Tensor, tau: float) -> Tensor:
    """W_hard of Eq. 6: softmax over groups of cos(h_g, x) / tau, shape (B, E)."""
    return (group_cosines(x, prototypes) / tau).softmax(-1)


def two_hot_gate(x: Tensor, prototypes: Tensor, tau: float) -> Tensor:
    """The released code's reference: cosines / tau with 10 added to the two largest, then softmax, (B, E)."""
    cosines = group_cosines(x, prototypes) / tau
    largest = cosines.topk(min(2, cosines.shape[-1]), dim=-1).indices
    return cosines.scatter_add(-1, largest, torch.full_like(largest, 10, dtype=cosines.dtype)).softmax(-1)


def group_cosines(x: Tensor, prototypes: Tensor) -> Tensor:
    """cos(h_g, x), (B, E). `prototypes` is (E, D), or (B, E, D) where every image has its own."""
    unit = F.normalize(prototypes, dim=-1)
    return x @ unit.T if unit.ndim == 2 else torch.einsum("bd,bed->be", x, unit)
