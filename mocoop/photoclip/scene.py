"""A scene: land being painted in 224 pixels, on which things are put, and its picture from above.

A scene keeps what each pixel is made of (`Land`) and what stands on it. Its picture is made from two maps, of colours
and of heights: trees are clumps, roofs rise to their ridges, things bring their own heights. One sun lights the
slopes and casts the shadows; then come air, lens and sensor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from scipy import ndimage

from mocoop.miniclip.land import Land, Mask
from mocoop.miniclip.materials import Material as M
from mocoop.miniclip.noise import Kind, sample
from mocoop.photoclip.models import Models, Sprite
from mocoop.photoclip.pictures import Picture
from mocoop.photoclip.teachers import SIDE

Floats = NDArray[np.float32]

METRES = 38.0  # of one unit of a layout: half a picture at 0.34 metres a pixel

_GROUND: dict[M, tuple[str, ...]] = {
    M.GRASS: ("grass", "grassland", "meadow"), M.TREES: ("forest", "trees"), M.WATER: ("water",),
    M.DEEP_WATER: ("water",), M.ASPHALT: ("asphalt",), M.SOIL: ("bare soil", "dirt", "farmland"), M.SAND: ("sand",),
    M.GREEN_CROP: ("grassland", "farmland"), M.RIPE_CROP: ("farmland", "cropland"), M.SHRUBS: ("chaparral",),
    M.ROCK: ("bare rock",), M.ICE: ("snow",), M.REEDS: ("marsh",), M.GRAVEL: ("gravel", "bare soil"),
    M.CONCRETE: ("asphalt", "sand"), M.STUBBLE: ("farmland", "cropland"), M.RED_ROOF: ("bare soil", "asphalt"),
    M.GREY_ROOF: ("asphalt", "gravel"), M.RED_CLAY: ("bare soil",),
}  # fmt: skip
_COLOURS: dict[M, tuple[int, int, int]] = {
    M.GRASS: (98, 112, 74), M.TREES: (58, 76, 50), M.WATER: (52, 74, 84), M.DEEP_WATER: (34, 54, 70),
    M.ASPHALT: (112, 110, 108), M.CONCRETE: (178, 172, 162), M.RED_ROOF: (152, 98, 80), M.GREY_ROOF: (146, 142, 138),
    M.SOIL: (150, 126, 100), M.SAND: (206, 190, 162), M.GREEN_CROP: (92, 122, 68), M.RIPE_CROP: (182, 166, 114),
    M.STUBBLE: (166, 150, 116), M.PAINT: (226, 226, 222), M.METAL: (200, 202, 204), M.SOLAR_PANEL: (46, 54, 86),
    M.ICE: (234, 238, 242), M.ROCK: (134, 124, 114), M.SPORTS_COURT: (74, 116, 98), M.RED_CLAY: (164, 102, 78),
    M.WHITE_CAR: (228, 228, 228), M.RED_CAR: (150, 54, 50), M.DARK_CAR: (56, 58, 62), M.RAIL: (86, 76, 70),
    M.GRAVEL: (150, 142, 134), M.REEDS: (112, 116, 78), M.POOL: (92, 176, 192), M.GLASS: (184, 202, 204),
    M.SHRUBS: (88, 90, 64),
}  # fmt: skip
_ROOFS = (M.RED_ROOF, M.GREY_ROOF, M.METAL, M.GLASS)
_CROPS = (M.GREEN_CROP, M.RIPE_CROP, M.STUBBLE, M.SOIL)
_CARS = (M.WHITE_CAR, M.RED_CAR, M.DARK_CAR)

# Length and width in metres of a thing drawn where there is no model of it.
_SIZES = {
    "car": (4.6, 1.9), "truck": (12, 2.6), "boat": (9, 3), "ship": (90, 15), "airliner": (38, 36),
    "light plane": (8, 10), "house": (14, 10), "tank": (22, 22), "container": (12, 2.5), "train": (25, 3),
    "mobile home": (13, 4.5), "apartment": (40, 16), "office": (40, 30), "hall": (60, 40), "barn": (30, 12),
    "digger": (7, 3), "tent": (5, 4), "turbine": (60, 4), "power plant": (90, 60), "transformer": (20, 15),
    "stadium": (150, 120), "pitch": (105, 68), "tennis": (36, 18), "gate": (30, 10),
}  # fmt: skip


class Ground:
    """Photographed ground by what it shows, to cut patches from, and models of what stands on it."""

    def __init__(self, pictures: Sequence[Picture], models: Models | None = None) -> None:
        self.models = models or Models(None)
        self._paths: dict[str, list[Path]] = {}
        for picture in pictures:
            for name in picture.names:
                self._paths.setdefault(name, []).append(picture.path)
        self._open: dict[Path, NDArray[np.uint8]] = {}

    def patch(self, name: str, rng: np.random.Generator) -> Floats | None:
        """A random square (224, 224, 3) of ground, None where there is no picture of it."""
        paths = self._paths.get(name)
        if not paths:
            return None
        return crop(self._pixels(paths[int(rng.integers(len(paths)))]), rng).astype(np.float32)

    def view(self, picture: Picture, rng: np.random.Generator) -> NDArray[np.uint8]:
        """A random square (224, 224, 3) of one texture."""
        return crop(self._pixels(picture.path), rng)

    def _pixels(self, path: Path) -> NDArray[np.uint8]:
        if path not in self._open:
            with Image.open(path) as image:
                image = image.convert("RGB")
                image.thumbnail((1024, 1024))
                self._open[path] = np.asarray(image)
        return self._open[path]


def crop(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A random square of 120 to 448 pixels as (224, 224, 3), mirrored and turned."""
    size = int(min(rng.choice([120, 160, 224, 224, 320, 448]), *pixels.shape[:2]))
    row, column = (int(rng.integers(0, full - size + 1)) for full in pixels.shape[:2])
    image = Image.fromarray(pixels[row : row + size, column : column + size]).resize(
        (SIDE, SIDE), Image.Resampling.BICUBIC
    )
    turned = np.rot90(np.asarray(image), int(rng.integers(4)))
    return np.ascontiguousarray(turned[:, ::-1] if rng.random() < 0.5 else turned)


