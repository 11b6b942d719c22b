"""Evaluating a run on the test images of a data set, on the classes trained on or on others.

B images, C classes, E experts. Accuracy is top-1 in percent. Nothing is selected on test: the last step counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

from mocoop.backbone.hard_features import text_cache
from mocoop.data.dataset import Dataset, Example
from mocoop.data.features import BadImages, FeatureCache
from mocoop.data.splits import Half, choose_classes
from mocoop.data.templates import PLAIN
from mocoop.errors import DataError
from mocoop.runs.baselines import ENSEMBLE, ONE_TEMPLATE, percent_right, training_free
from mocoop.training.inputs import Inputs, load_inputs
from mocoop.training.method import one_group
from mocoop.training.trainer import Listener

if TYPE_CHECKING:
    from mocoop.backbone.backbone import Backbone
    from mocoop.runs.run import Run

MAX_SKIPPED = 0.1


@dataclass(frozen=True)
class ClassResult:
    """One class: number of test images, number correct, accuracy in percent, and its images' shares by first expert."""

    name: str
    images: int
    correct: int
    accuracy: float | None
    expert_use: tuple[float, ...]


@dataclass(frozen=True)
class Evaluation:
    """The result on one set of classes. `first_expert` and `predictions` are per image, in the order of `examples`."""

    classes: Half
    accuracy: float
    images: int
    per_class: tuple[ClassResult, ...]
    seen_in_training: bool
    skipped: int
    first_expert: tuple[int, ...]
    predictions: tuple[int, ...]
    examples: tuple[Example, ...]
    training_free: dict[str, float]  # accuracies of training-free classifiers, if requested

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, without the per-image lists."""
        return {
            "classes": self.classes,
            "accuracy": self.accuracy,
            "images": self.images,
            "skipped": self.skipped,
            "seen_in_training": self.seen_in_training,
            "training_free": self.training_free,
            "per_class": [asdict(result) for result in self.per_class],
        }


def evaluate(
    run: Run,
    dataset: Dataset,
    *,
    classes: Half | None = None,
    backbone: Backbone | None = None,
    cache: FeatureCache | None = None,
    on_bad_image: BadImages = "fail",
    max_skipped: float = MAX_SKIPPED,
    baselines: bool = False,
    listener: Listener | None = None,
) -> Evaluation:
    """Evaluate on the test split; `classes` defaults to those trained on.

    `baselines` adds the training-free accuracy of the group file's templates on the same images; for a method without
    groups, that of the data set's own template.

    Raises:
        DataError: no test images, classes that differ from those in training, classes that the method cannot name, or
            too many unreadable images.
    """
    chosen = classes or run.info["classes"]
    if dataset.features is not None:
        run.check_features(dataset.name)
    _check_classes(run, dataset)
    part = choose_classes(dataset, chosen)
    run.method.check_classes(run.learned, part.classnames)
    if not part.test:
        raise DataError(f"{dataset.name} has no test images of the {chosen} classes", "add a test split")
    backbone = backbone or run.load_backbone()
    inputs = load_inputs(backbone, part, part.test, cache=cache, on_bad_image=on_bad_image, listener=listener)
    if len(inputs.skipped) > max_skipped * len(part.test):
        raise DataError(
            f"{len(inputs.skipped)} of {len(part.test)} test images cannot be read, first {inputs.skipped[0][0]}: "
            f"{inputs.skipped[0][1]}",
            "mend them, or raise --max-skipped",
        )
    prediction = run.classifier(part.classnames, backbone).predict(inputs.view(0))
    guesses, first, labels = prediction.probabilities.argmax(-1), prediction.gate.argmax(-1), inputs.labels
    return Evaluation(
        classes=chosen,
        accuracy=percent_right(guesses, labels),
        images=len(labels),
        per_class=tuple(
            _class_result(name, labels == c, guesses == c, first, len(run.groups.ids))
            for c, name in enumerate(part.classnames)
        ),
        seen_in_training=set(part.classnames) <= set(run.classnames),
        skipped=len(inputs.skipped),
        first_expert=tuple(first.tolist()),
        predictions=tuple(guesses.tolist()),
        examples=inputs.examples,
        training_free=_training_free(run, part, inputs, backbone, cache) if baselines else {},
    )


def _training_free(
    run: Run, part: Dataset, inputs: Inputs, backbone: Backbone, cache: FeatureCache | None
) -> dict[str, float]:
    """The training-free accuracies, with the backbone before any LayerNorm tuning, as far as templates exist."""
    mine = run.method.reads_groups
    groups = run.groups if mine else one_group([run.config.template or PLAIN], domain=run.groups.domain)
    if run.learned.layer_norms:
        backbone = run.load_backbone(str(backbone.device), precision=backbone.precision, tuned=False)
        inputs = load_inputs(backbone, part, inputs.examples, cache=cache)
    found = training_free(
        backbone,
        groups,
        part.classnames,
        inputs.normalised(backbone.device)[0],
        inputs.labels,
        cache=None if cache is None else text_cache(),
    )
    if len(groups.groups) > 1:
        return found.accuracy
    return {name: found.accuracy[name] for name in ((ONE_TEMPLATE, ENSEMBLE) if mine else (ONE_TEMPLATE,))}


def unnameable(run: Run, dataset: Dataset, classes: Sequence[Half]) -> dict[Half, str]:
    """Which of some sets of classes the run cannot name, and why; empty if it can name none of them.

    So the others can still be measured, and `evaluate` refuses if there are no others.
    """
    reasons = {part: run.method.why_not(run.learned, choose_classes(dataset, part).classnames) for part in classes}
    found = {part: reason for part, reason in reasons.items() if reason}
    return found if len(found) < len(reasons) else {}


def harmonic_mean(base: float, new: float) -> float:
    """H = 2 B N / (B + N)."""
    return 2 * base * new / (base + new) if base + new > 0 else 0.0


def _class_result(
    name: str, mine: torch.Tensor, guessed: torch.Tensor, first: torch.Tensor, experts: int
) -> ClassResult:
    images, correct = int(mine.sum()), int((mine & guessed).sum())
    use = torch.bincount(first[mine], minlength=experts) / max(1, images)
    return ClassResult(name, images, correct, 100 * correct / images if images else None, tuple(use.tolist()))


def _check_classes(run: Run, dataset: Dataset) -> None:
    """Base and new are halves of one class list, so it must be the one used in training."""
    expected = tuple(run.info["all_classnames"])
    if dataset.classnames != expected:
        differ = next(
            (f"{a!r} instead of {b!r}" for a, b in zip(dataset.classnames, expected, strict=False) if a != b),
            f"{len(dataset.classnames)} classes instead of {len(expected)}",
        )
        raise DataError(
            f"{dataset.name} does not have the classes of the training: {differ}",
            "give the data set (and --class-names) of the training",
        )
