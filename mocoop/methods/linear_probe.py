"""Linear probe: logistic regression on the image features, without any text (as in CLIP's and CoOp's papers).

Features are not normalised; lbfgs, 1000 iterations. The strength of the penalty is sought on val: over seven powers of
ten first, then by binary search within a factor of ten of the best. Without any val the default is taken.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mocoop.mixture.classifier import Learned, Prediction
from mocoop.training.method import Loop, Method, Samples, Task
from mocoop.training.prompt_learning import learned_of

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

    from mocoop.backbone.backbone import Backbone
    from mocoop.config import Config
    from mocoop.data.cache import FeatureCache
    from mocoop.groupfile.groups import GroupFile

DEFAULT_C = 1.0  # scikit-learn's own; where there is no val to choose on
_POWERS = (6, 4, 2, 0, -2, -4, -6)
_SEARCH_STEPS = 8
_ITERATIONS = 1000


@dataclass(frozen=True)
class LinearClassifier:
    """weight (C, D), bias (C,) over image features that are not normalised. One expert, which sees all."""

    classnames: tuple[str, ...]
    group_ids: tuple[str, ...]
    weight: Tensor
    bias: Tensor

    def predict(self, features: Tensor) -> Prediction:
        """Predict for image features (B, D), not normalised."""
        logits = features.float() @ self.weight.T + self.bias
        one = logits.new_ones(logits.shape[0], 1)  # not len: an exported graph would keep this number
        return Prediction(logits.softmax(-1), one, one)


class LinearProbe(Method):
    """Logistic regression on image features."""

    name = "linear-probe"
    title = "linear probe"
    chooses_on_val = True
    settings = frozenset({"probe_c"})
    weighs = True
    fixed = {"views": 0, "routing": "uniform", "top_k": 1, "tune_layer_norm": False}

    def texts(self, config: Config, groups: GroupFile, classnames: Sequence[str]) -> list[str]:
        """None: no text is read."""
        return []

    def why_not(self, learned: Learned, classnames: Sequence[str]) -> str | None:
        """A class that it was not trained on."""
        unknown = [name for name in classnames if name not in learned.classnames]
        return f"a linear probe knows only the classes it was trained on, not {unknown[0]!r}" if unknown else None

    def learn(self, task: Task, loop: Loop) -> Learned:
        """Fit on the training images; C by accuracy on val."""
        samples = task.samples()
        task.stage("fitting the linear probe")
        c = task.config.probe_c
        if c is None:
            c, why = best_c(samples, task.weights)
            task.notice(f"linear probe: C = {c:.4g}, {why}")
        model = fitted(samples, c, task.weights)
        weight, bias = torch.from_numpy(model.coef_).float(), torch.from_numpy(model.intercept_).float()
        if len(weight) == 1:  # of two classes scikit-learn keeps one row, for the second
            weight, bias = torch.cat([torch.zeros_like(weight), weight]), torch.cat([torch.zeros_like(bias), bias])
        return learned_of(task, {"weight": weight, "bias": bias})

    def class_features(
        self, learned: Learned, classnames: Sequence[str], backbone: Backbone, *, cache: FeatureCache | None = None
    ) -> None:
        """None: there is no text side. Raises DataError for classes that it was not trained on."""
        self.check_classes(learned, classnames)

    def predictor(
        self, learned: Learned, classnames: Sequence[str], features: Tensor | None, backbone: Backbone | None = None
    ) -> LinearClassifier:
        """The logistic regression, of some or all of the classes trained on."""
        self.check_classes(learned, classnames)
        places = [learned.classnames.index(name) for name in classnames]
        weight, bias = learned.tensors["weight"][places], learned.tensors["bias"][places]
        return LinearClassifier(tuple(classnames), learned.groups.ids, weight, bias)


def best_c(samples: Samples, weights: Tensor | None = None) -> tuple[float, str]:
    """The C of all tried that has the best accuracy on val, the smallest among equals, and how it was found."""
    if len(samples.val_labels) == 0:
        return DEFAULT_C, "the default, as there is no val to choose on"
    known: dict[float, float] = {}

    def accuracy(power: float) -> float:
        if power not in known:
            guesses = fitted(samples, 10.0**power, weights).predict(samples.val.double().numpy())
            known[power] = float((torch.from_numpy(guesses) == samples.val_labels).float().mean())
        return known[power]

    _search(accuracy)
    power = max(known, key=lambda one: (known[one], -one))
    return 10.0**power, f"chosen on {len(samples.val_labels)} validation images"


def _search(accuracy: Callable[[float], float]) -> None:
    """Try powers of ten for C: a coarse grid, then the better half of the range around its best, again and again."""
    best = max(_POWERS, key=lambda power: (accuracy(power), -power))
    low, high = best - 1.0, best + 1.0
    for _ in range(_SEARCH_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if accuracy(low) < accuracy(high) else (low, middle)


def fitted(samples: Samples, c: float, weights: Tensor | None = None) -> LogisticRegression:
    """scikit-learn's logistic regression of the training images, which `weights` (N,) count as so many times each."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    model = LogisticRegression(C=c, solver="lbfgs", max_iter=_ITERATIONS)
    # BLAS takes all cores whatever torch was told, and its threads wait by spinning: two processes would be much slower
    with threadpool_limits(torch.get_num_threads(), "blas"), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the published recipe stops there too
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)  # one shot is meant
        counts = None if weights is None else weights.double().numpy()
        return model.fit(samples.train.double().numpy(), samples.train_labels.numpy(), sample_weight=counts)


METHOD = LinearProbe()
