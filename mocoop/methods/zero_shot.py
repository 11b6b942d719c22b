"""Zero-shot CLIP with one template, and what all methods share that learn nothing."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor

from mocoop.backbone.hard_features import hard_features
from mocoop.mixture.classifier import Classifier, Learned
from mocoop.mixture.router import class_prototypes
from mocoop.training.method import Loop, Method, Task
from mocoop.training.prompt_learning import learned_of

if TYPE_CHECKING:
    from mocoop.backbone.backbone import Backbone
    from mocoop.data.cache import FeatureCache


class TrainingFree(Method):
    """What learns nothing: the text side is the mean of each group's templates, and the rest follows from it."""

    learns = False

    def learn(self, task: Task, loop: Loop) -> Learned:
        """Nothing."""
        return learned_of(task, {})

    def class_features(
        self, learned: Learned, classnames: Sequence[str], backbone: Backbone, *, cache: FeatureCache | None = None
    ) -> Tensor:
        """(E, C, D): the mean over each group's templates, not normalised again, as the gate needs it."""
        texts = [group.texts for group in learned.groups.groups]
        return class_prototypes(hard_features(backbone, texts, classnames, cache=cache)).cpu()

    def predictor(
        self, learned: Learned, classnames: Sequence[str], features: Tensor | None, backbone: Backbone | None = None
    ) -> Classifier:
        """The groups' ensembles, mixed by this method's router."""
        assert features is not None
        weight = self._router(learned, features)
        return Classifier(
            classnames=tuple(classnames),
            group_ids=learned.groups.ids,
            h=F.normalize(features, dim=-1),
            router_weight=weight,
            router_bias=weight.new_zeros(len(weight)),
            top_k=learned.top_k,
            renormalise_mix=True,
            tau=learned.config.class_temperature(learned.logit_scale),
        )

    @abstractmethod
    def _router(self, learned: Learned, features: Tensor) -> Tensor:
        """Weights (E, D) of the router."""


class ZeroShot(TrainingFree):
    """The data set's own template."""

    name = "zero-shot"
    title = "zero-shot CLIP"
    settings = frozenset({"template", "tau_class"})
    fixed = {"views": 0, "routing": "uniform", "top_k": 1, "tune_layer_norm": False}

    def _router(self, learned: Learned, features: Tensor) -> Tensor:
        return features.new_zeros(1, features.shape[-1])


METHOD = ZeroShot()
