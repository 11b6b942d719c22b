"""Predicting images with a run: the class, the runners-up, and the chosen experts, as in the paper's Fig. 5."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from mocoop.answers import describe
from mocoop.data.arrays import read_features
from mocoop.data.cache import Notice
from mocoop.data.contents import picture_sha256
from mocoop.data.dataset import Example
from mocoop.data.features import BadImages, image_features
from mocoop.data.images import open_image
from mocoop.data.reading import Reading
from mocoop.data.remarks import remark_notes
from mocoop.data.survey import find_reading
from mocoop.data.views import ViewPlan
from mocoop.errors import DataError, ImageError, StorageError
from mocoop.files import sha256_bytes

_log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from mocoop.backbone.backbone import Backbone
    from mocoop.certainty.doubt import Doubt
    from mocoop.mixture.classifier import Prediction, Predictor
    from mocoop.runs.run import Run


def predict_images(
    run: Run,
    paths: Sequence[Path],
    *,
    backbone: Backbone | None = None,
    classnames: Sequence[str] | None = None,
    top: int = 5,
    doubt: Doubt | None = None,
    batch_size: int = 64,
    on_bad_image: BadImages = "fail",
    reading: Reading | None = None,
    notice: Notice = _log.warning,
) -> Iterator[dict[str, Any]]:
    """One dictionary per image, in order: `path`, `class`, `probability`, `top_k`, `experts`.

    `experts` are those chosen, the largest weight first, each with its weight and its group's templates; empty if there
    is one prompt for all images, or no prompt. `trained_on` is added, and true, for an image that the run was trained
    on. With "skip" an unreadable image gives `path` and `error` instead.
    `doubt`, from `doubt_of`, adds `set` and `unsure`. `classnames` may name other classes than those trained on.
    `reading` is the rule for bands and depths, the run's if left out; `notice` hears what was remarked on the images,
    when all are done. Raises DataError for classes that cannot be named.
    """
    if classnames is not None:
        run.method.check_classes(run.learned, classnames)
    backbone = backbone or run.load_backbone()
    classifier = run.classifier(classnames, backbone)
    templates = templates_of(run)
    if reading is None:
        reading, notes = find_reading(paths, known=run.reading)
        for note in notes:
            notice(note)
    remarks: dict[Path, tuple[str, ...]] = {}
    remaining = iter(paths)
    while chunk := list(islice(remaining, batch_size)):
        examples = [Example(path, 0) for path in chunk]
        try:
            found = image_features(
                backbone, examples, ViewPlan(), reading=reading, cache=None, on_bad_image=on_bad_image, notice=_unsaid
            )
        except DataError:
            faults = [_fault(path, reading) for path in chunk] if on_bad_image == "skip" else [None]
            if None in faults:
                raise
            yield from ({"path": str(path), "error": why} for path, why in zip(chunk, faults, strict=True))
            continue  # a batch of only bad images has no features, but others may follow
        remarks |= found.remarks
        prediction = classifier.predict(torch.from_numpy(found.features[0].copy()))
        rows = {
            i: described(str(chunk[i]), prediction, row, classifier, templates, top, doubt)
            | marked(run, _sha256(chunk[i]))
            for row, i in enumerate(found.kept)
        }
        why = dict(found.skipped)
        yield from (rows.get(i) or {"path": str(path), "error": why[path]} for i, path in enumerate(chunk))
    for note in remark_notes(remarks, len(paths)):
        notice(note)


def _unsaid(note: str) -> None:
    """Notes on one batch: they are put together and said at the end."""


def predict_features(
    run: Run,
    path: Path,
    *,
    backbone: Backbone | None = None,
    classnames: Sequence[str] | None = None,
    top: int = 5,
    doubt: Doubt | None = None,
    batch_size: int = 1024,
) -> Iterator[dict[str, Any]]:
    """Like `predict_images` for a file of image features, a dictionary per row; `path` is the row's own, or its number.

    The file is read and checked at once, its rows are predicted lazily. The backbone is needed for other classes than
    those trained on, and if prompts depend on the image. Raises DataError for an unusable file.
    """
    features, names = read_features(path)
    check_width(run, path, features.shape[1])
    if classnames is not None:
        run.method.check_classes(run.learned, classnames)
    if backbone is None and (classnames is not None or run.method.conditional):
        backbone = run.load_backbone()
    classifier, templates = run.classifier(classnames, backbone), templates_of(run)

    def rows() -> Iterator[dict[str, Any]]:
        for start in range(0, len(names), batch_size):
            some = features[start : start + batch_size]  # (n, D)
            prediction = classifier.predict(torch.from_numpy(some))
            for row, name in enumerate(names[start : start + batch_size]):
                told = described(name, prediction, row, classifier, templates, top, doubt)
                yield told | marked(run, sha256_bytes(some[row].tobytes()))

    return rows()


def check_width(run: Run, path: Path, width: int) -> None:
    """Refuse features of another width, or of an image tower that the run tuned. Raises DataError."""
    run.check_features(str(path))
    if width != (made := run.info["backbone"]["embed_dim"]):
        raise DataError(
            f"the features of {path} are {width} wide, {run.info['backbone']['name']} makes {made}",
            "compute them with the backbone of the training",
        )


def _sha256(path: Path) -> str | None:
    """The hash of a file; None if it has gone since it was read."""
    try:
        return picture_sha256(path)
    except StorageError:
        return None


def marked(run: Run, sha256: str | None) -> dict[str, bool]:
    """What a row says besides if the image with this hash was trained on."""
    return {"trained_on": True} if sha256 in (run.trained_images or ()) else {}


def templates_of(run: Run) -> dict[str, list[str]]:
    """The templates of each expert by id; empty if there is one prompt."""
    return {group.id: list(group.texts) for group in run.groups.groups} if len(run.groups.ids) > 1 else {}


def _fault(path: Path, reading: Reading) -> str | None:
    """The reason why an image cannot be read, or None."""
    try:
        open_image(path, reading=reading)
    except ImageError as error:
        return str(error).removeprefix(f"{path}: ")
    return None


def described(
    name: str,
    prediction: Prediction,
    row: int,
    classifier: Predictor,
    templates: dict[str, list[str]],
    top: int,
    doubt: Doubt | None = None,
) -> dict[str, Any]:
    """The dictionary of one row of a prediction; `templates` are those of each expert, from `templates_of`."""
    return describe(
        name,
        prediction.probabilities[row].cpu().numpy(),
        prediction.gate[row].cpu().numpy(),
        classnames=classifier.classnames,
        group_ids=classifier.group_ids,
        templates=templates,
        top=top,
        doubt=doubt,
    )
