"""Evaluating a run on the test images of a data set, on the classes trained on or on others.

B images, C classes, E experts. Accuracy is top-1 in percent. Nothing is selected on test: the last step counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from mocoop.backbone.hard_features import text_cache
from mocoop.certainty.measures import COVERAGES, Certainty, certainty_of
from mocoop.data.dataset import Dataset, Example, named
from mocoop.data.features import BadImages, FeatureCache
from mocoop.data.namelists import squeezed
from mocoop.data.splits import VAL_SHOTS, Half, choose_classes, chosen_on, few_shot
from mocoop.data.survey import settled
from mocoop.data.templates import PLAIN
from mocoop.errors import DataError
from mocoop.runs.baselines import ENSEMBLE, LINEAR_PROBE, ONE_TEMPLATE, linear_probe, training_free
from mocoop.runs.measured import Measured, to_measure, training_images
from mocoop.runs.scores import Scores, result_notes, scores_of
from mocoop.training.inputs import Inputs, load_inputs
from mocoop.training.method import one_group
from mocoop.training.trainer import Listener

if TYPE_CHECKING:
    from mocoop.backbone.backbone import Backbone
    from mocoop.mixture.classifier import Prediction
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
    """The result on one set of classes; N images, C classes, E experts.

    `first_expert`, `predictions`, `probabilities`, `gate` and `features` are per image, in the order of `examples`.
    """

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
    scores: Scores | None = None  # what stands beside the accuracy
    images_in_data: int | None = None  # of these classes, in all splits
    notes: tuple[str, ...] = ()  # how the images were chosen, and what the numbers do not show
    baselines: Mapping[str, Scores] = field(default_factory=dict)  # the training-free ones, and the linear probe
    missing: Mapping[str, str] = field(default_factory=dict)  # baselines that could not be measured, and why
    probabilities: Tensor = field(default_factory=lambda: torch.zeros(0, 0), compare=False)  # (N, C), calibrated
    gate: Tensor = field(default_factory=lambda: torch.zeros(0, 0), compare=False)  # (N, E)
    features: Tensor = field(default_factory=lambda: torch.zeros(0, 0), compare=False)  # (N, D), not normalised
    certainty: Certainty | None = None  # calibration, prediction sets of the classes trained on, risk

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, without the per-image lists."""
        return {
            "classes": self.classes,
            "accuracy": self.accuracy,
            "images": self.images,
            "images_in_data": self.images_in_data,
            "scores": self.scores.to_dict() if self.scores else None,
            "certainty": self.certainty.to_dict() if self.certainty else None,
            "skipped": self.skipped,
            "seen_in_training": self.seen_in_training,
            "training_free": self.training_free,
            "baselines": {name: scores.to_dict() for name, scores in self.baselines.items()},
            "missing_baselines": dict(self.missing),
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
    measured: Measured | None = None,
) -> Evaluation:
    """Evaluate on the test split; `classes` defaults to those trained on.

    `baselines` adds the training-free accuracy of the group file's templates on the same images; for a method without
    groups, that of the data set's own template. And a linear probe of the run's training images, where they are at
    hand. `measured` is `to_measure(run, dataset)`, if that is known already; `dataset` is then one of `on_classes_of`.
    Pictures are read by the rule of the run, unless the data set has one.

    Raises:
        DataError: no test images, classes that differ from those in training, classes that the method cannot name, or
            too many unreadable images.
    """
    chosen = classes or run.info["classes"]
    if dataset.features is not None:
        run.check_features(dataset.name)
    known, dataset = len(dataset.notes), on_classes_of(run, dataset)
    for note in dataset.notes[known:]:
        (listener or Listener()).notice(note)
    measured = measured or to_measure(run, dataset)
    part = choose_classes(measured.dataset, chosen)
    run.method.check_classes(run.learned, part.classnames)
    if not part.test:
        which = "" if chosen == "all" else f" of the {chosen} classes"
        raise DataError(f"{dataset.name} has no test images{which}", "add a test split")
    if part.reading is None:
        part = settled(replace(part, notes=()), part.test, known=run.reading)
        for note in part.notes:
            (listener or Listener()).notice(note)
    backbone = backbone or run.load_backbone()
    inputs = load_inputs(backbone, part, part.test, cache=cache, on_bad_image=on_bad_image, listener=listener)
    if len(inputs.skipped) > max_skipped * len(part.test):
        raise DataError(
            f"{len(inputs.skipped)} of {len(part.test)} test images cannot be read, first {inputs.skipped[0][0]}: "
            f"{inputs.skipped[0][1]}",
            "mend them, or raise --max-skipped",
        )
    features = inputs.view(0)
    before = run.classifier(part.classnames, backbone, calibrated=False).predict(features)
    prediction = before.at_temperature(run.calibration.temperature) if run.calibration else before
    guesses, first, labels = prediction.probabilities.argmax(-1), prediction.gate.argmax(-1), inputs.labels
    scores = scores_of(guesses, labels, part.classnames)
    whole, where = choose_classes(dataset, chosen), "all classes" if chosen == "all" else f"the {chosen} classes"
    free, wordless = _training_free(run, part, inputs, backbone, cache) if baselines else ({}, {})
    probe, missing = _probe(run, dataset, part, inputs, backbone, cache) if baselines else (None, {})
    others = free if probe is None else {**free, LINEAR_PROBE: probe}
    learned = run.config.routing == "learned"  # equal weights have no first expert
    use = first.bincount(minlength=len(run.groups.ids)).tolist()
    unused = [one for one, count in zip(run.groups.ids, use, strict=True) if not count] if learned else []
    return Evaluation(
        classes=chosen,
        accuracy=scores.accuracy,
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
        training_free={name: found.accuracy for name, found in free.items()},
        scores=scores,
        images_in_data=len({*whole.train, *whole.val, *whole.test}),
        notes=(*measured.notes, *result_notes(scores, unused, where)),
        baselines=others,
        missing={**wordless, **missing},
        probabilities=prediction.probabilities.cpu(),
        gate=prediction.gate.cpu(),
        features=features,
        certainty=_certainty(run, part.classnames, before, prediction, labels),
    )


