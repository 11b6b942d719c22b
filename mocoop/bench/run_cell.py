"""Running one cell: draw the shots, learn, evaluate each part, and record everything a table may need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from mocoop.backbone.hard_features import text_cache
from mocoop.bench.cell import BASE_TO_NEW, TUNE, Cell, Ready, key_of
from mocoop.bench.data import BenchData
from mocoop.bench.measuring import Measurement, new_row
from mocoop.bench.rows import Row
from mocoop.config import Config
from mocoop.data.cache import FeatureCache
from mocoop.data.dataset import Dataset, Example
from mocoop.data.splits import VAL_SHOTS, Half, choose_classes, chosen_on, few_shot, up_to
from mocoop.errors import DataError
from mocoop.groupfile.groups import GroupFile
from mocoop.methods import method_named
from mocoop.miniclip.scenes import style_of
from mocoop.runs.evaluate import harmonic_mean
from mocoop.runs.fitting import Fitted, fit
from mocoop.training.inputs import Inputs, cached_batches, load_inputs, online_batches, view_plan
from mocoop.training.method import Samples
from mocoop.training.trainer import Batch, Listener

if TYPE_CHECKING:
    from mocoop.backbone.backbone import Backbone

Parts = Sequence[tuple[str, tuple[BenchData, Dataset]]]


def ready(cell: Cell, data: Mapping[str, BenchData], given: GroupFile | None, backbone: Backbone) -> Ready:
    """Resolve a cell's settings and groups. Raises UsageError if its method needs a group file and there is none."""
    where = data[cell.dataset]
    config = cell.config(where.dataset.name, where.template)
    groups = method_named(cell.method).groups(given, config)
    read = {name: data[name].identity for name in (cell.dataset, *cell.targets)}
    images = len(_classes(few_shot(where.dataset, cell.shots, cell.seed), cell).train)
    return Ready(cell, config, groups, key_of(cell, config, groups, read, backbone.fingerprint, images))


def run_cell(
    one: Ready,
    data: Mapping[str, BenchData],
    backbone: Backbone,
    *,
    cache: FeatureCache | None = None,
    groups_file: str | None = None,
    listener: Listener | None = None,
) -> Row:
    """Train, evaluate, and return the row. Raises what the steps raise."""
    config, fitted, drawn = learn_cell(one, data, backbone, cache, listener)
    cell = one.cell
    notes = [*_notes(one, data, drawn), *fitted.notes]
    measured = {}
    for name, (where, part) in parts(cell, data, drawn):
        fitting = _fitted_to(where, one, fitted, data, drawn, backbone, cache)
        measured[name] = _measure(fitting, where, part, backbone, cache, notes)
    accuracy = {name: found.accuracy if found else None for name, found in measured.items()}
    if len(accuracy) == 2 and not cell.targets:  # on the classes trained on, and on the others
        base, new = accuracy.values()
        accuracy["H"] = harmonic_mean(base, new) if base is not None and new is not None else None
    return new_row(one, config, fitted, backbone, measured, accuracy, notes, groups_file, len(drawn.train))


def learn_cell(
    one: Ready,
    data: Mapping[str, BenchData],
    backbone: Backbone,
    cache: FeatureCache | None,
    listener: Listener | None = None,
) -> tuple[Config, Fitted, Dataset]:
    """Draw the shots of a cell and learn; returns the settings used, what was learned, and the data set drawn."""
    cell, source = one.cell, data[one.cell.dataset]
    drawn = _classes(few_shot(source.dataset, cell.shots, cell.seed), cell)
    config = one.config.with_names_of(source.dataset.classnames, drawn.classnames)
    config, epochs = config.scheduled(cell.shots, len(drawn.train), imagenet=source.dataset.name == "imagenet")
    return config, _learn(cell, config, epochs, one.groups, source, drawn, backbone, cache, listener), drawn


def _notes(one: Ready, data: Mapping[str, BenchData], drawn: Dataset) -> list[str]:
    """Notes for the reader of the row that do not depend on training."""
    source = data[one.cell.dataset].dataset
    said = [one.cell.budget_note(one.config), *(note for note in drawn.notes if note not in source.notes)]
    if one.cell.targets and _has_own_template(one.config):
        said.append("each target is classified with its own template")
    return [note for note in said if note]


def _has_own_template(config: Config) -> bool:
    """Whether the method is just the data set's template, as zero-shot is."""
    method = method_named(config.method)
    return not method.learns and "template" in method.settings


