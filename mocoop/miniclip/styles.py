"""The styles: one short function each, turning a map of materials into the picture of some sensor.

Each style has the name of the bank aspect that describes it, which is the id of the group made from that aspect, so
that a demo can check whether a router's first expert is the group that names a tile's true style.

`shift` (0 to 1) is how far a tile's look is from the pretraining tiles: other colours, a colour cast, stronger
texture, noise. Shapes, zoom and clutter are shifted in `scenes`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mocoop.miniclip import materials as table
from mocoop.miniclip import noise
from mocoop.miniclip.land import SIZE

Image = NDArray[Any]  # (64, 64, 3) or (64, 64) of floats, about 0 to 1

_SHIFT_SEED = 41  # fixed: all shifted sets share their colours
_CAST = np.array([1.12, 0.98, 0.82, 1.0], np.float32)


@dataclass(frozen=True)
class Ground:
    """The input of a style: the material map, its daylight colours, and a texture."""

    materials: NDArray[np.uint8]  # (64, 64)
    texture: NDArray[np.float32]  # (64, 64), mean 0
    rng: np.random.Generator
    shift: float

    def colours(self) -> Image:
        """Daylight reflectances (64, 64, 4): red, green, blue, near infrared; textured, edges in shadow."""
        count = len(table.COLOURS)
        palette = _palette(self.shift) * self.rng.uniform(0.88, 1.12, (count, 1)).astype(np.float32)
        palette = palette + self.rng.normal(0, 0.025, palette.shape).astype(np.float32)
        grain = table.GRAINS[self.materials] * self.texture * (1 + 1.2 * self.shift)
        shaded = 1 + grain - 0.1 * self.shadow()
        colours: Image = palette[self.materials] * shaded[..., None]
        if self.shift:
            colours = np.clip(colours, 0, 1) ** (1 - 0.25 * self.shift)
            colours = colours + self.rng.normal(0, 0.05 * self.shift, colours.shape)
        return colours

    def shadow(self) -> NDArray[np.bool_]:
        """Where the material to the upper left differs, (64, 64)."""
        return np.asarray(np.roll(self.materials, (1, 1), (0, 1)) != self.materials)

    def through(self, column: NDArray[np.float32], spread: float = 0.05) -> Image:
        """One column of the table over the land (64, 64), each material with a small random offset."""
        values = column + self.rng.normal(0, spread * (1 + self.shift), column.shape).astype(np.float32)
        return np.asarray(values[self.materials])


@lru_cache(maxsize=16)
def _palette(shift: float) -> NDArray[np.float32]:
    """The colours of the materials (M, 4), moved away from the table's by `shift`; always the same way."""
    if shift == 0:
        return table.COLOURS
    rng = np.random.default_rng(_SHIFT_SEED)
    amount = 0.44 * shift
    gain = rng.uniform(1 - 0.6 * amount, 1 + 0.6 * amount, (len(table.COLOURS), 1))
    moved = table.COLOURS * gain + rng.normal(0, 0.22 * amount, table.COLOURS.shape)
    return np.clip(moved * _CAST**shift, 0.02, 1).astype(np.float32)


def _blurred(image: Image, times: int) -> Image:
    """A small binomial blur, repeated; edges are replicated."""
    for _ in range(times):
        wide = np.pad(image, ((1, 1), (1, 1), (0, 0)), mode="edge")
        wide = wide[:-2] + 2 * wide[1:-1] + wide[2:]
        image = (wide[:, :-2] + 2 * wide[:, 1:-1] + wide[:, 2:]) / 16
    return image


def _ramp(values: Image, colours: tuple[table.Colour, ...]) -> Image:
    """Values from 0 to 1 as colours, evenly spaced along a ramp: (64, 64) -> (64, 64, 3)."""
    stops = np.linspace(0, 1, len(colours))
    channels = [np.interp(values, stops, [colour[channel] for colour in colours]) for channel in range(3)]
    return np.stack(channels, axis=-1)


def _grey(values: Image) -> Image:
    return np.repeat(values[..., None], 3, axis=-1)


def plain(ground: Ground) -> Image:
    """A clear day in natural colours."""
    image: Image = ground.colours()[..., :3]
    return image


