"""LASP (Bulat and Tzimiropoulos 2023) as a control: one prompt, taught by all templates of all groups.

It is MoCoOp with E = 1: the same cross-entropy and the same L_text, over one group that holds every template. What the
mixture adds is what it adds to this. Its ctx starts from `ctx_init`, not from a template, and its full stop stays as
written (or is left out, `drop_full_stop`), where an expert of MoCoOp learns it.
"""

from __future__ import annotations

from mocoop.config import CONTEXT, IMAGE_TOWER, OPTIMISER, TEXT_LOSS, VIEWS, Config
from mocoop.groupfile.groups import Group, GroupFile
from mocoop.mixture.classifier import Learned
from mocoop.mixture.objective import Objective
from mocoop.training.method import Loop, Task, pooled
from mocoop.training.prompt_learning import PromptMethod, learn_prompts, prompt_model, prompt_start, text_classnames


class LASP(PromptMethod):
    """One prompt, learned by cross-entropy and L_text over all templates."""

    name = "lasp"
    title = "LASP (E = 1)"
    settings = (
        OPTIMISER
        | VIEWS
        | IMAGE_TOWER
        | TEXT_LOSS
        | (CONTEXT - {"class_ctx"})
        | {"tau_class", "text_offset", "drop_full_stop"}
    )
    terms = {"class_loss": "class", "text_loss": "text"}
    fixed = {"routing": "uniform", "top_k": 1, "lambda_router": 0.0, "class_ctx": False}
    reads_groups = True
    weighs = True

    def groups(self, given: GroupFile | None, config: Config) -> GroupFile:
        """All templates in one group."""
        return pooled(super().groups(given, config))

    def start(self, config: Config, group: Group) -> str:
        """The words, or how many random tokens stand where."""
        return prompt_start(config)

    def learn(self, task: Task, loop: Loop) -> Learned:
        """Train the one context."""
        names = text_classnames(task.classnames, task.config)
        task.stage("encoding the templates")
        hard = task.hard_features([task.groups.groups[0].texts], names)
        objective = Objective(task.config, hard, len(task.classnames), task.backbone.logit_scale)
        return learn_prompts(task, loop, prompt_model(task, names), objective, text_names=names)


METHOD = LASP()
