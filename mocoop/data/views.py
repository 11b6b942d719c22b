"""Views: what the backbone sees of an image, as an array of normalised pixels.

The centre view is open_clip's evaluation transform, without the packages that it needs. A random view is CoOp's
training crop and flip; its randomness is a function of (view seed, view number, content of the image), so that the
views of an image depend neither on its file name nor on other images.

Neither reading image files nor computing features is here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
    """Pixels (3, H, W) float32 of the whole image, resized and cropped as in evaluation.

    Bit by bit what open_clip's evaluation transform gives, in Pillow and NumPy alone.
    """
    return normalised(centre_crop(image, preprocess), preprocess)


def centre_crop(image: Image.Image, preprocess: Preprocess) -> np.ndarray:
    """The same before its values are normalised: (H, W, 3) uint8."""
    resized = image.resize(_resized_size(image.size, preprocess), _centre_resampling(preprocess)).convert("RGB")
    fill = preprocess.fill_color if preprocess.resize_mode == "longest" else 0
    return np.asarray(_crop_or_pad(resized, preprocess.size, fill))


def normalised(pixels: np.ndarray, preprocess: Preprocess) -> np.ndarray:
    """8-bit pixels (H, W, 3) as the backbone takes them: (3, H, W) float32."""
    mean, std = np.asarray(preprocess.mean, np.float32), np.asarray(preprocess.std, np.float32)
    values = (pixels.astype(np.float32) / np.float32(255) - mean) / std
    return np.ascontiguousarray(values.transpose(2, 0, 1))


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
    return normalised(np.asarray(view), preprocess)


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


def _resized_size(size: tuple[int, int], preprocess: Preprocess) -> tuple[int, int]:
    """Width and height after resizing, before the crop; how they are rounded is open_clip's and torchvision's."""
    (width, height), (to_height, to_width) = size, preprocess.size
    if preprocess.resize_mode == "squash":
        return to_width, to_height
    if preprocess.resize_mode == "shortest" and to_height == to_width:
        long = int(to_width * max(size) / min(size))
        return (to_width, long) if width <= height else (long, to_width)
    ratios = height / to_height, width / to_width
    ratio = max(ratios) if preprocess.resize_mode == "longest" else min(ratios)
    return round(width / ratio), round(height / ratio)


def _crop_or_pad(image: Image.Image, size: tuple[int, int], fill: int) -> Image.Image:
    """The centre of (height, width), on a ground of grey `fill` where the image is smaller."""
    from PIL import Image

    (height, width), (have_width, have_height) = size, image.size
    if width > have_width or height > have_height:
        ground = Image.new("RGB", (max(width, have_width), max(height, have_height)), (fill, fill, fill))
        ground.paste(image, (max(0, width - have_width) // 2, max(0, height - have_height) // 2))
        image = ground
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    return image.crop((left, top, left + width, top + height))


def _centre_resampling(preprocess: Preprocess) -> Image.Resampling:
    """open_clip forgets the interpolation where it resizes the short side for a size that is no square."""
    from PIL import Image

    height, width = preprocess.size
    if preprocess.resize_mode == "shortest" and height != width:
        return Image.Resampling.BICUBIC
    return _resampling(preprocess)


def _resampling(preprocess: Preprocess) -> Image.Resampling:
    from PIL import Image

    bilinear = preprocess.interpolation == "bilinear"
    return Image.Resampling.BILINEAR if bilinear else Image.Resampling.BICUBIC