@dataclass(frozen=True)
class Placed:
    """A thing put on the land: where (units), its direction (radians), its length in units if not its own."""

    kind: str
    x: float
    y: float
    angle: float
    length: float | None


class Scene(Land):
    """A `Land` of 224 pixels a side, with things on it."""

    def __init__(self, rng: np.random.Generator, zoom: float, angle: float, offset: tuple[float, float]) -> None:
        axis = ((np.arange(SIDE) + 0.5) / SIDE * 2 - 1).astype(np.float32)
        along, across = np.float32(np.cos(angle) / zoom), np.float32(np.sin(angle) / zoom)
        self.rng, self.zoom, self.angle, self.offset = rng, zoom, angle, offset
        self.x = axis[None, :] * along - axis[:, None] * across + np.float32(offset[0])
        self.y = axis[None, :] * across + axis[:, None] * along + np.float32(offset[1])
        self.materials = np.zeros((SIDE, SIDE), np.uint8)
        self.things: list[Placed] = []
        self.pitched = rng.random() < 0.6  # roofs: with ridges, or flat

    def field(self, kind: Kind = "smooth", pixels_per_unit: float = 20.0) -> Floats:
        """A random field over the tile, with finer detail than a small tile needs."""
        coarse = sample(kind, self.rng, self.x, self.y, pixels_per_unit)
        fine = sample("patchy", self.rng, self.x, self.y, 3.5 * pixels_per_unit)
        found: Floats = (coarse + 0.35 * fine) / np.float32(1.06)
        return found

    def put(self, kind: str, x: float, y: float, angle: float = 0.0, length: float | None = None) -> None:
        """Put a thing at (x, y), its longer side along `angle`."""
        self.things.append(Placed(kind, x, y, angle, length))

    def inside(self, mask: Mask, x: float, y: float) -> bool:
        """Whether the mask holds at (x, y); False outside the picture."""
        row, column = (round(value) for value in self.pixel(x, y)[::-1])
        return 0 <= row < SIDE and 0 <= column < SIDE and bool(mask[row, column])

    def pixel(self, x: float, y: float) -> tuple[float, float]:
        """Column and row of a point."""
        away_x, away_y = x - self.offset[0], y - self.offset[1]
        cos, sin = np.cos(self.angle) * self.zoom, np.sin(self.angle) * self.zoom
        column, row = away_x * cos + away_y * sin, -away_x * sin + away_y * cos
        return (column + 1) / 2 * SIDE - 0.5, (row + 1) / 2 * SIDE - 0.5

    def cars(self, on: Mask, count: int) -> None:
        """Cars and a few lorries at random places of the mask, along the way it goes."""
        for _ in range(3 * count):
            x, y = self.place(1.3)
            if not self.inside(on, x, y):
                continue
            reach = [sum(self.inside(on, x + s * dx, y + s * dy) for s in (-0.25, -0.12, 0.12, 0.25))
                     for dx, dy in ((1, 0), (0, 1))]  # fmt: skip
            angle = 0.0 if reach[0] >= reach[1] else np.pi / 2
            self.put("truck" if self.chance(0.1) else "car", x, y, angle + self.between(-0.06, 0.06))
            count -= 1
            if not count:
                return

    def trees(self, count: int, low: float = 2.0, high: float = 6.0, on: Mask | None = None) -> None:
        """Single trees with a radius in metres."""
        for _ in range(count):
            x, y = self.place(1.3)
            if on is None or self.inside(on, x, y):
                self.paint(self.disc(x, y, self.between(low, high) / METRES), M.TREES)


