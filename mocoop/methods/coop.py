"""CoOp (Zhou et al. 2022): one learned prompt, cross-entropy alone. And what all one-prompt methods start from.

The prompt is M learned tokens and the class name: "[ctx] dog.". It starts from words or at random, stands before,
around or after the name, and is shared by the classes or one a class.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mocoop.backbone.prompts import Context, with_slot, without_full_stop
from mocoop.backbone.text_engine import TextEncoder
from mocoop.config import Config
from mocoop.errors import BackboneError
from mocoop.methods.base import CONTEXT, OPTIMISER, VIEWS, Loop, Task
from mocoop.methods.mixture import PromptMethod, learn_prompts
from mocoop.mixture.classifier import Learned
from mocoop.mixture.losses import class_loss
from mocoop.mixture.model import MixtureOfPrompts, empty_model
from mocoop.mixture.objective import Terms

if TYPE_CHECKING:
    from mocoop.backbone.backbone import Backbone
    from mocoop.data.cache import FeatureCache
    from mocoop.groupfile.groups import Group

RANDOM_WORD = "X"  # stands for a token that starts from no word
_DEVIATION = 0.02
ONE_EXPERT = {
    "routing": "uniform", "top_k": 1, "lambda_router": 0.0, "lambda_text": 0.0, "text_offset": False,
    "tune_layer_norm": False, "drop_full_stop": False,
}  # fmt: skip


class CoOp(PromptMethod):
    """One prompt, learned by cross-entropy."""

    name = "coop"
    title = "CoOp"
    settings = OPTIMISER | VIEWS | CONTEXT | {"tau_class"}
    fixed = ONE_EXPERT

    def template(self, config: Config) -> str:
        """What ctx starts from."""
        return prompt_template(config)

    def start(self, config: Config, group: Group) -> str:
        """The words, or how many random tokens stand where."""
        return prompt_start(config)

    def why_not(self, learned: Learned, classnames: Sequence[str]) -> str | None:
        """A class without a ctx of its own, where each has one."""
        unknown = [name for name in classnames if name not in learned.classnames]
        if not learned.config.class_ctx or not unknown:
            return None
        return f"a prompt with a ctx for each class (class_ctx) has none for {unknown[0]!r}"

    def class_features(
        self, learned: Learned, classnames: Sequence[str], backbone: Backbone, *, cache: FeatureCache | None = None
    ) -> Tensor:
        """h (1, C, D). Raises DataError for new classes where each class has a ctx of its own."""
        if not learned.config.class_ctx:
            return super().class_features(learned, classnames, backbone)
        self.check_classes(learned, classnames)
        places = [learned.classnames.index(name) for name in classnames]
        return learned.class_features(learned.classnames, backbone)[:, places]

    def learn(self, task: Task, loop: Loop) -> Learned:
        """Train the one context."""
        tau = task.config.class_temperature(task.backbone.logit_scale)

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
    return with_slot(prompt_words(config), config.ctx_position) + "."


def prompt_start(config: Config) -> str:
    """What ctx starts from, for people."""
    if config.ctx_init is not None:
        start = without_full_stop(prompt_template(config)) if config.drop_full_stop else prompt_template(config)
    else:
        where = "around" if config.ctx_position == "middle" else config.ctx_position
        start = f"random: {config.ctx_tokens} tokens {where} {{}}"
    return f"{start} (for each class)" if config.class_ctx else start


def prompt_model(task: Task, names: Sequence[str] | None = None) -> MixtureOfPrompts:
    """A mixture of one expert at its start: the tokens' embeddings, or N(0, 0.02) drawn from the seed.

    `names` are all class names that will stand in the prompt (None: those trained on).
    """
    config = task.config
    names = task.classnames if names is None else names
    prompts = task.backbone.prompts
    context = prompts.prompt_context(
        prompt_words(config), config.ctx_position, names, full_stop=not config.drop_full_stop
    )
    model = started(task.backbone, context, config, len(task.classnames))
    if config.ctx_init is None:
        if len(context) != config.ctx_tokens:
            raise BackboneError(
                f"the tokenizer of {task.backbone.name} reads {RANDOM_WORD!r} as more than one token",
                "start ctx from words: set ctx_init",
            )
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
