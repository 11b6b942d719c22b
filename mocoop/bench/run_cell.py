"""Running one cell: draw the shots, learn, evaluate each part, and write down all that a table may want."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mocoop.baselines import percent_right
from mocoop.bench.cells import BASE_TO_NEW, TUNE, Cell, key_of
from mocoop.bench.data import BenchData
from mocoop.bench.rows import FORMAT, Row
from mocoop.classifier import Prediction
from mocoop.config import Config
from mocoop.data.cache import FeatureCache
from mocoop.data.dataset import Dataset
from mocoop.data.splits import VAL_SHOTS, choose_classes, chosen_on, few_shot
from mocoop.errors import DataError
from mocoop.evaluate import harmonic_mean
from mocoop.fitting import Fitted, fit
from mocoop.groups import GroupFile
from mocoop.hard_features import text_cache
from mocoop.inputs import Inputs, cached_batches, load_inputs, online_batches, view_plan
from mocoop.methods import Samples, method_named
from mocoop.miniclip.scenes import style_of
from mocoop.miniclip.styles import STYLES
from mocoop.trainer import Batch, Listener

if TYPE_CHECKING:
    from mocoop.backbone import Backbone

Parts = Sequence[tuple[str, tuple[BenchData, Dataset]]]
_BINS = 15


@dataclass(frozen=True)
class Ready:
    """A cell with what it needs: settings, groups as its method reads them, and the key of its row."""

    cell: Cell
    config: Config
    groups: GroupFile
    key: str


@dataclass(frozen=True)
class Measurement:
    """One part's predictions: the classes, the true labels (N,), and what was predicted."""

    classnames: tuple[str, ...]
    labels: Tensor
    styles: tuple[str | None, ...]
    prediction: Prediction

    @property
    def accuracy(self) -> float:
        """Percent."""
        return percent_right(self.prediction.probabilities.argmax(-1), self.labels)

    @property
    def loss(self) -> float:
        """Mean cross-entropy, nats."""
        likely = self.prediction.probabilities.gather(1, self.labels[:, None]).clamp_min(1e-12)
        return -float(likely.log().mean())


def ready(cell: Cell, data: Mapping[str, BenchData], given: GroupFile | None, backbone: Backbone) -> Ready:
    """Settle a cell. Raises UsageError where its method needs a group file and there is none."""
    where = data[cell.dataset]
    config = cell.config(where.dataset.name, where.template)
    groups = method_named(cell.method).groups(given, config)
    read = {name: data[name].identity for name in (cell.dataset, *cell.targets)}
    return Ready(cell, config, groups, key_of(cell, config, groups, read, backbone.fingerprint))


def run_cell(
    one: Ready,
    data: Mapping[str, BenchData],
    backbone: Backbone,
    *,
    cache: FeatureCache | None = None,
    groups_file: str | None = None,
    listener: Listener | None = None,
) -> Row:
    """Train, evaluate, and give the row. Raises what the steps raise."""
    config, fitted, drawn = learn_cell(one, data, backbone, cache, listener)
    cell = one.cell
    notes = list(fitted.notes)
    parts = dict(_parts(cell, data, drawn))
    measured = {name: _measure(fitted, where, part, backbone, cache, notes) for name, (where, part) in parts.items()}
    accuracy = {name: found.accuracy if found else None for name, found in measured.items()}
    if cell.protocol == BASE_TO_NEW:
        base, new = accuracy["base"], accuracy["new"]
        accuracy["H"] = harmonic_mean(base, new) if base is not None and new is not None else None
    return new_row(one, config, fitted, backbone, measured, accuracy, notes, groups_file, len(drawn.train))


def learn_cell(
    one: Ready,
    data: Mapping[str, BenchData],
    backbone: Backbone,
    cache: FeatureCache | None,
    listener: Listener | None = None,
) -> tuple[Config, Fitted, Dataset]:
    """Draw the shots of a cell and learn: the settings gone by, what was learned, and the data set drawn."""
    cell, source = one.cell, data[one.cell.dataset]
    drawn = choose_classes(few_shot(source.dataset, cell.shots, cell.seed), cell.train_on)
    config = _with_names_of_all(one.config, source.dataset, drawn)
    return config, _learn(cell, config, one.groups, source, drawn, backbone, cache, listener), drawn


