"""Image features, computed once: a frozen image tower behind a content-addressed cache.

The key of an entry hashes everything its values depend on: the encoder's fingerprint, the preprocessing, the views,
the rule for bands and depths, and the *contents* of the images in order. A file replaced under the same name misses; a
renamed one hits. Images are decoded and augmented in a few threads ahead of the encoder; at most two batches of pixels
are in memory besides the features. Those of many images are computed in blocks, each kept in the cache as it is done
and all put together there: an interruption costs one block, and no more than one is in memory. Entries are stored by
`mocoop.data.cache`; images are chosen in `mocoop.data.splits`.

N images, V views, D joint width, B views in a batch.
"""

from __future__ import annotations

import copy
import json
import logging
import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeVar

import numpy as np

from mocoop import __version__
from mocoop.data.cache import Blocks, FeatureCache, Notice, Stored
from mocoop.data.contents import check_is_file, picture_bytes, picture_sha256
from mocoop.data.dataset import Example
from mocoop.data.images import open_image, to_rgb
from mocoop.data.reading import Reading
from mocoop.data.remarks import remark_notes
from mocoop.data.views import DEFAULT_SCALE, Preprocess, ViewPlan, centre_view, random_view, view_rng
from mocoop.errors import BackboneError, DataError, ImageError, StorageError
from mocoop.files import sha256_bytes

if TYPE_CHECKING:
    import torch
    from PIL import Image

__all__ = [
    "FeatureCache",
    "ImageEncoder",
    "ImageFeatures",
    "Progress",
    "image_features",
    "online_views",
    "picture_features",
    "unreadable_images",
]

_log = logging.getLogger(__name__)

FORMAT = 2  # increased whenever the same key would give different numbers
BLOCK = 4096  # views of images that are kept as they are done: what an interruption costs
MAX_BLOCKS = 256  # each is an open file; of more images they are longer
MAX_NAMED = 20  # bad images listed in one error

Progress = Callable[[int, int], None]  # images done, images in total
_UNREADABLE = "unreadable"  # in place of a hash
BadImages = Literal["fail", "skip"]
Item = TypeVar("Item")
Result = TypeVar("Result")


