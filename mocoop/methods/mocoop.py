"""MoCoOp: a mixture of prompts, one expert a group, and its routing controls (Eq. 1-10).

What is minimised is in `mocoop.mixture.objective`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor

from mocoop.backbone.hard_features import hard_features
from mocoop.backbone.prompts import without_full_stop
from mocoop.config import IMAGE_TOWER, OPTIMISER, TEXT_LOSS, VIEWS, Config
from mocoop.mixture.classifier import Learned
from mocoop.mixture.model import new_model
from mocoop.mixture.objective import Objective
from mocoop.mixture.router import class_prototypes
from mocoop.training.method import Loop, Task
from mocoop.training.prompt_learning import PromptMethod, learn_prompts, text_classnames

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mocoop.backbone.backbone import Backbone
    from mocoop.data.cache import FeatureCache
    from mocoop.groupfile.groups import Group

_REFERENCE = frozenset({"gate_prototypes", "gate_target", "tau_gate", "gate_softness", "router_loss"})


class MoCoOp(PromptMethod):
    """One expert a group, a router, and the templates as teachers of both."""

    name = "mocoop"
    title = "MoCoOp"
    settings = (
        OPTIMISER
        | VIEWS
        | IMAGE_TOWER
        | TEXT_LOSS
        | {
            "routing", "router_form", "top_k", "router_init", "router_scale", "router_lr", "renormalise_mix",
            "tau_class", "lambda_router", "text_offset", "drop_full_stop", "template_share",
        }
        | _REFERENCE
    )  # fmt: skip
    fixed = {"class_ctx": False}
    reads_groups = True
    weighs = True
    terms = {"class_loss": "class", "router_loss": "router", "text_loss": "text"}

    def settle(self, config: Config) -> Config:
        """A router that does not learn has no loss."""
        config = super().settle(config)
        return config if config.routing == "learned" else config.replace(lambda_router=0.0)

    def idle(self, config: Config) -> set[str]:
        """A router that does not learn starts in one way only; equal weights need no router at all."""
        idle = super().idle(config)
        if config.routing != "learned":
            idle |= {"router_init", "lambda_router", "router_lr"}
        if config.routing in ("uniform", "random"):
            idle |= {"router_form"}
        if config.routing == "uniform":
            idle |= {"top_k"}
        if config.routing in ("uniform", "reference"):
            idle |= {"router_scale"}
        corrected = config.router_form == "correction" and "router_form" not in idle
        if corrected:
            idle |= {"router_init", "router_scale", "gate_prototypes", "gate_target"}
        if config.lambda_router == 0 or config.routing != "learned":
            gate = {"tau_gate", "gate_softness"} if corrected or config.routing == "reference" else set()
            idle |= _REFERENCE - gate
        return idle

    def start(self, config: Config, group: Group) -> str:
        """The group's init."""
        return without_full_stop(group.init) if config.drop_full_stop else group.init

    def learn(self, task: Task, loop: Loop) -> Learned:
        """Train contexts and router."""
        inits = [self.start(task.config, group) for group in task.groups.groups]
        names = text_classnames(task.classnames, task.config)
        task.stage("encoding the templates")
        contexts = task.backbone.prompts.contexts(inits, names)
        texts = [group.texts for group in task.groups.groups]
        hard = task.hard_features(texts, names)
        trained = [features[:, : len(task.classnames)] for features in hard]
        model = new_model(
            task.backbone, contexts, task.config, trained, task.seed, lambda: _unit_features(task), task.weights
        )
        objective = Objective(task.config, hard, len(task.classnames), task.backbone.logit_scale)
        return learn_prompts(task, loop, model, objective, text_names=names)

    def class_features(
        self, learned: Learned, classnames: Sequence[str], backbone: Backbone, *, cache: FeatureCache | None = None
    ) -> Tensor:
        """h (E, C, D), normalised; of a class that was not trained on `template_share` is its expert's templates'.

        What the prompts learned suits the classes that had images. Of others the templates know as much, and the
        middle of the two directions knows more than either (docs/results.md). Raises DataError.
        """
        h = super().class_features(learned, classnames, backbone, cache=cache)
        share, known = learned.config.template_share, frozenset(learned.classnames)
        new = [place for place, name in enumerate(classnames) if name not in known]
        if share == 0 or not new:
            return h
        texts = [group.texts for group in learned.groups.groups]
        hard = hard_features(backbone, texts, [classnames[place] for place in new], cache=cache)
        templates = F.normalize(class_prototypes(hard).cpu(), dim=-1)  # (E, new classes, D)
        h = h.clone()
        h[:, new] = F.normalize((1 - share) * h[:, new] + share * templates, dim=-1)
        return h


def _unit_features(task: Task) -> Tensor:
    """The training images' normalised features (N, D), in their plain view."""
    return F.normalize(task.plain().float(), dim=-1)


METHOD = MoCoOp()
