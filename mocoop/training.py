"""A training from a group file and a data set to a run folder: what `mocoop train` does.

Cheap checks come first, so that a bad group file is refused in a second. The same plan again resumes an interrupted
run, and refuses a finished one unless told to start anew.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from mocoop.backbone import STAND_IN_NOTE, Backbone, load_backbone, texts_of
from mocoop.checkpoint import crash_point
from mocoop.config import Config
from mocoop.data.dataset import Dataset
from mocoop.data.features import FeatureCache
from mocoop.data.sources import open_dataset
from mocoop.data.splits import choose_classes, few_shot
from mocoop.errors import ConfigError, DataError, GroupFileError, StorageError, UsageError
from mocoop.files import sweep_stale, write_json
from mocoop.fitting import fit
from mocoop.groups import GroupFile, load_groups
from mocoop.inputs import BadImages, Inputs, cached_batches, files_sha256, load_inputs, online_batches, view_plan
from mocoop.run import FEATURES, GROUPS, LOG, MODEL, RUN, Run, new_record, read_info, read_log, save_run, write_log
from mocoop.trainer import Batch, FolderCheckpoints, Listener

if TYPE_CHECKING:
    from torch import Tensor

_OURS = (RUN, GROUPS, MODEL, FEATURES, LOG)
_LOCK, _CHECKPOINTS = ".lock", "checkpoints"
_IDENTITY = ("method", "config", "shots", "seed", "split_seed", "classes", "classnames")


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """What to train, from what, and where it goes."""

    groups: Path
    data: Path
    out: Path
    config: Config
    shots: int = 16
    seed: int = 1
    split_seed: int = 0
    classes: Literal["all", "base"] = "all"
    backbone: str = "miniclip"
    pretrained: str | None = None
    quick_gelu: bool | None = None
    class_names: Path | None = None
    device: str = "auto"
    threads: int | None = None
    on_bad_image: BadImages = "fail"
    strict_vocabulary: bool = False
    follow_links: bool = False
    use_cache: bool = True
    force: bool = False


def train(plan: TrainingPlan, listener: Listener | None = None) -> Run:
    """Train, or go on with an interrupted training, and return the finished run.

    Raises:
        GroupFileError, DataError, BackboneError, ConfigError: what the plan names cannot be used.
        UsageError: the folder holds a finished or another run.
        StorageError: the folder cannot be written, or another process trains into it.
        TrainingStopped: a loss that is not finite.
    """
    listener = listener or Listener()
    if plan.threads is not None:
        torch.set_num_threads(plan.threads)
    groups = load_groups(plan.groups)
    with _locked(plan.out):
        _prepare_folder(plan)
        everything = open_dataset(
            plan.data, class_names=plan.class_names, split_seed=plan.split_seed, follow_links=plan.follow_links
        )
        dataset = choose_classes(few_shot(everything, plan.shots, plan.seed), plan.classes)
        _check_templates(plan, dataset)
        listener.stage("loading the backbone")
        backbone = load_backbone(
            plan.backbone,
            plan.pretrained,
            device=plan.device,
            precision=plan.config.precision,
            quick_gelu=plan.quick_gelu,
        )
        unknown = _vocabulary(plan, backbone, groups, dataset, listener)
        batch, labels, data = _batches(plan, backbone, dataset, listener)
        info = new_record(
            config=plan.config,
            shots=plan.shots,
            seed=plan.seed,
            split_seed=plan.split_seed,
            classes=plan.classes,
            classnames=dataset.classnames,
            all_classnames=everything.classnames,
            backbone=backbone,
            groups=groups,
            groups_name=plan.groups.name,
            data={"name": dataset.name, **data, "notes": list(dataset.notes)},
            unknown_words=unknown,
        )
        _check_resume(plan.out, info, listener)
        write_json(plan.out / RUN, info)
        fitted = fit(
            backbone,
            groups,
            batch,
            labels,
            dataset.classnames,
            plan.config,
            seed=plan.seed,
            shots=plan.shots,
            checkpoints=_checkpoints(plan.out),
            listener=listener,
            text_cache=text_cache(plan.use_cache),
        )
        crash_point("before-save", 0)
        run = save_run(plan.out, fitted, groups, info)
        shutil.rmtree(plan.out / _CHECKPOINTS, ignore_errors=True)  # the run itself holds the last state
    listener.finished(run.info)
    return run


def text_cache(use_cache: bool) -> Path | None:
    """Where hard-template features are kept: beside the image features."""
    return FeatureCache().root / "text" if use_cache else None


def _check_templates(plan: TrainingPlan, dataset: Dataset) -> None:
    """The group file once more, now with the class names: token counts are exact for them."""
    checked = load_groups(plan.groups, class_names=dataset.classnames)
    if plan.config.top_k > len(checked.groups):
        raise ConfigError(
            f"top_k = {plan.config.top_k} experts cannot be chosen out of {len(checked.groups)} groups",
            f"use --top-k {len(checked.groups)} or a group file with more groups",
        )


def _vocabulary(
    plan: TrainingPlan, backbone: Backbone, groups: GroupFile, dataset: Dataset, listener: Listener
) -> tuple[str, ...]:
    """Words the backbone never saw in training: named once and recorded, or refused under --strict-vocabulary."""
    if backbone.stand_in:
        listener.notice(STAND_IN_NOTE)
    unknown = backbone.unknown_words(texts_of([group.texts for group in groups.groups], dataset.classnames))
    if not unknown:
        return ()
    message = f"{backbone.name} never saw these words in training: {', '.join(unknown)}"
    if plan.strict_vocabulary:
        raise GroupFileError(message, "use other words, another --backbone, or drop --strict-vocabulary")
    listener.notice(f"{message}. What they contribute is arbitrary")
    return unknown


def _batches(
    plan: TrainingPlan, backbone: Backbone, dataset: Dataset, listener: Listener
) -> tuple[Batch, Tensor, dict[str, Any]]:
    """Training batches, labels (N,) and what run.json records of the data."""
    if plan.config.views == "online":
        if dataset.features is not None:
            raise DataError("stored features have no pixels for views = online", "set --views 0")
        labels = torch.tensor([example.label for example in dataset.train])
        record = {"sha256": files_sha256(dataset.train), "images": len(labels), "skipped": []}
        return online_batches(backbone, dataset.train, plan.seed, plan.config), labels, record
    listener.stage("encoding the images")
    inputs = load_inputs(
        backbone,
        dataset,
        dataset.train,
        plan=view_plan(plan.config, plan.config.epochs_for(plan.shots), plan.seed, dataset),
        cache=FeatureCache() if plan.use_cache else None,
        on_bad_image=plan.on_bad_image,
        listener=listener,
    )
    _check_shots(inputs, dataset)
    skipped = [{"path": str(path), "why": why} for path, why in inputs.skipped]
    if skipped:
        listener.notice(f"{len(skipped)} image(s) could not be read and were skipped; run.json names them")
    record = {"sha256": inputs.sha256, "images": len(inputs.examples), "skipped": skipped}
    return cached_batches(inputs, backbone.device), inputs.labels, record


def _check_shots(inputs: Inputs, dataset: Dataset) -> None:
    """No class may lose shots to unreadable images."""
    before, after = dataset.counts("train"), torch.bincount(inputs.labels, minlength=len(dataset.classnames))
    short = [name for name, was, left in zip(dataset.classnames, before, after.tolist(), strict=True) if left < was]
    if short:
        raise DataError(
            f"unreadable images leave too few shots of {', '.join(short[:5])}: {inputs.skipped[0][0]}: "
            f"{inputs.skipped[0][1]}",
            "replace the images, or ask for fewer --shots",
        )


def _check_resume(out: Path, info: dict[str, Any], listener: Listener) -> None:
    """An interrupted run goes on only with the same settings, data, groups and backbone."""
    before = read_info(out)
    if before is None:
        return
    pairs = {name: (before.get(name), info[name]) for name in _IDENTITY}
    pairs["groups"] = (before["groups"]["sha256"], info["groups"]["sha256"])
    pairs["data"] = (before["data"]["sha256"], info["data"]["sha256"])
    pairs["backbone"] = (before["backbone"]["fingerprint"], info["backbone"]["fingerprint"])
    pairs.pop("config")
    old, new = before["config"], info["config"]
    pairs |= {f"config.{key}": (old.get(key), value) for key, value in new.items()}
    changed = [f"{name} ({_short(was)}, now {_short(now)})" for name, (was, now) in pairs.items() if was != now]
    if changed:
        raise UsageError(
            f"{out} holds an interrupted run with other settings: {'; '.join(changed)}",
            "give the settings it was started with, add --force to start anew, or choose another -o",
        )
    if before["versions"] != info["versions"]:
        listener.notice("going on with other versions of the software than the run was started with")


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:12]}..."


def _prepare_folder(plan: TrainingPlan) -> None:
    """Refuse a finished run or a folder that is not ours; with --force, start anew."""
    sweep_stale(plan.out)
    before = read_info(plan.out) if not plan.force else None
    if before is not None and before["status"] == "finished":
        raise UsageError(f"{plan.out} holds a finished run", "add --force to train it again, or choose another -o")
    if plan.force:
        shutil.rmtree(plan.out / _CHECKPOINTS, ignore_errors=True)
        for name in _OURS:
            (plan.out / name).unlink(missing_ok=True)
    foreign = [entry.name for entry in plan.out.iterdir() if entry.name not in (*_OURS, _LOCK, _CHECKPOINTS)]
    if foreign and not (plan.out / RUN).is_file():
        raise UsageError(f"{plan.out} holds other files ({foreign[0]})", "choose an empty or a new folder for -o")


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """One training a folder; the lock goes with the process, however it ends. Also the first write there."""
    from filelock import FileLock, Timeout

    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = FileLock(out / _LOCK)
        with lock.acquire(timeout=0):
            (out / _LOCK).write_text(f"{os.getpid()}\n")
            yield
    except Timeout as error:
        owner = (out / _LOCK).read_text().strip() or "unknown"
        raise StorageError(
            f"another process (pid {owner}) is training into {out}", "wait for it, or choose another -o"
        ) from error
    except OSError as error:
        raise StorageError(f"{out} cannot be written: {error.strerror}", "choose another folder for -o") from error


def _checkpoints(out: Path) -> FolderCheckpoints:
    return FolderCheckpoints(
        out / _CHECKPOINTS,
        write_log=lambda history: write_log(out / LOG, history),
        read_log=lambda step: read_log(out / LOG, step),
    )
