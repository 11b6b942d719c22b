"""The mix and the three losses (Eq. 2-3, 7-9) as pure functions of tensors.

B batch, E experts, C classes, T templates of one group, D joint width. `x` (B, D) and `h` (E, C, D) are normalised.
`gate` (B, E) holds the weights of the chosen experts and zeros elsewhere. `weights` (B,) are the images' own, with mean
1 over all training images, so that the mean of a batch estimates that of the whole; None: all weigh the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

if TYPE_CHECKING:
    from mocoop.config import RouterLoss, TextTarget

_LARGE = 1 << 22  # logits (T, C, C') of one group that are computed again in the backward pass rather than kept


def mix_similarities(x: Tensor, h: Tensor, gate: Tensor, *, renormalise: bool, gram: Tensor | None = None) -> Tensor:
    """Similarities (B, C) of images with their mixed class text features, without any (B, C, D) tensor.

    The mix is h_p[b, c] = sum_e gate[b, e] h[e, c] (Eq. 2). Its product with x[b] is sum_e gate[b, e] S[b, e, c],
    S = x . h; its squared norm is gate[b]^T G[c] gate[b] with the Gram matrix G[c] = h[:, c] h[:, c]^T. With
    `renormalise` the result is the cosine of Eq. 3, without it the released code's plain product.
    `gram` (C, E, E) may be given where h is fixed, as at inference.
    """
    similarities = torch.einsum("bd,ecd->bec", x, h)  # S (B, E, C)
    mixed = torch.einsum("be,bec->bc", gate, similarities)  # (B, C)
    if not renormalise:
        return mixed
    gram = gram_matrices(h) if gram is None else gram
    square = torch.einsum("be,cef,bf->bc", gate, gram, gate)  # (B, C)
    # Unit vectors that cancel leave a norm of 0; the floor keeps the gradient finite and the cosine at 0.
    return mixed * square.clamp_min(1e-12).rsqrt()


def gram_matrices(h: Tensor) -> Tensor:
    """G (C, E, E): products of the experts' features, a class at a time."""
    return torch.einsum("ecd,fcd->cef", h, h)


def image_mean(values: Tensor, weights: Tensor | None = None) -> Tensor:
    """The mean over images of a value each (B,), times the image's weight."""
    return values.mean() if weights is None else (weights * values).mean()


def class_loss(similarities: Tensor, labels: Tensor, tau: float, weights: Tensor | None = None) -> Tensor:
    """L_cls of Eq. 3: mean cross-entropy of similarities / tau (B, C) with labels (B,)."""
    if weights is None:
        return F.cross_entropy(similarities / tau, labels)
    return image_mean(F.cross_entropy(similarities / tau, labels, reduction="none"), weights)


def router_loss(
    router_logits: Tensor, reference: Tensor, kind: RouterLoss = "kl", weights: Tensor | None = None
) -> Tensor:
    """L_router: mean over the batch of the distance between softmax(router_logits) and the reference gate (B, E).

    "kl" is KL(router || reference), Eq. 7; "kl-reversed" is KL(reference || router); "mse" the mean squared
    difference of Table 5.
    """
    if kind == "mse":
        if weights is None:
            return F.mse_loss(router_logits.softmax(-1), reference)
        return image_mean((router_logits.softmax(-1) - reference).square().mean(-1), weights)
    log_router = router_logits.log_softmax(-1)
    log_reference = reference.clamp_min(torch.finfo(reference.dtype).tiny).log()
    if kind == "kl":
        return image_mean((log_router.exp() * (log_router - log_reference)).sum(-1), weights)
    return image_mean((reference * (log_reference - log_router)).sum(-1), weights)


def text_loss(
    hard: Sequence[Tensor], h: Tensor, targets: Tensor, tau: float, kind: TextTarget = "mean-probability"
) -> Tensor:
    """L_text of Eq. 9: minus the mean over groups and classes of log P(y).

    `P_i(y) = softmax_c(cos(HP[g][i, c], h[g, y]) / tau)[y]`: the soft prompt of y is held and the hard class varies
    (docs/method.md says why this and not the denominator as printed). P(y) is the mean of P_i(y) over the templates,
    taken as log-mean-exp. "mean-template" averages the templates first and takes one cross-entropy (released code).

    Args:
        hard: a group each, normalised hard features `HP[g]` (T_g, C', D) of every class of the softmax.
        h: normalised soft features (E, C, D).
        targets: (C,), the place of each soft class among the C' hard classes.
    """
    per_group = []
    for group, soft in zip(hard, h, strict=True):
        if len(group) * len(targets) * group.shape[1] < _LARGE:
            per_group.append(_group_text_loss(group, soft, targets, tau, kind))
        else:
            again = checkpoint(_group_text_loss, group, soft, targets, tau, kind, use_reentrant=False)
            per_group.append(again)
    return torch.stack(per_group).mean()


def _group_text_loss(hard: Tensor, soft: Tensor, targets: Tensor, tau: float, kind: TextTarget) -> Tensor:
    if kind == "mean-template":
        hard = F.normalize(hard.mean(dim=0, keepdim=True), dim=-1)
    logits = torch.einsum("tkd,cd->tck", hard, soft) / tau  # (T, C, C')
    index = targets.expand(len(hard), -1).unsqueeze(-1)  # (T, C, 1)
    log_p = logits.log_softmax(-1).gather(-1, index).squeeze(-1)  # (T, C)
    return -(log_p.logsumexp(0) - math.log(len(hard))).mean()
