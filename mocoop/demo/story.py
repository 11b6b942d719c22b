"""The demonstration: from a group file to a report, on drawn satellite-like tiles, in a few minutes on two cores.

It calls the same functions as the commands, and the report lists the commands that repeat each step. The mixture and
a single learned prompt are trained on the base classes for three seeds, and compared with three training-free
classifiers. All numbers are measured in the run. They are for miniclip, a stand-in trained on drawings, and say
nothing about CLIP. At the end photoclip names two real photographs.

The group file comes from `mocoop-groups`, called as its own process: curator and trainer share only that file. The
page itself is made in `page.py`.
"""

from __future__ import annotations

import shlex
import shutil
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mocoop import cli
from mocoop.backbone.backbone import load_backbone
from mocoop.backbone.hard_features import text_cache
from mocoop.data.cache import FeatureCache
from mocoop.data.sources import Dataset, open_dataset
from mocoop.data.splits import choose_classes
from mocoop.demo.page import write_report
from mocoop.demo.photographs import name_photographs
from mocoop.demo.results import (
    CLASSES,
    GROUPS,
    MIXTURE,
    ONE_PROMPT,
    PICTURES,
    REPORT,
    RESULTS,
    RUNS,
    SCENES,
    DemoPlan,
    DemoResults,
    Routing,
    Trained,
    generate_arguments,
    styles_and_experts,
    tile_style,
)
from mocoop.errors import StorageError, UsageError
from mocoop.files import os_error, read_json, write_json
from mocoop.groupfile.curator import call_curator
from mocoop.groupfile.groups import GroupFile, load_groups
from mocoop.miniclip.scenes import style_of, write_scenes
from mocoop.miniclip.styles import STYLES
from mocoop.reporting.plots import BaseNewResult
from mocoop.runs.baselines import training_free
from mocoop.runs.evaluate import evaluate, harmonic_mean
from mocoop.runs.predict import predict_images
from mocoop.runs.train import TrainingPlan, train
from mocoop.training.inputs import load_inputs
from mocoop.training.progress import training_progress

if TYPE_CHECKING:
    from mocoop.backbone.backbone import Backbone
    from mocoop.training.trainer import Listener

_MADE = (SCENES, RUNS, PICTURES, REPORT, GROUPS, CLASSES)
_PARTS: tuple[Literal["base", "new"], ...] = ("base", "new")
_NAMES = {
    ONE_PROMPT: "one learned prompt (CoOp)",
    MIXTURE: "mixture of prompts",
}


def run_demo(plan: DemoPlan) -> dict[str, Any]:
    """Run everything, write the report and return the results as plain values.

    Raises UsageError for a folder with other files in it, and what the steps raise.
    """
    began = time.monotonic()
    _prepare(plan)
    cli.say("drawing the tiles")
    write_scenes(plan.out / SCENES, train=plan.train_tiles, val=1, test=plan.test_tiles)
    dataset = open_dataset(plan.out / SCENES)
    (plan.out / CLASSES).write_text("\n".join(dataset.classnames) + "\n", encoding="utf-8")
    groups = _generate(plan)
    with training_progress(groups.ids) as listener:
        backbone = load_backbone(plan.backbone)
        mixtures = [_train(plan, MIXTURE, seed, dataset, backbone, listener) for seed in plan.seeds]
        prompts = [_train(plan, ONE_PROMPT, seed, dataset, backbone, listener) for seed in plan.seeds]
        free, reference = _training_free(groups, dataset, backbone)
        chosen = _one_tile_a_style(dataset)
        predictions = predict_images(mixtures[0].run, chosen, backbone=backbone, classnames=dataset.classnames, top=3)
        results = DemoResults(
            plan=plan,
            groups=groups,
            dataset=dataset,
            methods=(*free, _over_seeds(ONE_PROMPT, prompts), _over_seeds(MIXTURE, mixtures)),
            routing=_routing(mixtures, reference, groups),
            mixtures=tuple(mixtures),
            predictions=tuple(predictions),
            photographs=tuple(name_photographs()),
            seconds=time.monotonic() - began,
        )
    cli.say("writing the report")
    write_report(results)
    record = replace(results, seconds=time.monotonic() - began).to_dict()
    write_json(plan.out / RESULTS, record)
    return record


def _prepare(plan: DemoPlan) -> None:
    """Make an empty folder, with --force also from an earlier demonstration's; no other files are removed."""
    try:
        if plan.out.exists() and any(plan.out.iterdir()):
            if not _is_demonstration(plan.out):
                raise UsageError(f"{plan.out} holds other files", "choose a new folder")
            if not plan.force:
                raise UsageError(f"{plan.out} holds a demonstration, finished or not", "add --force to replace it")
        for name in _MADE:
            made = plan.out / name
            if made.is_dir() and not made.is_symlink():
                shutil.rmtree(made)
            else:
                made.unlink(missing_ok=True)
        (plan.out / PICTURES).mkdir(parents=True)
    except OSError as error:
        raise os_error(error, "write", plan.out) from error
    write_json(plan.out / RESULTS, {"status": "running"})


