"""Pictures as the image tower sees them: things put on grounds, rendered in looks, and views from above.

Picture i depends on the seed and i only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from mocoop.photoclip import aerial
from mocoop.photoclip.looks import RENDER
from mocoop.photoclip.pictures import Picture, cut_out
from mocoop.photoclip.teachers import SIDE


@dataclass(frozen=True)
class Shown:
    """One picture to be seen: its names and look, and which thing it is (-1: a view from above)."""

    names: tuple[str, ...]
    look: str
    thing: int
    wnid: str | None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How many renderings there are of each kind."""

    photos: int = 8  # of each cut-out photograph, mostly in other looks
    drawings: int = 2  # of each drawing, 3-D rendering or piece of clip art
    layouts: int = 56  # of each drawn layout
    terrain: int = 4  # of each terrain texture


_PHOTO_LOOKS = ("photo", "photo", "photo", "sketch", "cartoon", "painting", "blurred", "lowres", "grey", "dark",
                "bright", "noisy", "painting", "sketch")  # fmt: skip


def shown(things: list[Picture], land: list[Picture], plan: Plan) -> list[tuple[Shown, Picture | None]]:
    """What is shown, in order; None for a drawn layout."""
    found: list[tuple[Shown, Picture | None]] = []
    for place, picture in enumerate(things):
        count = plan.photos if picture.look == "photo" else plan.drawings
        for turn in range(count):
            look = _PHOTO_LOOKS[(turn + 3 * place) % len(_PHOTO_LOOKS)] if turn else picture.look
            if picture.look != "photo" and turn:
                others = ("sketch", "painting", "grey", "blurred")
                look = picture.look if (turn + place) % 3 == 0 else others[(turn + place) % 4]
            found.append((Shown(picture.names, look, place, picture.wnid), picture))
    for name in aerial.DRAWN:
        found += [(Shown(aerial.names_of(name), "above", -1, None), None)] * plan.layouts
    for picture in land:
        found += [(Shown(picture.names, "above", -1, None), picture)] * plan.terrain
    return found


def paint(planned: list[tuple[Shown, Picture | None]], land: list[Picture], seed: int) -> Iterator[NDArray[np.uint8]]:
    """The pictures (224, 224, 3), in order."""
    ground = aerial.Ground(land)
    for place, (one, picture) in enumerate(planned):
        rng = np.random.default_rng([seed, place])
        if picture is None:
            image = aerial.draw(one.names[0], ground, rng)
        elif one.look == "above":
            image = aerial.aired(Image.fromarray(ground.view(picture, rng)), rng)
        else:
            image = _placed(picture, ground, rng)
            if one.look != picture.look or one.look == "photo":
                image = RENDER[one.look](image, rng)
        yield np.asarray(image.convert("RGB"))


@lru_cache(maxsize=64)
def _cut(path: Path) -> Image.Image:
    return cut_out(path)


def _placed(picture: Picture, ground: aerial.Ground, rng: np.random.Generator) -> Image.Image:
    """A cut-out thing somewhere on a ground, large, mirrored and a little turned."""
    thing = _cut(picture.path)
    if rng.random() < 0.5:
        thing = thing.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    thing = thing.rotate(rng.normal(0, 8), Image.Resampling.BICUBIC, expand=True)
    reach = SIDE * rng.uniform(0.55, 1.05) / max(thing.size)
    width, height = (max(8, round(reach * side)) for side in thing.size)
    thing = thing.resize((width, height), Image.Resampling.BICUBIC)
    page = _ground(ground, picture.look, rng)
    left, top = (round((SIDE - side) * rng.uniform(0.2, 0.8)) for side in (width, height))
    page.paste(thing, (left, top), thing)
    return page


def _ground(ground: aerial.Ground, look: str, rng: np.random.Generator) -> Image.Image:
    """What is behind a thing: white or one colour, a gradient, or blurred ground as behind a photographed thing."""
    draw = rng.random()
    if draw < (0.45 if look == "photo" else 0.7):
        colour = (255, 255, 255) if rng.random() < 0.6 else tuple(int(value) for value in rng.integers(60, 256, 3))
        return Image.new("RGB", (SIDE, SIDE), colour)
    if draw < 0.8:
        corners = rng.uniform(40, 240, (2, 2, 3)).astype(np.uint8)
        return Image.fromarray(corners).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    name = ("grass", "forest", "sand", "bare rock", "snow", "water", "city", "chaparral", "farmland")[
        int(rng.integers(9))
    ]
    patch = ground.patch(name, rng)
    assert patch is not None
    blurred = Image.fromarray(patch.astype(np.uint8)).filter(ImageFilter.GaussianBlur(rng.uniform(1, 5)))
    return aerial.aired(blurred, rng)
