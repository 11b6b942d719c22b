"""Data sets of a comparison: opened once, each image encoded once, then only rows of the features are selected.

`scenes` are the drawn tiles that ship with the package, drawn into the cache folder on first use.
N images, D joint width.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from mocoop.data.cache import FeatureCache
from mocoop.data.contents import picture_size
from mocoop.data.coop import LAYOUTS
from mocoop.data.dataset import Dataset, Example
from mocoop.data.sources import DataSettings
from mocoop.errors import DataError, StorageError
from mocoop.files import cache_root
from mocoop.training.inputs import load_inputs

if TYPE_CHECKING:
    from mocoop.backbone.backbone import Backbone

SCENES = "scenes"
SCENES_TEMPLATE = "a satellite photo of a {}."
_SCENES_FOLDER = "scenes-v1"


@dataclass
class BenchData:
    """One data set with the features of its images computed so far."""

    name: str
    dataset: Dataset
    identity: str
    reading_notes: tuple[str, ...] = ()  # on bands and depths of its pictures
    _places: dict[Example, int] = field(default_factory=dict, repr=False)
    _rows: list[np.ndarray] = field(default_factory=list, repr=False)  # one array (N, D), or parts to be concatenated

    @property
    def template(self) -> str | None:
        """The data set's own template, if its name does not determine it."""
        return SCENES_TEMPLATE if self.name == SCENES else None

    def features(self, backbone: Backbone, examples: Sequence[Example], cache: FeatureCache | None) -> Tensor:
        """Features (N, D) of the centre view of some examples, not normalised. Raises DataError."""
        if self.dataset.features is not None:
            return load_inputs(backbone, self.dataset, examples).view(0)
        unlabelled = [example._replace(label=0) for example in examples]  # base and new number their labels differently
        missing = [example for example in dict.fromkeys(unlabelled) if example not in self._places]
        if missing:
            self._rows.append(load_inputs(backbone, self.dataset, missing, cache=cache).features[0])
            self._rows = [np.concatenate(self._rows)]
            self._places |= {example: place for place, example in enumerate(missing, start=len(self._places))}
        return torch.from_numpy(self._rows[0][[self._places[example] for example in unlabelled]])


def open_bench_data(
    name: str,
    path: Path | None,
    settings: DataSettings | None = None,
) -> BenchData:
    """Open a data set under the name used in rows; None is the drawn tiles. Raises DataError, UsageError."""
    where, settings = _scenes() if path is None else path, settings or DataSettings()
    opened = settings.open_data(where)
    dataset = settings.settle_data(opened)
    return BenchData(name, dataset, _identity(dataset, where), dataset.notes[len(opened.notes) :])


def find_data(root: Path | None, others: Sequence[Path], wanted: Sequence[str]) -> dict[str, Path | None]:
    """The path of each data set: CoOp's fifteen below a root, others by the names of their files, and the scenes.

    `wanted` names some of them, or "all"; if empty, all that are given, or the scenes if none is given.
    Raises DataError for a name that is not found, or found twice.
    """
    known: dict[str, Path | None] = {SCENES: None}
    if root is not None:
        known |= {layout.name: root / layout.folder for layout in LAYOUTS if (root / layout.folder).is_dir()}
        if len(known) == 1:
            there = ", ".join(layout.folder for layout in LAYOUTS)
            raise DataError(f"{root} has none of CoOp's data sets", f"it should hold some of the folders {there}")
    for path in others:
        name = path.resolve().stem if path.is_file() else path.resolve().name
        if name in known:
            raise DataError(f"two data sets are called {name!r}", f"give {path} another name")
        known[name] = path
    given = [name for name in known if name != SCENES] or [SCENES]
    names = given if not wanted or list(wanted) == ["all"] else list(dict.fromkeys(wanted))
    for name in names:
        if name not in known:
            raise DataError(f"there is no data set {name!r} here", f"there are {', '.join(known)}")
    return {name: known[name] for name in names}


def _scenes() -> Path:
    """The folder of the drawn tiles, drawn now if missing."""
    from filelock import FileLock

    from mocoop.miniclip.scenes import write_scenes

    folder = cache_root() / _SCENES_FOLDER
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.is_dir():
            drawing = folder.with_name(f"{folder.name}.{os.getpid()}")
            write_scenes(drawing, train=4, val=1, test=6)  # tiles per class and style, as in the demonstration
            drawing.rename(folder)
    return folder


def _identity(dataset: Dataset, where: Path) -> str:
    """Identify a data set by its class names and by the names, sizes and labels of its images in each split."""
    digest = hashlib.sha256(repr(dataset.classnames).encode())
    for split in ("train", "val", "test"):
        for example in dataset.split(split):
            digest.update(f"{split} {_named(example, where)} {example.label}\n".encode())
    if dataset.reading is not None and (dataset.reading.bands or dataset.reading.limits):  # what was asked for
        digest.update(f"bands {dataset.reading.bands} range {dataset.reading.limits}\n".encode())
    if dataset.features is not None:
        for block in dataset.features.blocks():
            digest.update(block.data)
    return digest.hexdigest()


def _named(example: Example, where: Path) -> str:
    """Identify a row by its number, an image by its relative path and size. Raises DataError if it is missing."""
    if example.path is None or example.row is not None:  # a row of features may name an image that is not here
        return f"row {example.row}"
    try:
        return f"{os.path.relpath(example.path, where)} {picture_size(example.path)}"
    except StorageError as error:
        raise DataError(
            error.message,
            "the data set lists it: put it back, or take it off the list",
        ) from error