Layout = Callable[[Scene], None]


def view(layout: Callable[[Scene], None], ground: Ground, rng: np.random.Generator) -> Image.Image:
    """The picture (224 x 224) of a layout from above."""
    land = Scene(rng, rng.uniform(0.6, 1.7), rng.uniform(0, 2 * np.pi), tuple(rng.uniform(-0.3, 0.3, 2)))
    layout(land)
    _scatter(land)
    colours, heights = _covered(land, ground)
    for thing in land.things:
        _stand(land, thing, ground, colours, heights)
    lit = colours * _light(heights, rng)[..., None]
    return sensed(lit, rng)


def _scatter(land: Scene) -> None:
    """A few trees, sheds and patches that do not belong to the class."""
    for _ in range(int(land.rng.integers(0, 5))):
        x, y = land.place(1.2)
        kind = int(land.rng.integers(4))
        if kind == 0:
            land.paint(land.disc(x, y, land.between(0.04, 0.12)), M.TREES)
        elif kind == 1:
            land.put("car", x, y, land.between(0, 6.3))
        elif kind == 2 and land.chance(0.4):
            land.put("house", x, y, land.between(0, 6.3))
        else:
            land.paint(land.disc(x, y, land.between(0.05, 0.15)), land.one_of(M.GRASS, M.SOIL))


