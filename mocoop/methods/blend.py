"""The mixture and a linear probe of the same images, blended: words where images are few, images where they are many.

    log p(c | x) = (1 - w) a log p_mixture(c | x) + w b log p_probe(c | x) - log Z(x)

The mixture is learned as `mocoop` does and the probe as `linear-probe` does. On val each is first brought to the
sharpness (a, b: inverse temperatures) of the least loss, since a probe with a strong penalty is far less sure than it
is right; then w is sought by accuracy. Where w is set a = b = 1, and without any val w = 1/2. Of classes that have no
training images the mixture answers alone.
B images, E experts, C classes, D joint width.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from mocoop.config import IMAGE_TOWER
from mocoop.methods.linear_probe import METHOD as PROBE
from mocoop.methods.linear_probe import LinearClassifier
from mocoop.methods.mocoop import METHOD as MIXTURE
from mocoop.methods.mocoop import MoCoOp
from mocoop.mixture.classifier import Classifier, Learned, Prediction
from mocoop.training.method import JoinedMethod, Loop, Task

if TYPE_CHECKING:
    from mocoop.backbone.backbone import Backbone
    from mocoop.data.cache import FeatureCache

_PROBE, _SHARPNESS = "probe.", "blend."  # prefixes of the names of tensors; all others are the mixture's
DEFAULT_WEIGHT = 0.5
_WEIGHTS = tuple(number / 20 for number in range(21))
_SHARP = tuple(math.pow(2, power / 2) for power in range(-10, 11))
_LEAST = torch.finfo(torch.float32).tiny


@dataclass(frozen=True)
class BlendedClassifier:
    """The two classifiers and how much of each one's log-probabilities is taken: (1 - w) a and w b."""

    mixture: Classifier
    probe: LinearClassifier
    shares: Tensor  # (2,)

    @property
    def classnames(self) -> tuple[str, ...]:
        """The C classes."""
        return self.mixture.classnames

    @property
    def group_ids(self) -> tuple[str, ...]:
        """The mixture's E experts."""
        return self.mixture.group_ids

    @torch.no_grad()
    def predict(self, features: Tensor) -> Prediction:
        """Predict for image features (B, D), not normalised. The gate is the mixture's."""
        mixed = self.mixture.predict(features)
        words, images = (_log(one) for one in (mixed.probabilities, self.probe.predict(features).probabilities))
        return replace(mixed, probabilities=(self.shares[0] * words + self.shares[1] * images).softmax(-1))


class Blend(MoCoOp, JoinedMethod):
    """A mixture and a linear probe, each as its own method learns it, and one weight between them."""

    name = "blend"
    title = "MoCoOp + probe"
    settings = (MoCoOp.settings - IMAGE_TOWER) | PROBE.settings | {"blend_weight"}
    fixed = {**MoCoOp.fixed, "tune_layer_norm": False}  # the probe's features are those of the tower as it came
    parts = ("mocoop", "linear-probe")
    chooses_on_val = True

    def learn(self, task: Task, loop: Loop) -> Learned:
        """Learn both, and choose the weight."""
        return self.joined(task, (super().learn(task, loop), PROBE.learn(task, loop)))

    def joined(self, task: Task, learned: Sequence[Learned]) -> Learned:
        """A mixture and a probe that were learned already, with the weight between them."""
        mixture, probe = learned
        tensors = mixture.tensors | {_PROBE + name: tensor for name, tensor in probe.tensors.items()}
        both = replace(mixture, tensors=tensors, config=task.config)
        samples = task.samples()
        if task.config.blend_weight is not None:
            weight, why = task.config.blend_weight, ""
            shares = torch.tensor([1 - weight, weight])
        elif len(samples.val_labels):
            features = self.class_features(both, both.classnames, task.backbone)
            words = MIXTURE.predictor(_mixture(both), both.classnames, features).predict(samples.val)
            images = PROBE.predictor(_probe(both), both.classnames, None).predict(samples.val)
            shares, weight = shares_of(_log(words.probabilities), _log(images.probabilities), samples.val_labels)
            why = f"chosen on {len(samples.val_labels)} validation images"
        else:
            weight, why = DEFAULT_WEIGHT, "the default, as there is no val to choose on"
            shares = torch.tensor([1 - weight, weight])
        if why:  # nobody need be told what they set
            task.notice(f"blend: {100 * weight:.0f} % probe, {why}")
        return replace(both, tensors={**tensors, f"{_SHARPNESS}shares": shares})

    def class_features(
        self, learned: Learned, classnames: Sequence[str], backbone: Backbone, *, cache: FeatureCache | None = None
    ) -> Tensor:
        """h (E, C, D) of the mixture, normalised."""
        return super().class_features(_mixture(learned), classnames, backbone, cache=cache)

    def predictor(  # type: ignore[override]
        self, learned: Learned, classnames: Sequence[str], features: Tensor | None, backbone: Backbone | None = None
    ) -> BlendedClassifier | Classifier:
        """The blend, for classes trained on; the mixture alone if one of them was not."""
        mixture = super().predictor(_mixture(learned), classnames, features, backbone)
        if PROBE.why_not(learned, classnames):
            return mixture
        probe = PROBE.predictor(_probe(learned), classnames, None, backbone)
        return BlendedClassifier(mixture, probe, learned.tensors[f"{_SHARPNESS}shares"])


def shares_of(words: Tensor, images: Tensor, labels: Tensor) -> tuple[Tensor, float]:
    """What is taken of two log-probabilities (B, C), (1 - w) a and w b (2,), and w.

    Each is brought to the sharpness of the least loss; then w is the mean of those that are equally and most accurate.
    """
    sharp = [_sharpest(one, labels) for one in (words, images)]

    def right(weight: float) -> int:
        logits = (1 - weight) * sharp[0] * words + weight * sharp[1] * images
        return int((logits.argmax(-1) == labels).sum())

    found = {weight: right(weight) for weight in _WEIGHTS}
    weight = statistics.fmean(weight for weight, count in found.items() if count == max(found.values()))
    return torch.tensor([(1 - weight) * sharp[0], weight * sharp[1]]), weight


def _sharpest(log_probabilities: Tensor, labels: Tensor) -> float:
    """The inverse temperature at which log-probabilities (B, C) have the least loss."""
    return min(_SHARP, key=lambda sharp: float(F.cross_entropy(sharp * log_probabilities, labels)))


def _mixture(learned: Learned) -> Learned:
    """What the mixture alone learned."""
    own = {name: one for name, one in learned.tensors.items() if not name.startswith((_PROBE, _SHARPNESS))}
    return replace(learned, tensors=own)


def _probe(learned: Learned) -> Learned:
    """What the probe alone learned."""
    mine = {name.removeprefix(_PROBE): one for name, one in learned.tensors.items() if name.startswith(_PROBE)}
    return replace(learned, tensors=mine)


def _log(probabilities: Tensor) -> Tensor:
    return probabilities.clamp_min(_LEAST).log()


METHOD = Blend()