def _fitted_to(
    where: BenchData,
    one: Ready,
    fitted: Fitted,
    data: Mapping[str, BenchData],
    drawn: Dataset,
    backbone: Backbone,
    cache: FeatureCache | None,
) -> Fitted:
    """The model that classifies a part: the one learned on the source; for zero-shot, the template of that data set."""
    source = data[one.cell.dataset]
    if where is source or not _has_own_template(one.config):
        return fitted
    config = one.cell.config(where.dataset.name, where.template)
    groups = method_named(config.method).groups(None, config)
    return _learn(one.cell, config, 0, groups, source, drawn, backbone, cache, None)


def _learn(
    cell: Cell,
    config: Config,
    epochs: int,
    groups: GroupFile,
    source: BenchData,
    drawn: Dataset,
    backbone: Backbone,
    cache: FeatureCache | None,
    listener: Listener | None,
) -> Fitted:

    def samples() -> Samples:
        val = _val(cell, drawn, _classes(source.dataset, cell))
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
        plain=lambda: source.features(backbone, drawn.train, cache),
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
        return online_batches(backbone, drawn.train, cell.seed, config, reading=drawn.reading)
    if config.views == 0:
        plain = source.features(backbone, drawn.train, cache).numpy()
        return cached_batches(Inputs(plain[None], drawn.train), backbone.device)
    plan = view_plan(config, epochs, cell.seed, drawn)
    return cached_batches(load_inputs(backbone, drawn, drawn.train, plan=plan, cache=cache), backbone.device)


def parts(cell: Cell, data: Mapping[str, BenchData], drawn: Dataset) -> Parts:
    """The parts to evaluate, by column name, each with its examples in `test`."""
    source = data[cell.dataset]
    if cell.protocol == TUNE:
        return [(name, (source, part)) for name, part in _validation(cell, source.dataset, drawn).items()]
    if cell.protocol == BASE_TO_NEW:
        return [(part, (source, choose_classes(source.dataset, part))) for part in ("base", "new")]
    own = [("all", (source, source.dataset))] if source.dataset.test else []
    return [*own, *((name, (data[name], data[name].dataset)) for name in cell.targets)]


def _classes(dataset: Dataset, cell: Cell, which: Half = "base") -> Dataset:
    """The classes that a cell trains on; if those are half of the classes, "new" gives the other half."""
    dataset = choose_classes(dataset, "base") if cell.train_on in ("base", "base-halves") else dataset
    return choose_classes(dataset, which) if cell.train_on in ("halves", "base-halves") else dataset


def _val(cell: Cell, drawn: Dataset, available: Dataset) -> tuple[Example, ...]:
    """The images used to choose settings."""
    if cell.val_shots is None:
        return chosen_on(drawn, available.train, min(cell.shots, VAL_SHOTS), cell.seed)
    return up_to(cell.val_shots, drawn.train, available, cell.seed)


def _validation(cell: Cell, everything: Dataset, drawn: Dataset) -> dict[str, Dataset]:
    """Validation images in place of `test`, by part: of the classes trained on, and of the held-out half if any."""
    parts = {"val": replace(drawn, test=_val(cell, drawn, _classes(everything, cell)))}
    if cell.train_on in ("halves", "base-halves"):
        unseen = _classes(everything, cell, "new")
        untouched = replace(_classes(few_shot(everything, cell.shots, cell.seed), cell, "new"), train=())
        parts["val, classes left out"] = replace(unseen, test=_val(cell, untouched, unseen))
    return parts


def _measure(
    fitted: Fitted, where: BenchData, part: Dataset, backbone: Backbone, cache: FeatureCache | None, notes: list[str]
) -> Measurement | None:
    """The predictions of one part; None, with a note, if the method cannot name its classes."""
    learned, method = fitted.learned, method_named(fitted.learned.config.method)
    if not part.test:
        raise DataError(f"{where.name} has no images to evaluate on", "add a test split (for tune: a val split)")
    if reason := method.why_not(learned, part.classnames):
        notes.append(reason)
        return None
    features = fitted.class_features
    if part.classnames != fitted.learned.classnames:
        texts = text_cache() if cache is not None else None
        features = method.class_features(learned, part.classnames, backbone, cache=texts)
    x = where.features(backbone, part.test, cache)
    return Measurement(
        classnames=part.classnames,
        labels=torch.tensor([example.label for example in part.test]),
        styles=tuple(style_of(example.path) if example.path is not None else None for example in part.test),
        prediction=method.predictor(learned, part.classnames, features, backbone).predict(x),
    )