class ImageEncoder(Protocol):
    """Turns pixels into features; implemented by `mocoop.backbone.backbone.Backbone`."""

    @property
    def fingerprint(self) -> str:
        """Identifies weights, architecture, activation and number format."""

    @property
    def preprocess(self) -> Preprocess:
        """Size, mean, std and resizing."""

    @property
    def embed_dim(self) -> int:
        """D."""

    def encode_images(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) -> (B, D) float32 on the CPU, not normalised."""


@dataclass(frozen=True)
class ImageFeatures:
    """Features (max(V, 1), N, D) float32, read-only, of the readable images.

    `kept` are their indices among the examples requested, `skipped` the paths of the others with the reason. `remarks`
    are the kinds of remarks on some images (see `mocoop.data.reading`), `notes` sentences on them.
    """

    features: np.ndarray
    kept: tuple[int, ...]
    skipped: tuple[tuple[Path, str], ...]
    remarks: Mapping[Path, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def image_features(
    encoder: ImageEncoder,
    examples: Sequence[Example],
    plan: ViewPlan | None = None,
    *,
    reading: Reading | None = None,
    cache: FeatureCache | None,
    batch_size: int = 64,
    on_bad_image: BadImages = "fail",
    workers: int | None = None,
    progress: Progress | None = None,
    notice: Notice = _log.warning,
) -> ImageFeatures:
    """Features of the images of some examples, from the cache if it has them.

    Args:
        plan: which views; None is one centre view.
        reading: the rule for bands and depths of the data set's pictures.
        batch_size: views per call of the encoder; it changes features only by rounding.
        on_bad_image: "fail" names every image that cannot be read, "skip" leaves them out.
        workers: decoding threads; their number affects only the speed.
        notice: called with notes on the images, on a damaged cache entry, on waiting, and if the cache cannot be
            written (the features then stay in memory); logs by default.

    Raises:
        DataError: images that cannot be read (with "fail", or if no image can), images that change while they are
            read, or examples without images.
        BackboneError: the encoder's features are not finite or not of its stated width.
    """
    paths = [_path(example) for example in examples]
    if not paths:
        raise DataError("there are no images to compute features of", "check the split that was asked for")
    reading = reading or Reading()
    job = _Job(encoder, paths, plan or ViewPlan(), reading, batch_size, on_bad_image, _workers(workers), progress)
    result = job.result(job.compute() if cache is None else job.fetch(cache, job.contents(), notice))
    for note in result.notes:
        notice(note)
    return result


def unreadable_images(
    examples: Sequence[Example],
    *,
    reading: Reading | None = None,
    on_bad_image: BadImages = "fail",
    workers: int | None = None,
    notice: Notice = _log.warning,
) -> dict[Path, str]:
    """The images that cannot be decoded, with the reason. With "fail" raises DataError that names them.

    `notice` is called with notes on the others.
    """
    reading, remarks = reading or Reading(), {}

    def why(path: Path) -> str | None:
        seen: list[str] = []
        try:
            open_image(picture_bytes(path), name=path, reading=reading, remark=seen.append)
        except ImageError as error:
            return _why(error)
        if seen:
            remarks[path] = tuple(seen)
        return None

    paths, count = list(map(_path, examples)), _workers(workers)
    with ThreadPoolExecutor(count) as pool:
        reasons = list(_ahead(pool, why, iter(paths), 4 * count))
    bad = {path: reason for path, reason in zip(paths, reasons, strict=True) if reason is not None}
    if bad and on_bad_image == "fail":
        raise _cannot_be_read(bad, len(paths))
    for note in remark_notes({path: remarks[path] for path in paths if path in remarks}, len(paths)):
        notice(note)
    return bad


def picture_features(
    encoder: ImageEncoder,
    pictures: Sequence[Image.Image],
    plan: ViewPlan | None = None,
    *,
    reading: Reading | None = None,
    batch_size: int = 64,
    notice: Notice = _log.warning,
) -> np.ndarray:
    """Features (max(V, 1), N, D) float32 of Pillow images, under the same rules as files; nothing is cached.

    Raises ImageError, which numbers the pictures from 0.
    """
    import torch

    plan, reading = plan or ViewPlan(), reading or Reading()
    remarks: dict[Path, tuple[str, ...]] = {}

    def views() -> Iterator[np.ndarray]:
        for number, picture in enumerate(pictures):
            seen: list[str] = []
            image = to_rgb(picture, f"picture {number}", reading=reading, remark=seen.append)
            if seen:
                remarks[Path(f"picture {number}")] = tuple(seen)
            if plan.count == 0:
                yield centre_view(image, encoder.preprocess)
                continue
            content = sha256_bytes(f"{image.size} ".encode() + image.tobytes())
            for view in range(plan.count):
                yield random_view(image, encoder.preprocess, view_rng(plan.seed, view, content), plan.scale)

    drawn, rows = views(), []
    with torch.no_grad():
        while batch := list(islice(drawn, batch_size)):
            rows.append(encoder.encode_images(torch.from_numpy(np.stack(batch))).numpy())
    for note in remark_notes(remarks, len(pictures)):
        notice(note)
    features = np.concatenate(rows).reshape(len(pictures), max(1, plan.count), -1)
    return np.ascontiguousarray(features.transpose(1, 0, 2), dtype=np.float32)


def online_views(
    examples: Sequence[Example],
    preprocess: Preprocess,
    seed: int,
    epoch: int,
    scale: tuple[float, float] = DEFAULT_SCALE,
    *,
    reading: Reading | None = None,
    workers: int | None = None,
) -> torch.Tensor:
    """Pixels (B, 3, H, W) float32 of one new view of each image, for training with the image tower.

    A function of (seed, epoch, content), so that an epoch can be repeated. Raises DataError.
    """
    import torch

    def view(path: Path) -> np.ndarray:
        data = picture_bytes(path)
        rng = view_rng(seed, epoch, sha256_bytes(data))
        return random_view(open_image(data, name=path, reading=reading or Reading()), preprocess, rng, scale)

    with ThreadPoolExecutor(_workers(workers)) as pool:
        return torch.from_numpy(np.stack(list(pool.map(view, map(_path, examples)))))


class _Task(NamedTuple):
    """Some views of one image, at most one batch."""

    place: int
    views: range


class _Pixels(NamedTuple):
    """The views of a task (len(views), 3, H, W), or None with the reason."""

    task: _Task
    pixels: np.ndarray | None
    why: str | None = None
    remarks: tuple[str, ...] = ()


class _Job:
    """One request: decode and augment in a few threads, encode in batches, in order."""

    def __init__(
        self,
        encoder: ImageEncoder,
        paths: list[Path],
        plan: ViewPlan,
        reading: Reading,
        batch_size: int,
        on_bad_image: BadImages,
        workers: int,
        progress: Progress | None,
    ) -> None:
        self.plan, self._reading = plan, reading
        self._encoder, self._paths, self._batch_size = encoder, paths, batch_size
        self._fail = on_bad_image == "fail"
        self._workers = workers
        self._progress = progress
        self._is_block = False

    def contents(self) -> list[str]:
        """The hash of each file, or "unreadable"."""

        def content(path: Path) -> str:
            try:
                check_is_file(path)
                return picture_sha256(path)
            except (ImageError, StorageError):
                return _UNREADABLE

        with ThreadPoolExecutor(self._workers) as pool:
            return list(_ahead(pool, content, iter(self._paths), 4 * self._workers))

    def fetch(self, cache: FeatureCache, contents: Sequence[str], notice: Notice) -> Stored:
        """All features, from the cache if it has them; many are computed in blocks, which an interruption leaves."""
        images, views = len(self._paths), max(1, self.plan.count)
        batch = max(1, self._batch_size // views)  # images; blocks are whole batches, which are as without blocks
        size = max(BLOCK // views, images // MAX_BLOCKS) // batch * batch or batch
        blocks = [range(start, min(start + size, images)) for start in range(0, images, size)]
        return cache.fetch(
            _key(self._encoder, self.plan, self._reading, contents),
            partial(self.compute, contents),
            in_blocks=partial(self._in_blocks, cache, contents, blocks, notice) if len(blocks) > 1 else None,
            usable=self.still_true,
            notice=notice,
        )

    def compute(self, contents: Sequence[str] | None = None) -> Stored:
        """Decode and encode all images. `contents` are the hashes the files must still have.

        After a bad image under "fail" the others are only decoded, so that all bad ones can be named.
        """
        import torch

        views = max(1, self.plan.count)
        features = np.zeros((views, len(self._paths), self._encoder.embed_dim), dtype=np.float32)
        bad: dict[int, str] = {}
        remarks: dict[int, tuple[str, ...]] = {}

        def failed() -> bool:
            return bool(bad) and self._fail

        with torch.no_grad(), closing(self._drawn(contents, failed)) as batches:
            for batch in batches:
                bad.update({item.task.place: item.why for item in batch if item.why is not None})
                remarks |= {item.task.place: item.remarks for item in batch if item.remarks}
                if not failed():
                    self._encode(batch, features)
        kept = self._kept(bad)
        return Stored(_read_only(features[:, kept] if bad else features), self._describe(bad, remarks, contents))

    def _in_blocks(
        self, cache: FeatureCache, contents: Sequence[str], blocks: Sequence[range], notice: Notice
    ) -> Blocks:
        """As `compute`, each block an entry of the cache until all are there.

        A block is computed to its end, whatever is bad in it; after a bad one under "fail" the others are only decoded.
        """
        arrays: list[np.ndarray] = []
        keys: list[str] = []
        bad: dict[int, str] = {}
        remarks: dict[int, tuple[str, ...]] = {}
        for some in blocks:
            part, hashes = self._part(some), contents[some.start : some.stop]
            if bad and self._fail:
                items = (item for batch in part._drawn(hashes, lambda: True) for item in batch)
                bad |= {some.start + item.task.place: item.why for item in items if item.why is not None}
                continue
            keys.append(_key(self._encoder, self.plan, self._reading, hashes, "block"))
            stored = cache.fetch(keys[-1], partial(part.compute, hashes), usable=part.still_true, notice=notice)
            arrays.append(stored.array)
            bad |= {some.start + place: why for place, why in _skipped(stored).items()}
            remarks |= {some.start + place: kinds for place, kinds in _remarked(stored).items()}
            self._report(some.stop)
        self._kept(bad)
        return Blocks(arrays, self._describe(bad, remarks, contents), keys)

    def _part(self, some: range) -> _Job:
        """A block as a job of its own, of which all images may be bad."""
        part, report = copy.copy(self), self._progress
        part._paths, part._fail, part._is_block = self._paths[some.start : some.stop], False, True
        if report is not None:
            part._progress = lambda done, _of: report(some.start + done, len(self._paths))
        return part

    def _drawn(
        self, contents: Sequence[str] | None, only_decode: Callable[[], bool]
    ) -> Generator[list[_Pixels], None, None]:
        """The pixels of all tasks, in batches; those of the next one are drawn while a batch is used."""
        views = max(1, self.plan.count)
        views_a_task = min(views, self._batch_size)
        tasks_a_batch = self._batch_size // views_a_task

        def draw(task: _Task) -> _Pixels:
            return self._draw(task, None if contents is None else contents[task.place], only_decode=only_decode())

        with ThreadPoolExecutor(self._workers) as pool:
            drawn = _ahead(pool, draw, self._tasks(views, views_a_task), tasks_a_batch)
            while batch := list(islice(drawn, tasks_a_batch)):
                yield batch
                last = batch[-1].task
                self._report(last.place + (last.views.stop == views))

    def _report(self, images: int) -> None:
        if self._progress is not None:
            self._progress(images, len(self._paths))

    def still_true(self, stored: Stored) -> bool:
        """Whether the unreadable images still fail for the same reason: a disk or a decoder may have recovered."""
        return all(self._draw(_Task(place, range(0)), None).why == why for place, why in _skipped(stored).items())

    def result(self, stored: Stored) -> ImageFeatures:
        """The result for the caller. Raises DataError for bad images under "fail", or if all are bad."""
        bad = _skipped(stored)
        skipped = tuple((self._paths[place], why) for place, why in sorted(bad.items()))
        remarks = {self._paths[place]: kinds for place, kinds in _remarked(stored).items()}
        notes = remark_notes(remarks, len(self._paths))
        return ImageFeatures(stored.array, tuple(self._kept(bad)), skipped, remarks, tuple(notes))

    def _kept(self, bad: dict[int, str]) -> list[int]:
        """The indices of the good images. Raises DataError for bad ones under "fail", or if all are bad."""
        if bad and (self._fail or (len(bad) == len(self._paths) and not self._is_block)):
            raise _cannot_be_read({self._paths[place]: why for place, why in bad.items()}, len(self._paths))
        return [place for place in range(len(self._paths)) if place not in bad]

    def _tasks(self, views: int, views_a_task: int) -> Iterator[_Task]:
        for place in range(len(self._paths)):
            for start in range(0, views, views_a_task):
                yield _Task(place, range(start, min(views, start + views_a_task)))

    def _draw(self, task: _Task, expected: str | None, *, only_decode: bool = False) -> _Pixels:
        """The pixels of a task. Raises DataError if the file changed after it was hashed."""
        path = self._paths[task.place]
        seen: list[str] = []
        try:
            data = picture_bytes(path)
            content = sha256_bytes(data)
            if expected is not None and content != expected:
                raise DataError(f"{path} changed while its features were computed", "run again when it is complete")
            image = open_image(data, name=path, reading=self._reading, remark=seen.append)
        except ImageError as error:
            return _Pixels(task, None, _why(error))
        remarks = tuple(seen)
        if only_decode or not task.views:
            return _Pixels(task, None)
        preprocess, plan = self._encoder.preprocess, self.plan
        if plan.count == 0:
            return _Pixels(task, centre_view(image, preprocess)[None], remarks=remarks)
        rngs = [view_rng(plan.seed, view, content) for view in task.views]
        drawn = np.stack([random_view(image, preprocess, rng, plan.scale) for rng in rngs])
        return _Pixels(task, drawn, remarks=remarks)

    def _encode(self, batch: list[_Pixels], features: np.ndarray) -> None:
        """Encode the views of a batch and write each to its place in `features` (V, N, D)."""
        import torch

        good = [(item.task, item.pixels) for item in batch if item.pixels is not None]
        if not good:
            return
        pixels = torch.from_numpy(np.concatenate([pixels for _, pixels in good]))  # (B, 3, H, W)
        rows = self._encoder.encode_images(pixels).numpy()  # (B, D)
        if rows.shape != (len(pixels), features.shape[-1]):
            raise BackboneError(
                f"the image tower gives features of shape {rows.shape} for {len(pixels)} images, "
                f"not {(len(pixels), features.shape[-1])}",
                "embed_dim must be the width of its features",
            )
        places = [(view, task.place) for task, _ in good for view in task.views]
        finite = np.isfinite(rows).all(axis=1)
        if not finite.all():
            path = self._paths[places[int(finite.argmin())][1]]
            raise BackboneError(f"the features of {path} are not finite", "use --precision float32, or other weights")
        features[tuple(np.array(places).T)] = rows

    def _describe(
        self, bad: dict[int, str], remarks: dict[int, tuple[str, ...]], contents: Sequence[str] | None
    ) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "mocoop": __version__,
            "encoder": self._encoder.fingerprint,
            "preprocess": asdict(self._encoder.preprocess),
            "views": asdict(self.plan),
            "reading": self._reading.to_dict(),
            "contents_sha256": sha256_bytes("\n".join(contents or ()).encode()),
            "skipped": [{"place": place, "why": why} for place, why in sorted(bad.items())],
            "remarks": [{"place": place, "kinds": list(kinds)} for place, kinds in sorted(remarks.items())],
        }


def _cannot_be_read(bad: Mapping[Path, str], images: int) -> DataError:
    lines = "; ".join(f"{path}: {why}" for path, why in islice(sorted(bad.items()), MAX_NAMED))
    more = f"; and {len(bad) - MAX_NAMED} more" if len(bad) > MAX_NAMED else ""
    return DataError(
        f"{len(bad)} of {images} images cannot be read: {lines}{more}",
        "replace them" if len(bad) == images else "replace them, or leave them out with --on-bad-image skip",
    )


def _why(error: ImageError) -> str:
    """What is wrong with an image, without its name."""
    return str(error).removeprefix(f"{error.path}: ")


def _ahead(
    pool: ThreadPoolExecutor, work: Callable[[Item], Result], items: Iterator[Item], depth: int
) -> Iterator[Result]:
    """Results in order, with at most `depth` items in flight: memory does not grow with the data set."""
    waiting = deque(pool.submit(work, item) for item in islice(items, depth))
    try:
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(work, item) for item in islice(items, 1))
            yield result
    finally:
        for future in waiting:
            future.cancel()


def _read_only(array: np.ndarray) -> np.ndarray:
    """The array made read-only, as memory-mapped ones are, so that writing fails with and without a cache."""
    array.flags.writeable = False
    return array


def _skipped(stored: Stored) -> dict[int, str]:
    return {item["place"]: item["why"] for item in stored.about["skipped"]}


def _remarked(stored: Stored) -> dict[int, tuple[str, ...]]:
    return {item["place"]: tuple(item["kinds"]) for item in stored.about["remarks"]}


def _key(encoder: ImageEncoder, plan: ViewPlan, reading: Reading, contents: Sequence[str], *more: str) -> str:
    views = asdict(plan) if plan.count else "centre"
    tower = [encoder.fingerprint, asdict(encoder.preprocess), encoder.embed_dim]
    identity = [FORMAT, *tower, views, reading.to_dict(), list(contents), *more]
    return sha256_bytes(json.dumps(identity).encode())


def _path(example: Example) -> Path:
    if example.path is None:
        raise DataError(f"{example} is a stored feature, not an image", "stored features are used as they are")
    return example.path


def _workers(asked: int | None) -> int:
    return asked or min(8, (os.cpu_count() or 1) + 1)
