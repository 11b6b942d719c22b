"""The result of training: the learned tensors, and the classifier they give over fixed class text features.

E experts, C classes, D joint width, B images. Run folders and training are in `mocoop.runs`; no files are read here.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from mocoop.backbone.prompts import Context
from mocoop.config import Config
from mocoop.errors import CheckpointError
from mocoop.groupfile.groups import GroupFile
from mocoop.mixture.losses import gram_matrices, mix_similarities
from mocoop.mixture.model import chosen_experts, empty_model
from mocoop.mixture.router import router_of, top_k_gate

if TYPE_CHECKING:
    from mocoop.backbone.backbone import Backbone

IMAGE, ROUTER = "image.", "router."  # prefixes of the names of the image tower's tuned parameters, and the router's


@dataclass(frozen=True)
class Prediction:
    """Probabilities (B, C), the gate (B, E) with zeros outside the top K, and the router's softmax (B, E)."""

    probabilities: Tensor
    gate: Tensor
    router: Tensor

    def at_temperature(self, temperature: float) -> Prediction:
        """The same with probabilities p^(1/T), normalised."""
        logs = self.probabilities.clamp_min(torch.finfo(torch.float32).tiny).log()
        return replace(self, probabilities=(logs / temperature).softmax(-1))


class Predictor(Protocol):
    """The interface of every method's classifier."""

    @property
    def classnames(self) -> tuple[str, ...]:
        """The C classes, in the order of the probabilities."""

    @property
    def group_ids(self) -> tuple[str, ...]:
        """The E experts, in the order of the gate."""

    def predict(self, features: Tensor) -> Prediction:
        """Predict for image features (B, D), not normalised."""


@dataclass(frozen=True)
class Tempered:
    """A classifier with its probabilities at a temperature, found by `mocoop.certainty`."""

    predictor: Predictor
    temperature: float

    @property
    def classnames(self) -> tuple[str, ...]:
        """See `Predictor`."""
        return self.predictor.classnames

    @property
    def group_ids(self) -> tuple[str, ...]:
        """See `Predictor`."""
        return self.predictor.group_ids

    @torch.no_grad()
    def predict(self, features: Tensor) -> Prediction:
        """See `Predictor`."""
        return self.predictor.predict(features).at_temperature(self.temperature)


@dataclass(frozen=True)
class Classifier:
    """A trained mixture over fixed class text features h (E, C, D): two small matrix products per image.

    Runs on the device of its tensors. `tau` is the temperature of L_cls.
    """

    classnames: tuple[str, ...]
    group_ids: tuple[str, ...]
    h: Tensor
    router_weight: Tensor  # (E, D), and
    router_bias: Tensor  # (E,): the router's, from `Router.folded`
    top_k: int
    renormalise_mix: bool
    tau: float

    @functools.cached_property
    def _gram(self) -> Tensor:
        return gram_matrices(self.h)  # (C, E, E), computed once

    @torch.no_grad()
    def predict(self, features: Tensor) -> Prediction:
        """Predict for image features (B, D), normalised or not."""
        x = F.normalize(features.float(), dim=-1)
        router_logits = F.linear(x, self.router_weight, self.router_bias)
        gate = top_k_gate(router_logits, self.top_k)
        similarities = mix_similarities(x, self.h, gate, renormalise=self.renormalise_mix, gram=self._gram)
        return Prediction((similarities / self.tau).softmax(-1), gate, router_logits.softmax(-1))


@dataclass(frozen=True)
class Learned:
    """Everything learned in training, on the CPU, with what is needed to use it.

    `tensors`: `ctx` (M, W), `router.*`, `text_offset` (D) and `image.*` if learned; other methods have other names.
    `groups`: one per expert; `classnames`: those trained on.
    """

    tensors: dict[str, Tensor]
    contexts: tuple[Context, ...]
    groups: GroupFile
    classnames: tuple[str, ...]
    config: Config
    logit_scale: float

    @property
    def top_k(self) -> int:
        """K: experts per image."""
        return chosen_experts(self.config, len(self.groups.groups))

    @property
    def layer_norms(self) -> dict[str, Tensor]:
        """The image tower's tuned LayerNorms, by the tower's parameter names; empty if it was not tuned."""
        return {name.removeprefix(IMAGE): t for name, t in self.tensors.items() if name.startswith(IMAGE)}

    @torch.no_grad()
    def class_features(self, classnames: Sequence[str], backbone: Backbone) -> Tensor:
        """h (E, C, D) for any class names, through the text tower, on the CPU."""
        model = empty_model(backbone, self.contexts, self.config, len(self.classnames))
        model.load_state_dict({name: t for name, t in self.tensors.items() if not name.startswith(IMAGE)})
        rows = backbone.prompts.learned_rows(self.contexts, classnames, by_class=self.config.class_ctx)
        return model.class_features(backbone.text.prepare(rows)).cpu()

    def classifier(self, classnames: Sequence[str], h: Tensor) -> Classifier:
        """The classifier for classes with text features h (E, C, D)."""
        try:
            weight, bias = router_of(self.tensors, ROUTER, self.config, self.logit_scale).folded()
        except ValueError as error:
            message = "the router of the run is not of the form that its settings name"
            raise CheckpointError(message, "restore the run, or train again") from error
        return Classifier(
            classnames=tuple(classnames),
            group_ids=self.groups.ids,
            h=h,
            router_weight=weight.detach(),
            router_bias=bias.detach(),
            top_k=self.top_k,
            renormalise_mix=self.config.renormalise_mix,
            tau=self.config.class_temperature(self.logit_scale),
        )
