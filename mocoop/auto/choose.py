"""What `mocoop auto` does: the best of all methods for somebody's images, by cross-validation, kept as a run.

Test images are not read before the choice is made. Training and val images are encoded once, as `mocoop train` does, so
that the winner's training finds them in the cache.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mocoop.auto.folds import held_out
from mocoop.auto.material import Material
from mocoop.auto.race import Clock, Entry, TimeIsUp, chosen, lower_bounds, race
from mocoop.backbone.backbone import FEATURES, load_backbone
from mocoop.backbone.hard_features import text_cache
from mocoop.bench.data import BenchData, open_bench_data
from mocoop.data.cache import FeatureCache
from mocoop.data.dataset import Dataset
from mocoop.data.sources import data_name
from mocoop.data.splits import VAL_SHOTS, chosen_on, few_shot
from mocoop.errors import MoCoOpError
from mocoop.files import write_json
from mocoop.methods import method_named
from mocoop.mixture.classifier import Learned
from mocoop.runs.evaluate import Evaluation, evaluate
from mocoop.runs.fitting import Fitted
from mocoop.runs.folder import check_folder
from mocoop.runs.record import AUTO
from mocoop.runs.train import TrainingPlan, check_templates, train
from mocoop.training.method import Samples
from mocoop.training.progress import LiveProgress
from mocoop.training.trainer import Listener, StepLog

if TYPE_CHECKING:
    from mocoop.backbone.backbone import Backbone
    from mocoop.groupfile.groups import GroupFile
    from mocoop.runs.run import Run

# In the order of their cost. CoCoOp and ProGrad are left out: the one takes hours, the other is as CoOp.
TRIED = (
    "zero-shot", "zero-shot-ensemble", "gated-zero-shot", "tip-adapter", "linear-probe",
    "coop", "kgcoop", "lasp", "mocoop", "blend",
)  # fmt: skip
UNMEASURED = "blend"  # where no image is there to measure on: the one that was best at every number of shots
ZERO_SHOT = "zero-shot"
_AFTER = 2.5  # splits' worth of time for what follows: the winner's training, and two on half of the classes
_FIRST_STEPS = 3  # after so many the time of a training is known


@dataclass(frozen=True)
class NewClasses:
    """Accuracy in percent on classes that were hidden from the training, of the winner and of zero-shot."""

    winner: float
    zero_shot: float


@dataclass(frozen=True)
class Choice:
    """What was tried, on what, and what was chosen and why; `lower` are the bounds it was chosen by, in percent."""

    entries: tuple[Entry, ...]
    lower: Mapping[str, float]
    winner: Entry
    why: str
    how: str


@dataclass(frozen=True)
class Chosen:
    """A choice, the winner's run, what it costs on new classes, and its result on test images if there are any."""

    choice: Choice
    run: Run
    new_classes: NewClasses | None
    new_classes_note: str
    test: Evaluation | None
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        choice, new = self.choice, self.new_classes
        return {
            "run": str(self.run.path),
            "method": choice.winner.name,
            "why": choice.why,
            "measured_on": choice.how,
            "tried": [{**entry.to_dict(), "lower": choice.lower.get(entry.name)} for entry in choice.entries],
            "new_classes": {"winner": new.winner, "zero_shot": new.zero_shot} if new else None,
            "new_classes_note": self.new_classes_note,
            "test": {"accuracy": self.test.accuracy, "images": self.test.images} if self.test else None,
            "seconds": round(self.seconds, 1),
        }


def auto(plan: TrainingPlan, groups: GroupFile, minutes: float, listener: Listener | None = None) -> Chosen:
    """Try the methods, keep the best as a run, and measure it on test images if there are any.

    Args:
        plan: where the data are and where the run goes; its method is not read.
        groups: what `plan.groups` holds.
        minutes: for trying, choosing and the winner's training.

    Raises what `mocoop.runs.train.train` raises.
    """
    began, clock = time.monotonic(), Clock.start(60 * minutes)
    listener = listener or Listener()
    if plan.threads is not None:
        torch.set_num_threads(plan.threads)
    plan.out.mkdir(parents=True, exist_ok=True)
    check_folder(plan.out, plan.inputs, force=plan.force)
    data = open_bench_data(data_name(plan.data), plan.data, plan)
    words = not plan.backbone.startswith(FEATURES)
    if words:
        check_templates(plan, groups, data.dataset)
    listener.stage("loading the backbone")
    backbone = load_backbone(
        plan.backbone,
        plan.pretrained,
        device=plan.device,
        precision=plan.config.precision,
        quick_gelu=plan.quick_gelu,
    )
    if words:
        check_templates(plan, groups, data.dataset, backbone)
    material = material_of(data, backbone, groups, plan.shots, plan.seed, use_cache=plan.use_cache, listener=listener)
    choice = choose(material, clock, listener)
    config = material.config(choice.winner.name).replace(precision=plan.config.precision)
    run = train(replace(plan, config=config), listener)
    new, note = new_classes(material, choice.winner, clock, listener)
    test = None
    if data.dataset.test:
        listener.stage("measuring on the test images")
        cache = FeatureCache() if plan.use_cache else None
        test = evaluate(run, data.dataset, backbone=backbone, cache=cache, listener=listener)
    found = Chosen(choice, run, new, note, test, time.monotonic() - began)
    write_json(plan.out / AUTO, found.to_dict())
    return found


