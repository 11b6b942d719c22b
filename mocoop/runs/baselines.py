"""Baselines for a learned mixture: the training-free methods, over the same templates, and the linear probe.

Zero-shot with one template, the ensemble of all templates, and the ensembles of the groups mixed by the reference
gate (`mocoop.methods`). The probe learns from the run's own training images. B images, C classes, D joint width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from mocoop.config import preset
from mocoop.methods import method_named
from mocoop.mixture.classifier import Learned, Prediction
from mocoop.runs.scores import percent_right
from mocoop.training.method import Samples, Task

if TYPE_CHECKING:
    from mocoop.backbone.backbone import Backbone
    from mocoop.data.cache import FeatureCache
    from mocoop.groupfile.groups import GroupFile
    from mocoop.training.inputs import Inputs

ONE_TEMPLATE = "zero-shot, one template"
ENSEMBLE = "zero-shot, ensemble of all templates"
GATED = "gated ensembles, nothing learned"
LINEAR_PROBE = "linear probe, the same training images"
_METHODS = {ONE_TEMPLATE: "zero-shot", ENSEMBLE: "zero-shot-ensemble", GATED: "gated-zero-shot"}


@dataclass(frozen=True)
class TrainingFree:
    """Accuracies in percent and guesses (B,) by classifier, and each image's top group under the reference gate."""

    accuracy: dict[str, float]
    first_group: tuple[int, ...]
    guesses: dict[str, Tensor]


def training_free(
    backbone: Backbone,
    groups: GroupFile,
    classnames: Sequence[str],
    x: Tensor,
    labels: Tensor,
    *,
    cache: FeatureCache | None = None,
) -> TrainingFree:
    """Measure the three classifiers with the settings of the recommended preset.

    On image features x (B, D), normalised or not, with labels (B,).

    The single template is the first group's init. `cache` stores the templates' features.
    """

    def predicted(name: str) -> Prediction:
        method = method_named(name)
        own = preset("recommended", name, template=groups.groups[0].init)
        top_k = own.top_k if own.top_k == "all" else min(own.top_k, len(groups.groups))
        config = method.settle(own.replace(top_k=top_k))
        learned = Learned({}, (), method.groups(groups, config), tuple(classnames), config, backbone.logit_scale)
        features = method.class_features(learned, classnames, backbone, cache=cache)
        return method.predictor(learned, classnames, features, backbone).predict(x.cpu())

    found = {title: predicted(name) for title, name in _METHODS.items()}
    guesses = {title: one.probabilities.argmax(-1) for title, one in found.items()}
    accuracy = {title: percent_right(guess, labels) for title, guess in guesses.items()}
    return TrainingFree(accuracy, tuple(found[GATED].gate.argmax(-1).tolist()), guesses)


def linear_probe(
    backbone: Backbone,
    trained_on: Sequence[str],
    known: Inputs,
    held: Inputs | None,
    classnames: Sequence[str],
    x: Tensor,
    seed: int,
) -> Tensor:
    """Guesses (B,) of a linear probe among `classnames`, for image features x (B, D), not normalised.

    It learns the classes `trained_on` from `known`, with its penalty chosen on `held`, as `mocoop train` does.
    """
    method = method_named("linear-probe")
    config = method.settle(preset("recommended", "linear-probe"))
    train, labels = known.view(0), known.labels
    val = (train[:0], labels[:0]) if held is None else (held.view(0), held.labels)
    task = Task(
        backbone=backbone,
        groups=method.groups(None, config),
        classnames=tuple(trained_on),
        config=config,
        seed=seed,
        samples=lambda: Samples(train, labels, *val),
        plain=lambda: train,
        stage=lambda _text: None,
        notice=lambda _text: None,
    )
    learned = method.learn(task, _no_steps)
    return method.predictor(learned, classnames, None, backbone).predict(x.cpu()).probabilities.argmax(-1)


def _no_steps(*_arguments: object, **_more: object) -> None:
    """The probe takes no steps."""
