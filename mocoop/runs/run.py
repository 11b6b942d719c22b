"""A run folder: all output of a training run, in lasting formats, and the classifier in it.

`run.json` records what was trained, on what, with which settings; `groups.json` is a copy of the group file;
`model.safetensors` has the learned tensors; `features.safetensors` the class text features (E, C, D), so that
prediction needs no text tower; `calibration.json` what makes probabilities honest, where images were left for it;
`log.jsonl` one line per step; `checkpoints/` is for resuming. Hashes of the files are in run.json. Nothing is pickled.
"""

from __future__ import annotations

import functools
import json
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mocoop.backbone.prompts import Context
from mocoop.certainty.calibration import Calibration
from mocoop.config import Config
from mocoop.data.reading import Reading
from mocoop.errors import CheckpointError, ConfigError, DataError, GroupFileError, UsageError
from mocoop.files import atomic_write, read_json, write_json
from mocoop.groupfile.groups import GroupFile, dump_groups, load_groups
from mocoop.methods import method_named
from mocoop.mixture.classifier import Learned, Predictor, Tempered
from mocoop.runs.record import (
    CALIBRATION,
    FEATURES,
    FORMAT,
    GROUPS,
    LOG,
    MODEL,
    RESTORE,
    RUN,
    SEAL,
    check_files,
    hashes,
    read_log,
    read_record,
    write_log,
    write_record,
)
from mocoop.training.checkpoint import load_tensors, read_metadata, save_tensors
from mocoop.training.method import Method
from mocoop.training.trainer import StepLog

if TYPE_CHECKING:
    from mocoop.backbone.backbone import Backbone
    from mocoop.runs.fitting import Fitted


