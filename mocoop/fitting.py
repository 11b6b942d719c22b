"""Fitting one mixture to image features and labels: what the command line and the Python API share.

Takes a backbone, groups and batches; gives back what was learned. Data sets, splits and run folders are in
`training.py`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from mocoop.classifier import IMAGE, Learned
from mocoop.config import Config
from mocoop.data.cache import FeatureCache
from mocoop.errors import UsageError
from mocoop.hard_features import hard_features
from mocoop.model import new_model
from mocoop.objective import Objective, Terms
from mocoop.prompts import without_full_stop
from mocoop.trainer import Batch, Checkpoints, Listener, StepLog, Trainer

if TYPE_CHECKING:
    from mocoop.backbone import Backbone
    from mocoop.groups import GroupFile

_STUCK_ROUTER_LOSS = 0.5  # above this at the end, the router did not come near the reference gate
_COLLAPSED_ENTROPY = 0.02  # nats; below this nearly all weight lies on one expert for every image


@dataclass(frozen=True)
class Fitted:
    """What was learned, the class text features h (E, C, D) of the classes trained on, and how it went."""

    learned: Learned
    classnames: tuple[str, ...]
    class_features: Tensor
    history: list[StepLog]
    seconds: float
    notes: tuple[str, ...]


def fit(
    backbone: Backbone,
    groups: GroupFile,
    batch: Batch,
    labels: Tensor,
    classnames: Sequence[str],
    config: Config,
    *,
    seed: int,
    epochs: int,
    checkpoints: Checkpoints | None = None,
    listener: Listener | None = None,
    text_cache: FeatureCache | None = None,
) -> Fitted:
    """Train one mixture.

    Args:
        batch: normalised image features (B, D) of an epoch's images.
        labels: (N,) in 0..C-1.
        classnames: the C classes trained on.
        epochs: passes over the images; `config.epochs_for` says how many the settings ask for.
        text_cache: where the frozen features of the templates are kept, or None.

    Raises:
        ConfigError, GroupFileError, DataError: settings, templates or class names that cannot work together.
        TrainingStopped: a loss that is not finite.
    """
    listener = listener or Listener()
    began = time.monotonic()
    names = _text_classnames(classnames, config)
    inits = [group.init for group in groups.groups]
    inits = [without_full_stop(template) for template in inits] if config.drop_full_stop else inits
    listener.stage("encoding the templates")
    contexts = backbone.prompts.contexts(inits, names)
    hard = hard_features(backbone, [group.texts for group in groups.groups], names, cache=text_cache)
    model = new_model(backbone, contexts, config, [features[:, : len(classnames)] for features in hard], seed)
    image_parameters = _image_parameters(backbone, config)
    read_names = names if config.lambda_text > 0 else classnames
    encoder = backbone.text.prepare(backbone.prompts.learned_rows(contexts, read_names))
    objective = Objective(config, hard, len(classnames), backbone.logit_scale)

    def step_terms(x: Tensor, y: Tensor) -> Terms:
        return objective(model, encoder, x, y)

    parameters = dict(model.named_parameters()) | {IMAGE + k: v for k, v in image_parameters.items()}
    trainer = Trainer(
        parameters,
        step_terms,
        batch,
        labels.to(backbone.device),
        config.replace(precision=backbone.precision),
        epochs=epochs,
        seed=seed,
        slow=frozenset(IMAGE + name for name in image_parameters),
    )
    listener.stage("training")
    with _unspoiled(image_parameters):
        trainer.run(listener, checkpoints)
    notes = _warnings(trainer.history, trainer.steps_per_epoch, len(contexts), config)
    for note in notes:
        listener.notice(note)
    learned = Learned(
        tensors={name: parameter.detach().cpu().clone() for name, parameter in parameters.items()},
        contexts=tuple(contexts),
        group_ids=tuple(group.id for group in groups.groups),
        config=config,
        logit_scale=backbone.logit_scale,
    )
    if image_parameters:
        backbone.adopt_layer_norms(learned.layer_norms)
    return Fitted(
        learned=learned,
        classnames=tuple(classnames),
        class_features=learned.class_features(classnames, backbone),
        history=trainer.history,
        seconds=time.monotonic() - began,
        notes=notes,
    )


def _text_classnames(classnames: Sequence[str], config: Config) -> list[str]:
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


def _warnings(history: Sequence[StepLog], steps_per_epoch: int, experts: int, config: Config) -> tuple[str, ...]:
    """What a person should know of how the router ended."""
    last = history[-steps_per_epoch:]
    if not last or experts < 2:
        return ()
    router = sum(log.router_loss for log in last) / len(last)
    entropy = sum(log.gate_entropy for log in last) / len(last)
    notes = []
    if config.lambda_router > 0 and config.router_loss != "mse" and router > _STUCK_ROUTER_LOSS:
        advice = "set router_init = groups" if config.router_init == "random" else "lower --lr, or give more --epochs"
        notes.append(f"the router stayed far from the reference gate (L_router {router:.2f}): {advice}")
    if entropy < _COLLAPSED_ENTROPY:
        notes.append(
            f"the router puts nearly all weight on one expert for each image (entropy {entropy:.3f}): "
            "compare with --top-k 1 and look at the groups' similarity"
        )
    return tuple(notes)