def low_resolution(ground: Ground) -> Image:
    """Pixels so large that they show as blocks."""
    block = int(ground.rng.integers(4, 6))
    image = plain(ground)
    whole = SIZE // block * block
    coarse = image[:whole, :whole].reshape(SIZE // block, block, SIZE // block, block, 3).mean((1, 3))
    blocks = coarse.repeat(block, 0).repeat(block, 1)
    rest = SIZE - whole
    return np.pad(blocks, ((0, rest), (0, rest), (0, 0)), mode="edge")


def blurry(ground: Ground) -> Image:
    """Out of focus."""
    return _blurred(plain(ground), int(ground.rng.integers(4, 9)))


def cloudy(ground: Ground) -> Image:
    """White clouds of every thickness drift over the land."""
    field = noise.patch("smooth", ground.rng, SIZE)
    cover = np.clip(0.42 + 0.3 * field, 0.1, 0.92)[..., None] * ground.rng.uniform(0.8, 1.05)
    image: Image = plain(ground) * (1 - cover) + 0.95 * cover
    return image


def infrared(ground: Ground) -> Image:
    """False colour: near infrared as red, so that vegetation is red."""
    image: Image = ground.colours()[..., [3, 0, 1]]
    return image


def grey(ground: Ground) -> Image:
    """One band for all colours."""
    return _grey(plain(ground) @ np.array([0.38, 0.5, 0.22], np.float32))


def night(ground: Ground) -> Image:
    """Dark, with lamps where people are."""
    rng = ground.rng
    lamps = table.LIGHTS[ground.materials] * (rng.random(ground.materials.shape) < 0.55)
    glow = _blurred(lamps[..., None], 1) * np.array([1.0, 0.82, 0.5]) * rng.uniform(0.7, 1.1)
    image: Image = plain(ground) * np.array([0.15, 0.17, 0.26]) * rng.uniform(0.7, 1.3) + glow
    return image


def winter(ground: Ground) -> Image:
    """Snow on all but open water."""
    patches = np.clip(0.9 + 0.25 * ground.texture, 0, 1)
    depth = (table.SNOW[ground.materials] * patches * ground.rng.uniform(0.75, 1.0))[..., None]
    snow = np.array([0.90, 0.94, 1.0]) * (1 - 0.12 * ground.shadow()[..., None])
    image: Image = plain(ground) * (1 - depth) + snow * depth
    return image


def noisy(ground: Ground) -> Image:
    """Coloured static."""
    image = plain(ground)
    return image + ground.rng.normal(0, ground.rng.uniform(0.13, 0.22), image.shape)


def drawn_map(ground: Ground) -> Image:
    """A printed map: flat colours and inked outlines."""
    colours = table.MAP_COLOURS * ground.rng.uniform(0.95, 1.03)
    colours = colours * (1 - 0.25 * ground.shift * np.array([0.2, 0.6, 1.0]))
    edges = np.zeros(ground.materials.shape, np.bool_)
    edges[1:] |= ground.materials[1:] != ground.materials[:-1]
    edges[:, 1:] |= ground.materials[:, 1:] != ground.materials[:, :-1]
    ink = ground.rng.uniform(0.45, 0.65)
    image: Image = colours[ground.materials] * np.where(edges, ink, 1.0)[..., None]
    return image


def thermal(ground: Ground) -> Image:
    """Warmth on a ramp from black over violet to yellow."""
    warmth = ground.through(table.HEAT) + 0.25 * table.GRAINS[ground.materials] * ground.texture
    soft = _blurred(warmth[..., None], 1)[..., 0]
    return _ramp(soft, ((0.0, 0.0, 0.15), (0.4, 0.0, 0.55), (0.85, 0.2, 0.3), (1.0, 0.65, 0.1), (1.0, 1.0, 0.8)))


def radar(ground: Ground) -> Image:
    """Backscatter with speckle; edges that face the radar are bright."""
    echo = ground.through(table.ECHOES) * (1 + 0.8 * ground.shadow())
    speckle = ground.rng.gamma(6.0, 1 / 6.0, echo.shape)  # multiplicative, as a radar's is
    return _grey(echo * speckle)


def elevation(ground: Ground) -> Image:
    """Height on a ramp from blue over green to red."""
    height = ground.through(table.HEIGHTS, spread=0.02) + 0.12 * table.GRAINS[ground.materials] * ground.texture
    return _ramp(height, ((0.1, 0.1, 0.5), (0.0, 0.6, 0.75), (0.3, 0.8, 0.3), (0.95, 0.85, 0.3), (0.75, 0.25, 0.1)))


@dataclass(frozen=True)
class Style:
    """A style's drawing function and the bank aspect (a group's id) whose templates name it."""

    draw: Callable[[Ground], Image]
    aspect: str


STYLES: dict[str, Style] = {
    "plain": Style(plain, "satellite_view"),
    "lowres": Style(low_resolution, "overhead_low_resolution"),
    "cloudy": Style(cloudy, "overhead_cloud"),
    "infrared": Style(infrared, "overhead_infrared"),
    "grey": Style(grey, "overhead_greyscale"),
    "night": Style(night, "overhead_night"),
    "winter": Style(winter, "overhead_winter"),
    "map": Style(drawn_map, "overhead_map"),
    "blurry": Style(blurry, "overhead_blur"),
    "noisy": Style(noisy, "overhead_noise"),
    "thermal": Style(thermal, "non_visible_sensor"),
    "radar": Style(radar, "non_visible_sensor"),
    "elevation": Style(elevation, "non_visible_sensor"),
}

# The styles of downstream sets: each is named by exactly one group.
DOWNSTREAM = ("plain", "lowres", "cloudy", "infrared", "grey", "night", "winter", "map")


def render(style: str, materials: NDArray[np.uint8], rng: np.random.Generator, shift: float) -> NDArray[np.uint8]:
    """The land in a style, (64, 64, 3) of bytes."""
    texture = 0.6 * noise.patch("rough", rng, SIZE) + 0.5 * noise.patch("patchy", rng, SIZE)
    image = STYLES[style].draw(Ground(materials, texture, rng, shift))
    image = image * rng.uniform(0.88, 1.12) + rng.normal(0, 0.012, image.shape)
    return (np.clip(image, 0, 1) * 255).astype(np.uint8)