def material_of(
    data: BenchData,
    backbone: Backbone,
    groups: GroupFile | None,
    shots: int,
    seed: int,
    *,
    use_cache: bool = True,
    listener: Listener | None = None,
) -> Material:
    """The features of the shots that `mocoop train` would draw, and of its val images. No test image is encoded."""
    (listener or Listener()).stage("encoding the images")
    cache = FeatureCache() if use_cache else None
    drawn = few_shot(data.dataset, shots, seed)
    val = chosen_on(drawn, data.dataset.train, min(shots, VAL_SHOTS), seed)
    labels = [torch.tensor([example.label for example in part], dtype=torch.int64) for part in (drawn.train, val)]
    train_x = data.features(backbone, drawn.train, cache)
    val_x = data.features(backbone, val, cache) if val else train_x[:0]
    return Material(
        backbone=backbone,
        groups=groups,
        dataset=data.dataset.name,
        classnames=drawn.classnames,
        samples=Samples(train_x, labels[0], val_x, labels[1]),
        shots=shots,
        seed=seed,
        text_cache=text_cache() if use_cache else None,
    )


def all_shots(dataset: Dataset) -> int:
    """So many shots that every training image is drawn."""
    return max(dataset.counts("train"))


def entries_for(groups: GroupFile | None, *, words: bool = True) -> tuple[Entry, ...]:
    """The methods to try, in the order of their cost; without a text tower (`words`) those that read images alone."""
    if not words:
        return (_entry("linear-probe"),)
    several = groups is not None and len(groups.groups) > 1
    names = [name for name in TRIED if groups is not None or not method_named(name).reads_groups]
    return tuple(_entry(name) for name in names if several or name != "gated-zero-shot")


def choose(material: Material, clock: Clock, listener: Listener | None = None) -> Choice:
    """Try the methods in the time there is, and choose. Raises MoCoOpError if that is too short for any."""
    listener = listener or Listener()
    entries = entries_for(material.groups, words=not material.backbone.name.startswith(FEATURES))
    splits, how, measure = _measuring(material, clock, listener)
    images = len(material.samples.train_labels) if how.startswith("cross") else len(material.samples.val_labels)

    def told(entry: Entry, split: int) -> None:
        if entry.left is not None:
            listener.notice(f"{entry.title} is given up: {entry.left}")
        elif entry.images:
            listener.notice(
                f"{entry.title}: {entry.accuracy:.1f} % after split {split + 1} of {splits}; "
                f"{time_text(clock.left)} left"
            )

    race(entries, images, splits, measure, clock, after=_AFTER, told=told)
    winner = chosen(entries)
    if winner is None and splits:
        raise MoCoOpError("no method could be measured in that time", "give more --minutes")
    if winner is None:
        winner = next(entry for entry in reversed(entries) if entry.name == UNMEASURED or entry is entries[0])
        why = f"{winner.title}: it was best at one image a class on other data, and here is nothing to measure on"
    else:
        why = why_chosen(winner, entries)
    return Choice(entries, lower_bounds(entries), winner, why, how)


def why_chosen(winner: Entry, entries: tuple[Entry, ...]) -> str:
    """The reason in one sentence."""
    lower = lower_bounds(entries)
    said = f"{winner.title}: {winner.accuracy:.1f} %, a lower bound of {lower[winner.name]:.1f} %"
    rivals = [entry for entry in entries if entry.name in lower and entry is not winner]
    if not rivals:
        return f"{said}; all others were given up"
    rival = max(rivals, key=lambda one: lower[one.name])
    if lower[rival.name] <= lower[winner.name]:
        return f"{said}, the highest; next {rival.title}, {lower[rival.name]:.1f} %"
    if winner.parts:
        return f"{said}; {rival.title} is ahead by no more than chance ({lower[rival.name]:.1f} %)"
    kept = "can name classes without images" if not rival.names_any_class else "costs less"
    return f"{said}; {rival.title} ties with it ({lower[rival.name]:.1f} %), and {winner.title} {kept}"


def time_text(seconds: float) -> str:
    """ "4:05"."""
    whole = max(0, round(seconds))
    return f"{whole // 60}:{whole % 60:02d}"


Measured = Callable[[Entry, int, float], tuple[Tensor, Tensor]]