def _certainty(
    run: Run, classnames: Sequence[str], before: Prediction, prediction: Prediction, labels: torch.Tensor
) -> Certainty:
    """How certainty fares; prediction sets promise something for the classes trained on only."""
    known = run.calibration if tuple(classnames) == run.classnames else None
    return certainty_of(
        prediction.probabilities.cpu().numpy(),
        labels.numpy(),
        before=before.probabilities.cpu().numpy(),
        temperature=run.calibration.temperature if run.calibration else None,
        limits={coverage: known.limits(coverage) for coverage in known.possible(COVERAGES)} if known else {},
    )


def _training_free(
    run: Run, part: Dataset, inputs: Inputs, backbone: Backbone, cache: FeatureCache | None
) -> tuple[dict[str, Scores], dict[str, str]]:
    """The training-free scores, with the backbone before any LayerNorm tuning, as far as there are texts; why not."""
    if not backbone.reads_text:
        return {}, {ONE_TEMPLATE: f"{backbone.name} has no text tower"}
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
    few = (ONE_TEMPLATE, ENSEMBLE) if mine else (ONE_TEMPLATE,)
    names = list(found.accuracy) if len(groups.groups) > 1 else few
    return {name: scores_of(found.guesses[name], inputs.labels, part.classnames) for name in names}, {}


def _probe(
    run: Run, dataset: Dataset, part: Dataset, inputs: Inputs, backbone: Backbone, cache: FeatureCache | None
) -> tuple[Scores | None, dict[str, str]]:
    """A linear probe of the images that the run was trained on, or why there is none."""
    if unknown := [name for name in part.classnames if name not in run.classnames]:
        return None, {LINEAR_PROBE: f"it knows only classes it was trained on, not {unknown[0]!r}"}
    train, why = training_images(run, dataset)
    if why:
        return None, {LINEAR_PROBE: why}
    if run.learned.layer_norms:
        backbone = run.load_backbone(str(backbone.device), precision=backbone.precision, tuned=False)
        inputs = load_inputs(backbone, part, inputs.examples, cache=cache)
    val = _unseen_val(run, dataset, train)
    read = settled(dataset, (*train, *val), known=run.reading)  # as in the training, whatever the test images need
    known = load_inputs(backbone, read, train, cache=cache)
    held = load_inputs(backbone, read, val, cache=cache) if val else None
    guesses = linear_probe(backbone, run.classnames, known, held, part.classnames, inputs.view(0), run.info["seed"])
    return scores_of(guesses, inputs.labels, part.classnames), {}


