"""Land that miniclip does not draw: houses near and far apart, trailers, tall buildings, roads above roads."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mocoop.miniclip.land import Land
from mocoop.miniclip.layouts import LAYOUTS as MINICLIP_LAYOUTS
from mocoop.miniclip.materials import Material as M


def dense_residential_area(land: Land) -> None:
    """Roofs nearly touching, narrow streets, hardly a tree."""
    _houses(land, land.between(0.16, 0.22), 0.4, share=0.97, street=5, trees=0.15)


def medium_residential_area(land: Land) -> None:
    """Houses with gardens along streets."""
    _houses(land, land.between(0.28, 0.36), 0.32, share=0.9, street=3, trees=0.45)


def sparse_residential_area(land: Land) -> None:
    """One or two large houses among trees, with a drive."""
    land.fill(land.one_of(M.GRASS, M.GRASS, M.SOIL))
    land.paint(land.field() > land.between(0.1, 0.7), M.TREES)
    for _ in range(int(land.rng.integers(1, 3))):
        x, y = land.place(0.5)
        land.paint(land.disc(x, y, 0.38), M.GRASS)
        land.paint((np.abs(land.x - x) < 0.04) & (land.y > y), M.CONCRETE)
        roof = land.one_of(M.GREY_ROOF, M.RED_ROOF)
        land.paint(land.box(x, y, land.between(0.14, 0.22), land.between(0.1, 0.15)), roof)
        land.paint(land.box(x + 0.12, y + 0.1, 0.09, 0.12), roof)
        if land.chance(0.4):
            land.paint(land.disc(x - 0.22, y + 0.2, 0.07), M.POOL)


def mobile_home_park(land: Land) -> None:
    """Rows of long narrow homes at an angle to their lanes."""
    land.fill(land.one_of(M.ASPHALT, M.CONCRETE, M.GRASS))
    long, narrow = land.between(0.42, 0.52), land.between(0.15, 0.19)
    slanted = np.copysign(land.between(0.0, 0.5), land.between(-1, 1))
    row = np.floor((land.x + 16) / long)
    x, y = (land.x + 16) / long - row, (land.y + 16 + slanted * land.x) / narrow
    number = (np.floor(y).astype(np.int64) * 7919 + row.astype(np.int64) * 104729) % 65536
    inside = (np.abs(x - 0.5) < 0.34) & (np.abs(np.mod(y, 1) - 0.5) < 0.3)
    land.paint_choice(inside, number, M.PAINT, M.GREY_ROOF, M.METAL, M.GREY_ROOF, M.CONCRETE)
    land.paint((np.abs(np.mod(y, 1) - 0.5) > 0.44) & (land.field("patchy") > 0.9), M.TREES)
    land.paint(np.abs(x - 0.02) < 0.06, M.ASPHALT)


def buildings(land: Land) -> None:
    """Large flat roofs of many sizes with what stands on them, between wide streets."""
    land.fill(M.ASPHALT)
    width = land.between(0.7, 1.1)
    x, y, number = land.cells(width, land.between(0.6, 1.0))
    lot = (np.abs(x - 0.5) < 0.42) & (np.abs(y - 0.5) < 0.42)
    land.paint_choice(lot, number, M.CONCRETE, M.CONCRETE, M.GRASS)
    reach_x, reach_y = 0.22 + 0.16 * (number % 5) / 4, 0.22 + 0.16 * (number // 5 % 5) / 4
    roof = (np.abs(x - 0.5) < reach_x) & (np.abs(y - 0.5) < reach_y)
    edge = (np.abs(x - 0.5) < reach_x - 0.03) & (np.abs(y - 0.5) < reach_y - 0.03)
    land.paint_choice(roof, number, M.PAINT, M.GREY_ROOF, M.CONCRETE)
    land.paint_choice(edge, number // 3, M.GREY_ROOF, M.CONCRETE, M.METAL, M.RED_ROOF, M.ROCK)
    units = (np.mod(x * 9, 1) < 0.4) & (np.mod(y * 9, 1) < 0.4) & edge & (land.field("patchy") > 0.6)
    land.paint(units, M.METAL)
    land.cars(~lot, 14)


def overpass(land: Land) -> None:
    """A road on a bridge across another road, often with ramps."""
    land.countryside(trees=land.chance(0.5))
    for across, half in ((land.x, land.between(0.16, 0.3)), (land.y, land.between(0.14, 0.28))):
        along = land.y if across is land.x else land.x
        road = np.abs(across) < half
        land.paint(np.abs(across) < half + 0.03, M.CONCRETE)
        land.paint(road, M.ASPHALT)
        land.paint(road & (np.abs(across) < 0.02), land.one_of(M.GRASS, M.PAINT, M.CONCRETE))
        for lane in (0.36, 0.68):
            line = (np.abs(np.abs(across) - lane * half) < 0.007) & (np.mod(along, 0.16) < 0.08)
            land.paint(line, M.PAINT)
        land.cars(road, 6)
    if land.chance(0.6):  # a ramp in a quarter, or in each
        reach = np.hypot(np.abs(land.x) - 0.85, np.abs(land.y) - 0.85)
        land.paint(
            (np.abs(reach - land.between(0.5, 0.65)) < 0.05) & (np.abs(land.x) < 0.9) & (np.abs(land.y) < 0.9),
            M.ASPHALT,
        )


def _houses(land: Land, size: float, reach: float, *, share: float, street: int, trees: float) -> None:
    """Houses in rows; every so many rows a street."""
    land.fill(land.one_of(M.GRASS, M.GRASS, M.SOIL))
    land.paint(land.field("patchy", 14.0) > 1.3 - 2 * trees, M.TREES)
    x, y, number = land.cells(size, size)
    row = np.floor((land.y + 16) / size)
    wide, deep = reach * (0.75 + 0.25 * (number % 4) / 3), reach * (0.7 + 0.3 * (number // 4 % 4) / 3)
    house = (np.abs(x - 0.5) < wide) & (np.abs(y - 0.5) < deep) & (number % 100 < 100 * share)
    land.paint_choice(house, number // 16, M.GREY_ROOF, M.RED_ROOF, M.CONCRETE, M.GREY_ROOF, M.ROCK)
    land.paint(house & (np.abs(y - 0.5) < 0.02), M.METAL)  # the ridge
    lane = np.mod(row, street) == 0
    land.paint(lane, M.ASPHALT)
    land.cars(lane, 8)


Layout = Callable[[Land], None]

_OWN: tuple[Layout, ...] = (
    buildings, dense_residential_area, medium_residential_area, mobile_home_park, overpass, sparse_residential_area,
)  # fmt: skip

LAYOUTS: dict[str, Layout] = {**MINICLIP_LAYOUTS, **{layout.__name__.replace("_", " "): layout for layout in _OWN}}
