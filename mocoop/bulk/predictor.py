"""The predictor of bulk prediction: a run and its backbone, made once, that turn pictures into rows.

The same class serves the loop on this machine and the actors of a cluster. Pictures are decoded in threads ahead of
the image tower; what is in memory is bounded by their number and their bytes. A batch is the same pictures as in
`mocoop predict`, so the digits are the same.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from mocoop.bulk.items import Item, as_text
from mocoop.bulk.parts import Experts
from mocoop.certainty.doubt import Doubt, doubt_of
from mocoop.data.contents import picture_bytes
from mocoop.data.features import BadImages
from mocoop.data.images import open_image
from mocoop.data.reading import Reading
from mocoop.data.views import centre_view
from mocoop.errors import BackboneError, DataError, ImageError
from mocoop.files import sha256_bytes
from mocoop.runs.predict import described, marked, templates_of
from mocoop.runs.run import Run

if TYPE_CHECKING:
    from mocoop.backbone.backbone import Backbone

MAX_HELD = 256 * 1024 * 1024  # bytes of undecoded pictures in memory, or one picture
MAX_REMARKED = 1000  # pictures whose remarks are kept


@dataclass(frozen=True)
class Options:
    """How pictures are predicted; plain values, so that they can be sent to another machine."""

    run: Path
    top: int = 5
    coverage: float | None = None  # of the prediction sets; None: no sets
    unsure_below: float | None = None
    experts: Experts = "ids"
    classnames: tuple[str, ...] | None = None
    reading: Reading = field(default_factory=Reading)
    on_bad_image: BadImages = "skip"
    batch_size: int = 64
    device: str = "auto"
    precision: str = "auto"
    backbone: str | None = None
    pretrained: str | None = None


def doubt_asked(run: Run, options: Options) -> Doubt | None:
    """What the rows say of doubt; sets are for the classes trained on. Raises UsageError if they cannot be had."""
    coverage = options.coverage if options.classnames is None else None
    return doubt_of(run.calibration, str(options.run), coverage=coverage, unsure_below=options.unsure_below)


class _Seen(NamedTuple):
    """A picture as the tower sees it, (3, H, W), and its hash; or the reason why it cannot be read."""

    name: str
    pixels: np.ndarray | None
    sha256: str = ""
    why: str = ""
    remarks: tuple[str, ...] = ()


class BulkPredictor:
    """A run ready to predict. `remarks` are those on the pictures read so far, a thousand at most."""

    def __init__(self, options: Options, backbone: Backbone | None = None) -> None:
        self._options, self._run = options, Run.open(options.run)
        if options.classnames is not None:
            self._run.method.check_classes(self._run.learned, options.classnames)
        self._backbone = backbone or self._run.load_backbone(
            options.device, precision=options.precision, name=options.backbone, pretrained=options.pretrained
        )
        self._classifier = self._run.classifier(options.classnames, self._backbone)
        self._templates = templates_of(self._run)
        self._doubt = doubt_asked(self._run, options)
        self._workers = min(8, (os.cpu_count() or 1) + 1)
        self.remarks: dict[Path, tuple[str, ...]] = {}

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of the backbone."""
        return tuple(self._backbone.notes)

    def rows(self, items: Iterable[Item]) -> Iterator[dict[str, Any]]:
        """A dictionary for each picture, in order: as `mocoop predict --json` prints it, or `path` and `error`.

        Raises DataError for a picture that cannot be read if that is to end the work.
        """
        return chain.from_iterable(self.batches(items))

    def batches(self, items: Iterable[Item]) -> Iterator[list[dict[str, Any]]]:
        """The same, as many at a time as go through the tower together."""
        with ThreadPoolExecutor(self._workers) as pool:
            seen = self._ahead(pool, items)
            while batch := list(islice(seen, self._options.batch_size)):
                yield self._batch(batch)

    def _ahead(self, pool: ThreadPoolExecutor, items: Iterable[Item]) -> Iterator[_Seen]:
        """Pictures in order; those of the next batch are decoded while the tower works on this one."""
        waiting: deque[tuple[Future[_Seen], int]] = deque()
        held = 0
        try:
            for item in items:
                size = len(item.content) if isinstance(item.content, bytes) else 0
                waiting.append((pool.submit(self._decoded, item), size))
                held += size
                del item  # its bytes belong to the pool now, which lets go of them
                while len(waiting) > self._options.batch_size or (held > MAX_HELD and waiting):
                    future, size = waiting.popleft()
                    held -= size
                    yield future.result()
            while waiting:
                yield waiting.popleft()[0].result()
        finally:
            for future, _ in waiting:
                future.cancel()

    def _decoded(self, item: Item) -> _Seen:
        """Runs in a thread."""
        if isinstance(item.content, str):
            return _Seen(item.name, None, why=as_text(item.content))
        remarks: list[str] = []
        try:
            data = item.content if isinstance(item.content, bytes) else picture_bytes(item.content)
            image = open_image(data, name=item.name, reading=self._options.reading, remark=remarks.append)
        except ImageError as error:
            why = str(error).removeprefix(f"{error.path}: ")
            return _Seen(item.name, None, why=as_text(why))
        pixels = centre_view(image, self._backbone.preprocess)
        return _Seen(item.name, pixels, sha256_bytes(data), remarks=tuple(remarks))

    def _batch(self, batch: list[_Seen]) -> list[dict[str, Any]]:
        """The rows of some pictures, of which the readable ones go through the tower together."""
        for one in batch:
            if one.pixels is None and self._options.on_bad_image == "fail":
                raise DataError(f"{one.name}: {one.why}", "replace it, or give --on-bad-image skip")
            if one.remarks and len(self.remarks) < MAX_REMARKED:
                self.remarks[Path(one.name)] = one.remarks
        predicted = iter(self._predicted([one for one in batch if one.pixels is not None]))
        return [{"path": one.name, "error": one.why} if one.pixels is None else next(predicted) for one in batch]

    @torch.no_grad()
    def _predicted(self, good: list[_Seen]) -> list[dict[str, Any]]:
        if not good:
            return []
        pixels = np.stack([one.pixels for one in good if one.pixels is not None])  # (B, 3, H, W)
        features = self._backbone.encode_images(torch.from_numpy(pixels))  # (B, D)
        finite = torch.isfinite(features).all(dim=1)
        if not finite.all():
            name = good[int(finite.int().argmin())].name
            raise BackboneError(f"the features of {name} are not finite", "use --precision float32, or other weights")
        prediction, top = self._classifier.predict(features), self._options.top
        return [
            self._shown(described(one.name, prediction, row, self._classifier, self._templates, top, self._doubt))
            | marked(self._run, one.sha256)
            for row, one in enumerate(good)
        ]

    def _shown(self, row: dict[str, Any]) -> dict[str, Any]:
        """A row with as much of its experts as was asked for."""
        if self._options.experts == "none":
            del row["experts"]
        elif self._options.experts == "ids":
            row["experts"] = [{"id": one["id"], "weight": one["weight"]} for one in row["experts"]]
        return row
