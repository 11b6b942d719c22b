"""MoCoOp: a mixture of prompts, one expert a group, and its routing controls (Eq. 1-10).

What is minimised is in `mocoop.mixture.objective`. The one-prompt methods learn with the same module, an expert being
their prompt: `learn_prompts` is shared by all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mocoop.backbone.hard_features import hard_features
from mocoop.backbone.prompts import Context, without_full_stop
from mocoop.backbone.text_engine import TextEncoder
from mocoop.config import Config
from mocoop.errors import UsageError
from mocoop.methods.base import IMAGE_TOWER, OPTIMISER, TEXT_LOSS, VIEWS, Loop, Method, Task
from mocoop.mixture.classifier import IMAGE, ROUTER, Classifier, Learned
from mocoop.mixture.model import MixtureOfPrompts, new_model
from mocoop.mixture.objective import Objective, Terms

if TYPE_CHECKING:
    from mocoop.backbone.backbone import Backbone
    from mocoop.data.cache import FeatureCache
    from mocoop.groupfile.groups import Group

StepTerms = Callable[[MixtureOfPrompts, TextEncoder, Tensor, Tensor], Terms]
_REFERENCE = frozenset({"gate_prototypes", "gate_target", "tau_gate", "gate_softness", "router_loss"})


class PromptMethod(Method):
    """What methods share whose prompts do not depend on the image: class text features say all of the text side."""

    def class_features(
        self, learned: Learned, classnames: Sequence[str], backbone: Backbone, *, cache: FeatureCache | None = None
    ) -> Tensor:
        """h (E, C, D), normalised. Raises DataError for classes that cannot be named."""
        self.check_classes(learned, classnames)
        return learned.class_features(classnames, backbone)

    def predictor(
        self, learned: Learned, classnames: Sequence[str], features: Tensor | None, backbone: Backbone | None = None
    ) -> Classifier:
        """The mixture over h (E, C, D)."""
        assert features is not None
        return learned.classifier(classnames, features)


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
            "tau_class", "lambda_router", "text_offset", "drop_full_stop",
        }
        | _REFERENCE
    )  # fmt: skip
    fixed = {"class_ctx": False}
    reads_groups = True
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
        hard = hard_features(task.backbone, texts, names, cache=task.text_cache)
        trained = [features[:, : len(task.classnames)] for features in hard]
        model = new_model(task.backbone, contexts, task.config, trained, task.seed, lambda: _unit_features(task))
        objective = Objective(task.config, hard, len(task.classnames), task.backbone.logit_scale)
        return learn_prompts(task, loop, model, objective, text_names=names)


def learn_prompts(
    task: Task, loop: Loop, model: MixtureOfPrompts, terms: StepTerms, *, text_names: Sequence[str] | None = None
) -> Learned:
    """Train a model whose prompts do not depend on the image.

    Args:
        terms: the loss of a batch.
        text_names: the class names encoded at a step, those trained on first; None: those.
    """
    config, backbone = task.config, task.backbone
    names = text_names if text_names is not None and config.lambda_text > 0 else task.classnames
    rows = backbone.prompts.learned_rows(model.contexts, names, by_class=config.class_ctx)
    encoder = backbone.text.prepare(rows)
    image = _image_parameters(backbone, config)
    learned = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    with _unspoiled(image):
        loop(
            learned | {IMAGE + name: parameter for name, parameter in image.items()},
            lambda x, y: terms(model, encoder, x, y),
            rates={IMAGE + name: config.layer_norm_lr for name in image}
            | {name: config.router_lr / config.lr for name in learned if name.startswith(ROUTER) and config.router_lr},
        )
    tensors = model.state_dict() | {IMAGE + name: parameter for name, parameter in image.items()}
    result = learned_of(task, tensors, model.contexts)
    if image:
        backbone.adopt_layer_norms(result.layer_norms)
    return result


def _unit_features(task: Task) -> Tensor:
    """The training images' normalised features (N, D), in their plain view."""
    return F.normalize(task.plain().float(), dim=-1)


def learned_of(task: Task, tensors: Mapping[str, Tensor], contexts: Sequence[Context] = ()) -> Learned:
    """Copies of tensors on the CPU, with what is needed to use them."""
    return Learned(
        tensors={name: tensor.detach().cpu().clone() for name, tensor in tensors.items()},
        contexts=tuple(contexts),
        groups=task.groups,
        classnames=task.classnames,
        config=task.config,
        logit_scale=task.backbone.logit_scale,
    )


def text_classnames(classnames: Sequence[str], config: Config) -> list[str]:
    """The class names of L_text: those trained on, and the extra ones where the settings ask for all."""
    if config.text_classes == "trained":
        return list(classnames)
    return list(dict.fromkeys([*classnames, *config.extra_class_names]))


@contextmanager
def _unspoiled(parameters: Mapping[str, nn.Parameter]) -> Iterator[None]:
    """The image tower learns inside only; a training that stops early leaves the backbone as it was."""
    before = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    try:
        yield
    except BaseException:
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(before[name])
        raise
    finally:
        for parameter in parameters.values():
            parameter.requires_grad_(False)


def _image_parameters(backbone: Backbone, config: Config) -> dict[str, nn.Parameter]:
    if not config.tune_layer_norm:
        return {}
    parameters = backbone.block_layer_norms()
    if any(backbone.adopted):
        raise UsageError("this backbone's LayerNorms were tuned already", "load a fresh backbone for each training")
    for parameter in parameters.values():
        parameter.requires_grad_(True)
    return parameters
