"""Which images of a data set a run is measured on, and which of them it was trained on.

A run keeps the hashes of its training images. A data set without splits is split by `split_seed` at training; measured
again, it is told by those hashes: if it holds none of them it is another data set, and all of it is measured; if it
holds some, its test images are those of the split, without any that were trained on. Given splits stay as they are,
because published ones have copies; training images in them are named.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mocoop.data.contents import picture_sha256
from mocoop.data.dataset import MAX_NAMED, Dataset, Example, named
from mocoop.data.leaks import content
from mocoop.data.sources import NO_SPLITS
from mocoop.data.splits import choose_classes
from mocoop.errors import DataError
from mocoop.files import sha256_bytes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mocoop.runs.run import Run


@dataclass(frozen=True)
class Measured:
    """A data set whose `test` is what is measured, and notes on how it was chosen."""

    dataset: Dataset
    notes: tuple[str, ...]


def trained_sha256(dataset: Dataset) -> list[str]:
    """The hashes of the distinct training images, sorted, as run.json keeps them."""
    return sorted({sha256 for example in dataset.train if (sha256 := content(dataset, example)) is not None})


def sha256_of(images: Sequence[Path | NDArray[np.float32]]) -> list[str]:
    """The same of image files, or of rows of features (D). Raises StorageError for a file that cannot be read."""
    return sorted({picture_sha256(one) if isinstance(one, Path) else sha256_bytes(one.tobytes()) for one in images})


def to_measure(run: Run, dataset: Dataset) -> Measured:
    """What to measure of a data set. Raises DataError if the run was trained on all there is to measure."""
    trained = run.trained_images
    if trained is None:
        return Measured(dataset, (_unknown(dataset),) if dataset.divided else ())

    def met(examples: Iterable[Example]) -> list[Example]:
        return [example for example in examples if content(dataset, example) in trained]

    again = met(dataset.test)
    if not dataset.divided:
        return Measured(dataset, (_told(again, len(dataset.test), "test images"),) if again else ())
    others = (example for example in (*dataset.train, *dataset.val) if content(dataset, example) in trained)
    if not again and next(others, None) is None:  # the first that is met ends the search
        return _whole(dataset)
    if not again:
        return Measured(dataset, ())
    left = set(dataset.test) - set(again)
    if not left:
        raise DataError(
            f"{dataset.name} has {len(again)} test image{'s' * (len(again) > 1)}, and all of them were trained on",
            "give images that were not, in a folder of their own",
        )
    kept = tuple(example for example in dataset.test if example in left)
    note = _told(again, len(dataset.test), "test images", " and are left out", " and is left out")
    return Measured(replace(dataset, test=kept), (note,))


def training_images(run: Run, dataset: Dataset) -> tuple[tuple[Example, ...], str]:
    """The images of a data set that the run was trained on, labelled as in training, in the order of its train split;
    and what is wrong if they are not all there."""
    if run.trained_images is None:
        return (), "this run kept no hashes of its training images"
    part = choose_classes(dataset, run.info["classes"])
    found: dict[str, Example] = {}
    for example in (*part.train, *part.val, *part.test):
        sha256 = content(part, example)
        if sha256 in run.trained_images:
            found.setdefault(sha256, example)
    if len(found) < len(run.trained_images):
        return (), f"{len(found)} of its {len(run.trained_images)} training images are in this data set"
    return tuple(found.values()), ""


class Again:
    """Counts predictions, and those of images that the run was trained on."""

    def __init__(self) -> None:
        self._total, self._count, self._first = 0, 0, list[str]()

    def counted(self, predictions: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """The predictions as they come."""
        for prediction in predictions:
            self._total += "error" not in prediction
            if prediction.get("trained_on"):
                self._count += 1
                self._first += [prediction["path"]] if len(self._first) < MAX_NAMED else []
            yield prediction

    @property
    def note(self) -> str | None:
        """A note on those that were met again; None if there was none."""
        if not self._count:
            return None
        verb = "was" if self._count == 1 else "were"
        return f"{self._count} of {self._total} images {verb} trained on: {named(self._first, self._count)}"


def _whole(dataset: Dataset) -> Measured:
    """All images of a data set without splits, in the order of classes and paths."""
    found = (*dataset.train, *dataset.val, *dataset.test)
    everything = sorted(found, key=lambda example: (example.label, example.row or 0, str(example)))
    notes = tuple(note for note in dataset.notes if not note.startswith(NO_SPLITS))
    whole = replace(dataset, train=(), val=(), test=tuple(everything), notes=notes, divided=False)
    note = f"none of its {len(everything)} images was trained on, and it has no splits: all are measured"
    return Measured(whole, (note,))


def _unknown(dataset: Dataset) -> str:
    return (
        f"this run kept no hashes of its training images: measured are the {len(dataset.test)} that split_seed makes "
        "test images; put the images into test/<class> to measure them all"
    )


def _told(again: list[Example] | list[str], total: int, what: str, more: str = "", one: str = "") -> str:
    verb = f"was trained on{one}" if len(again) == 1 else f"were trained on{more}"
    return f"{len(again)} of {total} {what} {verb}: {named(again)}"
