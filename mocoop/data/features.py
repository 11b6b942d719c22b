"""Image features, computed once: a content-addressed, memory-mapped cache in front of a frozen image tower.

The key of an entry is made of everything its numbers depend on: the encoder's fingerprint, the preprocessing, the
views, and the *contents* of the images in order. A file replaced under the same name misses; a renamed one hits.
An entry is built under a lock in a temporary file and renamed, so a second builder waits and then reads, and a
killed one leaves nothing that is ever read. N images, V views, D joint width, B images in a batch.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from mocoop.data.dataset import Example, named
from mocoop.data.images import open_image
from mocoop.data.views import Preprocess, ViewPlan, centre_view, random_view, view_rng
from mocoop.errors import DataError, ImageError, StorageError
from mocoop.files import atomic_path, os_error, read_json, sha256_bytes, sha256_file, sweep_stale, write_json

if TYPE_CHECKING:
    import torch

FORMAT = 1  # raised whenever the same key would mean other numbers
Progress = Callable[[int, int], None]  # images done, images in all


class ImageEncoder(Protocol):
    """What turns pixels into features; `mocoop.backbone.Backbone` is one."""

    @property
    def fingerprint(self) -> str:
        """Names weights, architecture, activation and number format."""

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
    """Features (max(V, 1), N, D) float32 of the images that could be read: `kept` are their places in the request."""

    features: np.ndarray
    kept: tuple[int, ...]
    skipped: tuple[tuple[Path, str], ...]


class FeatureCache:
    """A folder of entries: `<key>.npy` with its description `<key>.json` beside it."""

    def __init__(self, root: Path | None = None) -> None:
        """`root` defaults to $MOCOOP_CACHE, else the platform's cache folder for mocoop."""
        self.root = root or default_root()
        self._trusted: set[str] = set()  # entries whose hash was checked by this process

    def path(self, key: str) -> Path:
        """The array file of an entry."""
        return self.root / "images" / f"{key}.npy"

    def read(self, key: str) -> tuple[np.ndarray, dict[str, Any]] | None:
        """The memory-mapped array and description of an entry, or None where it is absent or damaged."""
        path = self.path(key)
        try:
            about = read_json(path.with_suffix(".json"), what="cache entry", error=StorageError)
            if path.stat().st_size != about["bytes"]:
                return None
            if key not in self._trusted and sha256_file(path) != about["sha256"]:
                return None
            self._trusted.add(key)
            return np.load(path, mmap_mode="r", allow_pickle=False), about
        except (StorageError, OSError, ValueError, KeyError, TypeError):
            return None  # absent, cut or not ours: it is built again

    def write(self, key: str, features: np.ndarray, about: dict[str, Any]) -> None:
        """Store an entry; the description comes last, so that an entry without one does not exist."""
        path = self.path(key)
        path.with_suffix(".json").unlink(missing_ok=True)
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.lib.format.write_array(file, np.ascontiguousarray(features), allow_pickle=False)
        about = {**about, "shape": list(features.shape), "bytes": path.stat().st_size, "sha256": sha256_file(path)}
        write_json(path.with_suffix(".json"), about)
        self._trusted.add(key)

    def lock(self, key: str) -> Any:
        """The lock of an entry's builders; it goes with the process."""
        from filelock import FileLock

        folder = self.root / "images"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise os_error(error, "write", folder) from error
        sweep_stale(folder)
        return FileLock(folder / f"{key}.lock")


def default_root() -> Path:
    """$MOCOOP_CACHE, or the platform's cache folder."""
    if folder := os.environ.get("MOCOOP_CACHE"):
        return Path(folder)
    import platformdirs

    return Path(platformdirs.user_cache_dir("mocoop"))


def image_features(
    encoder: ImageEncoder,
    examples: Sequence[Example],
    plan: ViewPlan | None = None,
    *,
    cache: FeatureCache | None,
    batch_size: int = 64,
    on_bad_image: Literal["fail", "skip"] = "fail",
    workers: int | None = None,
    progress: Progress | None = None,
) -> ImageFeatures:
    """Features of the images of some examples, from the cache where it has them.

    Raises:
        DataError: with "fail", for images that cannot be read, every one named; nothing readable at all.
        StorageError: the cache cannot be written.
    """
    plan = plan or ViewPlan()
    job = _Job(encoder, [_path(example) for example in examples], plan, batch_size, workers, progress)
    if cache is None:
        features, bad = job.compute()
        return _result(features, bad, job.paths, on_bad_image)
    contents = job.contents()
    key = _key(encoder, plan, contents)
    found = cache.read(key)
    if found is None:
        with cache.lock(key):
            found = cache.read(key)  # another builder may have finished while we waited
            if found is None:
                features, bad = job.compute(contents)
                about = {"format": FORMAT, "encoder": encoder.fingerprint, "views": asdict(plan), "bad": bad}
                cache.write(key, features, about)
                found = cache.read(key)
    if found is None:
        raise StorageError(f"the cache {cache.root} does not give back what was written", "use --no-cache")
    bad = {int(place): why for place, why in found[1]["bad"].items()}
    return _result(found[0], bad, job.paths, on_bad_image)


