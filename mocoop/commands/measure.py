"""Measuring a run on a data set, as `mocoop eval` and `mocoop report` do: from options to evaluations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mocoop.commands.shared import backbone_of, names_by_position, parse_reading

if TYPE_CHECKING:
    from mocoop.backbone.backbone import Backbone
    from mocoop.data.cache import FeatureCache
    from mocoop.data.dataset import Dataset
    from mocoop.data.splits import Half
    from mocoop.runs.evaluate import Evaluation
    from mocoop.runs.measured import Measured
    from mocoop.runs.run import Run


@dataclass(frozen=True)
class Measurement:
    """The evaluations of a run, the data set they are on, and the sets of classes that cannot be named, with why."""

    dataset: Dataset
    measured: Measured
    backbone: Backbone
    evaluations: list[Evaluation]
    impossible: Mapping[Half, str]


def measure(run: Run, parts: tuple[Half, ...], options: dict[str, Any], *, baselines: bool) -> Measurement:
    """Evaluate a run by the options of a command, with progress on the terminal.

    `parts` are sets of classes; those trained on if there are none. Raises the errors of `evaluate` and of opening the
    data set.
    """
    from mocoop.data.sources import open_dataset
    from mocoop.data.survey import settled
    from mocoop.runs.evaluate import evaluate, on_classes_of, unnameable
    from mocoop.runs.measured import to_measure
    from mocoop.training.progress import training_progress

    asked = parse_reading(options)
    kept = run.info.get("names_by_key")
    dataset = open_dataset(
        options["data"],
        class_names=options["class_names"],
        names_by_position=names_by_position(options, options["data"], kept),
        kept_names=kept,
        columns=options["columns"],
        split_seed=run.info["split_seed"],
        follow_links=options["follow_links"],
    )
    if dataset.features is not None:
        run.check_features(dataset.name)
    dataset = on_classes_of(run, dataset)
    chosen = list(dict.fromkeys(parts or (run.info["classes"],)))
    impossible = unnameable(run, dataset, chosen)
    with training_progress() as listener:
        listener.stage("loading the backbone")
        backbone = backbone_of(run, options)
        listener.stage("reading the images")
        measured = to_measure(run, dataset)
        read = settled(measured.dataset, measured.dataset.test, known=run.reading, **asked)
        measured = replace(measured, dataset=read)
        listener.stage("encoding the images")
        evaluations = [
            evaluate(
                run,
                dataset,
                classes=part,
                backbone=backbone,
                cache=_cache(options["no_cache"]),
                on_bad_image=options["on_bad_image"],
                max_skipped=options["max_skipped"],
                baselines=baselines,
                listener=listener,
                measured=measured,
            )
            for part in chosen
            if part not in impossible
        ]
    return Measurement(dataset, measured, backbone, evaluations, impossible)


def _cache(no_cache: bool) -> FeatureCache | None:
    from mocoop.data.cache import FeatureCache

    return None if no_cache else FeatureCache()
