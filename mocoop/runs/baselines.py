"""Baselines for a learned mixture: the training-free methods, over the same templates.

Zero-shot with one template, the ensemble of all templates, and the ensembles of the groups mixed by the reference
gate (`mocoop.methods`). B images, C classes, D joint width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from mocoop.config import preset
from mocoop.methods import method_named
from mocoop.mixture.classifier import Learned, Prediction

if TYPE_CHECKING:
    from mocoop.backbone.backbone import Backbone
    from mocoop.data.cache import FeatureCache
    from mocoop.groupfile.groups import GroupFile

ONE_TEMPLATE = "zero-shot, one template"
ENSEMBLE = "zero-shot, ensemble of all templates"
GATED = "gated ensembles, nothing learned"
_METHODS = {ONE_TEMPLATE: "zero-shot", ENSEMBLE: "zero-shot-ensemble", GATED: "gated-zero-shot"}


@dataclass(frozen=True)
class TrainingFree:
    """Accuracies in percent by classifier, and each image's top group under the reference gate."""

    accuracy: dict[str, float]
    first_group: tuple[int, ...]


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
    accuracy = {title: percent_right(one.probabilities.argmax(-1), labels) for title, one in found.items()}
    return TrainingFree(accuracy, tuple(found[GATED].gate.argmax(-1).tolist()))


def percent_right(guesses: Tensor, labels: Tensor) -> float:
    """Accuracy of guesses (B,) in percent."""
    return 100 * int((guesses == labels).sum()) / len(labels)