class Run:
    """A finished run on disk."""

    def __init__(self, path: Path, info: dict[str, Any], groups: GroupFile) -> None:
        self.path, self.info, self.groups = path, info, groups
        self.config = Config.from_dict(info["config"])

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """Read a run folder. Raises CheckpointError if it is missing, unfinished, of a newer version or damaged."""
        path = Path(path)
        info = read_record(path)
        if info is None and not path.is_dir():
            raise CheckpointError(f"there is no folder {path}", "give the folder of `mocoop train -o`")
        if info is None:
            raise CheckpointError(
                f"{path} is not a run folder: it has no {RUN}", "give the folder of `mocoop train -o`"
            )
        if info["status"] != "finished":
            raise CheckpointError(f"the run in {path} is not finished", "give the same `mocoop train` command again")
        check_files(path, info)
        try:
            run = cls(path, info, load_groups(path / GROUPS))
        except (ConfigError, GroupFileError) as error:
            raise CheckpointError(f"{path} cannot be used: {error.message}", RESTORE) from error
        run._check_stored_features()
        return run

    @property
    def notes(self) -> tuple[str, ...]:
        """What whoever uses it should know of the folder itself."""
        return (
            () if SEAL in self.info else (f"{self.path / RUN} is of an earlier version and carries no hash of its own",)
        )

    @property
    def classnames(self) -> tuple[str, ...]:
        """The classes trained on."""
        return tuple(self.info["classnames"])

    @functools.cached_property
    def trained_images(self) -> frozenset[str] | None:
        """The sha256 of each image trained on; None for a run that did not keep them."""
        kept = self.info["data"].get("images_sha256")
        return None if kept is None else frozenset(kept)

    @property
    def stand_in(self) -> bool:
        """Whether the backbone is the stand-in, whose results say nothing about CLIP."""
        return bool(self.info["backbone"]["stand_in"])

    @property
    def reading(self) -> Reading:
        """The rule by which the pictures of the training were read."""
        return Reading.of_record(self.info["data"].get("reading"))

    @functools.cached_property
    def tensors(self) -> dict[str, Tensor]:
        """The learned tensors by name, checked against the hash in run.json; empty if nothing is learned."""
        if MODEL not in self.info["files"]:
            return {}
        shapes = {name: torch.Size(shape) for name, shape in self.info["shapes"].items()}
        return load_tensors(self.path / MODEL, self.info["files"][MODEL], shapes)

    @functools.cached_property
    def learned(self) -> Learned:
        """What was learned, ready for use."""
        return Learned(
            tensors=self.tensors,
            contexts=tuple(
                Context(c["template"], tuple(c["before"]), tuple(c["after"]), c.get("kept", 0))
                for c in self.info["contexts"]
            ),
            groups=self.groups,
            classnames=self.classnames,
            config=self.config,
            logit_scale=self.info["backbone"]["logit_scale"],
        )

    @property
    def method(self) -> Method:
        """The method of the run."""
        return method_named(self.config.method)

    @property
    def stored_features(self) -> Tensor | None:
        """Class text features (E, C, D) of the classes trained on, checked against their hash; None without any."""
        if FEATURES not in self.info["files"]:
            return None
        return load_tensors(self.path / FEATURES, None)["features"]

    def _check_stored_features(self) -> None:
        """Class text features are finite float32 (E, C, D), of the classes, experts and backbone of the record."""
        if FEATURES not in self.info["files"]:
            return
        path, shape = (
            self.path / FEATURES,
            (len(self.groups.ids), len(self.classnames), self.info["backbone"]["embed_dim"]),
        )
        load_tensors(path, None, {"features": torch.Size(shape)})
        found = read_metadata(path)
        about = features_metadata(self.classnames, self.info["backbone"], self.groups.ids)
        if wrong := [name for name in about if name in found and found[name] != about[name]]:
            raise CheckpointError(f"{path} is of another training: its {wrong[0]} differs from {RUN}", RESTORE)

    @functools.cached_property
    def calibration(self) -> Calibration | None:
        """The temperature and scores found on images that were not trained on, checked; None for a run without any."""
        if CALIBRATION not in self.info["files"]:
            return None
        path = self.path / CALIBRATION
        try:
            return Calibration.of_dict(read_json(path, what="calibration", error=CheckpointError), self.classnames)
        except ValueError as error:
            raise CheckpointError(f"{path} cannot be used: {error}", RESTORE) from error

    def check_features(self, of: str) -> None:
        """Refuse image features that were computed elsewhere if this run tuned its image tower. Raises DataError."""
        if self.learned.layer_norms:
            raise DataError(
                f"{self.path} tuned its image tower, which the features of {of} were not made with",
                "give the images themselves",
            )

    def history(self) -> list[StepLog]:
        """The log, one entry per step."""
        return read_log(self.path / LOG)

    def load_backbone(
        self,
        device: str = "auto",
        *,
        precision: str = "auto",
        name: str | None = None,
        pretrained: str | None = None,
        tuned: bool = True,
    ) -> Backbone:
        """The backbone this run was trained with, refused if its weights differ; `tuned` loads the tuned LayerNorms.

        `name` and `pretrained` give its location now, if it has moved.
        """
        return open_backbone(
            self.info,
            self.learned if tuned else None,
            device,
            precision=precision,
            name=name,
            pretrained=pretrained,
        )

    def classifier(
        self, classnames: Sequence[str] | None = None, backbone: Backbone | None = None, *, calibrated: bool = True
    ) -> Predictor:
        """The classifier of the classes trained on (stored features) or of others (needs the text tower).

        Its probabilities are calibrated if the run has a calibration, unless they are wanted as the training left them.
        Raises UsageError if the backbone is needed and not given, DataError for classes the method cannot name.
        """
        names = self.classnames if classnames is None else tuple(classnames)
        if names == self.classnames:
            features = self.stored_features
        elif backbone is None:
            raise UsageError("other classes than those trained on need the backbone", "pass backbone=")
        else:
            features = self.method.class_features(self.learned, names, backbone)
        predictor = self.method.predictor(self.learned, names, features, backbone)
        if not calibrated or self.calibration is None:
            return predictor
        return Tempered(predictor, self.calibration.temperature)


def open_backbone(
    info: Mapping[str, Any],
    learned: Learned | None,
    device: str = "auto",
    *,
    precision: str = "auto",
    name: str | None = None,
    pretrained: str | None = None,
) -> Backbone:
    """The backbone that a run's record names, with the LayerNorms that were `learned`; as `Run.load_backbone`.

    Raises CheckpointError if it is not the model of the training, BackboneError.
    """
    from mocoop.backbone.backbone import load_backbone

    stored = info["backbone"]
    moved = name is not None or pretrained is not None
    weights = pretrained if moved else stored["pretrained"]
    backbone = load_backbone(
        name or stored["name"],
        weights,
        device=device,
        precision=precision,
        quick_gelu=stored["quick_gelu"] if weights else None,
    )
    if backbone.identity != stored["identity"]:
        raise CheckpointError(
            f"{backbone.name} is not the model of the training: weights, activation or preprocessing differ",
            "restore it, name it with --backbone and --pretrained, or train again",
        )
    if learned is not None and learned.layer_norms:
        backbone.adopt_layer_norms(learned.layer_norms)
    return backbone