def _covered(land: Scene, ground: Ground) -> tuple[Floats, Floats]:
    """Colours (224, 224, 3) and heights in pixels (224, 224) of the bare land, its trees and its roofs."""
    rng = land.rng
    colours, heights = np.zeros((SIDE, SIDE, 3), np.float32), np.zeros((SIDE, SIDE), np.float32)
    fine, coarse = land.field("patchy", 60.0)[..., None], land.field("smooth", 12.0)[..., None]
    grain = rng.normal(0, 1, (SIDE, SIDE, 1)).astype(np.float32)
    for number in np.unique(land.materials):
        material = M(int(number))
        mask = land.materials == number
        wanted = np.array(_COLOURS[material], np.float32) * rng.uniform(0.75, 1.25) + rng.normal(0, 5, 3)
        names = _GROUND.get(material, ())
        name = names[int(rng.integers(len(names)))] if names else ""
        look = ground.patch(name, rng) if names and rng.random() < 0.8 else None
        filled = np.broadcast_to(wanted, colours.shape).astype(np.float32)
        if look is not None:
            filled = look + rng.uniform(0.2, 0.9) * (wanted - look.mean((0, 1)))
        if material in _CROPS and rng.random() < 0.7:
            filled = filled + rng.uniform(4, 18) * _rows(land)[..., None]
        rough = 0.4 if material in (M.PAINT, *_CARS, M.WATER, M.DEEP_WATER) else 1.0
        filled = filled + rough * (rng.uniform(1, 6) * grain + rng.uniform(2, 8) * fine + rng.uniform(2, 10) * coarse)
        colours[mask] = filled[mask]
    scale = SIDE / 2 * land.zoom / METRES  # pixels a metre
    roofs = np.isin(land.materials, _ROOFS)
    if roofs.any():
        _roofs(land, roofs, scale, colours, heights)
    for material, radius in ((M.TREES, land.between(1.6, 5.0)), (M.SHRUBS, land.between(0.7, 1.6))):
        _crowns(land, land.materials == material, max(1.6, radius * scale), colours, heights)
    for material in _CARS:
        heights[land.materials == material] = 1.5 * scale
    return colours, heights


def _rows(land: Scene) -> Floats:
    """Furrows of a field, from -1 to 1."""
    angle, period = land.between(0, np.pi), land.between(0.02, 0.12)
    along = land.x * np.float32(np.cos(angle)) + land.y * np.float32(np.sin(angle))
    found: Floats = np.sin(along * np.float32(2 * np.pi / period)).astype(np.float32)
    return found


def _roofs(land: Scene, roofs: Mask, scale: float, colours: Floats, heights: Floats) -> None:
    """Every roof a little other colour, rising from its edges to a ridge, or flat."""
    parts, count = ndimage.label(roofs)
    shift = land.rng.normal(0, 14, (count + 1, 1)) + land.rng.normal(0, 5, (count + 1, 3))
    shift[0] = 0
    colours += shift[parts].astype(np.float32)
    edge = ndimage.distance_transform_edt(roofs).astype(np.float32)
    rise = np.minimum(edge, 5 * scale) * np.float32(land.between(0.25, 0.6)) if land.pitched else edge * 0
    heights[roofs] = (land.between(3, 9) * scale + rise)[roofs]


def _crowns(land: Scene, mask: Mask, radius: float, colours: Floats, heights: Floats) -> None:
    """Round crowns that cover the mask, each of its own size, height and green."""
    places = np.argwhere(mask)
    if not len(places):
        return
    rng = land.rng
    count = int(min(900, 3 + len(places) / radius**2 * rng.uniform(0.6, 1.4)))
    chosen = places[rng.integers(len(places), size=count)]
    lean = rng.uniform(0.6, 1.0)
    for (row, column), size in zip(chosen, radius * rng.uniform(0.6, 1.35, count), strict=True):
        reach = int(np.ceil(size))
        top, left = max(0, row - reach), max(0, column - reach)
        rows, columns = np.ogrid[top : min(SIDE, row + reach + 1), left : min(SIDE, column + reach + 1)]
        flat = ((rows - row) ** 2 + (columns - column) ** 2) / size**2
        dome = (np.sqrt(np.maximum(0, 1 - flat)) * size * lean + size * 0.8).astype(np.float32)
        part = (slice(top, top + flat.shape[0]), slice(left, left + flat.shape[1]))
        own = (flat < 1) & (dome > heights[part])
        heights[part][own] = dome[own]
        if not mask[part].all():  # a crown reaches over its ground
            colours[part][own] = colours[row, column] + rng.normal(0, 4)
        colours[part][own] *= np.float32(rng.uniform(0.85, 1.15)) + rng.normal(0, 0.025, 3).astype(np.float32)
    heights[mask] += rng.normal(0, 0.35, int(mask.sum())).astype(np.float32) * min(2.0, radius / 2)


