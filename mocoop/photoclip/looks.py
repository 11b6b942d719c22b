"""How a picture can look (photograph, sketch, cartoon, painting, ...), as words and as renderings of other pictures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

Render = Callable[[Image.Image, np.random.Generator], Image.Image]

# What each look is called. The first wordings are the plainest.
WORDINGS: dict[str, tuple[str, ...]] = {
    "photo": (
        "a photo of a {}.", "a photograph of a {}.", "a real photo of a {}.", "a clear photo of a {}.",
        "a sharp colour photograph of a {}.", "a realistic picture of a {}.", "a snapshot of a {}.",
        "a natural photo of a {}.", "a high quality photo of a {}.", "a photo of the {}, taken with a camera.",
    ),
    "sketch": (
        "a sketch of a {}.", "a pencil sketch of a {}.", "a black and white line drawing of a {}.",
        "a drawing of a {}.", "an outline of a {}.", "a doodle of a {}.", "a hand-drawn sketch of the {}.",
        "a simple line sketch of a {}.", "an ink drawing of a {}.", "a contour drawing of a {}.",
    ),
    "cartoon": (
        "a cartoon of a {}.", "a cartoon {}.", "an animated {}.", "a comic drawing of a {}.", "a {} in a cartoon.",
        "clip art of a {}.", "a colourful illustration of a {}.", "a vector drawing of a {}.", "an emoji of a {}.",
        "a flat coloured graphic of a {}.",
    ),
    "painting": (
        "a painting of a {}.", "an oil painting of a {}.", "art of a {}.", "a watercolour of a {}.",
        "an artistic picture of a {}.", "an impressionist painting of a {}.", "a rendition of a {} on canvas.",
        "a work of art showing a {}.", "brush strokes depicting a {}.", "an art painting of the {}.",
    ),
    "toy": (
        "a toy {}.", "a 3d render of a {}.", "a computer graphic of a {}.", "a shiny plastic {}.",
        "a rendering of a {}.", "a {} in a video game.",
    ),
    "blurred": (
        "a blurry photo of a {}.", "an out-of-focus picture of a {}.", "a blurred image of a {}.",
        "a {} seen through haze.", "a soft, unsharp photo of a {}.",
    ),
    "lowres": (
        "a low resolution photo of a {}.", "a pixelated photo of a {}.", "a tiny, coarse image of a {}.",
        "a jpeg corrupted photo of a {}.", "a low quality image of a {}.",
    ),
    "grey": (
        "a black and white photo of a {}.", "a greyscale image of a {}.", "a monochrome picture of a {}.",
        "an old black and white photograph of a {}.",
    ),
    "dark": (
        "a dark photo of a {}.", "a {} at night.", "an underexposed photo of a {}.", "a night picture of a {}.",
    ),
    "bright": ("a bright photo of a {}.", "an overexposed picture of a {}.", "a {} in bright sunlight."),
    "noisy": ("a noisy photo of a {}.", "a grainy image of a {}.", "a {} with image noise."),
    "above": (
        "a satellite image of {}.", "an aerial view of {}.", "a satellite photo of {}.", "{} seen from above.",
        "an overhead view of {}.", "a bird's eye view of {}.", "an aerial photograph of {}.",
        "a centered satellite photo of {}.", "remote sensing imagery of {}.", "a top-down view of {}.",
        "land cover: {}.", "a high resolution aerial image of {}.",
    ),
}  # fmt: skip


def sketch(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Dark lines on white where the brightness changes."""
    grey = np.asarray(image.convert("L").filter(ImageFilter.GaussianBlur(rng.uniform(0.6, 1.6))), np.float32)
    steep = np.hypot(*np.gradient(grey))
    busy = max(1.0, float(np.quantile(steep, 0.94)) / 18)  # in a busy picture only the strongest
    lines = np.clip(255 - steep * rng.uniform(6, 14) / busy, 0, 255)
    if rng.random() < 0.5:  # only lines or nothing, as with a pen
        lines = np.where(lines < rng.uniform(140, 215), rng.uniform(0, 60), 255)
    elif rng.random() < 0.5:  # shading as with a pencil
        lines = np.minimum(lines, 128 + grey / 2)
    drawn = Image.fromarray(lines.astype(np.uint8))
    if rng.random() < 0.4:
        drawn = drawn.filter(ImageFilter.MinFilter(3))
    return drawn.convert("RGB")