def _learn(
    cell: Cell,
    config: Config,
    groups: GroupFile,
    source: BenchData,
    drawn: Dataset,
    backbone: Backbone,
    cache: FeatureCache | None,
    listener: Listener | None,
) -> Fitted:
    epochs = config.epochs_for(cell.shots, imagenet=source.dataset.name == "imagenet")

    def samples() -> Samples:
        available = choose_classes(source.dataset, cell.train_on).train
        val = chosen_on(drawn, available, min(cell.shots, VAL_SHOTS), cell.seed)
        labels = [torch.tensor([example.label for example in part], dtype=torch.int64) for part in (drawn.train, val)]
        features = [source.features(backbone, part, cache) if part else torch.zeros(0) for part in (drawn.train, val)]
        return Samples(features[0], labels[0], features[1], labels[1])

    return fit(
        backbone,
        groups,
        _batches(cell, config, source, drawn, epochs, backbone, cache),
        torch.tensor([example.label for example in drawn.train]),
        drawn.classnames,
        config,
        seed=cell.seed,
        epochs=epochs,
        samples=samples,
        listener=listener,
        text_cache=text_cache() if cache is not None else None,
    )


def _batches(
    cell: Cell,
    config: Config,
    source: BenchData,
    drawn: Dataset,
    epochs: int,
    backbone: Backbone,
    cache: FeatureCache | None,
) -> Batch:
    if config.views == "online":
        return online_batches(backbone, drawn.train, cell.seed, config)
    if config.views == 0:
        plain = source.features(backbone, drawn.train, cache).numpy()
        return cached_batches(Inputs(plain[None], drawn.train), backbone.device)
    plan = view_plan(config, epochs, cell.seed, drawn)
    return cached_batches(load_inputs(backbone, drawn, drawn.train, plan=plan, cache=cache), backbone.device)


def _parts(cell: Cell, data: Mapping[str, BenchData], drawn: Dataset) -> Parts:
    """What is evaluated, by the name of its column, each with the examples in `test`."""
    source = data[cell.dataset]
    if cell.protocol == TUNE:
        available = choose_classes(source.dataset, cell.train_on).train
        val = chosen_on(drawn, available, min(cell.shots, VAL_SHOTS), cell.seed)
        return [("val", (source, replace(drawn, test=val)))]
    if cell.protocol == BASE_TO_NEW:
        return [(part, (source, choose_classes(source.dataset, part))) for part in ("base", "new")]
    own = [("all", (source, source.dataset))] if source.dataset.test else []
    return [*own, *((name, (data[name], data[name].dataset)) for name in cell.targets)]


def _measure(
    fitted: Fitted, where: BenchData, part: Dataset, backbone: Backbone, cache: FeatureCache | None, notes: list[str]
) -> Measurement | None:
    """The predictions of one part; None, with a note, where the method cannot name its classes."""
    learned, method = fitted.learned, method_named(fitted.learned.config.method)
    if not part.test:
        raise DataError(f"{where.name} has no images to evaluate on", "add a test split (for tune: a val split)")
    try:
        known = part.classnames == fitted.classnames
        features = fitted.class_features if known else method.class_features(learned, part.classnames, backbone)
    except DataError as error:
        notes.append(error.message)
        return None
    x = where.features(backbone, part.test, cache)
    return Measurement(
        classnames=part.classnames,
        labels=torch.tensor([example.label for example in part.test]),
        styles=tuple(style_of(example.path) if example.path is not None else None for example in part.test),
        prediction=method.predictor(learned, part.classnames, features, backbone).predict(x),
    )


def _with_names_of_all(config: Config, everything: Dataset, drawn: Dataset) -> Config:
    if config.text_classes != "all" or config.extra_class_names:
        return config
    return config.replace(extra_class_names=tuple(n for n in everything.classnames if n not in drawn.classnames))