def _is_demonstration(folder: Path) -> bool:
    try:
        record = read_json(folder / RESULTS, what="demonstration's record", error=StorageError)
    except StorageError:
        return False
    return isinstance(record, dict) and record.get("status") in ("running", "finished")


def _generate(plan: DemoPlan) -> GroupFile:
    """Make a group file with `mocoop-groups`."""
    arguments = generate_arguments(plan)
    cli.say(f"mocoop-groups {shlex.join(arguments)}")
    call_curator(arguments)
    return load_groups(plan.out / GROUPS)


def _train(plan: DemoPlan, method: str, seed: int, dataset: Dataset, backbone: Backbone, listener: Listener) -> Trained:
    cli.say(f"training: {_NAMES[method]}, seed {seed}")
    run = train(
        TrainingPlan(
            groups=plan.out / GROUPS if method == MIXTURE else None,
            data=plan.out / SCENES,
            out=plan.run_path(method, seed),
            config=plan.config(method),
            shots=plan.shots,
            seed=seed,
            classes="base",
            backbone=plan.backbone,
        ),
        listener,
    )
    listener.stage("evaluating")
    base, new = (evaluate(run, dataset, classes=part, backbone=backbone, cache=FeatureCache()) for part in _PARTS)
    return Trained(run, seed, base, new)


def _training_free(
    groups: GroupFile, dataset: Dataset, backbone: Backbone
) -> tuple[list[BaseNewResult], list[tuple[str, str]]]:
    """The training-free classifiers, and (style, first group) of every test tile under the reference gate."""
    accuracy: dict[str, list[float]] = {}
    reference: list[tuple[str, str]] = []
    for part in _PARTS:
        chosen = choose_classes(dataset, part)
        inputs = load_inputs(backbone, chosen, chosen.test, cache=FeatureCache())
        x = inputs.normalised(backbone.device)[0]
        found = training_free(backbone, groups, chosen.classnames, x, inputs.labels, cache=text_cache())
        for name, percent in found.accuracy.items():
            accuracy.setdefault(name, []).append(percent)
        first = [groups.groups[e].id for e in found.first_group]
        reference += [(tile_style(example), group) for example, group in zip(inputs.examples, first, strict=True)]
    results = [
        BaseNewResult(method=name, base=base, new=new, h=harmonic_mean(base, new))
        for name, (base, new) in accuracy.items()
    ]
    return results, reference


def _over_seeds(method: str, trained: Sequence[Trained]) -> BaseNewResult:
    """Means over the seeds, and sample standard deviations if there are two or more."""
    base, base_sd = _mean_and_deviation([one.base.accuracy for one in trained])
    new, new_sd = _mean_and_deviation([one.new.accuracy for one in trained])
    h, h_sd = _mean_and_deviation([one.h for one in trained])
    return BaseNewResult(method=_NAMES[method], base=base, new=new, h=h, base_sd=base_sd, new_sd=new_sd, h_sd=h_sd)


def _mean_and_deviation(values: Sequence[float]) -> tuple[float, float | None]:
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


def _routing(
    mixtures: Sequence[Trained], reference: Sequence[tuple[str, str]], groups: GroupFile
) -> tuple[Routing, ...]:
    ids = groups.ids
    shares = [
        _share_named([(style, ids[first]) for style, first in styles_and_experts(trained)], ids) for trained in mixtures
    ]
    mean, deviation = _mean_and_deviation(shares)
    return (
        Routing("the mixture's router", mean, deviation),
        Routing("the reference gate, nothing learned", _share_named(reference, ids), None),
        Routing(f"chance, {len(ids)} groups", 100 / len(ids), None),
    )


def _share_named(pairs: Sequence[tuple[str, str]], ids: Sequence[str]) -> float:
    """Percent of the tiles whose first group names their style, among styles that have a group."""
    known = [(STYLES[style].aspect, group) for style, group in pairs if style in STYLES and STYLES[style].aspect in ids]
    return 100 * sum(aspect == group for aspect, group in known) / len(known) if known else 0.0


def _one_tile_a_style(dataset: Dataset) -> list[Path]:
    """The first test tile of each style, each style from a different class."""
    chosen: dict[str, Path] = {}
    wanted = 0
    for example in sorted(dataset.test, key=lambda one: (one.label, str(one.path))):
        style = style_of(example.path or "")
        if example.path is not None and style is not None and style not in chosen and example.label >= wanted:
            chosen[style] = example.path
            wanted = example.label + 1
    return list(chosen.values())
