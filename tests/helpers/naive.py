"""The methods once more, written from their papers' equations: every prompt alone and at full length through the
model's own `encode_text`, loops over images, experts and classes, and a descent step by hand. Slow, and plain to read.
"""

from __future__ import annotations

import math

import open_clip
import torch
import torch.nn.functional as F
from worlds import CLASSNAMES

from mocoop.groupfile.groups import parse_groups
from mocoop.methods import method_named
from mocoop.runs.fitting import fit
from mocoop.training.method import Samples

TOKENS = open_clip.SimpleTokenizer()
DIM, WIDTH = 24, 32  # of tests/towers.py


def size(text):
    """How many tokens CLIP makes of a text."""
    return len(TOKENS.encode(text))


def places(template, name):
    """Positions of the tokens before and after the class name in a filled template; 0 is the start token."""
    lead, tail = template.split("{}")
    before = range(1, 1 + size(lead))
    behind = 1 + size(lead) + size(name)
    return [*before, *range(behind, behind + size(tail))]


def encode(backbone, text, vectors=None, at=()):
    """The feature (D) of one prompt, not normalised, with the embeddings at some positions replaced by vectors."""
    ids = TOKENS([text], context_length=40)

    def replace(_module, _args, output):
        rows = list(output[0])
        for position, vector in zip(at, vectors, strict=True):
            rows[position] = vector
        return torch.stack(rows)[None]

    handle = backbone.text.embedding.register_forward_hook(replace) if vectors is not None else None
    try:
        return backbone.model.encode_text(ids, normalize=False)[0]
    finally:
        if handle is not None:
            handle.remove()


def unit(vector):
    return vector / vector.norm()


def words(backbone, text):
    """Token embeddings (M, W) of words: what ctx starts from."""
    return backbone.text.embedding.weight[torch.tensor(TOKENS.encode(text))].detach().clone()


def prompt_features(backbone, ctx, template, names, offset=0):
    """(C, D): the learned prompt of each class; `ctx` stands where `template` has its own tokens."""
    filled = [template.replace("{}", name) for name in names]
    at = [places(template, name)[: len(ctx)] for name in names]
    return torch.stack(
        [unit(encode(backbone, text, ctx, where) + offset) for text, where in zip(filled, at, strict=True)]
    )


@torch.no_grad()
def template_features(backbone, template, names):
    """(C, D): a hand-written template, nothing learned."""
    return torch.stack([unit(encode(backbone, template.replace("{}", name))) for name in names])


def cross_entropy(logits, labels):
    """Mean over images of -log softmax, by hand."""
    total = 0
    for row, label in zip(logits, labels.tolist(), strict=True):
        total = total - (row[label] - torch.logsumexp(row, 0))
    return total / len(labels)


def examples(classes, images=12, seed=1):
    """Unit image features (B, D) and labels (B)."""
    x = F.normalize(torch.randn(images, DIM, generator=torch.Generator().manual_seed(seed)), dim=-1)
    return x, torch.arange(images) % classes


def quick(**changes):
    """Two epochs of one step each: the first at the warm-up's rate, the second at the full one."""
    return {"epochs": 2, "lr": 0.1, "warmup_epochs": 1, "warmup_lr": 0.03, "views": 0, **changes}


def trained(backbone, config, x, labels, *, classes=4, groups=None, seed=1, batch=None, plain=None):
    """What the software learns in the two steps of `quick`; `plain` are the images' features where x is None."""
    method = method_named(config.method)
    config = method.settle(config)
    file = None if groups is None else parse_groups(groups)
    return fit(
        backbone,
        method.groups(file, config),
        batch or (lambda _epoch, index: x[index]),
        labels,
        CLASSNAMES[:classes],
        config,
        seed=seed,
        epochs=2,
        samples=lambda: Samples(x if plain is None else plain, labels, labels[:0], labels[:0]),
    )


def descend(start, gradients, config, slow=()):
    """The same two steps by hand: SGD with momentum and weight decay, clipped where asked for.

    `start` are tensors by name, `gradients` gives the loss and their gradients by name.
    """
    values = {name: value.detach().clone() for name, value in start.items()}
    speed, losses = {}, []
    for rate in (config.warmup_lr, config.lr):
        loss, found = gradients({name: value.clone().requires_grad_(True) for name, value in values.items()})
        losses.append(float(loss.detach()))
        length = math.sqrt(sum(float((gradient**2).sum()) for gradient in found.values()))
        shrink = min(1.0, config.clip_norm / length) if config.clip_norm else 1.0
        for name, gradient in found.items():
            step = shrink * gradient + config.weight_decay * values[name]
            speed[name] = step if name not in speed else config.momentum * speed[name] + step
            own = config.layer_norm_lr if name in slow else 1
            if name.startswith("router.") and config.router_lr is not None:
                own = config.router_lr / config.lr
            values[name] = values[name] - rate * own * speed[name]
    return values, losses


def of_loss(loss):
    """Gradients of a loss that is a function of tensors by name."""

    def gradients(tensors):
        value = loss(tensors)
        return value, dict(zip(tensors, torch.autograd.grad(value, list(tensors.values())), strict=True))

    return gradients


def agree(fitted, values, losses, start=None):
    """The software's losses and learned tensors are those found by hand, and have moved by more than that."""
    torch.testing.assert_close(
        torch.tensor([log.loss for log in fitted.history]), torch.tensor(losses), rtol=2e-5, atol=2e-5
    )
    for name, value in values.items():
        torch.testing.assert_close(fitted.learned.tensors[name], value, rtol=1e-4, atol=1e-5)
        if start is not None:
            assert (fitted.learned.tensors[name] - start[name]).abs().max() > 1e-4, name