def _stand(land: Scene, thing: Placed, ground: Ground, colours: Floats, heights: Floats) -> None:
    """Draw one thing over the colours and heights."""
    rng = land.rng
    sprite = ground.models.sprite(thing.kind, rng) if rng.random() < 0.85 else None
    sprite = sprite or _plain(thing.kind, rng)
    unit = SIDE / 2 * land.zoom  # pixels
    length = unit * (thing.length or sprite.length / METRES)
    size = tuple(max(1, round(length * side / max(sprite.pixels.shape[:2]))) for side in sprite.pixels.shape[1::-1])
    if max(size) < 3 or max(size) > 3 * SIDE:
        return
    turn = thing.angle - land.angle + (np.pi / 2 if size[1] > size[0] else 0) + np.pi * rng.integers(2)
    way = Image.Resampling.BICUBIC
    cover = Image.fromarray(sprite.pixels).resize(size, Image.Resampling.BOX).rotate(-np.degrees(turn), way, True)
    tall = Image.fromarray(sprite.heights).resize(size, Image.Resampling.BOX).rotate(-np.degrees(turn), way, True)
    column, row = land.pixel(thing.x, thing.y)
    left, top = round(column - cover.width / 2), round(row - cover.height / 2)
    rows, columns = (
        slice(max(0, top), min(SIDE, top + cover.height)),
        slice(max(0, left), min(SIDE, left + cover.width)),
    )
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return
    part = (slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left))
    pixels = np.asarray(cover, np.float32)[part]
    share = pixels[..., 3:] / 255
    tint = rng.uniform(0.8, 1.15) + rng.normal(0, 0.04, 3)
    pale = rng.uniform(0.1, 0.9) if thing.kind == "boat" else rng.uniform(0, 0.3)
    grey = pixels[..., :3].mean(2, keepdims=True)
    seen = np.clip(pixels[..., :3] + pale * (0.7 * grey + 70 - pixels[..., :3]), 12, 245) * tint
    base = float(np.median(heights[rows, columns]))
    colours[rows, columns] += share * (seen.astype(np.float32) - colours[rows, columns])
    raised = base + np.asarray(tall, np.float32)[part] * length / sprite.length
    solid = share[..., 0] > 0.5
    heights[rows, columns][solid] = np.maximum(heights[rows, columns], raised)[solid]


def _plain(kind: str, rng: np.random.Generator) -> Sprite:
    """A thing drawn simply: a box, a hull or a cross of wings, in its usual size."""
    long, wide = (value * rng.uniform(0.8, 1.25) for value in _SIZES[kind])
    scale = long / 96
    rows, columns = np.mgrid[: max(3, round(wide / scale)), :96].astype(np.float32)
    x, y = columns / 48 - 1, rows / (rows.shape[0] / 2) - 1
    light, tall = rng.uniform(60, 245), np.full(x.shape, min(8.0, wide / 2), np.float32)
    cover = np.ones(x.shape, np.bool_)
    pixels = np.zeros((*x.shape, 4), np.uint8)
    pixels[..., :3] = np.clip(light + rng.normal(0, 18, 3), 0, 255)
    if kind in ("boat", "ship"):
        cover = np.abs(y) < np.minimum(1, 1.5 * (1 - x))
        pixels[(np.abs(y) < 0.5) & (np.abs(x + 0.2) < 0.4), :3] = 255 - round(light) // 2
    elif kind in ("airliner", "light plane"):
        sweep = rng.uniform(0.3, 0.6)
        wing = np.abs(x - 0.1 + sweep * np.abs(y)) < 0.13
        tail = (np.abs(x + 0.85 + sweep * np.abs(y)) < 0.1) & (np.abs(y) < 0.35)
        cover = wing | tail | (np.abs(y) < 0.09)
        pixels[..., :3] = rng.uniform(190, 250)
    elif kind == "tank":
        cover = x**2 + y**2 < 1
    elif kind in ("car", "truck"):
        glass = (np.abs(np.abs(x - 0.05) - 0.42) < 0.1) & (np.abs(y) < 0.8)
        pixels[glass, :3] = 40
        tall[:] = 1.5 if kind == "car" else 3.2
    elif kind in ("house", "barn"):
        tall = (tall + (1 - np.abs(y)) * wide / 4).astype(np.float32)
    pixels[..., 3] = 255 * cover
    return Sprite(pixels, np.where(cover, tall, 0).astype(np.float32), scale)