def cartoon(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Few flat colours and, mostly, dark outlines."""
    flat = image.filter(ImageFilter.ModeFilter(int(rng.choice([5, 7, 9]))))
    flat = ImageEnhance.Color(flat).enhance(rng.uniform(1.2, 2.2))
    flat = flat.quantize(int(rng.integers(6, 16)), dither=Image.Dither.NONE).convert("RGB")
    if rng.random() < 0.75:
        grey = np.asarray(image.convert("L").filter(ImageFilter.GaussianBlur(1.2)), np.float32)
        steep = np.hypot(*np.gradient(grey))
        edges = steep > max(rng.uniform(7, 14), float(np.quantile(steep, rng.uniform(0.88, 0.96))))
        mask = Image.fromarray((edges * 255).astype(np.uint8))
        if rng.integers(2):
            mask = mask.filter(ImageFilter.MaxFilter(3))
        flat.paste((15, 15, 15), (0, 0), mask)
    return flat


def painting(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Strokes: the picture's own colours, dragged along a random flow, with a canvas under them."""
    pixels = np.asarray(image, np.float32)
    height, width = pixels.shape[:2]
    coarse = rng.normal(size=(2, 5, 5)).astype(np.float32)
    flow = [
        np.asarray(Image.fromarray(part).resize((width, height), Image.Resampling.BICUBIC), np.float32)
        for part in coarse
    ]
    length = rng.uniform(3, 9)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    jitter = rng.normal(0, 1.2, (2, height, width)).astype(np.float32)
    total = np.zeros_like(pixels)
    for step in (-1.0, -0.5, 0.0, 0.5, 1.0):
        at_row = np.clip(rows + flow[0] * length * step + jitter[0], 0, height - 1).astype(np.int64)
        at_column = np.clip(columns + flow[1] * length * step + jitter[1], 0, width - 1).astype(np.int64)
        total += pixels[at_row, at_column]
    stroked = Image.fromarray((total / 5).astype(np.uint8)).filter(ImageFilter.MedianFilter(int(rng.choice([3, 5]))))
    stroked = ImageEnhance.Color(stroked).enhance(rng.uniform(0.9, 1.8))
    canvas = rng.normal(0, rng.uniform(3, 9), (height, width, 1))
    tint = rng.uniform(0.85, 1.1, 3)
    return Image.fromarray(np.clip(np.asarray(stroked, np.float32) * tint + canvas, 0, 255).astype(np.uint8))


def blurred(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Out of focus, sometimes under haze."""
    soft = image.filter(ImageFilter.GaussianBlur(rng.uniform(2.5, 6)))
    return Image.blend(soft, Image.new("RGB", soft.size, (215, 220, 225)), rng.uniform(0, 0.5))


def lowres(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A few dozen pixels a side, enlarged."""
    small = int(rng.integers(22, 56))
    way = Image.Resampling.NEAREST if rng.random() < 0.6 else Image.Resampling.BILINEAR
    return image.resize((small, small), Image.Resampling.BOX).resize(image.size, way)


def grey(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Without colour."""
    return ImageEnhance.Contrast(ImageOps.grayscale(image).convert("RGB")).enhance(rng.uniform(0.7, 1.4))


def dark(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """At night."""
    return ImageEnhance.Brightness(image).enhance(rng.uniform(0.15, 0.4))


def bright(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Overexposed."""
    return ImageEnhance.Brightness(image).enhance(rng.uniform(1.5, 2.3))


def noisy(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """With the noise of a bad sensor."""
    pixels = np.asarray(image, np.float32) + rng.normal(0, rng.uniform(25, 55), (*image.size[::-1], 3))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def plain(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """As it is, in other light."""
    image = ImageEnhance.Brightness(image).enhance(rng.uniform(0.8, 1.2))
    image = ImageEnhance.Contrast(image).enhance(rng.uniform(0.8, 1.25))
    return ImageEnhance.Color(image).enhance(rng.uniform(0.7, 1.3))


RENDER: dict[str, Render] = {
    "photo": plain, "sketch": sketch, "cartoon": cartoon, "painting": painting, "blurred": blurred, "lowres": lowres,
    "grey": grey, "dark": dark, "bright": bright, "noisy": noisy,
}  # fmt: skip
