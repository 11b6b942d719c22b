"""What land of each class looks like: materials and things on a `Scene`, one short function a class.

Classes without a function here are painted by miniclip's layout of that name.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mocoop.miniclip.land import Mask
from mocoop.miniclip.layouts import LAYOUTS as MINICLIP_LAYOUTS
from mocoop.miniclip.materials import Material as M
from mocoop.photoclip.scene import METRES, Layout, Scene

QUARTER = np.pi / 2


def _m(metres: float) -> float:
    """Metres in units of a layout."""
    return metres / METRES


def airplane(land: Scene) -> None:
    """One to four planes parked on concrete."""
    _apron(land)
    if land.chance(0.65):
        count, angle = int(land.rng.integers(1, 4)), land.between(-0.4, 0.4)
        for number in range(count):
            x, y = (number - (count - 1) / 2) * _m(46) + land.between(-0.1, 0.1), land.between(-0.3, 0.3)
            land.put("airliner", x, y, QUARTER + angle)
            for _ in range(int(land.rng.integers(0, 5))):
                kind = "truck" if land.chance(0.5) else "car"
                beside = x + land.between(-0.5, 0.5), y + land.between(-0.5, 0.5)
                land.put(kind, *beside, land.between(0, 6.3), _m(land.between(4, 9)))
    else:
        pitch = _m(land.between(13, 18))
        for x, y in _grid(pitch, pitch * land.between(1.2, 2.2)):
            if land.chance(0.7):
                land.put("light plane", x, y, QUARTER + land.between(-0.15, 0.15))
    if land.chance(0.4):
        land.put("hall", land.between(-1, 1), _m(50), 0, _m(land.between(30, 70)))


def airport_terminal(land: Scene) -> None:
    """A long hall with gates and an airliner at each."""
    _apron(land)
    land.paint(np.abs(land.y - 0.9) < _m(13), M.GREY_ROOF)
    for x in np.arange(-2, 2.1, _m(44)):
        land.put("gate", x + 0.1, 0.9 - _m(20), QUARTER, _m(18))
        if land.chance(0.8):
            land.put("airliner", x, 0.9 - _m(38), QUARTER)
        for _ in range(4):
            land.put("truck", x + land.between(-0.5, 0.5), land.between(-0.9, 0.6), land.between(0, 6.3), _m(7))


def apartment_blocks(land: Scene) -> None:
    """High houses with lawns and parking between."""
    land.fill(M.GRASS)
    land.trees(14, 2, 5)
    angle = QUARTER * land.rng.integers(2)
    for x, y in _grid(_m(land.between(45, 60)), _m(land.between(32, 45))):
        land.put("apartment", x, y, angle, _m(land.between(25, 45)))
    street = np.abs(land.y - land.between(-0.6, 0.6)) < _m(5)
    land.paint(street, M.ASPHALT)
    land.cars(street, 8)


def baseball_diamond(land: Scene) -> None:
    """A fan of grass around the bare infield, with a grass square and a mound."""
    land.fill(M.GRASS)
    x, y = land.x, land.y + 0.6  # the batter stands at the corner
    angle, reach = np.arctan2(y, x), np.hypot(x, y)
    size = land.between(0.75, 1.25)
    fair = (angle > 0.7) & (angle < 2.44)
    if land.chance(0.6):  # a warning track
        land.paint(fair & (reach < 1.75 * size), M.SOIL)
    land.paint(fair & (reach < 1.62 * size), M.GREEN_CROP)
    land.paint((angle > 0.62) & (angle < 2.52) & (reach < 0.72 * size), M.SOIL)
    land.paint(reach < 0.13, M.SOIL)
    first, third = (x + y) / np.sqrt(2), (y - x) / np.sqrt(2)
    if land.chance(0.75):
        inside = (first > 0.06) & (first < 0.45 * size) & (third > 0.06) & (third < 0.45 * size)
        land.paint(inside, M.GREEN_CROP)
    land.paint(np.hypot(x, y - 0.33 * size) < 0.06, M.SOIL)
    land.paint(((np.abs(first) < 0.008) & (third > 0) | (np.abs(third) < 0.008) & (first > 0)) & (reach < 1.6), M.PAINT)
    land.trees(6, 2, 5, ~(fair & (reach < 1.8)))
    if land.chance(0.5):
        land.put("house", land.between(-0.5, 0.5), -0.9, 0)


def basketball_court(land: Scene) -> None:
    """Marked hard courts beside lawns."""
    land.fill(M.GRASS if land.chance(0.6) else M.ASPHALT)
    long, wide = _m(28), _m(15)
    for x, y in _grid(long * 1.2, wide * 1.5, 0.9):
        court = land.box(x, y, long / 2, wide / 2)
        land.paint(land.box(x, y, long / 2 + 0.07, wide / 2 + 0.07), M.ASPHALT)
        land.paint(court, land.one_of(M.ASPHALT, M.SPORTS_COURT, M.RED_CLAY))
        edge = court & ~land.box(x, y, long / 2 - 0.012, wide / 2 - 0.012)
        ring = np.abs(np.hypot(land.x - x, land.y - y) - _m(1.8)) < 0.01
        keys = np.abs(np.hypot(np.abs(land.x - x) - long / 2 + 0.05, land.y - y) - _m(6.3)) < 0.01
        land.paint(edge | (ring | keys | (np.abs(land.x - x) < 0.008)) & court, M.PAINT)
    land.trees(6)


def beach(land: Scene) -> None:
    """Land, sand, wet sand, surf and sea, in bands along a winding coast."""
    inland = land.y - land.between(-0.3, 0.3) + 0.06 * land.field() + land.wave(0.08, 1, 3)
    land.fill(M.SAND)
    land.paint(inland < -0.06, M.SOIL if land.chance(0.3) else M.STUBBLE)
    land.paint(inland < -0.1, M.WATER)
    land.paint(inland < -0.6, M.DEEP_WATER)
    for surf in (0.1, 0.2, 0.34)[: int(land.rng.integers(1, 4))]:
        width = 0.03 * (1 + 0.8 * land.field("patchy"))
        land.paint(np.abs(inland + surf + 0.02 * land.field()) < width, M.PAINT)
    edge = land.between(0.35, 1.2)
    land.paint(inland > edge, land.one_of(M.GRASS, M.SHRUBS, M.CONCRETE))
    if land.chance(0.3):
        for x in np.arange(-1.5, 1.5, 0.4):
            land.put("house", x, edge + 0.3, 0)


def bridge(land: Scene) -> None:
    """A road across water, from shore to shore."""
    land.fill(M.WATER)
    land.paint(np.abs(land.x) > land.between(0.6, 0.9) + 0.05 * land.field(), M.GRASS)
    half = _m(land.between(5, 12))
    _road(land, land.y, land.x, half, 7)


def buildings(land: Scene) -> None:
    """Large roofs of many sizes with what stands on them, between streets and parking."""
    land.fill(land.one_of(M.ASPHALT, M.CONCRETE))
    pitched, land.pitched = land.pitched, False
    wide, deep = _m(land.between(34, 60)), _m(land.between(30, 50))
    for x, y in _grid(wide, deep):
        kind = land.rng.choice(["office", "hall", "apartment", "plain", "plain"])
        angle = QUARTER * land.rng.integers(2)
        if kind == "plain":
            reach_x, reach_y = wide * land.between(0.25, 0.44), deep * land.between(0.25, 0.44)
            roof = land.box(x, y, reach_x, reach_y)
            if land.chance(0.5):
                roof |= land.box(x + reach_x / 2, y + reach_y / 2, reach_x * 0.7, reach_y * 0.7)
            land.paint(roof, land.one_of(M.GREY_ROOF, M.METAL, M.GREY_ROOF, M.RED_ROOF))
            for _ in range(int(land.rng.integers(0, 9))):
                land.put("container", x + reach_x * land.between(-0.8, 0.8), y + reach_y * land.between(-0.8, 0.8),
                         angle, _m(land.between(1.5, 5)))  # fmt: skip
        else:
            land.put(str(kind), x, y, angle, min(wide, deep) * land.between(0.7, 0.95))
    street = np.abs(land.y - deep / 2) < _m(6)
    land.paint(street, M.ASPHALT)
    land.cars(street, 8)
    _parking(land, land.y > land.between(0.5, 1.2), 0.8)
    land.trees(int(land.rng.integers(0, 14)), 1.5, 4, land.materials != M.GREY_ROOF)
    land.pitched = pitched and land.chance(0.3)


def campground(land: Scene) -> None:
    """Tents and caravans between trees."""
    land.fill(land.one_of(M.GRASS, M.SOIL))
    land.paint(land.field() > land.between(0.3, 1.0), M.TREES)
    land.paint(np.abs(land.y - land.wave(0.2, 1, 2)) < _m(2.5), M.SOIL)
    for _ in range(22):
        kind, long = (("tent", land.between(4, 9)), ("mobile home", 8.0), ("car", 4.6))[int(land.rng.integers(3))]
        land.put(kind, *land.place(), land.between(0, 6.3), _m(long))


def canal(land: Scene) -> None:
    """A straight band of water with banks through fields."""
    MINICLIP_LAYOUTS["farmland"](land)
    half = _m(land.between(5, 12))
    land.paint(np.abs(land.y) < half + _m(6), land.one_of(M.GRASS, M.SOIL))
    land.paint(np.abs(land.y - half - _m(4)) < _m(1.5), M.GRAVEL)
    land.paint(np.abs(land.y) < half, M.WATER)
    if land.chance(0.4):
        land.put("ship", land.between(-0.5, 0.5), 0, 0, _m(land.between(20, 60)))


def cemetery(land: Scene) -> None:
    """Rows of small stones on lawns with paths."""
    land.fill(M.GRASS)
    x, y, number = land.cells(_m(land.between(1.8, 2.6)), _m(land.between(2.8, 3.8)))
    land.paint_choice((np.abs(x - 0.5) < 0.28) & (np.abs(y - 0.5) < 0.3) & (number % 6 > 0), number // 6,
                      M.CONCRETE, M.GRAVEL, M.PAINT, M.RAIL)  # fmt: skip
    for across, period in ((land.x, land.between(0.6, 0.9)), (land.y, land.between(0.5, 0.8))):
        land.paint(np.abs(np.mod(across + 8, period) - period / 2) < _m(1.3), land.one_of(M.GRAVEL, M.GRASS, M.ASPHALT))
    land.trees(int(land.rng.integers(5, 25)), 1.5, 4)


def chaparral(land: Scene) -> None:
    """Round shrubs of many sizes on dry soil."""
    land.fill(land.one_of(M.SAND, M.SOIL, M.STUBBLE))
    land.paint(land.field("patchy", land.between(20, 60)) > land.between(0.3, 1.1), M.SHRUBS)
    for _ in range(int(land.rng.integers(20, 140))):
        land.paint(land.disc(*land.place(1.3), _m(land.between(0.6, 2.2))), M.SHRUBS)


def construction_site(land: Scene) -> None:
    """Diggers, lorries and containers on bare soil."""
    land.fill(M.SOIL)
    land.paint(land.field() > 0.9, M.GRAVEL)
    land.paint(land.box(*land.place(0.4), _m(12), _m(9)), M.CONCRETE)
    for kind, count in (("digger", 7), ("truck", 4), ("container", 4), ("car", 5)):
        for _ in range(count):
            land.put(kind, *land.place(), land.between(0, 6.3))


def container_port(land: Scene) -> None:
    """Stacks of containers in rows, with lorries between, at times a ship."""
    land.fill(land.one_of(M.ASPHALT, M.CONCRETE))
    for x, y in _grid(_m(13), _m(land.between(2.8, 3.4)), 1.6):
        if np.mod(y, _m(26)) < _m(18) and land.chance(0.85):
            land.put("container", x, y, 0, _m(12))
    if land.chance(0.5):
        land.things = [thing for thing in land.things if thing.y < 0.4]
        land.paint(land.y > 0.5, M.WATER)
        land.put("ship", land.between(-0.3, 0.3), 0.5 + _m(16), 0)


def dense_residential_area(land: Scene) -> None:
    """Roofs nearly touching, narrow streets, hardly a tree."""
    _houses(land, _m(land.between(11, 15)), _m(land.between(12, 17)), gap=0.92, trees=6)


def farm(land: Scene) -> None:
    """A house, barns and silos in a yard amid fields."""
    MINICLIP_LAYOUTS["farmland"](land)
    land.paint(land.disc(0, 0, 0.6) & (land.field() > -1), land.one_of(M.GRASS, M.GRAVEL, M.SOIL))
    land.trees(14, 2, 5, land.disc(0, 0, 0.75))
    for _ in range(int(land.rng.integers(2, 6))):
        land.put("barn", *land.place(0.45), QUARTER * land.rng.integers(2), _m(land.between(18, 40)))
    land.put("house", *land.place(0.5), 0)


def farmland(land: Scene) -> None:
    """Fields: one alone, or a patchwork of them."""
    land.fill(land.one_of(M.GREEN_CROP, M.RIPE_CROP, M.STUBBLE, M.SOIL))
    width, height = land.between(0.5, 2.5), land.between(0.5, 2.5)
    x, y, number = land.cells(width, height)
    land.paint_choice(number >= 0, number, M.GREEN_CROP, M.RIPE_CROP, M.STUBBLE, M.SOIL, M.GRASS)
    if land.chance(0.6):
        land.paint((x * width < 0.05) | (y * height < 0.05), land.one_of(M.SOIL, M.GRASS, M.TREES))


def football_field(land: Scene) -> None:
    """A marked pitch, mown in stripes."""
    land.fill(M.GRASS)
    if land.chance(0.5):
        land.put("pitch", 0, 0, 0, _m(land.between(60, 100)))
        return
    long, wide = _m(land.between(60, 95)) / 2, _m(land.between(36, 60)) / 2
    pitch = land.box(0, 0, long, wide)
    land.paint(pitch & (np.mod(land.x + 8, 0.28) < 0.14), M.GREEN_CROP)
    edge = pitch & ~land.box(0, 0, long - 0.015, wide - 0.015)
    ring = np.abs(land.distance() - _m(9)) < 0.012
    boxes = (np.abs(np.abs(land.x) - long + 0.2) < 0.012) & (np.abs(land.y) < 0.35)
    land.paint(edge | ring | boxes | (np.abs(land.x) < 0.01) & pitch, M.PAINT)


def forest(land: Scene) -> None:
    """Trees, with a clearing here and there."""
    land.fill(land.one_of(M.GRASS, M.SOIL, M.TREES))
    land.paint(land.field() > land.between(-3, -0.6), M.TREES)


def golf_course(land: Scene) -> None:
    """Fairways, greens and bunkers between trees."""
    land.fill(M.GRASS)
    land.paint(land.field() > land.between(0.5, 1.2), M.TREES)
    land.paint(np.abs(land.y - land.wave(0.3, 1.2, 2.8)) < land.between(0.2, 0.4), M.GREEN_CROP)
    for _ in range(int(land.rng.integers(2, 7))):
        x, y = land.place(0.9)
        radius, squeeze = land.between(0.06, 0.16), land.between(0.8, 1.8)
        land.paint(np.hypot(land.x - x, squeeze * (land.y - y)) + 0.02 * land.field() < radius, M.SAND)
    if land.chance(0.5):
        land.paint(np.hypot(land.x - 0.6, land.y) + 0.04 * land.field() < 0.25, M.WATER)
    land.paint(np.abs(land.y - land.wave(0.3, 1, 2) - 0.3) < _m(1.2), M.CONCRETE)
    land.trees(8, 2, 5)


def harbor(land: Scene) -> None:
    """Boats side by side at docks that reach from the quay."""
    land.fill(M.WATER if land.chance(0.6) else M.DEEP_WATER)
    shore = land.between(0.4, 1.6)
    land.paint(land.y > shore, M.CONCRETE)
    long = land.between(7, 16)
    pitch, step = _m(2.9 * long), _m(long * land.between(0.36, 0.5))
    land.paint(np.abs(land.x - np.round(land.x / pitch) * pitch) < _m(1.2), land.one_of(M.CONCRETE, M.GRAVEL, M.PAINT))
    land.paint(land.y > shore, M.CONCRETE)
    full = land.between(0.6, 1.0)
    for dock in np.arange(-2, 3) * pitch:
        for y in np.arange(-1.7, shore - step, step):
            for side in (-1, 1):
                if land.chance(full):
                    reach = long * land.between(0.75, 1.15)
                    land.put("boat", dock + side * _m(1.6 + reach / 2), y, 0, _m(reach))
    if land.chance(0.3):
        _parking(land, land.y > shore + 0.2, 0.7)


def highway(land: Scene) -> None:
    """Two carriageways with cars and a median."""
    land.fill(land.one_of(M.GRASS, M.SOIL, M.STUBBLE))
    land.trees(int(land.rng.integers(0, 25)))
    across = land.y - land.wave(0.1, 0.5, 1.1)
    half = _m(land.between(7, 18))
    if land.chance(0.6):
        gap = _m(land.between(1, 9))
        _road(land, across - half - gap, land.x, half, int(land.rng.integers(2, 8)))
        _road(land, across + half + gap, land.x, half, int(land.rng.integers(2, 8)))
        land.paint(np.abs(across) < gap, land.one_of(M.GRASS, M.CONCRETE, M.SOIL))
    else:
        _road(land, across, land.x, half, int(land.rng.integers(3, 12)))


def industrial_area(land: Scene) -> None:
    """Halls, tanks and lorries on concrete."""
    land.fill(land.one_of(M.CONCRETE, M.ASPHALT, M.GRAVEL))
    for x, y in _grid(_m(land.between(38, 60)), _m(land.between(30, 45))):
        kind = str(land.rng.choice(["hall", "hall", "tank", "power plant", "truck"]))
        land.put(kind, x, y, QUARTER * land.rng.integers(2), _m({"tank": 14, "truck": 14}.get(kind, 38)))
    for _ in range(12):
        land.put("truck" if land.chance(0.5) else "container", *land.place(), QUARTER * land.rng.integers(2))


def intersection(land: Scene) -> None:
    """Two roads crossing, with lanes, stop lines and crosswalks; houses or lawns at the corners."""
    if land.chance(0.5):
        _houses(land, _m(18), _m(20), gap=0.7, trees=20, streets=False)
    else:
        land.fill(land.one_of(M.GRASS, M.CONCRETE, M.SOIL))
        for x, y in ((0.8, 0.8), (-0.8, 0.8), (0.8, -0.8), (-0.8, -0.8)):
            if land.chance(0.6):
                land.put("office" if land.chance(0.5) else "house", x, y, 0, _m(land.between(14, 28)))
    one, two = _m(land.between(5, 12)), _m(land.between(5, 12))
    land.things = [thing for thing in land.things if abs(thing.x) > two + _m(10) and abs(thing.y) > one + _m(10)]
    tilt = land.between(-0.25, 0.25) if land.chance(0.3) else 0.0
    across_x = land.x + tilt * land.y
    for across, half in ((land.y, one), (across_x, two)):
        land.paint(np.abs(across) < half + _m(3), M.CONCRETE)
    _road(land, land.y, land.x, one, 5)
    _road(land, across_x, land.y, two, 5)
    middle = (np.abs(land.y) < one) & (np.abs(across_x) < two)
    land.paint(middle, M.ASPHALT)
    if land.chance(0.7):
        for across, along, half, other in ((land.y, across_x, one, two), (across_x, land.y, two, one)):
            band = (np.abs(np.abs(along) - other - _m(3)) < _m(1.5)) & (np.abs(across) < half)
            land.paint(band & (np.mod(across + 8, _m(1.4)) < _m(0.6)), M.PAINT)


def medium_residential_area(land: Scene) -> None:
    """Houses with gardens along streets."""
    _houses(land, _m(land.between(17, 22)), _m(land.between(19, 25)), gap=0.66, trees=45)


def mobile_home_park(land: Scene) -> None:
    """Rows of long narrow homes at an angle to their lanes."""
    land.fill(land.one_of(M.GRASS, M.CONCRETE, M.STUBBLE, M.ASPHALT))
    long, narrow = land.between(13, 18), land.between(4.2, 5.5)
    pitch, step, slant = _m(long * 1.25 + 7), _m(narrow * land.between(1.5, 2.1)), land.between(-0.5, 0.5)
    for x in np.arange(-3, 4) * pitch:
        land.paint(np.abs(land.x - x - pitch / 2) < _m(3), M.ASPHALT)
        for y in np.arange(-2.0, 2.0, step):
            if land.chance(0.93):
                half_x, half_y = _m(long) / 2 * land.between(0.85, 1.05), _m(narrow) / 2
                away_x, away_y = land.x - x, land.y - y
                along = away_x * np.cos(slant) + away_y * np.sin(slant)
                across = away_y * np.cos(slant) - away_x * np.sin(slant)
                home = (np.abs(along) < half_x) & (np.abs(across) < half_y)
                land.paint(home, land.one_of(M.PAINT, M.GREY_ROOF, M.METAL, M.GREY_ROOF, M.CONCRETE))
            if land.chance(0.4):
                land.put("car", x + pitch / 2 - _m(5), y + step / 2, slant)
    land.trees(int(land.rng.integers(4, 30)), 1.5, 3.5)


def overpass(land: Scene) -> None:
    """A road on a bridge across another road, often with ramps."""
    land.fill(land.one_of(M.GRASS, M.SOIL, M.STUBBLE))
    land.trees(int(land.rng.integers(0, 20)))
    if land.chance(0.6):  # ramps in the quarters
        reach = np.hypot(np.abs(land.x) - land.between(0.8, 1.1), np.abs(land.y) - land.between(0.8, 1.1))
        land.paint(np.abs(reach - land.between(0.5, 0.7)) < _m(3.5), M.ASPHALT)
    for across, along in ((land.x, land.y), (land.y, land.x)):
        half = _m(land.between(6, 15))
        land.paint(np.abs(across) < half + _m(1.2), M.CONCRETE)
        _road(land, across, along, half, 6)
        if land.chance(0.6):
            land.paint((np.abs(across) < _m(1.2)), land.one_of(M.GRASS, M.CONCRETE))


def park(land: Scene) -> None:
    """Lawns, trees, winding paths and a pond."""
    land.fill(M.GRASS)
    land.paint(land.field() > 1.0, M.TREES)
    for _ in range(3):
        land.paint(np.abs(land.y - land.wave(0.4, 1, 3) - land.between(-0.8, 0.8)) < _m(1.5), M.GRAVEL)
    land.trees(30, 2, 5)
    if land.chance(0.5):
        land.paint(land.distance(1.3) + 0.1 * land.field() < 0.3, M.WATER)


def parking_lot(land: Scene) -> None:
    """Rows of cars between painted lines."""
    land.fill(M.ASPHALT)
    _parking(land, land.y > -9, land.between(0.5, 1.0))
    if land.chance(0.4):
        land.put("office", land.between(-1, 1), 1.2, 0, _m(40))
    land.trees(int(land.rng.integers(0, 12)), 1.2, 2.5)


def pier(land: Scene) -> None:
    """A deck on piles that reaches from the shore into water."""
    land.fill(land.one_of(M.WATER, M.DEEP_WATER))
    land.paint(land.x > land.between(0.6, 1.0) + 0.05 * land.field(), land.one_of(M.SAND, M.CONCRETE, M.GRASS))
    half = _m(land.between(2, 6))
    land.paint((np.abs(land.y) < half) & (land.x > -0.7), land.one_of(M.GRAVEL, M.CONCRETE, M.ASPHALT))
    land.paint(land.box(-0.6, 0, 0.16, 2.2 * half), M.CONCRETE)
    for _ in range(int(land.rng.integers(1, 5))):
        land.put("boat", land.between(-0.8, 0.4), land.one_of(M(0), M(1)) * 0.3 - 0.15 + land.between(-0.4, 0.4), 0)


def pond(land: Scene) -> None:
    """A small water in grass, or in fields."""
    land.fill(land.one_of(M.GRASS, M.GREEN_CROP, M.SOIL))
    land.trees(16, 1.5, 4)
    reach = land.distance(land.between(0.8, 1.6)) + 0.1 * land.field()
    size = land.between(0.25, 0.5)
    land.paint(reach < size + 0.05, land.one_of(M.REEDS, M.SOIL))
    land.paint(reach < size, M.WATER)


def power_plant(land: Scene) -> None:
    """Cooling towers, halls and pipes."""
    land.fill(land.one_of(M.CONCRETE, M.GRAVEL))
    for _ in range(4):
        land.put("power plant", *land.place(), QUARTER * land.rng.integers(2), _m(land.between(30, 60)))
    for x, y in _grid(_m(40), _m(40), 0.9):
        if land.chance(0.4):
            land.put(str(land.rng.choice(["hall", "tank", "transformer"])), x, y, 0, _m(18))


def residential_area(land: Scene) -> None:
    """Rows of houses along streets."""
    _houses(land, _m(land.between(14, 20)), _m(land.between(16, 22)), gap=0.75, trees=25)


def roundabout(land: Scene) -> None:
    """Four roads meeting in a ring."""
    land.fill(land.one_of(M.GRASS, M.CONCRETE, M.SOIL))
    land.trees(15)
    half, ring = _m(land.between(4, 8)), _m(land.between(13, 24))
    _road(land, land.y, land.x, half, 3)
    _road(land, land.x, land.y, half, 3)
    reach = land.distance()
    land.paint(reach < ring, M.ASPHALT)
    land.paint(np.abs(reach - ring + _m(4.5)) < 0.01, M.PAINT)
    land.paint(reach < ring - _m(9), land.one_of(M.GRASS, M.CONCRETE, M.SOIL))
    land.paint(reach < (ring - _m(9)) / 2, M.TREES if land.chance(0.5) else M.GRASS)
    for _ in range(6):
        turn = land.between(0, 6.3)
        place = ring - _m(land.between(2.5, 7))
        land.put("car", place * np.cos(turn), place * np.sin(turn), turn + QUARTER)


def running_track(land: Scene) -> None:
    """An oval of red lanes around a pitch."""
    land.fill(M.GRASS)
    size = land.between(0.7, 1.0)
    reach = np.hypot(np.maximum(0, np.abs(land.x) - 0.6 * size), land.y)
    track = (reach < 0.55 * size) & (reach > 0.42 * size)
    land.paint(track, land.one_of(M.RED_CLAY, M.RED_CLAY, M.SPORTS_COURT))
    land.paint(track & (np.mod(reach, 0.022) < 0.004), M.PAINT)
    land.paint((reach < 0.42 * size) & (np.mod(land.x + 8, 0.2) < 0.1), M.GREEN_CROP)


def runway(land: Scene) -> None:
    """A marked strip and its taxiway."""
    land.fill(land.one_of(M.GRASS, M.STUBBLE, M.SOIL))
    half = _m(land.between(9, 24))
    across = np.abs(land.y)
    land.paint(across < half + 0.05, land.one_of(M.CONCRETE, M.ASPHALT))
    land.paint(across < half, land.one_of(M.ASPHALT, M.ASPHALT, M.CONCRETE))
    land.paint((across < _m(0.5)) & land.dashes(_m(50), 0.6), M.PAINT)
    land.paint(np.abs(across - half + _m(1)) < _m(0.5), M.PAINT)
    if land.chance(0.5):
        land.paint((np.abs(land.x) < 0.3) & (across < half * 0.85) & (np.mod(land.y + 8, _m(3.6)) < _m(1.8)), M.PAINT)
    if land.chance(0.6):
        land.paint(np.abs(land.y - 1.1) < _m(9), M.CONCRETE)
        land.paint(land.box(0.6, 0.6, _m(8), 0.6), M.CONCRETE)
    if land.chance(0.2):
        land.put("airliner" if land.chance(0.5) else "light plane", land.between(-0.5, 0.5), 0, 0)


def ships(land: Scene) -> None:
    """Ships and boats on open water, with their wakes."""
    land.fill(land.one_of(M.WATER, M.DEEP_WATER))
    for _ in range(int(land.rng.integers(1, 5))):
        x, y, long = *land.place(0.8), _m(land.between(6, 70))
        if land.chance(0.6):
            behind = x - land.x
            wake = (behind > 0) & (behind < 4 * long) & (np.abs(land.y - y) < 0.03 + 0.12 * behind)
            land.paint(wake & (land.field("patchy", 40.0) > 0.4 + 0.5 * behind / long), M.PAINT)
        land.put("ship" if long > _m(25) else "boat", x, y, 0, long)


def sparse_residential_area(land: Scene) -> None:
    """One or two large houses among trees, with a drive."""
    land.fill(land.one_of(M.GRASS, M.GRASS, M.SOIL, M.STUBBLE))
    land.paint(land.field() > land.between(-0.2, 0.9), M.TREES)
    for _ in range(int(land.rng.integers(1, 3))):
        x, y = land.place(0.5)
        land.paint(np.hypot(land.x - x, land.y - y) + 0.08 * land.field() < 0.42, land.one_of(M.GRASS, M.SOIL))
        land.paint(
            (np.abs(land.x - x - 0.1 * np.sin(4 * land.y)) < _m(2)) & (land.y > y), land.one_of(M.CONCRETE, M.SOIL)
        )
        _house(land, x, y, land.between(-0.5, 0.5), _m(land.between(9, 13)), _m(land.between(6, 9)))
        if land.chance(0.4):
            land.paint(land.disc(x - 0.3, y + 0.3, _m(3.5)), M.POOL)
        if land.chance(0.6):
            land.put("car", x + 0.05, y + 0.4, QUARTER)
    land.trees(12)


def storage_tanks(land: Scene) -> None:
    """Round tanks inside low walls."""
    land.fill(land.one_of(M.GRAVEL, M.CONCRETE, M.SOIL, M.GRASS))
    diameter = land.between(8, 34)
    pitch = _m(diameter * land.between(1.2, 1.7))
    if land.chance(0.5):
        land.paint(
            (np.mod(land.x + 8, pitch) < _m(1)) | (np.mod(land.y + 8, pitch) < _m(1)), land.one_of(M.CONCRETE, M.SOIL)
        )
    for x, y in _grid(pitch, pitch, 1.5):
        if land.chance(0.85):
            reach = _m(diameter * land.between(0.8, 1.05))
            if land.chance(0.4):
                land.put("tank", x + pitch / 2, y + pitch / 2, 0, reach)
            else:
                land.paint(land.disc(x + pitch / 2, y + pitch / 2, reach / 2), M.METAL)
    land.pitched = False


def substation(land: Scene) -> None:
    """Transformers and bars in rows on gravel inside a fence."""
    land.fill(M.GRASS)
    land.paint(land.box(0, 0, 0.8, 0.65), M.GRAVEL)
    land.paint(land.box(0, 0, 0.8, 0.65) & (np.mod(land.x + 8, 0.16) < 0.012), M.METAL)
    land.paint(land.box(0, 0, 0.8, 0.65) & (np.mod(land.y + 8, 0.22) < 0.012), M.RAIL)
    for x, y in _grid(0.35, 0.3, 0.65):
        land.put("transformer", x, y, 0, _m(land.between(4, 9)))


def swimming_pool(land: Scene) -> None:
    """Blue pools beside houses."""
    _houses(land, _m(20), _m(24), gap=0.6, trees=25, streets=land.chance(0.5))
    for x, y in _grid(_m(20), _m(24), 1.2):
        if land.chance(0.6):
            pool = land.box(x + _m(8), y + _m(9), _m(land.between(2, 5)), _m(land.between(1.5, 3)))
            land.paint(land.box(x + _m(8), y + _m(9), _m(6), _m(4)), M.CONCRETE)
            land.paint(pool, M.POOL)


def tennis_court(land: Scene) -> None:
    """Marked courts side by side in a fence."""
    land.fill(land.one_of(M.GRASS, M.ASPHALT, M.CONCRETE))
    around, court = (
        land.one_of(M.SPORTS_COURT, M.RED_CLAY, M.GREEN_CROP),
        land.one_of(M.SPORTS_COURT, M.RED_CLAY, M.WATER),
    )
    columns, rows = int(land.rng.integers(1, 4)), int(land.rng.integers(1, 3))
    for x in (np.arange(columns) - (columns - 1) / 2) * _m(17):
        for y in (np.arange(rows) - (rows - 1) / 2) * _m(36):
            land.paint(land.box(x, y, _m(8.5), _m(18)), around)
            land.paint(land.box(x, y, _m(5.5), _m(11.9)), court)
            away_x, away_y = np.abs(land.x - x), np.abs(land.y - y)
            inside = (away_x < _m(5.6)) & (away_y < _m(12))
            width = _m(0.3)
            lines = (
                (away_x > _m(5.3)) | (np.abs(away_x - _m(4.1)) < width / 2) | (away_y > _m(11.7)) | (away_y < width / 2)
            )
            service = (np.abs(away_y - _m(6.4)) < width / 2) & (away_x < _m(4.1)) | (away_x < width / 2) & (
                away_y < _m(6.4)
            )
            land.paint(inside & (lines | service), M.PAINT)
    land.trees(int(land.rng.integers(0, 16)), 2, 5, np.abs(land.x) > columns * _m(9))
    if land.chance(0.4):
        land.put("house", land.between(-0.5, 0.5), rows * _m(18) + 0.3, 0)


def train_station(land: Scene) -> None:
    """Trains on many tracks, a platform between."""
    land.fill(M.GRAVEL)
    for y in np.arange(-0.8, 0.9, _m(5)):
        land.paint((np.abs(land.y - y) < _m(1.3)) & land.dashes(0.05, 0.4), M.SOIL)
        land.paint(np.abs(np.abs(land.y - y) - _m(0.75)) < _m(0.15), M.RAIL)
        if land.chance(0.5):
            start = land.between(-1.5, 0)
            for car in range(int(land.rng.integers(1, 6))):
                land.put("train", start + car * _m(26), y, 0, _m(25))
    if land.chance(0.5):
        land.paint(np.abs(land.y - land.between(-0.5, 0.5)) < _m(4), M.CONCRETE)


def truck_stop(land: Scene) -> None:
    """Lorries and buses side by side."""
    land.fill(land.one_of(M.ASPHALT, M.CONCRETE))
    for x, y in _grid(_m(land.between(17, 24)), _m(land.between(3.6, 4.8)), 1.4):
        if land.chance(0.75):
            land.put("truck", x, y, 0, _m(land.between(9, 16)))


def vineyard(land: Scene) -> None:
    """Narrow rows of vines on soil."""
    land.fill(land.one_of(M.SOIL, M.STUBBLE, M.GRASS))
    period = _m(land.between(1.8, 3))
    land.paint((np.mod(land.y + 8, period) < 0.45 * period) & (land.field("patchy", 50.0) > -1.4), M.SHRUBS)
    land.paint(np.abs(land.x - land.between(-0.8, 0.8)) < _m(2), M.SOIL)


def warehouse(land: Scene) -> None:
    """A very large flat roof, lorries at its docks."""
    land.fill(land.one_of(M.ASPHALT, M.CONCRETE))
    land.pitched = False
    x, y = land.place(0.3)
    wide, deep = _m(land.between(25, 45)), _m(land.between(14, 28))
    land.paint(land.box(x, y, wide, deep), land.one_of(M.METAL, M.GREY_ROOF, M.PAINT))
    land.paint(land.box(x, y, wide, deep) & (np.mod(land.x + 8, _m(7)) < _m(0.4)), M.CONCRETE)
    for dock in np.arange(x - wide + 0.1, x + wide, _m(4.2)):
        if land.chance(0.6):
            land.put("truck", dock, y + deep + _m(8), QUARTER, _m(15))
    _parking(land, land.y < y - deep - _m(8), 0.7)


def wind_farm(land: Scene) -> None:
    """Turbines with long shadows on fields."""
    MINICLIP_LAYOUTS["farmland"](land)
    for x, y in _grid(land.between(0.8, 1.2), land.between(0.8, 1.2), 1.0):
        land.paint(land.disc(x, y, _m(5)), M.GRAVEL)
        land.paint(np.abs(land.x - x) < _m(1.5), M.SOIL)
        land.put("turbine", x, y, land.between(0, 6.3), _m(land.between(30, 45)))


# Parts that layouts share.


def _grid(wide: float, deep: float, reach: float = 1.7) -> list[tuple[float, float]]:
    """Places on a grid around the middle."""
    columns, rows = int(reach / wide), int(reach / deep)
    return [(x * wide, y * deep) for y in range(-rows, rows + 1) for x in range(-columns, columns + 1)]


def _apron(land: Scene) -> None:
    """Concrete slabs with joints and painted lines."""
    land.fill(land.one_of(M.CONCRETE, M.CONCRETE, M.ASPHALT))
    slab = _m(land.between(5, 9))
    joints = (np.mod(land.x + 8, slab) < _m(0.25)) | (np.mod(land.y + 8, slab) < _m(0.25))
    land.paint(joints, land.one_of(M.ASPHALT, M.CONCRETE, M.GRAVEL))
    for _ in range(2):
        line = land.between(-0.8, 0.8)
        land.paint(np.abs(land.y - line - land.wave(0.1, 0.3, 1)) < _m(0.3), land.one_of(M.PAINT, M.RIPE_CROP))
    if land.chance(0.3):
        land.paint(land.y < -0.9, M.GRASS)


def _road(land: Scene, across: Any, along: Any, half: float, cars: int) -> None:
    """A road of this half width where `across` is 0: lanes, a middle line, edges, cars."""
    road: Mask = np.abs(across) < half
    land.paint(road, M.ASPHALT if land.chance(0.75) else M.CONCRETE)
    lanes = max(1, round(half / _m(3.6)))
    for lane in range(1, lanes):
        line = np.abs(np.abs(across) - lane * half / lanes) < _m(0.12)
        land.paint(line & (np.mod(along + 16, _m(9)) < _m(3.5)), M.PAINT)
    land.paint(np.abs(across) < _m(0.2), land.one_of(M.PAINT, M.RIPE_CROP))
    land.paint(np.abs(np.abs(across) - half + _m(0.4)) < _m(0.12), M.PAINT)
    land.cars(road, cars)


def _parking(land: Scene, on: Mask, full: float) -> None:
    """Rows of cars nose to nose, with lines and lanes between."""
    land.paint(on, M.ASPHALT)
    wide, deep = _m(land.between(2.5, 2.9)), _m(land.between(16, 19))
    y = np.mod(land.y + 16, deep)
    rows = on & (y < _m(11))
    land.paint(rows & (np.mod(land.x + 16, wide) < _m(0.16)) | rows & (np.abs(y - _m(5.5)) < _m(0.1)), M.PAINT)
    for row in np.arange(-16, 2, deep):
        for side in (_m(2.75), _m(8.25)):
            for x in np.arange(-16, 2, wide):
                if x > -2 and row > -2 - deep and land.chance(full) and land.inside(on, x + wide / 2, row + side):
                    land.put("car", x + wide / 2, row + side, QUARTER + land.between(-0.05, 0.05))


def _houses(land: Scene, wide: float, deep: float, *, gap: float, trees: int, streets: bool = True) -> None:
    """Houses in rows, back to back; between pairs of rows a street with parked cars and drives."""
    land.fill(land.one_of(M.GRASS, M.GRASS, M.SOIL, M.STUBBLE))
    land.paint(land.field("patchy", 14.0) > 1.5, M.TREES)
    land.trees(trees, 1.5, 4.5)
    street = _m(land.between(6, 9))
    pitch = 2 * deep + street if streets else 2 * deep
    for row in (np.arange(-3, 4) + land.between(0, 1)) * pitch:
        if streets:
            road = np.abs(land.y - row) < street / 2
            land.paint(np.abs(land.y - row) < street / 2 + _m(1.8), M.CONCRETE)
            land.paint(road, M.ASPHALT)
            land.cars(road, 3)
        for side in (-1, 1):
            for x in np.arange(-2, 2, wide) + land.between(0, wide):
                y = row + side * (street * streets + deep) / 2 + side * land.between(0, 0.1) * deep
                land.paint(land.box(x + wide * 0.3, y - side * deep * 0.3, _m(1.6), deep * 0.3), M.CONCRETE)
                if land.chance(0.25):
                    land.put("house", x, y, QUARTER * land.rng.integers(2), wide * gap)
                else:
                    _house(
                        land, x, y, 0.0, wide * gap / 2 * land.between(0.8, 1), deep * gap / 2.6 * land.between(0.8, 1)
                    )
                if land.chance(0.3):
                    land.put("car", x + wide * 0.3, y - side * deep * 0.4, QUARTER)


def _house(land: Scene, x: float, y: float, angle: float, half_wide: float, half_deep: float) -> None:
    """A roof, often with a wing."""
    away_x, away_y = land.x - x, land.y - y
    along = away_x * np.cos(angle) + away_y * np.sin(angle)
    across = away_y * np.cos(angle) - away_x * np.sin(angle)
    roof = (np.abs(along) < half_wide) & (np.abs(across) < half_deep)
    if land.chance(0.6):
        left, ahead = land.between(-0.5, 0.5) * half_wide, half_deep * land.between(0.5, 1)
        roof |= (np.abs(along - left) < half_wide * 0.4) & (np.abs(across - ahead) < half_deep * 0.7)
    land.paint(roof, land.one_of(M.GREY_ROOF, M.RED_ROOF, M.GREY_ROOF))


_OWN: tuple[Layout, ...] = (
    airplane, airport_terminal, apartment_blocks, baseball_diamond, basketball_court, beach, bridge, buildings,
    campground, canal, cemetery, chaparral, construction_site, container_port, dense_residential_area, farm, farmland,
    football_field, forest, golf_course, harbor, highway, industrial_area, intersection, medium_residential_area,
    mobile_home_park, overpass, park, parking_lot, pier, pond, power_plant, residential_area, roundabout,
    running_track, runway, ships, sparse_residential_area, storage_tanks, substation, swimming_pool, tennis_court,
    train_station, truck_stop, vineyard, warehouse, wind_farm,
)  # fmt: skip

LAYOUTS: dict[str, Layout] = {**MINICLIP_LAYOUTS, **{layout.__name__.replace("_", " "): layout for layout in _OWN}}
