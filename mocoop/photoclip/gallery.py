"""Pictures as the image tower sees them: things put on grounds, rendered in looks, and views from above.

Picture i depends on the seed and i only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from mocoop.photoclip.landnames import names_of
from mocoop.photoclip.layouts import LAYOUTS
from mocoop.photoclip.looks import RENDER
from mocoop.photoclip.pictures import Picture, cut_out
from mocoop.photoclip.scene import Ground, sensed, view
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

    photos: int = 10  # of each photograph, mostly in other looks
    drawings: int = 3  # of each drawing, 3-D rendering or piece of clip art
    layouts: int = 60  # of each drawn layout
    terrain: int = 4  # of each terrain texture


_PHOTO_LOOKS = ("photo", "sketch", "cartoon", "photo", "painting", "grey", "sketch", "cartoon", "photo", "blurred",
                "lowres", "sketch", "dark", "painting", "cartoon", "bright", "noisy")  # fmt: skip
_DRAWN_LOOKS = ("painting", "grey", "blurred", "cartoon", "sketch")


def shown(things: list[Picture], land: list[Picture], plan: Plan) -> list[tuple[Shown, Picture | None]]:
    """What is shown, in order; None for a drawn layout."""
    found: list[tuple[Shown, Picture | None]] = []
    for place, picture in enumerate(things):
        count = plan.photos if picture.look == "photo" else plan.drawings
        for turn in range(count):
            look = _PHOTO_LOOKS[(turn + 3 * place) % len(_PHOTO_LOOKS)] if turn else picture.look
            if picture.look != "photo" and turn:
                look = "sketch" if turn == 1 else _DRAWN_LOOKS[(turn + place) % len(_DRAWN_LOOKS)]
            found.append((Shown(picture.names, look, place, picture.wnid), picture))
    for name in DRAWN:
        found += [(Shown(names_of(name), "above", -1, None), None)] * plan.layouts
    for picture in land:
        found += [(Shown(picture.names, "above", -1, None), picture)] * plan.terrain
    return found


DRAWN = tuple(sorted(LAYOUTS))


def paint(
    planned: list[tuple[Shown, Picture | None]], places: Iterable[int], ground: Ground, seed: int
) -> Iterator[NDArray[np.uint8]]:
    """The pictures (224, 224, 3) at some places of the plan."""
    for place in places:
        one, picture = planned[place]
        rng = np.random.default_rng([seed, place])
        if picture is None:
            image = view(LAYOUTS[one.names[0]], ground, rng)
        elif one.look == "above":
            image = sensed(ground.view(picture, rng).astype(np.float32), rng)
        else:
            image = _placed(picture, one.look, ground, rng)
            if one.look != picture.look or one.look == "photo":
                image = RENDER[one.look](image, rng)
        yield np.asarray(image.convert("RGB"))


@lru_cache(maxsize=64)
def _cut(picture: Picture) -> Image.Image:
    return cut_out(picture)


def _placed(picture: Picture, look: str, ground: Ground, rng: np.random.Generator) -> Image.Image:
    """A cut-out thing somewhere on a ground, large, mirrored and a little turned; a whole photograph fills it all."""
    thing = _cut(picture)
    if rng.random() < 0.5:
        thing = thing.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if thing.getchannel("A").getextrema()[0] == 255 and picture.look == "photo":
        return _framed(thing.convert("RGB"), rng)
    thing = thing.rotate(rng.normal(0, 8), Image.Resampling.BICUBIC, expand=True)
    reach = SIDE * rng.uniform(0.55, 1.05) / max(thing.size)
    width, height = (max(8, round(reach * side)) for side in thing.size)
    thing = thing.resize((width, height), Image.Resampling.BICUBIC)
    page = _ground(ground, look, rng)
    left, top = (round((SIDE - side) * rng.uniform(0.2, 0.8)) for side in (width, height))
    page.paste(thing, (left, top), thing)
    return page


def _framed(photograph: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A large part of a photograph."""
    width, height = photograph.size
    side = min(width, height) * rng.uniform(0.75, 1)
    left, top = (width - side) * rng.random(), (height - side) * rng.random()
    return photograph.resize((SIDE, SIDE), Image.Resampling.BICUBIC, (left, top, left + side, top + side))


def _ground(ground: Ground, look: str, rng: np.random.Generator) -> Image.Image:
    """What is behind a thing: white or one colour, a gradient, or blurred ground as behind a photographed thing."""
    draw = rng.random()
    if draw < {"sketch": 0.8, "cartoon": 0.6, "toy": 0.7, "painting": 0.4}.get(look, 0.4):
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
    soft = Image.fromarray(patch.astype(np.uint8)).filter(ImageFilter.GaussianBlur(rng.uniform(1, 5)))
    return sensed(np.asarray(soft, np.float32), rng)