def new_row(
    one: Ready,
    config: Config,
    fitted: Fitted,
    backbone: Backbone,
    measured: Mapping[str, Measurement | None],
    accuracy: Mapping[str, float | None],
    notes: Sequence[str],
    groups_file: str | None,
    images: int,
) -> Row:
    """A row of all that is known of a cell; `measured` by part, `accuracy` with what follows from them."""
    cell = one.cell
    found = {name: part for name, part in measured.items() if part is not None}
    ids = [group.id for group in one.groups.groups]
    return {
        "format": FORMAT,
        "key": one.key,
        "protocol": cell.protocol,
        "ablation": cell.ablation,
        "dataset": cell.dataset,
        "method": cell.method,
        "title": method_named(cell.method).title,
        "preset": cell.preset,
        "budget": cell.budget,
        "setting": cell.setting,
        "changes": dict(cell.changes),
        "shots": cell.shots,
        "seed": cell.seed,
        "backbone": {
            "name": backbone.name,
            "pretrained": backbone.pretrained,
            "fingerprint": backbone.fingerprint,
            "stand_in": backbone.stand_in,
        },
        "groups": {
            "sha256": one.groups.sha256,
            "file": groups_file,
            "domain": one.groups.domain,
            "ids": ids,
            "kind": cell.group_kind,
        },
        "config": config.to_dict(),
        "accuracy": dict(accuracy),
        "loss": {name: part.loss for name, part in found.items()},
        "images": {name: len(part.labels) for name, part in found.items()},
        "training": {
            "images": images,
            "epochs": fitted.history[-1].epoch + 1 if fitted.history else 0,
            "steps": len(fitted.history),
            "seconds": round(fitted.seconds, 3),
            "loss": fitted.history[-1].loss if fitted.history else None,
        },
        "calibration": {name: _calibration(part) for name, part in found.items()},
        "expert_use": {name: _expert_use(part, len(ids)) for name, part in found.items()}
        if found and len(ids) > 1
        else None,
        "router": _router(found, ids) if found and len(ids) > 1 else None,
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("mocoop", "torch", "open_clip_torch")},
        },
        "device": str(backbone.device),
        "threads": torch.get_num_threads(),
        "finished": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "notes": list(notes),
    }


def _calibration(part: Measurement) -> dict[str, Any]:
    """Bins of confidence of equal width, and the expected calibration error in percent."""
    confidence, guesses = part.prediction.probabilities.max(-1)
    right = (guesses == part.labels).float()
    place = (confidence * _BINS).long().clamp(0, _BINS - 1)
    bins = []
    for number in range(_BINS):
        inside = place == number
        count = int(inside.sum())
        if count:
            bins.append([count, float(confidence[inside].mean()), float(right[inside].mean())])
    error = sum(count * abs(sure - hit) for count, sure, hit in bins) / len(right)
    return {"ece": 100 * error, "bins": bins}


def _expert_use(part: Measurement, experts: int) -> dict[str, list[float]]:
    """By class, the share of its images by first expert."""
    first = part.prediction.gate.argmax(-1)
    use = {}
    for number, name in enumerate(part.classnames):
        mine = first[part.labels == number]
        if len(mine):
            use[name] = (torch.bincount(mine, minlength=experts) / len(mine)).tolist()
    return use


def _router(found: Mapping[str, Measurement], ids: Sequence[str]) -> dict[str, Any]:
    """Mean entropy of the router in nats; and how often the first expert names the tile's style, in percent."""
    gates = torch.cat([part.prediction.router for part in found.values()])
    first = torch.cat([part.prediction.gate for part in found.values()]).argmax(-1).tolist()
    styles = [style for part in found.values() for style in part.styles]
    named = [
        ids[expert] == STYLES[style].aspect
        for expert, style in zip(first, styles, strict=True)
        if style in STYLES and STYLES[style].aspect in ids
    ]
    entropy = -(gates * gates.clamp_min(1e-12).log()).sum(-1).mean()
    return {"entropy": float(entropy), "style_named": 100 * sum(named) / len(named) if named else None}
