"""ProGrad (Zhu et al. 2023): CoOp whose gradient may not go against what zero-shot CLIP knows.

Where the gradient of the cross-entropy and that of the distance to the template's zero-shot predictions point apart,
the first loses its part along the second: g = g_ce - lambda (g_ce . u) u, u = g_kl / |g_kl|. Otherwise g = g_ce.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mocoop.classifier import Learned
from mocoop.config import Config
from mocoop.data.templates import PLAIN
from mocoop.losses import class_loss
from mocoop.methods.base import OPTIMISER, VIEWS, Loop, Task
from mocoop.methods.coop import ONE_EXPERT, RANDOM_WORD, started
from mocoop.methods.kgcoop import template_features
from mocoop.methods.mixture import PromptMethod, learn_prompts
from mocoop.model import MixtureOfPrompts
from mocoop.objective import Terms
from mocoop.text import TextEncoder


class ProGrad(PromptMethod):
    """One prompt of M tokens that ends in the words of the template; those before them start at zero."""

    name = "prograd"
    title = "ProGrad"
    settings = OPTIMISER | VIEWS | {"template", "ctx_tokens", "lambda_projection", "tau_class"}
    fixed = {**ONE_EXPERT, "ctx_position": "before", "class_ctx": False, "ctx_init": None}

    def template(self, config: Config) -> str:
        """What ctx starts from, a placeholder for each token that starts at zero."""
        return _words(config, len(_leading_words(config))) + " {}."

    def learn(self, task: Task, loop: Loop) -> Learned:
        """Train the one context along projected gradients."""
        tau = task.config.tau_class or 1 / task.backbone.logit_scale
        known = template_features(task)
        model = _model(task)

        def terms(model: MixtureOfPrompts, encoder: TextEncoder, x: Tensor, labels: Tensor) -> Terms:
            mixed = model(x, model.class_features(encoder))
            ce = class_loss(mixed.similarities, labels, tau)
            kl = zero_shot_distance(mixed.similarities / tau, x @ known.T / tau)
            (g_ce,) = torch.autograd.grad(ce, model.ctx, retain_graph=True)
            (g_kl,) = torch.autograd.grad(kl, model.ctx)
            gradient = projected(g_ce, g_kl, task.config.lambda_projection)
            # A stand-in with the value of the cross-entropy and the projected gradient: the loop needs no other way.
            lever = (model.ctx * gradient).sum()
            return Terms.of(ce.detach() + lever - lever.detach(), text=(0.0, kl.detach()), mixed=mixed)

        return learn_prompts(task, loop, model, terms)


def zero_shot_distance(logits: Tensor, known: Tensor) -> Tensor:
    """Mean KL(zero-shot || learned) over images, from logits (B, C) of both; the temperature is 1."""
    return F.kl_div(logits.log_softmax(-1), known.log_softmax(-1), reduction="batchmean", log_target=True)


def projected(g_ce: Tensor, g_kl: Tensor, strength: float) -> Tensor:
    """The gradient that is followed, of the shape of both."""
    unit = g_kl / g_kl.norm().clamp_min(1e-12)
    along = (g_ce * unit).sum()
    taken: Tensor = strength * along.clamp_max(0) * unit
    return g_ce - taken


def _words(config: Config, own: int) -> str:
    """The template's words, which are `own` tokens, filled up on the left with placeholders to M tokens."""
    return " ".join([RANDOM_WORD] * max(0, config.ctx_tokens - own) + _leading_words(config))


def _leading_words(config: Config) -> list[str]:
    """A phrase after the class name goes to the front: "a type of pet, a photo of a", as ProGrad writes it."""
    before, after = (config.template or PLAIN).split("{}")
    phrase = after.strip(" ,.")
    lead = before.split()
    if not phrase:
        return lead
    return [*phrase.split()[:-1], phrase.split()[-1] + ",", *lead] if lead else f"a {phrase} of".split()


def _model(task: Task) -> MixtureOfPrompts:
    config, prompts = task.config, task.backbone.prompts
    own = prompts.count_tokens(" ".join(_leading_words(config)))
    words = _words(config, own)
    model = started(task.backbone, prompts.prompt_context(words, "before", task.classnames), config, 1)
    with torch.no_grad():
        model.ctx[: max(0, config.ctx_tokens - own)] = 0
    return model
