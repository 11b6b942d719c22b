"""ProGrad (Zhu et al. 2023): CoOp whose gradient may not go against what zero-shot CLIP knows.

Where the gradient of the cross-entropy and that of the distance to the template's zero-shot predictions point apart,
the first loses its part along the second: g = g_ce - lambda (g_ce . u) u, u = g_kl / |g_kl|. Otherwise g = g_ce.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from mocoop.backbone.text_engine import Encoder
from mocoop.config import OPTIMISER, VIEWS, Config
from mocoop.data.templates import PLAIN, name_last
from mocoop.errors import ConfigError
from mocoop.mixture.classifier import Learned
from mocoop.mixture.losses import class_loss, image_mean
from mocoop.mixture.model import MixtureOfPrompts
from mocoop.mixture.objective import Terms
from mocoop.training.method import Loop, Task
from mocoop.training.prompt_learning import (
    ONE_EXPERT,
    RANDOM_WORD,
    PromptMethod,
    learn_prompts,
    started,
    template_features,
)

if TYPE_CHECKING:
    from mocoop.groupfile.groups import Group

_GENTLER = ("oxford_flowers", "dtd", "eurosat")  # the data sets where the authors take 0.8 at 8 and 16 shots


class ProGrad(PromptMethod):
    """One prompt of M tokens that ends in the words of the template; those before them start at zero."""

    name = "prograd"
    title = "ProGrad"
    settings = OPTIMISER | VIEWS | {"template", "ctx_tokens", "lambda_projection", "tau_class"}
    fixed = {**ONE_EXPERT, "ctx_position": "before", "class_ctx": False, "ctx_init": None}
    terms = {"text_loss": "distance from zero-shot, which only turns the gradient"}
    weighs = True

    def adapt(self, config: Config, dataset: str, shots: int) -> Config:
        """The data set's template, and how much is projected out."""
        config = super().adapt(config, dataset, shots)
        if config.lambda_projection is not None:
            return config
        return config.replace(lambda_projection=0.8 if dataset in _GENTLER and shots >= 8 else 1.0)

    def template(self, config: Config) -> str:
        """What ctx starts from, a placeholder for each token that starts at zero (a word counted as a token)."""
        return _padded(config, len(_words(config).split())) + " {}."

    def start(self, config: Config, group: Group) -> str:
        """The template's words, and how many tokens there are in all."""
        return f"{_words(config)} {{}}. (the last of {config.ctx_tokens} tokens, those before them zero)"

    def learn(self, task: Task, loop: Loop) -> Learned:
        """Train the one context along projected gradients."""
        config = task.config
        tau = config.class_temperature(task.backbone.logit_scale)
        strength = 1.0 if config.lambda_projection is None else config.lambda_projection
        known = template_features(task)

        def terms(
            model: MixtureOfPrompts, encoder: Encoder, x: Tensor, labels: Tensor, weights: Tensor | None = None
        ) -> Terms:
            mixed = model(x, model.class_features(encoder))
            ce = class_loss(mixed.similarities, labels, tau, weights)
            kl = zero_shot_distance(mixed.similarities / tau, x @ known.T / tau, weights)
            (g_ce,) = torch.autograd.grad(ce, model.ctx, retain_graph=True)
            (g_kl,) = torch.autograd.grad(kl, model.ctx)
            # A stand-in with the value of the cross-entropy and the projected gradient: the loop needs no other way.
            lever = (model.ctx * projected(g_ce, g_kl, strength)).sum()
            return Terms.of(ce.detach() + (lever - lever.detach()), text=(0.0, kl.detach()), mixed=mixed)

        return learn_prompts(task, loop, _model(task), terms)


def zero_shot_distance(logits: Tensor, known: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean KL(zero-shot || learned) over images, from logits (B, C) of both; the temperature is 1."""
    learned, frozen = logits.log_softmax(-1), known.log_softmax(-1)
    if weights is None:
        return F.kl_div(learned, frozen, reduction="batchmean", log_target=True)
    return image_mean(F.kl_div(learned, frozen, reduction="none", log_target=True).sum(-1), weights)


def projected(g_ce: Tensor, g_kl: Tensor, strength: float) -> Tensor:
    """The gradient that is followed, of the shape of both."""
    unit = g_kl / g_kl.norm().clamp_min(1e-12)
    against = (g_ce * unit).sum().clamp_max(0)
    taken: Tensor = strength * against * unit
    return g_ce - taken


def _words(config: Config) -> str:
    """The words of the template before the class name, once the name stands last."""
    return name_last(config.template or PLAIN).partition("{}")[0].strip()


def _padded(config: Config, own: int) -> str:
    """The template's words, which are `own` tokens, filled up on the left with placeholders to M tokens."""
    return " ".join([*[RANDOM_WORD] * (config.ctx_tokens - own), _words(config)])


def _model(task: Task) -> MixtureOfPrompts:
    config, prompts = task.config, task.backbone.prompts
    own = prompts.count_tokens(_words(config))
    if own > config.ctx_tokens:
        raise ConfigError(
            f"the template's words {_words(config)!r} are {own} tokens, ctx_tokens is {config.ctx_tokens}",
            f"set ctx_tokens to {own} or more, or choose a shorter template",
        )
    context = prompts.prompt_context(_padded(config, own), "before", task.classnames)
    model = started(task.backbone, context, config, 1)
    with torch.no_grad():
        model.ctx[: config.ctx_tokens - own] = 0
    return model


METHOD = ProGrad()
