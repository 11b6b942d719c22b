"""CoOp (Zhou et al. 2022): one learned prompt, cross-entropy alone. And what all one-prompt methods start from.

The prompt is M learned tokens and the class name: "[ctx] dog.". It starts from words or at random, stands before,
around or after the name, and is shared by the classes or one a class.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mocoop.classifier import Learned
from mocoop.config import Config
from mocoop.errors import DataError
from mocoop.losses import class_loss
from mocoop.methods.base import OPTIMISER, VIEWS, Loop, Task
from mocoop.methods.mixture import PromptMethod, learn_prompts
from mocoop.model import MixtureOfPrompts, empty_model
from mocoop.objective import Terms
from mocoop.prompts import Context
from mocoop.text import TextEncoder

if TYPE_CHECKING:
    from mocoop.backbone import Backbone

RANDOM_WORD = "X"  # stands for a token that starts from no word
_DEVIATION = 0.02
CONTEXT = frozenset({"ctx_init", "ctx_tokens", "ctx_position", "class_ctx"})
ONE_EXPERT = {"routing": "uniform", "top_k": 1, "lambda_router": 0.0, "lambda_text": 0.0}


class CoOp(PromptMethod):
    """One prompt, learned by cross-entropy."""

    name = "coop"
    title = "CoOp"
    settings = OPTIMISER | VIEWS | CONTEXT | {"tau_class"}
    fixed = ONE_EXPERT

    def template(self, config: Config) -> str:
        """What ctx starts from."""
        return prompt_template(config)

    def class_features(self, learned: Learned, classnames: Sequence[str], backbone: Backbone) -> Tensor:
        """h (1, C, D). Raises DataError for new classes where each class has a ctx of its own."""
        if learned.config.class_ctx and tuple(classnames) != learned.classnames:
            raise DataError(
                "a prompt with a ctx for each class knows only the classes it was trained on",
                "train with class_ctx = false to name others",
            )
        return super().class_features(learned, classnames, backbone)

    def learn(self, task: Task, loop: Loop) -> Learned:
        """Train the one context."""
        tau = task.config.tau_class or 1 / task.backbone.logit_scale

        def terms(model: MixtureOfPrompts, encoder: TextEncoder, x: Tensor, labels: Tensor) -> Terms:
            mixed = model(x, model.class_features(encoder))
            loss = class_loss(mixed.similarities, labels, tau)
            return Terms.of(loss, mixed=mixed)

        return learn_prompts(task, loop, prompt_model(task), terms)


def prompt_words(config: Config) -> str:
    """The words that ctx starts from; a placeholder for each token that starts at random."""
    return config.ctx_init or " ".join([RANDOM_WORD] * config.ctx_tokens)


def prompt_template(config: Config) -> str:
    """The same as a template, for people to read."""
    words = prompt_words(config).split()
    half = {"before": len(words), "middle": len(words) // 2, "after": 0}[config.ctx_position]
    return " ".join([*words[:half], "{}", *words[half:]]) + "."


def prompt_model(task: Task, names: Sequence[str] | None = None) -> MixtureOfPrompts:
    """A mixture of one expert at its start: the tokens' embeddings, or N(0, 0.02) drawn from the seed.

    `names` are all class names that will stand in the prompt (None: those trained on).
    """
    config = task.config
    names = task.classnames if names is None else names
    context = task.backbone.prompts.prompt_context(prompt_words(config), config.ctx_position, names)
    model = started(task.backbone, context, config, len(task.classnames))
    if config.ctx_init is None:
        random = torch.Generator().manual_seed(task.seed)
        drawn = torch.randn(model.ctx.shape, generator=random) * _DEVIATION
        with torch.no_grad():
            model.ctx.copy_(drawn)
    return model


def started(backbone: Backbone, context: Context, config: Config, classes: int) -> MixtureOfPrompts:
    """One expert with the embeddings of its context, once or once a class."""
    model = empty_model(backbone, [context], config, classes)
    times = len(model.ctx) // len(context)
    with torch.no_grad():
        model.ctx.copy_(backbone.text.embed(model.context_ids).repeat(times, 1))
    return model
