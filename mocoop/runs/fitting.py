"""Training one method on image features and labels: shared by the command line and the Python API.

Takes a backbone, groups and batches; returns what was learned. The methods are in `mocoop.methods`; data sets, splits
and run folders are in `train.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from mocoop.config import FULL_SHOTS, Config
from mocoop.data.cache import FeatureCache
from mocoop.errors import TrainingStopped, UsageError
from mocoop.methods import method_named
from mocoop.mixture.classifier import Learned, Predictor
from mocoop.runs.scores import training_notes
from mocoop.training.collapse import collapse, first_collapse
from mocoop.training.method import JoinedMethod, Samples, Task
from mocoop.training.trainer import (
    NO_RATES,
    Batch,
    Checkpoints,
    Held,
    Listener,
    Step,
    StepLog,
    Trainer,
    ValidationLog,
)

if TYPE_CHECKING:
    from mocoop.backbone.backbone import Backbone
    from mocoop.groupfile.groups import GroupFile

_STUCK_ROUTER_LOSS = 0.5  # above this at the end, the router did not approach the reference gate


@dataclass(frozen=True)
class Fitted:
    """What was learned, its class text features (E, C, D) of the classes trained on, and the training log.

    `class_features` is None for a method without text features, or whose text features depend on the image.
    """

    learned: Learned
    class_features: Tensor | None
    history: list[StepLog]
    seconds: float
    notes: tuple[str, ...]
    collapse: str | None = None  # how the router collapsed, if it did
    frozen_sha256: str | None = None  # of the templates' frozen features that it learned by
    validation: tuple[ValidationLog, ...] = ()


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
    samples: Callable[[], Samples],
    plain: Callable[[], Tensor] | None = None,
    checkpoints: Checkpoints | None = None,
    listener: Listener | None = None,
    text_cache: FeatureCache | None = None,
    weights: Tensor | None = None,
    held: Held | None = None,
    parts: Sequence[Learned] = (),
) -> Fitted:
    """Train the method `config.method`.

    Args:
        groups: the groups the method uses (`Method.groups`).
        batch: normalised image features (B, D) of an epoch's images.
        labels: (N,) in 0..C-1.
        classnames: the C classes trained on.
        config: the settings after `Method.settle`.
        epochs: passes over the images; `Config.scheduled` gives the number for so many.
        samples: plain features of the same images and of val, for methods that take no steps.
        plain: the features of the training images only, without val; None: those of `samples`.
        text_cache: cache of the templates' frozen features, or None.
        weights: of the images (N,), above 0, for a method that knows them (`Method.weighs`).
        held: validation images, measured after each epoch, or once for a method that takes no steps.
        parts: what the parts of the method (`Method.parts`) learned of the same images, if they did; then only joined.

    Raises:
        UsageError: the method knows no weights.
        ConfigError, GroupFileError, DataError: settings, templates or class names are incompatible.
        TrainingStopped: the loss is not finite, or the probabilities are not after the last step.
    """
    listener = listener or Listener()
    began = time.monotonic()
    method = method_named(config.method)
    if weights is not None and not method.weighs:
        why = "has no loss that images of different weights could enter" if method.learns else "learns nothing"
        raise UsageError(f"the method {method.name} {why}", "leave sample_weight out, or choose another method")
    said: list[str] = []

    def notice(text: str) -> None:
        said.append(text)
        listener.notice(text)

    task = Task(
        backbone=backbone,
        groups=groups,
        classnames=tuple(classnames),
        config=config,
        seed=seed,
        samples=samples,
        plain=plain or (lambda: samples().train),
        stage=listener.stage,
        notice=notice,
        text_cache=text_cache,
        weights=weights,
    )
    history: list[StepLog] = []
    validation: list[ValidationLog] = []
    ids = groups.ids
    fallen: list[str] = []  # the first collapse of the router, as soon as it is detected

    def watch(so_far: Sequence[StepLog]) -> None:
        if not fallen and (told := first_collapse(so_far, ids, config)):
            fallen.append(told)
            notice(told)

    def loop(parameters: Mapping[str, nn.Parameter], step: Step, rates: Mapping[str, float] = NO_RATES) -> None:
        trainer = Trainer(
            parameters,
            step,
            batch,
            labels.to(backbone.device),
            config.replace(precision=backbone.precision),
            epochs=epochs,
            seed=seed,
            weights=None if weights is None else weights.to(backbone.device, torch.float32),
            held=replace(held, at_once=config.batch_size) if held and method.conditional else held,
            rates=rates,
            frozen=task.frozen.hexdigest(),
            epoch_ended=watch,
        )
        listener.stage("training")
        if config.min_steps and not config.drop_last:
            asked = f"min_steps = {config.min_steps} at {FULL_SHOTS} shots"
            notice(f"few images: {epochs} epochs, {trainer.steps} steps ({asked})")
        trainer.run(listener, checkpoints)
        history.extend(trainer.history)
        validation.extend(trainer.validation)
        watch(history)  # steps before an interruption count too
        last = history[-trainer.steps_per_epoch :]
        for note in (
            *_warnings(history, trainer.steps_per_epoch, len(groups.groups), config),
            *training_notes(last, labels, len(classnames), ids if config.routing == "learned" else ()),
        ):
            notice(note)

    whole = False
    try:
        learned = method.joined(task, parts) if isinstance(method, JoinedMethod) and parts else method.learn(task, loop)
        class_features = method.class_features(learned, classnames, backbone, cache=text_cache)
        classifier = method.predictor(learned, classnames, class_features, backbone)
        _check_finite(classifier, class_features, backbone.embed_dim, config)
        if held is not None and not validation:
            validation.append(_measured(classifier, held))
            listener.validated(validation[-1])
        whole = True
    finally:
        listener.ended(whole)
    return Fitted(
        learned=learned,
        class_features=class_features,
        history=history,
        seconds=time.monotonic() - began,
        notes=tuple(said),
        validation=tuple(validation),
        frozen_sha256=task.frozen.hexdigest(),
        collapse=collapse([log for log in history if log.epoch == history[-1].epoch], ids, config),
    )


def _check_finite(classifier: Predictor, class_features: Tensor | None, width: int, config: Config) -> None:
    """The loss of a step is that of the parameters before it: what the last one made of them no loss has shown."""
    any_image = torch.full((1, width), width**-0.5)  # what is not a number spoils the answer to each
    made = (classifier.predict(any_image).probabilities, *([] if class_features is None else [class_features]))
    if not all(bool(values.isfinite().all()) for values in made):
        raise TrainingStopped(
            "what was learned gives no finite probabilities after the last step",
            f"lower --lr (now {config.lr:g}) or use --preset recommended",
        )


def _measured(classifier: Predictor, held: Held) -> ValidationLog:
    """Of a method that took no steps."""
    probabilities, labels = classifier.predict(held.features()).probabilities.cpu(), held.labels
    chosen = probabilities.gather(1, labels[:, None]).clamp_min(torch.finfo(torch.float32).tiny)
    right = (probabilities.argmax(-1) == labels).float().mean()
    return ValidationLog(0, 0, float(-chosen.log().mean()), float(right))


def _warnings(history: Sequence[StepLog], steps_per_epoch: int, experts: int, config: Config) -> tuple[str, ...]:
    """Warnings on the final router, other than a collapse (`mocoop.training.collapse`)."""
    last = history[-steps_per_epoch:]
    if not last or experts < 2 or config.routing != "learned":
        return ()
    router = sum(log.router_loss for log in last) / len(last)
    notes = []
    if config.lambda_router > 0 and config.router_loss != "mse" and router > _STUCK_ROUTER_LOSS:
        rate = "router_lr" if config.router_lr else "--lr"
        random = config.router_form == "linear" and config.router_init == "random"
        advice = "set router_init = groups" if random else f"lower {rate}, or give more --epochs"
        notes.append(f"the router stayed far from the reference gate (L_router {router:.2f}): {advice}")
    return tuple(notes)
