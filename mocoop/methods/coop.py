"""CoOp (Zhou et al. 2022): one learned prompt, cross-entropy alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from mocoop.backbone.text_engine import Encoder
from mocoop.config import CONTEXT, OPTIMISER, VIEWS, Config
from mocoop.mixture.classifier import Learned
from mocoop.mixture.losses import class_loss
from mocoop.mixture.model import MixtureOfPrompts
from mocoop.mixture.objective import Terms
from mocoop.training.method import Loop, Task
from mocoop.training.prompt_learning import (
    ONE_EXPERT,
    PromptMethod,
    learn_prompts,
    prompt_model,
    prompt_start,
    prompt_template,
)

if TYPE_CHECKING:
    from mocoop.backbone.backbone import Backbone
    from mocoop.data.cache import FeatureCache
    from mocoop.groupfile.groups import Group


class CoOp(PromptMethod):
    """One prompt, learned by cross-entropy."""

    name = "coop"
    title = "CoOp"
    settings = OPTIMISER | VIEWS | CONTEXT | {"tau_class"}
    fixed = ONE_EXPERT
    weighs = True

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

        def terms(
            model: MixtureOfPrompts, encoder: Encoder, x: Tensor, labels: Tensor, weights: Tensor | None = None
        ) -> Terms:
            mixed = model(x, model.class_features(encoder))
            loss = class_loss(mixed.similarities, labels, tau, weights)
            return Terms.of(loss, mixed=mixed)

        return learn_prompts(task, loop, prompt_model(task), terms)


METHOD = CoOp()