def save_run(
    path: Path, fitted: Fitted, groups: GroupFile, info: Mapping[str, Any], calibration: Calibration | None = None
) -> Run:
    """Write a finished run; run.json is written last, so that the folder counts as finished only when complete."""
    path.mkdir(parents=True, exist_ok=True)
    tensors = fitted.learned.tensors
    atomic_write(path / GROUPS, dump_groups(groups.document))
    written = {GROUPS, LOG}
    if tensors:
        save_tensors(path / MODEL, tensors)
        written.add(MODEL)
    about = features_metadata(fitted.learned.classnames, info["backbone"], groups.ids)
    if fitted.class_features is not None:
        save_tensors(path / FEATURES, {"features": fitted.class_features}, about)
        written.add(FEATURES)
    if calibration is not None:
        write_json(path / CALIBRATION, calibration.to_dict())
        written.add(CALIBRATION)
    write_log(path / LOG, fitted.history)
    complete = {
        **info,
        "status": "finished",
        "shapes": {name: list(tensor.shape) for name, tensor in tensors.items()},
        "contexts": [
            {"template": c.template, "before": list(c.before), "after": list(c.after), "kept": c.kept}
            for c in fitted.learned.contexts
        ],
        "training": {
            "epochs": fitted.history[-1].epoch + 1 if fitted.history else 0,
            "steps": len(fitted.history),
            "seconds": round(fitted.seconds, 2),
        },
        "frozen_sha256": fitted.frozen_sha256,  # of the templates' features that it learned by
        "notes": [*info.get("notes", ()), *fitted.notes],
        "collapse": fitted.collapse,
        "files": hashes(path, written),
    }
    write_record(path, complete)
    return Run.open(path)


def features_metadata(classnames: Sequence[str], backbone: Mapping[str, Any], ids: Sequence[str]) -> dict[str, str]:
    """What features.safetensors says of its features; `backbone` is as in run.json."""
    return {
        "classnames": json.dumps(list(classnames)),
        "backbone_weights_sha256": backbone["weights_sha256"],
        "logit_scale": repr(backbone["logit_scale"]),
        "groups": json.dumps(list(ids)),
    }


def new_record(
    *,
    config: Config,
    shots: int,
    seed: int,
    split_seed: int,
    classes: str,
    classnames: Sequence[str],
    all_classnames: Sequence[str],
    names_by_key: Mapping[str, str] | None = None,
    backbone: Backbone,
    groups: GroupFile,
    groups_name: str | None,
    data: Mapping[str, Any],
    unknown_words: Sequence[str],
) -> dict[str, Any]:
    """The content of run.json before the first step; `classes` says which of `all_classnames` are trained on.

    `names_by_key` gives the name of each class by its folder or label, so that other images of them are named alike.
    """
    from mocoop.backbone.backbone import STAND_IN_NOTE

    return {
        "format": FORMAT,
        "status": "running",
        "method": config.method,
        "preset": config.preset,
        "config": config.to_dict(),
        "shots": shots,
        "seed": seed,
        "split_seed": split_seed,
        "classes": classes,
        "classnames": list(classnames),
        "all_classnames": list(all_classnames),
        **({"names_by_key": dict(names_by_key)} if names_by_key else {}),
        "backbone": backbone.describe(),
        "groups": {
            "file": groups_name,
            "domain": groups.domain,
            "sha256": groups.sha256,
            "ids": list(groups.ids),
            "inits": [group.init for group in groups.groups],
        },
        "data": dict(data),
        "unknown_words": list(unknown_words),
        "device": str(backbone.device),
        "precision": backbone.precision,
        "threads": torch.get_num_threads(),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("mocoop", "torch", "open_clip_torch")},
        },
        "notes": [*([STAND_IN_NOTE] if backbone.stand_in else []), *backbone.notes],
    }
