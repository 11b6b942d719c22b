"""What `mocoop export` does: a run to one file, compared with the run before it counts as written."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from mocoop.backbone.backbone import STAND_IN_NOTE, Backbone
from mocoop.data.images import open_image
from mocoop.errors import DataError
from mocoop.export.check import ALLOWED, Allowed, Candidate, Checked, Progress, compare, refuse_if_different
from mocoop.export.graph import graph_of
from mocoop.export.record import Record
from mocoop.files import atomic_path, sha256_file
from mocoop.runs.record import RUN
from mocoop.runs.scores import warnings_of

if TYPE_CHECKING:
    from PIL import Image

    from mocoop.data.dataset import Dataset
    from mocoop.runs.run import Run

Form = Literal["onnx", "torch-export"]
SUFFIXES: dict[Form, str] = {"onnx": ".onnx", "torch-export": ".pt2"}
TOP = 5  # classes in the output `top_classes`


@dataclass(frozen=True)
class Sample:
    """Images to compare on, and their labels among the run's classes, if known."""

    images: list[Image.Image]
    labels: list[int] | None
    what: str  # they are, in words


@dataclass(frozen=True)
class Exported:
    """A file that was written, and what the comparison with the run found."""

    path: Path
    bytes: int
    record: Record
    checked: Checked
    sample: str

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "path": str(self.path),
            "bytes": self.bytes,
            "precision": self.record.precision,
            "pixels": self.record.pixels,
            "input": ["N", *self.record.input_shape],
            "classes": len(self.record.classnames),
            "experts": len(self.record.templates),
            "sample": self.sample,
            "check": self.checked.to_dict(),
        }


def export_run(
    run: Run,
    backbone: Backbone,
    out: Path,
    sample: Sample,
    *,
    form: Form = "onnx",
    precision: str = "float32",
    pixels: str = "float32",
    tolerance: float | None = None,
    stage: Callable[[str], None] = lambda _stage: None,
    progress: Progress = lambda _done, _total: None,
) -> Exported:
    """Write a run as one file, if what was written answers as the run does on the sample; else nothing is left.

    `backbone` is the run's own, in single precision on a CPU. `tolerance` replaces the difference that the precision
    may have. `stage` and `progress` hear what is done. Raises UsageError for a method or size that cannot be exported,
    BackboneError for a backbone that takes no pictures, DataError if the answers differ.
    """
    backbone.check_sees()
    top = min(TOP, len(run.classnames))
    module = graph_of(run, backbone, pixels=pixels, top=top)
    record = record_of(run, backbone, precision=precision, pixels=pixels, top=top)
    allowed = ALLOWED[precision]
    if tolerance is not None:
        allowed = Allowed(tolerance, allowed.share)
    with atomic_path(out) as temporary:
        stage("writing the model")
        candidate = _written(temporary, module, record, form)
        stage("comparing it with the run")
        checked = compare(
            candidate,
            backbone,
            run.classifier(),
            sample.images,
            pixels=pixels,
            allowed=allowed,
            labels=sample.labels,
            progress=progress,
        )
        refuse_if_different(checked, allowed, precision)
        size = temporary.stat().st_size
    return Exported(out, size, record, checked, sample.what)


def record_of(run: Run, backbone: Backbone, *, precision: str, pixels: str, top: int) -> Record:
    """What the file will say of itself."""
    predictor = run.classifier(calibrated=False)
    templates = {group.id: tuple(group.texts) for group in run.groups.groups}
    source = run.info["backbone"]
    about = {
        "method": run.config.method,
        "temperature": getattr(predictor, "tau", None),
        "experts_per_image": run.learned.top_k,
        "domain": run.groups.domain,
        "backbone": {
            "name": without_folders(source["name"]),
            "pretrained": without_folders(source["pretrained"]) if source["pretrained"] else None,
            "weights_sha256": source["weights_sha256"],
        },
    }
    return Record(
        classnames=tuple(predictor.classnames),
        templates={one: templates.get(one, ()) for one in predictor.group_ids},
        preprocess=backbone.preprocess,
        reading=run.reading,
        pixels=pixels,
        precision=precision,
        top=top,
        run_sha256=sha256_file(run.path / RUN),
        calibration=run.calibration,
        notes=tuple(map(without_folders, notes_of(run, backbone))),
        about=about,
    )


def notes_of(run: Run, backbone: Backbone) -> tuple[str, ...]:
    """What whoever uses the answers of a run must know."""
    notes = [*([STAND_IN_NOTE] if run.stand_in else []), *backbone.notes]
    notes += [f"of the training of this run: {note}" for note in warnings_of(run.info.get("notes", ()))]
    return tuple(dict.fromkeys(notes))


def without_folders(text: str) -> str:
    """Text in which files of this machine have only their names: a model that is passed on need not tell more."""
    return re.sub(r"(?<![\w/.-])(?:[A-Za-z]:)?[\\/](?:[^\\/\s]+[\\/])*(?=[^\\/\s])", "", text)


def _written(path: Path, module: Any, record: Record, form: Form) -> Candidate:
    """Write the file, and read it back as whoever gets it will."""
    if form == "onnx":
        from mocoop.export.engine import Engine
        from mocoop.export.onnx import write_onnx

        write_onnx(path, module, record)
        return Engine(path).predict
    from mocoop.export.torchexport import write_torch_export

    write_torch_export(path, module, record)
    loaded = torch.export.load(path).module()

    @torch.no_grad()
    def candidate(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        probabilities, gates, *_ = loaded(torch.from_numpy(pixels))
        return probabilities.numpy(), gates.numpy()

    return candidate


def labelled_sample(run: Run, dataset: Dataset, count: int) -> Sample:
    """At most `count` test images of the classes of the run, evenly over the list. Raises DataError without any."""
    if dataset.features is not None:
        raise DataError(f"{dataset.name} holds features, and a model is compared on images", "give a folder of images")
    chosen = [example for example in _spread(dataset.test, count) if example.path is not None]
    if not chosen:
        raise DataError(f"{dataset.name} has no test images of the classes of the run", "give other images, or none")
    reading = dataset.reading or run.reading
    images = [open_image(example.path, reading=reading) for example in chosen if example.path is not None]
    return Sample(images, [example.label for example in chosen], f"images of {dataset.name}")


def drawn_sample(count: int) -> Sample:
    """At most `count` of the drawn satellite tiles, where no images were given: some of every class and style."""
    from PIL import Image

    from mocoop.miniclip.scenes import draw_scenes

    tiles = draw_scenes(1, seed=0).images
    return Sample([Image.fromarray(tile) for tile in _spread(list(tiles), count)], None, "drawn tiles")


def _spread(things: Sequence[Any], count: int) -> list[Any]:
    if len(things) <= count:
        return list(things)
    return [things[place] for place in np.linspace(0, len(things) - 1, count).astype(int)]
