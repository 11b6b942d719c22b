"""Views: what the backbone sees of an image, as an array of normalised pixels.

The centre view is open_clip's own evaluation transform. A random view is the training crop and flip of CoOp; what is
random in it is a function of (view seed, view number, content of the image), so that the views of an image depend
neither on its file name nor on the images around it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

_RATIO = (3 / 4, 4 / 3)  # width / height of a random crop, as torchvision's RandomResizedCrop
_TRIES = 10


@dataclass(frozen=True)
class Preprocess:
    """A backbone's image preprocessing: size (H, W) in pixels, mean and std a channel, how to resize."""

    size: tuple[int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str = "bicubic"
    resize_mode: str = "shortest"  # shortest side and centre crop, "squash" or "longest"


@dataclass(frozen=True)
class ViewPlan:
    """Which views are cached: `count` random ones, or one centre view where it is 0. `scale`: area of a crop."""

    count: int = 0
    seed: int = 0
    scale: tuple[float, float] = (0.08, 1.0)


def centre_view(image: Image, preprocess: Preprocess) -> np.ndarray:
    """Pixels (3, H, W) float32 of the whole image, resized and cropped as in evaluation."""
    return np.asarray(_evaluation_transform(preprocess)(image), dtype=np.float32)


def random_view(
    image: Image, preprocess: Preprocess, rng: np.random.Generator, scale: tuple[float, float]
) -> np.ndarray:
    """Pixels (3, H, W) float32 of a random crop of `scale` of the area, resized, flipped half of the time."""
    from PIL import Image as Pillow

    height, width = preprocess.size
    crop = image.resize((width, height), _resampling(preprocess), box=random_box(image.size, rng, scale))
    if rng.random() < 0.5:
        crop = crop.transpose(Pillow.Transpose.FLIP_LEFT_RIGHT)
    pixels = np.asarray(crop, dtype=np.float32) / 255  # (H, W, 3)
    pixels = (pixels - np.float32(preprocess.mean)) / np.float32(preprocess.std)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def view_rng(seed: int, view: int, content_sha256: str) -> np.random.Generator:
    """The random numbers of one view of one image."""
    return np.random.default_rng([seed, view, *(int(content_sha256[i : i + 8], 16) for i in range(0, 32, 8))])


def random_box(
    size: tuple[int, int], rng: np.random.Generator, scale: tuple[float, float]
) -> tuple[int, int, int, int]:
    """A crop (left, top, right, bottom): area uniform in `scale`, shape log-uniform; the centre if none fits."""
    width, height = size
    for _ in range(_TRIES):
        area = width * height * rng.uniform(*scale)
        ratio = math.exp(rng.uniform(math.log(_RATIO[0]), math.log(_RATIO[1])))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            left, top = int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))
            return left, top, left + w, top + h
    w = min(width, round(height * _RATIO[1]))
    h = min(height, round(width / _RATIO[0]))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


@functools.lru_cache(maxsize=8)
def _evaluation_transform(preprocess: Preprocess) -> Callable[[Image], Any]:
    from open_clip.transform import PreprocessCfg, image_transform_v2

    config = PreprocessCfg(
        size=preprocess.size,
        mean=preprocess.mean,
        std=preprocess.std,
        interpolation=preprocess.interpolation,
        resize_mode=preprocess.resize_mode,
    )
    transform: Callable[[Image], Any] = image_transform_v2(config, is_train=False)
    return transform


def _resampling(preprocess: Preprocess) -> int:
    from PIL import Image as Pillow

    methods = {"bilinear": Pillow.Resampling.BILINEAR, "bicubic": Pillow.Resampling.BICUBIC}
    return methods.get(preprocess.interpolation, Pillow.Resampling.BICUBIC)
