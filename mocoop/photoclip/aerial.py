"""Views from above: crops of aerial photographs, and drawn land with photographed ground.

Drawn land has the layouts of miniclip and of `layouts` in 224 pixels, every material filled from a terrain texture
where there is one, with the shadows of what stands high.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from mocoop.miniclip.land import Land
from mocoop.miniclip.materials import Material as M
from mocoop.miniclip.noise import Kind, sample
from mocoop.photoclip.layouts import LAYOUTS
from mocoop.photoclip.pictures import Picture
from mocoop.photoclip.teachers import SIDE

# More names for what is drawn; its own name is always one.
SYNONYMS: dict[str, tuple[str, ...]] = {
    "airplane": ("plane", "aircraft", "airliner", "parked airplane", "jet"),
    "baseball diamond": ("baseball field", "ballpark", "baseball infield"),
    "beach": ("seashore", "sandy coast", "shoreline", "sea coast"),
    "buildings": ("office buildings", "large rooftops", "city buildings", "commercial buildings"),
    "dense residential area": ("crowded houses", "dense housing", "housing blocks", "residential area"),
    "medium residential area": ("houses with gardens", "suburban houses", "residential area", "neighborhood"),
    "mobile home park": ("trailer park", "mobile homes", "trailers", "caravan park"),
    "overpass": ("flyover", "road bridge over a road", "highway overpass", "interchange", "viaduct"),
    "sparse residential area": ("house among trees", "country house", "lone house", "villa with a garden"),
    "bridge": ("road bridge", "bridge over a river"),
    "chaparral": ("shrubland", "bushes", "scrub", "desert shrubs"),
    "circular fields": ("irrigated fields", "center pivot irrigation"),
    "desert": ("bare land", "sand", "dunes"),
    "farmland": ("agricultural land", "crops", "cropland", "fields", "agricultural"),
    "forest": ("trees", "woods", "woodland", "tree cover"),
    "glacier": ("ice", "snowy land"),
    "golf course": ("golf green", "fairway", "golf links"),
    "greenhouses": ("glasshouses", "plant nursery"),
    "harbor": ("marina", "port", "boats", "boats at docks", "harbour"),
    "highway": ("freeway", "motorway", "road", "expressway", "highway lanes"),
    "industrial area": ("factory", "warehouses", "large buildings", "industrial buildings"),
    "intersection": ("crossroads", "street crossing", "road junction", "crossing streets"),
    "island": ("small island", "islet"),
    "lake": ("pond", "body of water", "reservoir"),
    "meadow": ("grassland", "pasture", "grass field"),
    "orchard": ("rows of trees", "plantation", "fruit trees"),
    "parking lot": ("car park", "parked cars", "rows of cars", "parking space"),
    "quarry": ("open pit mine", "gravel pit"),
    "railway": ("railroad tracks", "train tracks", "rails"),
    "residential area": ("houses", "neighborhood", "suburb", "homes", "residential houses"),
    "river": ("stream", "winding river", "creek"),
    "roundabout": ("traffic circle", "rotary"),
    "runway": ("airstrip", "airport runway", "landing strip", "taxiway"),
    "solar farm": ("solar panels", "photovoltaic plant"),
    "stadium": ("sports stadium", "arena", "football field"),
    "storage tanks": ("oil tanks", "fuel tanks", "round tanks", "silos"),
    "tennis court": ("tennis courts", "sports court"),
    "wetland": ("marsh", "swamp", "bog"),
}

_GROUND: dict[M, str] = {
    M.GRASS: "grass", M.TREES: "forest", M.WATER: "water", M.ASPHALT: "asphalt", M.SOIL: "bare soil", M.SAND: "sand",
    M.GREEN_CROP: "grassland", M.RIPE_CROP: "farmland", M.SHRUBS: "chaparral", M.ROCK: "bare rock", M.ICE: "snow",
    M.REEDS: "marsh", M.GRAVEL: "bare soil", M.CONCRETE: "asphalt",
}  # fmt: skip

# Colours by day and height above ground in pixels of shadow.
_COLOURS: dict[M, tuple[int, int, int]] = {
    M.GRASS: (98, 116, 70), M.TREES: (46, 66, 42), M.WATER: (52, 78, 92), M.DEEP_WATER: (30, 52, 72),
    M.ASPHALT: (104, 104, 104), M.CONCRETE: (172, 168, 160), M.RED_ROOF: (150, 92, 74), M.GREY_ROOF: (148, 146, 144),
    M.SOIL: (142, 116, 88), M.SAND: (204, 188, 156), M.GREEN_CROP: (92, 126, 66), M.RIPE_CROP: (186, 168, 108),
    M.STUBBLE: (168, 150, 112), M.PAINT: (228, 228, 224), M.METAL: (206, 208, 210), M.SOLAR_PANEL: (44, 52, 88),
    M.ICE: (236, 240, 244), M.ROCK: (132, 122, 112), M.SPORTS_COURT: (70, 116, 96), M.RED_CLAY: (168, 98, 72),
    M.WHITE_CAR: (232, 232, 232), M.RED_CAR: (160, 48, 44), M.DARK_CAR: (52, 54, 60), M.RAIL: (82, 72, 66),
    M.GRAVEL: (150, 142, 134), M.REEDS: (112, 118, 74), M.POOL: (84, 178, 196), M.GLASS: (176, 200, 204),
    M.SHRUBS: (84, 88, 60),
}  # fmt: skip
_HEIGHT = {
    M.TREES: 6,
    M.RED_ROOF: 5,
    M.GREY_ROOF: 6,
    M.METAL: 4,
    M.SHRUBS: 2,
    M.WHITE_CAR: 2,
    M.RED_CAR: 2,
    M.DARK_CAR: 2,
}


class FineLand(Land):
    """A `Land` of 224 pixels a side."""

    def __init__(self, rng: np.random.Generator, zoom: float, angle: float, offset: tuple[float, float]) -> None:
        axis = ((np.arange(SIDE) + 0.5) / SIDE * 2 - 1).astype(np.float32)
        along, across = np.float32(np.cos(angle) / zoom), np.float32(np.sin(angle) / zoom)
        self.rng = rng
        self.x = axis[None, :] * along - axis[:, None] * across + np.float32(offset[0])
        self.y = axis[None, :] * across + axis[:, None] * along + np.float32(offset[1])
        self.materials = np.zeros((SIDE, SIDE), np.uint8)

    def field(self, kind: Kind = "smooth", pixels_per_unit: float = 20.0) -> NDArray[np.float32]:
        """A random field over the tile, with finer detail than a small tile needs."""
        coarse = sample(kind, self.rng, self.x, self.y, pixels_per_unit)
        fine = sample("patchy", self.rng, self.x, self.y, 3.5 * pixels_per_unit)
        found: NDArray[np.float32] = (coarse + 0.35 * fine) / np.float32(1.06)
        return found


class Ground:
    """Photographed ground by what it shows, to cut patches from."""

    def __init__(self, pictures: Sequence[Picture]) -> None:
        self._paths: dict[str, list[Path]] = {}
        for picture in pictures:
            for name in picture.names:
                self._paths.setdefault(name, []).append(picture.path)
        self._open: dict[Path, NDArray[np.uint8]] = {}

    def patch(self, name: str, rng: np.random.Generator) -> NDArray[np.float32] | None:
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


def draw(name: str, ground: Ground, rng: np.random.Generator) -> Image.Image:
    """A drawn view (224 x 224) of one of the drawn classes."""
    land = FineLand(rng, rng.uniform(0.7, 1.6), rng.uniform(0, 2 * np.pi), tuple(rng.uniform(-0.25, 0.25, 2)))
    LAYOUTS[name](land)
    scatter(land)
    pixels = np.zeros((SIDE, SIDE, 3), np.float32)
    grain = rng.normal(0, 1, (SIDE, SIDE, 1)).astype(np.float32)
    for number in np.unique(land.materials):
        material = M(int(number))
        mask = land.materials == number
        colour = np.array(_COLOURS[material], np.float32) * rng.uniform(0.8, 1.2) + rng.normal(0, 6, 3)
        look = ground.patch(_GROUND[material], rng) if material in _GROUND and rng.random() < 0.75 else None
        if look is None:
            coarse = land.field("patchy", 30.0)[..., None]
            filled = colour + 5 * grain + 6 * coarse
        else:
            filled = look + rng.uniform(0.2, 0.7) * (colour - look.mean((0, 1)))
        pixels[mask] = filled.astype(np.float32)[mask]
    pixels *= _shade(land.materials, rng)[..., None]
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.4, 1.3)))
    return aired(image, rng)


def scatter(land: Land) -> None:
    """A few trees, sheds and cars that do not belong to the class."""
    for _ in range(int(land.rng.integers(0, 5))):
        x, y = land.place()
        kind = int(land.rng.integers(3))
        if kind == 0:
            land.paint(land.disc(x, y, land.between(0.04, 0.12)), M.TREES)
        elif kind == 1:
            land.paint(
                land.box(x, y, land.between(0.04, 0.1), land.between(0.04, 0.1)), land.one_of(M.GREY_ROOF, M.RED_ROOF)
            )
        else:
            land.paint(land.disc(x, y, land.between(0.05, 0.15)), land.one_of(M.GRASS, M.SOIL))


def aired(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """As from high up: another light, a tint, sometimes haze."""
    lit = (np.asarray(image, np.float32) - 128) * rng.uniform(0.75, 1.3) + 128 + rng.uniform(-25, 25)
    pixels = lit * rng.uniform(0.93, 1.07, 3) + rng.uniform(0, 25) * (rng.random() < 0.3)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def names_of(name: str) -> tuple[str, ...]:
    """All names of a drawn class."""
    return (name, *SYNONYMS.get(name, ()))


def _shade(materials: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.float32]:
    """What the shadow of higher things leaves of the light (224, 224)."""
    table = np.zeros(len(M), np.int64)
    for material, reach in _HEIGHT.items():
        table[material] = reach
    height = table[materials]
    angle, light = rng.uniform(0, 2 * np.pi), np.ones(materials.shape, np.float32)
    for step in range(1, 7):
        shift = (round(step * np.sin(angle)), round(step * np.cos(angle)))
        behind = np.roll(height, shift, (0, 1))
        light[(behind >= step) & (behind > height)] = 0.5
    return light


DRAWN = tuple(sorted(LAYOUTS))