def _unseen_val(run: Run, dataset: Dataset, train: Sequence[Example]) -> list[Example]:
    """Images to choose the probe's settings on, as `mocoop train --method linear-probe` draws them; never test ones."""
    shots, seed, which = run.info["shots"], run.info["seed"], run.info["classes"]
    drawn = replace(choose_classes(few_shot(dataset, shots, seed), which), train=tuple(train))
    found = chosen_on(drawn, choose_classes(dataset, which).train, min(shots, VAL_SHOTS), seed)
    known = set(train)
    return [example for example in found if example not in known]


def unnameable(run: Run, dataset: Dataset, classes: Sequence[Half]) -> dict[Half, str]:
    """Which of some sets of classes the run cannot name, and why; empty if it can name none of them.

    So the others can still be measured, and `evaluate` refuses if there are no others.
    """
    dataset = on_classes_of(run, dataset)
    reasons = {part: run.method.why_not(run.learned, choose_classes(dataset, part).classnames) for part in classes}
    found = {part: reason for part, reason in reasons.items() if reason}
    return found if len(found) < len(reasons) else {}


def on_classes_of(run: Run, dataset: Dataset) -> Dataset:
    """The data set with the classes of the training, in their order, and a note on those without any image.

    Base and new are halves of that list. A class is found by its key if the run knows it, else by its name, whatever
    the order. Raises DataError, with what is missing and what is extra, for classes that the training did not have.
    """
    expected = tuple(run.info["all_classnames"])
    if dataset.classnames == expected:
        return dataset
    keys = list(run.info.get("names_by_key") or ())
    places = _places(expected, keys, dataset)
    missing = [name for place, name in enumerate(expected) if place not in places]
    if extra := [name for name, place in zip(dataset.classnames, places, strict=True) if place is None]:
        lacking = f"; missing: {named(missing)}" if missing else ""
        raise DataError(
            f"{dataset.name} has classes that the training did not have: {named(extra)}{lacking}",
            "take them out, or name the classes as in the training (--class-names)",
        )
    note = (
        f"no images of {named(missing)}: measured on the {len(places)} classes of {dataset.name}; "
        f"the answers are among all {len(expected)}"
    )
    return replace(
        dataset,
        classnames=expected,
        keys=tuple(keys) if len(keys) == len(expected) else expected,
        train=_relabelled(dataset.train, places),
        val=_relabelled(dataset.val, places),
        test=_relabelled(dataset.test, places),
        notes=(*dataset.notes, note) if missing else dataset.notes,
    )


def _places(expected: Sequence[str], keys: Sequence[str], dataset: Dataset) -> list[int | None]:
    """The place of each class of a data set in the list of the training, each place used once; None: not in it."""
    by_key = {(key, name): place for place, (key, name) in enumerate(zip(keys, expected, strict=False))}
    by_name = {squeezed(name): place for place, name in reversed(list(enumerate(expected)))}
    exact = {name: place for place, name in reversed(list(enumerate(expected)))}
    found: list[int | None] = []
    own = dataset.keys if len(dataset.keys) == len(dataset.classnames) else dataset.classnames
    for key, name in zip(own, dataset.classnames, strict=True):
        candidates = (by_key.get((key, name)), exact.get(name), by_name.get(squeezed(name)))
        found.append(next((place for place in candidates if place is not None and place not in found), None))
    return found


def _relabelled(examples: Sequence[Example], places: Sequence[int | None]) -> tuple[Example, ...]:
    return tuple(example._replace(label=cast("int", places[example.label])) for example in examples)


def harmonic_mean(base: float, new: float) -> float:
    """H = 2 B N / (B + N)."""
    return 2 * base * new / (base + new) if base + new > 0 else 0.0


def _class_result(
    name: str, mine: torch.Tensor, guessed: torch.Tensor, first: torch.Tensor, experts: int
) -> ClassResult:
    images, correct = int(mine.sum()), int((mine & guessed).sum())
    use = torch.bincount(first[mine], minlength=experts) / max(1, images)
    return ClassResult(name, images, correct, 100 * correct / images if images else None, tuple(use.tolist()))