def _light(heights: Floats, rng: np.random.Generator) -> Floats:
    """How much light each pixel gets (224, 224): by its slope to the sun, and less in a shadow."""
    direction, climb = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 1.8)  # tangent of the sun's height
    smooth = ndimage.gaussian_filter(heights, 0.6)
    down, right = np.gradient(smooth)
    slope = np.clip((right * np.cos(direction) + down * np.sin(direction)) / 2, -0.6, 0.6)
    light = 1 - rng.uniform(0.3, 0.7) * slope
    shadow = np.zeros(heights.shape, np.bool_)
    highest = float(heights.max())
    for step in range(1, int(min(40, highest / climb)) + 1):
        shift = (round(step * np.sin(direction)), round(step * np.cos(direction)))
        behind = _moved(heights, shift)
        shadow |= behind - step * climb > heights + 0.4
    dark = ndimage.gaussian_filter(shadow.astype(np.float32), 0.5)
    found: Floats = (light * (1 - rng.uniform(0.3, 0.7) * dark)).astype(np.float32)
    return found


def _moved(values: Floats, shift: tuple[int, int]) -> Floats:
    """The values moved by rows and columns, 0 where nothing comes from."""
    found = np.zeros_like(values)
    (down, right), (height, width) = shift, values.shape
    found[max(0, down) : height + min(0, down), max(0, right) : width + min(0, right)] = values[
        max(0, -down) : height - max(0, down), max(0, -right) : width - max(0, right)
    ]
    return found


def sensed(pixels: Floats, rng: np.random.Generator) -> Image.Image:
    """A picture of colours (H, W, 3) as a camera high up takes it: air, light, lens, sensor and file."""
    mean = pixels.mean()
    lit = (pixels - mean) * rng.uniform(0.7, 1.4) + mean + rng.uniform(-25, 25)
    grey = lit.mean(2, keepdims=True)
    lit = (grey + (lit - grey) * rng.uniform(0.4, 1.3)) * rng.uniform(0.95, 1.05, 3)
    if rng.random() < 0.35:  # haze
        lit = lit + rng.uniform(0.05, 0.35) * (rng.uniform(150, 215) - lit)
    image = Image.fromarray(np.clip(lit, 0, 255).astype(np.uint8))
    image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 1.3)))
    if rng.random() < 0.3:  # coarser, as from higher up
        small = int(rng.integers(SIDE // 3, SIDE))
        image = image.resize((small, small), Image.Resampling.BOX).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    if rng.random() < 0.4:
        image = image.filter(ImageFilter.UnsharpMask(1.5, int(rng.integers(50, 180)), 0))
    noisy = np.asarray(image, np.float32) + rng.normal(0, rng.uniform(0, 6), (SIDE, SIDE, 3))
    image = Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))
    if rng.random() < 0.5:
        file = BytesIO()
        image.save(file, "jpeg", quality=int(rng.integers(35, 95)))
        image = Image.open(file).convert("RGB")
    return image