def online_views(
    examples: Sequence[Example], preprocess: Preprocess, seed: int, epoch: int, scale: tuple[float, float]
) -> torch.Tensor:
    """Pixels (B, 3, H, W) of one fresh view of each image, for the image tower in the loop.

    A function of (seed, epoch, content), so that an epoch can be taken again. Raises ImageError.
    """
    import torch

    plan = ViewPlan(count=1, seed=seed, scale=scale)

    def view(path: Path) -> np.ndarray:
        return random_view(open_image(path), preprocess, view_rng(plan.seed, epoch, sha256_file(path)), plan.scale)

    with ThreadPoolExecutor(_workers(None)) as pool:
        return torch.from_numpy(np.stack(list(pool.map(view, map(_path, examples)))))


class _Job:
    """One request: decode and augment in a few threads, encode in batches, in order."""

    def __init__(
        self,
        encoder: ImageEncoder,
        paths: list[Path],
        plan: ViewPlan,
        batch_size: int,
        workers: int | None,
        progress: Progress | None,
    ) -> None:
        self.paths = paths
        self._encoder, self._plan, self._batch_size = encoder, plan, batch_size
        self._workers = _workers(workers)
        self._progress = progress

    def contents(self) -> list[str]:
        """The hash of each file; an unreadable file is named by the reason."""

        def content(path: Path) -> str:
            try:
                return sha256_file(path)
            except StorageError as error:
                return f"unreadable: {error.message}"

        with ThreadPoolExecutor(self._workers) as pool:
            return list(pool.map(content, self.paths))

    def compute(self, contents: Sequence[str] | None = None) -> tuple[np.ndarray, dict[int, str]]:
        """Features (max(V, 1), N, D), zero rows for bad images, and why those are bad."""
        import torch

        contents = contents or self.contents()
        views = max(1, self._plan.count)
        features = np.zeros((views, len(self.paths), self._encoder.embed_dim), dtype=np.float32)
        bad: dict[int, str] = {}
        images_a_batch = max(1, self._batch_size // views)
        with ThreadPoolExecutor(self._workers) as pool:
            jobs = _ahead(pool, self._views, list(enumerate(contents)), 2 * images_a_batch)
            while batch := list(islice(jobs, images_a_batch)):
                good = [(place, pixels) for place, pixels, why in batch if why is None]
                bad |= {place: why for place, _, why in batch if why is not None}
                if good:
                    pixels = torch.from_numpy(np.concatenate([pixels for _, pixels in good]))  # (n V, 3, H, W)
                    encoded = torch.cat([self._encoder.encode_images(part) for part in pixels.split(self._batch_size)])
                    rows = encoded.numpy().reshape(len(good), views, -1)
                    features[:, [place for place, _ in good]] = rows.transpose(1, 0, 2)
                if self._progress is not None:
                    self._progress(batch[-1][0] + 1, len(self.paths))
        return features, bad

    def _views(self, item: tuple[int, str]) -> tuple[int, np.ndarray, str | None]:
        """All views of one image (V, 3, H, W), or why there are none."""
        place, content = item
        nothing = np.zeros(0, dtype=np.float32)
        try:
            image = open_image(self.paths[place])
        except ImageError as error:
            return place, nothing, str(error).removeprefix(f"{self.paths[place]}: ")
        preprocess, plan = self._encoder.preprocess, self._plan
        if plan.count == 0:
            return place, centre_view(image, preprocess)[None], None
        rngs = [view_rng(plan.seed, view, content) for view in range(plan.count)]
        return place, np.stack([random_view(image, preprocess, rng, plan.scale) for rng in rngs]), None


def _ahead(pool: ThreadPoolExecutor, work: Callable[[Any], Any], items: Sequence[Any], depth: int) -> Iterator[Any]:
    """Results in order, with at most `depth` items under way: memory does not grow with the data set."""
    from collections import deque

    waiting = deque(pool.submit(work, item) for item in items[:depth])
    for item in items[depth:]:
        yield waiting.popleft().result()
        waiting.append(pool.submit(work, item))
    while waiting:
        yield waiting.popleft().result()


def _result(
    features: np.ndarray, bad: dict[int, str], paths: Sequence[Path], on_bad_image: Literal["fail", "skip"]
) -> ImageFeatures:
    if bad and on_bad_image == "fail":
        lines = "; ".join(f"{paths[place]}: {why}" for place, why in sorted(bad.items())[:20])
        more = f" and {len(bad) - 20} more" if len(bad) > 20 else ""
        raise DataError(f"{len(bad)} image(s) cannot be read: {lines}{more}", "mend them, or use --on-bad-image skip")
    kept = tuple(place for place in range(len(paths)) if place not in bad)
    if not kept:
        raise DataError(f"none of the images can be read: {named(paths, len(paths))}")
    skipped = tuple((paths[place], why) for place, why in sorted(bad.items()))
    return ImageFeatures(features[:, list(kept)] if bad else features, kept, skipped)


def _key(encoder: ImageEncoder, plan: ViewPlan, contents: Sequence[str]) -> str:
    views = asdict(plan) if plan.count else "centre"
    identity = [FORMAT, encoder.fingerprint, asdict(encoder.preprocess), encoder.embed_dim, views, list(contents)]
    return sha256_bytes(json.dumps(identity).encode())


def _path(example: Example) -> Path:
    if example.path is None:
        raise DataError(f"{example} is a stored feature, not an image")
    return example.path


def _workers(asked: int | None) -> int:
    return asked or min(8, (os.cpu_count() or 1) + 1)
