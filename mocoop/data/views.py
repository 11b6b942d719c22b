"""Views: what the backbone sees of an image, as an array of normalised pixels.

The centre view is open_clip's own evaluation transform. A random view is CoOp's training crop and flip; its
randomness is a function of (view seed, view number, content of the image), so that the views of an image depend
neither on its file name nor on other images.

Neither reading image files nor computing features is here.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mocoop.errors import BackboneError, ConfigError
from mocoop.files import sha256_bytes

if TYPE_CHECKING:
    from PIL import Image

DEFAULT_SCALE = (0.08, 1.0)  # area of a random crop as a fraction of the image, as in CoOp
RESIZE_MODES = ("shortest", "squash", "longest")
INTERPOLATIONS = ("bicubic", "bilinear", "random")  # "random" was for training only; open_clip uses bicubic

_RATIO = (3 / 4, 4 / 3)  # width / height of a random crop, as torchvision's RandomResizedCrop
_TRIES = 10


@dataclass(frozen=True)
class Preprocess:
    """A backbone's image preprocessing: size (H, W) in pixels, mean and std per channel, and resizing.

    Raises BackboneError for values that open_clip would reject or misread.
    """

    size: tuple[int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str = "bicubic"
    resize_mode: str = "shortest"  # shortest: short side, then centre crop; squash: both; longest: long side, padded
    fill_color: int = 0  # padding value, 0..255

    def __post_init__(self) -> None:
        self._check(self.interpolation in INTERPOLATIONS, "interpolation", f"one of {', '.join(INTERPOLATIONS)}")
        self._check(self.resize_mode in RESIZE_MODES, "resize_mode", f"one of {', '.join(RESIZE_MODES)}")
        self._check(min(self.size) > 0, "size", "a height and a width in pixels")
        self._check(all(value > 0 for value in self.std), "std", "three numbers above 0")

    def _check(self, good: bool, name: str, wanted: str) -> None:
        if not good:
            raise BackboneError(f"the backbone's preprocessing has {name} = {getattr(self, name)!r}", f"give {wanted}")


@dataclass(frozen=True)
class ViewPlan:
    """Which views are cached: `count` random ones, or one centre view if it is 0. Raises ConfigError."""

    count: int = 0
    seed: int = 0
    scale: tuple[float, float] = DEFAULT_SCALE  # area of a crop as a fraction of the image

    def __post_init__(self) -> None:
        low, high = self.scale
        if self.count < 0:
            raise ConfigError(f"views = {self.count!r}", "give 0 (one centre view) or a number of random views")
        if not 0 < low <= high <= 1:
            raise ConfigError(f"view_scale = {self.scale!r}", "give two fractions of the area, 0 < low <= high <= 1")


def centre_view(image: Image.Image, preprocess: Preprocess) -> np.ndarray:
    """Pixels (3, H, W) float32 of the whole image, resized and cropped as in evaluation."""
    return np.asarray(_evaluation_transform(preprocess)(image), dtype=np.float32)


def random_view(
    image: Image.Image,
    preprocess: Preprocess,
    rng: np.random.Generator,
    scale: tuple[float, float] = DEFAULT_SCALE,
) -> np.ndarray:
    """Pixels (3, H, W) float32 of a random crop of `scale` of the area, resized, flipped half of the time."""
    from PIL import Image

    height, width = preprocess.size
    # Cropped first: resize(box=...) would mix pixels from outside the box into the border.
    crop = image.convert("RGB").crop(random_box(image.size, rng, scale))
    view = crop.resize((width, height), _resampling(preprocess))
    if rng.random() < 0.5:
        view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    pixels = np.asarray(view, dtype=np.float32) / np.float32(255)  # (H, W, 3)
    mean, std = np.asarray(preprocess.mean, np.float32), np.asarray(preprocess.std, np.float32)
    return np.ascontiguousarray(((pixels - mean) / std).transpose(2, 0, 1))


def view_rng(seed: int, view: int, content_sha256: str) -> np.random.Generator:
    """The random generator of one view of the image whose bytes have this hash."""
    return np.random.default_rng(int(sha256_bytes(f"{seed} {view} {content_sha256}".encode()), 16))


def random_box(
    size: tuple[int, int], rng: np.random.Generator, scale: tuple[float, float]
) -> tuple[int, int, int, int]:
    """A crop (left, top, right, bottom) of an image of (width, height).

    Its area is uniform in `scale`, its aspect ratio log-uniform from 3:4 to 4:3. If none fits in ten tries, it is the
    largest centred crop with such a ratio. This is the distribution of torchvision's RandomResizedCrop.
    """
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
def _evaluation_transform(preprocess: Preprocess) -> Callable[[Image.Image], Any]:
    from mocoop.openclip import open_clip

    config = open_clip.transform.PreprocessCfg(
        size=preprocess.size,
        mean=preprocess.mean,
        std=preprocess.std,
        interpolation=preprocess.interpolation,
        resize_mode=preprocess.resize_mode,
        fill_color=preprocess.fill_color,
    )
    transform: Callable[[Image.Image], Any] = open_clip.transform.image_transform_v2(config, is_train=False)
    return transform


def _resampling(preprocess: Preprocess) -> Image.Resampling:
    from PIL import Image

    bilinear = preprocess.interpolation == "bilinear"
    return Image.Resampling.BILINEAR if bilinear else Image.Resampling.BICUBIC