def _measuring(material: Material, clock: Clock, listener: Listener) -> tuple[int, str, Measured]:
    """How many splits there are, what they are in words, and what measures an entry on one of them."""
    samples = material.samples
    splits = held_out(samples.train_labels, material.seed)
    known: dict[int, dict[str, Learned]] = {}

    def learned(entry: Entry, split: int, rows: Tensor, seconds: float, *, val: bool) -> Fitted:
        listener.stage(f"{entry.title}, split {split + 1}")
        parts = known.setdefault(split, {})
        fitted = material.learn(entry.name, rows, val=val, parts=parts, listener=_Watch(listener, clock, seconds))
        parts[entry.name] = fitted.learned
        return fitted

    def crossed(entry: Entry, split: int, seconds: float) -> tuple[Tensor, Tensor]:
        held = splits[split]
        rest = torch.ones(len(samples.train_labels), dtype=torch.bool)
        rest[held] = False
        fitted = learned(entry, split, rest.nonzero().flatten(), seconds, val=True)
        return held, material.right(fitted, samples.train[held], samples.train_labels[held])

    def on_val(entry: Entry, split: int, seconds: float) -> tuple[Tensor, Tensor]:
        everything = torch.arange(len(samples.train_labels))
        fitted = learned(entry, split, everything, seconds, val=False)
        return torch.arange(len(samples.val_labels)), material.right(fitted, samples.val, samples.val_labels)

    if splits:
        return len(splits), f"cross-validation on {len(samples.train_labels)} training images", crossed
    count = len(samples.val_labels)
    if count:
        listener.notice(f"one image a class cannot be cross-validated: measured on {count} val images instead")
        return 1, f"{count} val images, as there is one training image a class", on_val
    listener.notice("one image a class and no val: there is nothing to measure on")
    return 0, "nothing, as there is one training image a class and no val", on_val


def new_classes(material: Material, winner: Entry, clock: Clock, listener: Listener) -> tuple[NewClasses | None, str]:
    """What the winner costs on new classes, and that in a sentence; None where there is nothing to measure.

    Each half of the classes is hidden once: trained on the other, asked about this one.
    """
    count = len(material.classnames)
    if not winner.names_any_class:
        return None, f"{winner.title} knows only the classes it was trained on: a new class needs a new training"
    if not method_named(winner.name).learns:
        return None, f"{winner.title} learns nothing: a new class costs nothing"
    if count < 4:
        return None, f"what it costs on new classes cannot be measured with {count} classes: four are needed"
    everything = torch.arange(count)[torch.randperm(count, generator=torch.Generator().manual_seed(material.seed))]
    halves = [sorted(half.tolist()) for half in (everything[: count // 2], everything[count // 2 :])]
    labels = material.samples.train_labels
    right: dict[str, list[Tensor]] = {winner.name: [], ZERO_SHOT: []}
    try:
        for trained, hidden in (halves, halves[::-1]):
            rows, others = (torch.isin(labels, torch.tensor(half)).nonzero().flatten() for half in (trained, hidden))
            for name, found in right.items():
                listener.stage(f"{method_named(name).title}, on classes hidden from it")
                fitted = material.learn(name, rows, classes=trained, listener=_Watch(listener, clock, clock.left))
                found.append(material.right(fitted, material.samples.train[others], labels[others], hidden))
    except TimeIsUp:
        return None, "what it costs on new classes was not measured: the time was up"
    share = {name: 100 * float(torch.cat(found).float().mean()) for name, found in right.items()}
    new = NewClasses(share[winner.name], share[ZERO_SHOT])
    return new, new_classes_text(winner, new)


def new_classes_text(winner: Entry, new: NewClasses) -> str:
    """What the winner costs on classes it never saw, in one sentence."""
    change = new.winner - new.zero_shot
    told = f"{abs(change):.1f} points {'above' if change >= 0 else 'below'} zero-shot"
    return f"on new classes, half of yours hidden from it, {winner.title} has {new.winner:.1f} %, {told}"


def _entry(name: str) -> Entry:
    method = method_named(name)
    return Entry(
        name, method.title, method.parts, steps="epochs" in method.settings, names_any_class=name != "linear-probe"
    )


class _Watch(Listener):
    """Shows a training's steps, and ends it if it would not end in time."""

    def __init__(self, listener: Listener, clock: Clock, seconds: float) -> None:
        self._live = listener if isinstance(listener, LiveProgress) else Listener()  # too much for a log
        self._now, self._seconds, self._began = clock.now, seconds, clock.now()

    def started(self, epochs: int, steps: int, resumed_step: int) -> None:
        """The loop begins."""
        self._began = self._now()
        self._live.started(epochs, steps, resumed_step)

    def step(self, log: StepLog) -> None:
        """Raises TimeIsUp once it is known that the time will not do."""
        self._live.step(log)
        needed = (self._now() - self._began) / log.step * log.steps
        if log.step >= _FIRST_STEPS and needed > self._seconds:
            raise TimeIsUp(needed)
