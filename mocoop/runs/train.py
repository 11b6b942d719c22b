"""A training run from a group file and a data set to a run folder: the work of `mocoop train`.

Cheap checks come first, so that a bad group file is refused within a second. Running the same plan again resumes an
interrupted run, and refuses a finished one unless told to overwrite it.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from mocoop.backbone import ranks
from mocoop.backbone.backbone import STAND_IN_NOTE, Backbone, load_backbone
from mocoop.backbone.hard_features import text_cache
from mocoop.backbone.pretrained import stated_context_length
from mocoop.certainty.calibration import Calibration
from mocoop.certainty.temperature import COLDEST
from mocoop.config import Config
from mocoop.data.dataset import Dataset, Example, named
from mocoop.data.features import BadImages, FeatureCache, unreadable_images
from mocoop.data.leaks import leaks
from mocoop.data.reading import Reading
from mocoop.data.sources import DataSettings
from mocoop.data.splits import VAL_SHOTS, choose_classes, chosen_on, few_shot
from mocoop.errors import ConfigError, DataError, GroupFileError, StorageError
from mocoop.files import crash_point, sweep_stale
from mocoop.groupfile.groups import GroupFile, dump_groups, load_groups, parse_groups
from mocoop.methods import method_named
from mocoop.mixture.model import chosen_experts
from mocoop.runs.calibrating import TOO_EQUAL, NotEnough, calibrate, held_out
from mocoop.runs.fitting import Fitted, fit
from mocoop.runs.folder import check_folder, checkpoints, clear, drop_checkpoints, goes_on, locked, threads_of_before
from mocoop.runs.measured import trained_sha256
from mocoop.runs.record import write_record
from mocoop.runs.run import Run, new_record, save_run
from mocoop.training.inputs import Inputs, cached_batches, files_sha256, load_inputs, online_batches, view_plan
from mocoop.training.method import Method, Samples
from mocoop.training.trainer import Batch, Listener


@dataclass(frozen=True, kw_only=True)
class TrainingPlan(DataSettings):
    """What to train, on what, and the output folder; `config.method` is the method."""

    groups: Path | None
    data: Path
    out: Path
    config: Config
    shots: int = 16
    seed: int = 1
    classes: Literal["all", "base"] = "all"
    backbone: str = "photoclip"
    pretrained: str | None = None
    quick_gelu: bool | None = None
    device: str = "auto"
    threads: int | None = None
    on_bad_image: BadImages = "fail"
    strict_vocabulary: bool = False
    use_cache: bool = True
    force: bool = False

    @property
    def inputs(self) -> tuple[Path | None, ...]:
        """What is read, and must not be overwritten."""
        return self.groups, self.data, self.class_names


def train(plan: TrainingPlan, listener: Listener | None = None) -> Run:
    """Train, or resume an interrupted training run, and return the finished run.

    Raises:
        GroupFileError, DataError, BackboneError, ConfigError: the plan's inputs cannot be used.
        UsageError: the folder has a finished or another run.
        StorageError: the folder cannot be written, or another process is training into it.
        TrainingStopped: the loss is not finite.
    """
    listener = listener or Listener()
    method = method_named(plan.config.method)
    plan = replace(plan, config=method.settle(plan.config))
    given = _given_groups(plan, method)
    method.groups(given, plan.config)  # first refuse a method without the groups it needs
    with locked(plan.out) as left:
        sweep_stale(plan.out, alone=True)
        check_folder(plan.out, plan.inputs, force=plan.force, left=left)
        torch.set_num_threads(plan.threads or threads_of_before(plan.out, force=plan.force) or torch.get_num_threads())
        everything = plan.settle_data(plan.open_data(plan.data))
        dataset = _draw(plan, everything)
        config = method.adapt(plan.config, everything.name, plan.shots)
        plan = replace(plan, config=config.with_names_of(everything.classnames, dataset.classnames))
        groups = method.groups(given, plan.config)
        check_templates(plan, groups, dataset)
        listener.stage("loading the backbone")
        backbone = load_backbone(
            plan.backbone,
            plan.pretrained,
            device=plan.device,
            precision=plan.config.precision,
            quick_gelu=plan.quick_gelu,
        )
        check_templates(plan, groups, dataset, backbone)
        if plan.config.tune_layer_norm:
            backbone.block_layer_norms()  # refuse a tower without any before the images are read
        unknown = _vocabulary(plan, backbone, groups, dataset, listener)
        config, epochs = plan.config.scheduled(plan.shots, len(dataset.train), imagenet=everything.name == "imagenet")
        plan = replace(plan, config=config)
        dataset, batch, plain, data = _batches(plan, backbone, everything, epochs, listener)
        notes = [*dataset.notes, *leaks(dataset)]
        for note in notes:
            listener.notice(note)
        notes += data.pop("said")
        info = new_record(
            config=plan.config,
            shots=plan.shots,
            seed=plan.seed,
            split_seed=plan.split_seed,
            classes=plan.classes,
            classnames=dataset.classnames,
            all_classnames=everything.classnames,
            names_by_key=dict(zip(everything.keys, everything.classnames, strict=True)),
            backbone=backbone,
            groups=groups,
            groups_name=plan.groups.name if plan.groups and method.reads_groups else None,
            data={
                "name": dataset.name,
                **data,
                "notes": notes,
                "reading": (dataset.reading or Reading()).to_dict(),
                "images_sha256": trained_sha256(dataset),
            },
            unknown_words=unknown,
        )
        if plan.force:
            clear(plan.out)
        elif goes_on(plan.out, info, listener):
            drop_checkpoints(plan.out)  # a process died before it had
            return Run.open(plan.out)
        write_record(plan.out, info)
        listener.planned(info)
        fitted = fit(
            backbone,
            groups,
            batch,
            torch.tensor([example.label for example in dataset.train]),
            dataset.classnames,
            plan.config,
            seed=plan.seed,
            epochs=epochs,
            samples=lambda: _samples(plan, backbone, everything, dataset, plain, listener),
            plain=plain,
            checkpoints=checkpoints(plan.out),
            listener=listener,
            text_cache=text_cache() if plan.use_cache else None,
        )
        trained = frozenset(info["data"]["images_sha256"])
        fitted, calibration = _calibrated(plan, backbone, everything, dataset, trained, fitted, listener)
        crash_point("before-save", 0)
        run = save_run(plan.out, fitted, groups, info, calibration)
        with suppress(StorageError):  # the run itself has the last state, and is finished
            drop_checkpoints(plan.out)
    return run


def train_on_ranks(plan: TrainingPlan, listener: Listener) -> Run | None:
    """`train` by all processes that torchrun started, or by this one; None on all ranks but the first.

    Only the first rank writes the run folder; the others work in a folder of their own that is gone afterwards.
    """
    with ranks.joined() as first:
        if first:
            return train(plan, listener)
        with tempfile.TemporaryDirectory(prefix="mocoop-rank-") as own:
            train(replace(plan, out=Path(own) / "run"))
        return None


def _given_groups(plan: TrainingPlan, method: Method) -> GroupFile | None:
    """The group file, if there is one and the method uses it."""
    if plan.groups is None or not method.reads_groups:
        return None
    return load_groups(plan.groups, context_length=stated_context_length(plan.backbone))


def _samples(
    plan: TrainingPlan,
    backbone: Backbone,
    everything: Dataset,
    dataset: Dataset,
    plain: Callable[[], Tensor],
    listener: Listener,
) -> Samples:
    """Plain features of train and of the images to choose settings on, if any."""
    available = choose_classes(everything, plan.classes).train
    val = chosen_on(dataset, available, min(plan.shots, VAL_SHOTS), plan.seed)
    train = plain()
    labels = torch.tensor([example.label for example in dataset.train])
    if not val:
        return Samples(train, labels, train[:0], labels[:0])
    held = _plain_inputs(plan, backbone, dataset, val, listener)
    return Samples(train, labels, held.view(0), held.labels)


def _calibrated(
    plan: TrainingPlan,
    backbone: Backbone,
    everything: Dataset,
    dataset: Dataset,
    trained: Container[str],
    fitted: Fitted,
    listener: Listener,
) -> tuple[Fitted, Calibration | None]:
    """A calibration on images that were not trained on, or none; a note says why, or that it stops short."""
    listener.stage("calibrating")
    method, available = method_named(plan.config.method), choose_classes(everything, plan.classes)
    chosen = chosen_on(dataset, available.train, min(plan.shots, VAL_SHOTS), plan.seed) if method.chooses_on_val else ()
    images = held_out(dataset, available, chosen, trained, plan.seed)
    cache = FeatureCache() if plan.use_cache else None
    predictor = method.predictor(fitted.learned, dataset.classnames, fitted.class_features, backbone)
    try:
        found = calibrate(predictor, backbone, dataset, images, chosen=len(chosen), cache=cache, listener=listener)
    except NotEnough as reason:
        listener.notice(str(reason))
        return replace(fitted, notes=(*fitted.notes, str(reason))), None
    if found.temperature <= COLDEST:
        listener.notice(TOO_EQUAL)
        return replace(fitted, notes=(*fitted.notes, TOO_EQUAL)), found
    return fitted, found


def _plain_inputs(
    plan: TrainingPlan, backbone: Backbone, dataset: Dataset, examples: Sequence[Example], listener: Listener
) -> Inputs:
    """Centre-view features of some images."""
    cache = FeatureCache() if plan.use_cache else None
    return load_inputs(backbone, dataset, examples, cache=cache, on_bad_image=plan.on_bad_image, listener=listener)


def _draw(plan: TrainingPlan, everything: Dataset, unreadable: Iterable[Path] = ()) -> Dataset:
    """The shots of the classes trained on, drawn from the readable images."""
    left_out = {str(path) for path in unreadable}
    readable = tuple(example for example in everything.train if example.file not in left_out)
    return choose_classes(few_shot(replace(everything, train=readable), plan.shots, plan.seed), plan.classes)


def check_templates(plan: TrainingPlan, groups: GroupFile, dataset: Dataset, backbone: Backbone | None = None) -> None:
    """Check the groups again, with the class names; with the backbone, by its own tokens and context length."""
    if not method_named(plan.config.method).texts(plan.config, groups, dataset.classnames):
        return
    checked = parse_groups(
        dump_groups(groups.document),
        source=str(plan.groups or "the templates"),
        class_names=[*dataset.classnames, *plan.config.extra_class_names],
        context_length=backbone.context_length if backbone else stated_context_length(plan.backbone),
        count_tokens=backbone.prompts.count_tokens if backbone else None,
    )
    if (top_k := chosen_experts(plan.config, len(checked.groups))) > len(checked.groups):
        raise ConfigError(
            f"top_k = {top_k} experts cannot be chosen out of {len(checked.groups)} groups",
            f"use --top-k {len(checked.groups)} or a group file with more groups",
        )


def _vocabulary(
    plan: TrainingPlan, backbone: Backbone, groups: GroupFile, dataset: Dataset, listener: Listener
) -> tuple[str, ...]:
    """Words the backbone was not trained on: reported once and recorded, or refused under --strict-vocabulary."""
    if backbone.stand_in:
        listener.notice(STAND_IN_NOTE)
    for note in backbone.notes:
        listener.notice(note)
    texts = method_named(plan.config.method).texts(plan.config, groups, dataset.classnames)
    unknown = backbone.unknown_words(texts)
    if not unknown:
        return ()
    message = f"{backbone.name} never saw these words in training: {', '.join(unknown)}"
    if plan.strict_vocabulary:
        raise GroupFileError(message, "use other words, another --backbone, or drop --strict-vocabulary")
    listener.notice(f"{message}. What they contribute is arbitrary")
    return unknown


def _batches(
    plan: TrainingPlan, backbone: Backbone, everything: Dataset, epochs: int, listener: Listener
) -> tuple[Dataset, Batch, Callable[[], Tensor], dict[str, Any]]:
    """The shots trained on, their batches, their plain features (N, D), and their record for run.json.

    Unreadable images are named and refused, or with `on_bad_image = "skip"` left out and replaced by others.
    """
    skipped: dict[Path, str] = {}
    said: list[str] = []
    while True:
        dataset, inputs = _draw(plan, everything, skipped), None
        listener.stage("reading the images")
        if plan.config.views == "online":
            batch, sha256, bad, said = _online(plan, backbone, dataset, listener)
        else:
            inputs = _encoded(plan, backbone, dataset, epochs, listener)
            batch, sha256, bad = cached_batches(inputs, backbone.device), inputs.sha256, dict(inputs.skipped)
            said = list(inputs.notes)
        if not bad:
            break
        skipped |= bad
        _check_shots(plan, everything, skipped)
    if skipped:
        listener.notice(_left_out(plan, everything, skipped))
    listed = [{"path": str(path), "why": why} for path, why in skipped.items()]
    seen = inputs if plan.config.views == 0 else None  # one centre view is the plain one

    def plain() -> Tensor:
        return (seen or _plain_inputs(plan, backbone, dataset, dataset.train, listener)).view(0)

    return dataset, batch, plain, {"sha256": sha256, "images": len(dataset.train), "skipped": listed, "said": said}


def _encoded(plan: TrainingPlan, backbone: Backbone, dataset: Dataset, epochs: int, listener: Listener) -> Inputs:
    """Features of every view of the shots."""
    return load_inputs(
        backbone,
        dataset,
        dataset.train,
        plan=view_plan(plan.config, epochs, plan.seed, dataset),
        cache=FeatureCache() if plan.use_cache else None,
        on_bad_image=plan.on_bad_image,
        listener=listener,
    )


def _online(
    plan: TrainingPlan, backbone: Backbone, dataset: Dataset, listener: Listener
) -> tuple[Batch, str, dict[Path, str], list[str]]:
    """Batches with the image tower in the loop, the hash of the files, the images that cannot be read, and notes."""
    if dataset.features is not None:
        hint = "set --views 0 --set tune_layer_norm=false" if plan.config.tune_layer_norm else "set --views 0"
        raise DataError("stored features have no pixels for views = online", hint)
    said: list[str] = []
    bad = unreadable_images(dataset.train, reading=dataset.reading, on_bad_image=plan.on_bad_image, notice=said.append)
    for note in said:
        listener.notice(note)
    sha256 = "" if bad else files_sha256(dataset.train)
    batch = online_batches(backbone, dataset.train, plan.seed, plan.config, reading=dataset.reading)
    return batch, sha256, bad, said


def _check_shots(plan: TrainingPlan, everything: Dataset, skipped: Mapping[Path, str]) -> None:
    """Check that unreadable images leave every class the requested shots, if it had them, and an image at least."""
    had = Counter(example.label for example in everything.train)
    left = Counter(example.label for example in everything.train if example.path not in skipped)
    short = {label for label in had if left[label] < plan.shots <= had[label] or not left[label]}
    if short:
        path, why = next(iter(skipped.items()))
        names = named(f"{everything.classnames[label]} ({left[label]} can be read)" for label in sorted(short))
        raise DataError(
            f"unreadable images leave fewer than {plan.shots} shots of {names}: {path}: {why}",
            "replace the images, or ask for fewer --shots",
        )


def _left_out(plan: TrainingPlan, everything: Dataset, skipped: Mapping[Path, str]) -> str:
    """A sentence on unreadable images: others took their place, except in classes that are small."""
    had = Counter(example.label for example in everything.train)
    small = {
        everything.classnames[e.label] for e in everything.train if e.path in skipped and had[e.label] <= plan.shots
    }
    alone = f", except in {named(sorted(small))}, which had no more" if small else ""
    return (
        f"{len(skipped)} image(s) could not be read and were replaced by others{alone}; run.json names them: "
        f"{named(skipped)}"
    )
