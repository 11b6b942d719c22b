"""Prompt learning with the training loop: shared by methods whose prompts do not depend on the image.

A prompt is M learned tokens and the class name: "[ctx] dog.". The context is initialised from words or at random,
placed before, around or after the name, and shared by all classes or class-specific. The mixture learns one per
expert, the other methods a single one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from mocoop.backbone.prompts import Context, with_slot, without_full_stop
from mocoop.config import Config
from mocoop.data.templates import PLAIN
from mocoop.errors import BackboneError, UsageError
from mocoop.mixture.classifier import IMAGE, ROUTER, Classifier, Learned
from mocoop.mixture.model import MixtureOfPrompts, empty_model
from mocoop.mixture.objective import Terms
from mocoop.training.method import Loop, Method, Task

if TYPE_CHECKING:
    from mocoop.backbone.backbone import Backbone
    from mocoop.data.cache import FeatureCache

StepTerms = Callable[..., Terms]  # (model, encoder, *what a `Step` gets) -> loss terms
RANDOM_WORD = "X"  # placeholder for a randomly initialised token
_DEVIATION = 0.02
ONE_EXPERT = {
    "routing": "uniform", "top_k": 1, "lambda_router": 0.0, "lambda_text": 0.0, "text_offset": False,
    "tune_layer_norm": False, "drop_full_stop": False,
}  # fmt: skip


class PromptMethod(Method):
    """Base of methods whose prompts do not depend on the image: class text features are all they need for text."""

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


def learn_prompts(
    task: Task, loop: Loop, model: MixtureOfPrompts, terms: StepTerms, *, text_names: Sequence[str] | None = None
) -> Learned:
    """Train a model whose prompts do not depend on the image.

    Args:
        terms: the loss of a batch.
        text_names: the class names encoded at each step, those trained on first; None: only those.
    """
    config, backbone = task.config, task.backbone
    names = text_names if text_names is not None and config.lambda_text > 0 else task.classnames
    rows = backbone.prompts.learned_rows(model.contexts, names, by_class=config.class_ctx)
    encoder = backbone.text.prepare_to_learn(rows)
    image = _image_parameters(backbone, config)
    learned = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    with _unspoiled(image):
        loop(
            learned | {IMAGE + name: parameter for name, parameter in image.items()},
            lambda *batch: terms(model, encoder, *batch),
            rates={IMAGE + name: config.layer_norm_lr for name in image}
            | {name: config.router_lr / config.lr for name in learned if name.startswith(ROUTER) and config.router_lr},
        )
    tensors = model.state_dict() | {IMAGE + name: parameter for name, parameter in image.items()}
    result = learned_of(task, tensors, model.contexts)
    if image:
        backbone.adopt_layer_norms(result.layer_norms)
    return result


def learned_of(task: Task, tensors: Mapping[str, Tensor], contexts: Sequence[Context] = ()) -> Learned:
    """Copies of the tensors on the CPU, with what is needed to use them."""
    return Learned(
        tensors={name: tensor.detach().cpu().clone() for name, tensor in tensors.items()},
        contexts=tuple(contexts),
        groups=task.groups,
        classnames=task.classnames,
        config=task.config,
        logit_scale=task.backbone.logit_scale,
    )


def text_classnames(classnames: Sequence[str], config: Config) -> list[str]:
    """The class names of L_text: those trained on, plus the extra ones if the settings ask for all."""
    if config.text_classes == "trained":
        return list(classnames)
    return list(dict.fromkeys([*classnames, *config.extra_class_names]))


@contextmanager
def _unspoiled(parameters: Mapping[str, nn.Parameter]) -> Iterator[None]:
    """Train the image tower only within the context; if training stops early, the backbone is restored."""
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


def prompt_words(config: Config) -> str:
    """The words that initialise ctx, with a placeholder for each random token."""
    return config.ctx_init or " ".join([RANDOM_WORD] * config.ctx_tokens)


def prompt_template(config: Config) -> str:
    """The same as a readable template."""
    return with_slot(prompt_words(config), config.ctx_position) + "."


def prompt_start(config: Config) -> str:
    """A readable form of what initialises ctx."""
    if config.ctx_init is not None:
        start = without_full_stop(prompt_template(config)) if config.drop_full_stop else prompt_template(config)
    else:
        where = "around" if config.ctx_position == "middle" else config.ctx_position
        start = f"random: {config.ctx_tokens} tokens {where} {{}}"
    return f"{start} (for each class)" if config.class_ctx else start


def prompt_model(task: Task, names: Sequence[str] | None = None) -> MixtureOfPrompts:
    """A newly initialised mixture of one expert: the tokens' embeddings, or N(0, 0.02) drawn from the seed.

    `names` are all class names used in the prompt (None: those trained on).
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
    """One expert with the embeddings of its context, once or once per class."""
    model = empty_model(backbone, [context], config, classes)
    times = len(model.ctx) // len(context)
    with torch.no_grad():
        model.ctx.copy_(backbone.text.embed(model.context_ids).repeat(times, 1))
    return model


def template_features(task: Task) -> Tensor:
    """Frozen, normalised features (C, D) of the data set's own template."""
    template = task.config.template or PLAIN
    return task.hard_features([[template]], task.classnames)[0][0]
