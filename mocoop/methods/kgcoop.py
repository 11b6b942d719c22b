"""KgCoOp (Yao, Zhang, Xu 2023): CoOp, held near the text features of the data set's own template.

L = CE + lambda (1 - mean_c cos(h_c, t_c)), t_c the frozen features of the template.
"""

from __future__ import annotations

from torch import Tensor

from mocoop.backbone.text_engine import Encoder
from mocoop.methods.coop import CoOp
from mocoop.mixture.classifier import Learned
from mocoop.mixture.losses import class_loss
from mocoop.mixture.model import MixtureOfPrompts
from mocoop.mixture.objective import Terms
from mocoop.training.method import Loop, Task
from mocoop.training.prompt_learning import learn_prompts, prompt_model, template_features


class KgCoOp(CoOp):
    """One prompt, learned by cross-entropy and nearness to the template."""

    name = "kgcoop"
    title = "KgCoOp"
    terms = {"class_loss": "class", "text_loss": "distance from the template"}
    settings = CoOp.settings | {"template", "lambda_knowledge"}

    def learn(self, task: Task, loop: Loop) -> Learned:
        """Train the one context."""
        config = task.config
        tau = config.class_temperature(task.backbone.logit_scale)
        known = template_features(task)

        def terms(
            model: MixtureOfPrompts, encoder: Encoder, x: Tensor, labels: Tensor, weights: Tensor | None = None
        ) -> Terms:
            h = model.class_features(encoder)
            mixed = model(x, h)
            distance = knowledge_loss(h[0], known)
            class_term = class_loss(mixed.similarities, labels, tau, weights)
            return Terms.of(class_term, text=(config.lambda_knowledge, distance), mixed=mixed)

        return learn_prompts(task, loop, prompt_model(task), terms)


def knowledge_loss(h: Tensor, known: Tensor) -> Tensor:
    """1 - mean_c cos of class text features (C, D) with frozen ones (C, D), both normalised."""
    return 1 - (h * known).sum(-1).mean()


METHOD = KgCoOp()
