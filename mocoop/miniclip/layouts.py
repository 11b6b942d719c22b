"""The land-cover classes: one short function per class, painting its materials on a `Land`.

Sorted by name, like a folder of class folders, so that base and new halves do not depend on how the tiles are read.
How a tile looks by night or under snow is in `styles`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mocoop.miniclip.land import Land
from mocoop.miniclip.materials import Material as M

Layout = Callable[[Land], None]


def airplane(land: Land) -> None:
    """An airliner on the apron, with its shadow."""
    land.fill(land.one_of(M.CONCRETE, M.CONCRETE, M.ASPHALT))
    land.paint(np.abs(land.y - land.between(-0.3, 0.3)) < 0.02, M.PAINT)
    body = M.METAL if land.chance(0.6) else M.PAINT
    along, across = land.x, np.abs(land.y)
    sweep = land.between(0.35, 0.6)
    wing = (np.abs(along - 0.1 + sweep * across) < 0.13) & (across < 0.68)
    tail = (np.abs(along + 0.55 + sweep * across) < 0.075) & (across < 0.27)
    fuselage = (across < 0.085) & (along > -0.66) & (along < 0.7)
    shadow = np.roll(wing | tail | fuselage, (2, 2), (0, 1))
    land.paint(shadow, M.RAIL)
    land.paint(wing | tail | fuselage, body)
    if land.chance(0.5):
        land.paint(land.box(land.between(-0.8, 0.8), land.between(0.85, 0.95), 0.3, 0.12), M.GREY_ROOF)


def baseball_diamond(land: Land) -> None:
    """A fan of grass around the bare infield."""
    land.fill(M.GRASS)
    x, y = land.x, land.y + 0.6  # the batter stands at the corner
    angle, reach = np.arctan2(y, x), np.hypot(x, y)
    fair = (angle > 0.7) & (angle < 2.44)
    land.paint(fair & (reach < 1.25), M.GREEN_CROP)
    land.paint(fair & (reach < 0.68), M.SOIL)
    first, third = (x + y) / np.sqrt(2), (y - x) / np.sqrt(2)
    land.paint((first > 0.05) & (first < 0.42) & (third > 0.05) & (third < 0.42), M.GREEN_CROP)
    land.paint(land.disc(0, -0.27, 0.07), M.SOIL)


def beach(land: Land) -> None:
    """Land, sand, surf and sea, in bands."""
    inland = land.y - land.between(-0.2, 0.2) + 0.05 * land.field()
    land.fill(M.SAND)
    land.paint(inland < -0.12, M.WATER)
    land.paint(inland < -0.5, M.DEEP_WATER)
    land.paint(np.abs(inland + 0.12) < 0.035, M.PAINT)  # surf
    land.paint(inland > 0.45, M.GRASS)


def bridge(land: Land) -> None:
    """A road across water, from shore to shore."""
    land.fill(M.WATER)
    land.paint(np.abs(land.x) > land.between(0.6, 0.8) + 0.05 * land.field(), M.GRASS)
    land.paint(np.abs(land.y) < 0.15, M.CONCRETE)
    deck = np.abs(land.y) < 0.11
    land.paint(deck, M.ASPHALT)
    land.paint((np.abs(land.y) < 0.015) & land.dashes(0.25), M.PAINT)
    land.cars(deck, 6)


def chaparral(land: Land) -> None:
    """Round shrubs of many sizes on dry soil."""
    land.fill(land.one_of(M.SAND, M.SOIL))
    width = land.between(0.14, 0.2)
    x, y, number = land.cells(width, width)
    centre_x, centre_y = 0.3 + 0.4 * (number % 8) / 7, 0.3 + 0.4 * (number // 8 % 8) / 7
    radius = 0.18 + 0.2 * (number // 64 % 4) / 3
    land.paint(np.hypot(x - centre_x, y - centre_y) < radius, M.SHRUBS)
    land.paint(land.field("patchy") > 1.3, M.SHRUBS)


def circular_fields(land: Land) -> None:
    """Round fields under pivot irrigation."""
    land.fill(M.SOIL if land.chance(0.6) else M.SAND)
    pitch = land.between(0.85, 1.1)
    x, y, number = land.cells(pitch, pitch)
    circle = np.hypot(x - 0.5, y - 0.5) < 0.46
    land.paint_choice(circle, number, M.GREEN_CROP, M.GREEN_CROP, M.RIPE_CROP)
    land.paint(circle & (np.abs(y - 0.5) < 0.015) & (x > 0.5), M.SOIL)  # the watering arm


def desert(land: Land) -> None:
    """Sand in long dunes."""
    land.fill(M.SAND)
    land.paint(np.sin(land.y * 9 + 1.2 * land.field()) > 0.75, M.SOIL)


def farmland(land: Land) -> None:
    """A patchwork of rectangular fields."""
    width, height = land.between(0.5, 0.8), land.between(0.35, 0.6)
    x, y, number = land.cells(width, height)
    everywhere = np.ones_like(x, dtype=np.bool_)
    land.paint_choice(everywhere, number, M.GREEN_CROP, M.RIPE_CROP, M.STUBBLE, M.SOIL)
    land.paint((x * width < 0.03) | (y * height < 0.03), M.SOIL)


def forest(land: Land) -> None:
    """Trees, with a clearing here and there."""
    land.fill(M.TREES)
    land.paint(land.field() > 1.5, M.GRASS)


def glacier(land: Land) -> None:
    """A band of ice with crevasses between rocks."""
    land.fill(M.ROCK)
    across = land.y - land.wave(0.2, 1.2, 1.8)
    side = np.abs(across) + 0.05 * land.field()
    land.paint(side < 0.6, M.ICE)
    land.paint((side < 0.55) & (np.sin(across * 22 + 0.8 * land.field()) > 0.85), M.ROCK)


def golf_course(land: Land) -> None:
    """A winding fairway between trees, and bunkers."""
    land.fill(M.TREES)
    land.paint(land.field() > -0.5, M.GRASS)
    land.paint(np.abs(land.y - land.wave(0.3, 2.2, 2.8)) < 0.22, M.GREEN_CROP)  # the fairway
    for _ in range(6):
        x, y = land.place(0.9)
        radius = land.between(0.07, 0.14)
        land.paint(np.hypot(land.x - x, 1.4 * (land.y - y)) < radius, M.SAND)


def greenhouses(land: Land) -> None:
    """Rows of glass roofs."""
    land.fill(land.one_of(M.SOIL, M.GRASS))
    pitch = land.between(0.2, 0.28)
    x, y, _ = land.cells(1.1, pitch)
    house = (x > 0.13) & (y > 0.16)
    land.paint(house, M.GLASS)
    land.paint(house & (y > 0.8), M.PAINT)


def harbor(land: Land) -> None:
    """Boats at docks that reach from the quay."""
    land.fill(M.WATER)
    shore = land.between(0.3, 0.6)
    land.paint(land.y > shore, M.CONCRETE)
    x, y, number = land.cells(0.42, 0.17)
    docks = (land.y > shore - 0.85) & (land.y < shore)
    side = np.abs(x - 0.5)
    berth = (side > 0.11) & (side < 0.42) & (y > 0.26) & (y < 0.74) & (number % 4 > 0)
    land.paint(docks & berth & (land.y < shore - 0.05), M.WHITE_CAR)  # boats are white and long, like cars
    land.paint(docks & (side < 0.085), M.CONCRETE)


def highway(land: Land) -> None:
    """Two carriageways with cars and a green median."""
    land.countryside()
    width = land.between(0.16, 0.28)
    across = np.abs(land.y - land.wave(0.12, 0.9, 1.1))
    road = across < width
    land.paint(road, M.ASPHALT)
    land.paint(across < 0.025, M.GRASS)
    land.paint((np.abs(across - width * 0.55) < 0.018) & land.dashes(1 / 6), M.PAINT)
    land.cars(road, 8)


def industrial_area(land: Land) -> None:
    """Large halls with seamed roofs."""
    land.fill(M.CONCRETE)
    x, y, number = land.cells(land.between(0.8, 1.05), land.between(0.55, 0.75))
    hall = (x > 0.14) & (x < 0.9) & (y > 0.16) & (y < 0.86)
    land.paint_choice(hall, number, M.GREY_ROOF, M.METAL, M.GREY_ROOF)
    land.paint(hall & (np.mod(x, 0.2) < 0.03), M.RAIL)  # seams of the roof
    land.paint((x < 0.06) | (y < 0.06), M.ASPHALT)


def intersection(land: Land) -> None:
    """Two roads crossing at a right angle, with crosswalks."""
    land.countryside()
    width = land.between(0.17, 0.24)
    across_x, across_y = np.abs(land.x), np.abs(land.y)
    if land.chance(0.6):  # houses at the corners
        side = land.between(0.6, 0.75)
        corner = (np.abs(across_x - side) < 0.2) & (np.abs(across_y - side) < 0.2)
        land.paint(corner, land.one_of(M.RED_ROOF, M.GREY_ROOF))
    road = (across_x < width) | (across_y < width)
    land.paint(road, M.ASPHALT)
    outside = (across_x > width) | (across_y > width)
    land.paint(outside & (across_x < 0.02) | outside & (across_y < 0.02), M.PAINT)
    stripes_x = (np.abs(across_x - width - 0.07) < 0.035) & (across_y < width) & (np.mod(land.y + 8, 0.08) < 0.045)
    stripes_y = (np.abs(across_y - width - 0.07) < 0.035) & (across_x < width) & (np.mod(land.x + 8, 0.08) < 0.045)
    land.paint(stripes_x | stripes_y, M.PAINT)
    land.cars(road, 7)


def island(land: Land) -> None:
    """Trees and sand in the sea."""
    land.fill(M.DEEP_WATER)
    reach = land.distance(land.between(0.9, 1.3)) + 0.09 * land.field()
    land.paint(reach < 0.72, M.WATER)
    land.paint(reach < 0.55, M.SAND)
    land.paint(reach < 0.44, M.TREES)


def lake(land: Land) -> None:
    """Water with a reedy shore."""
    land.countryside()
    reach = land.distance(land.between(0.9, 1.4)) + 0.09 * land.field()
    radius = land.between(0.55, 0.75)
    land.paint(reach < radius + 0.05, M.REEDS)
    land.paint(reach < radius, M.WATER)
    land.paint(reach < radius - 0.3, M.DEEP_WATER)


def meadow(land: Land) -> None:
    """Grass with single trees."""
    land.fill(M.GRASS)
    land.paint(land.field() > 1.6, M.GREEN_CROP)
    for _ in range(5):
        land.paint(land.disc(*land.place(), 0.06), M.TREES)


def orchard(land: Land) -> None:
    """Trees on a grid."""
    land.fill(land.one_of(M.STUBBLE, M.GRASS))
    pitch = land.between(0.17, 0.24)
    x, y, _ = land.cells(pitch, pitch)
    land.paint(np.hypot(x - 0.5, y - 0.5) < 0.33, M.TREES)


def parking_lot(land: Land) -> None:
    """Rows of cars between painted lines."""
    land.fill(M.ASPHALT)
    x, y, number = land.cells(0.13, 0.34)
    row = y < 0.6
    land.paint(row & (x < 0.1), M.PAINT)
    car = (x > 0.22) & (x < 0.8) & (y > 0.08) & (y < 0.55)
    land.paint_choice(car & (number % 5 > 0), number // 5, M.WHITE_CAR, M.RED_CAR, M.DARK_CAR, M.WHITE_CAR)


def quarry(land: Land) -> None:
    """Terraces around a pit."""
    land.countryside()
    reach = land.distance(1.15) + 0.06 * land.field()
    land.paint(reach < 0.95, M.ROCK)
    land.paint((reach < 0.85) & (np.floor(reach / 0.13).astype(np.int64) % 2 == 0), M.GRAVEL)  # terraces
    land.paint(reach < 0.2, M.POOL if land.chance(0.3) else M.SOIL)


def railway(land: Land) -> None:
    """Parallel tracks on sleepers, at times a train."""
    land.fill(M.GRAVEL)
    land.paint(np.abs(land.y) > land.between(0.45, 0.75), M.GRASS)
    for track in (-0.36, -0.12, 0.12, 0.36):
        across = np.abs(land.y - track)
        land.paint((across < 0.085) & land.dashes(0.12, 0.42), M.SOIL)  # sleepers
        land.paint(np.abs(across - 0.05) < 0.016, M.RAIL)
    if land.chance(0.5):
        train = land.box(land.between(-1, 1), -0.12, 0.5, 0.07)
        land.paint(train, land.one_of(M.RED_ROOF, M.DARK_CAR, M.METAL))


def residential_area(land: Land) -> None:
    """Rows of houses along streets."""
    land.countryside()
    width = land.between(0.36, 0.5)
    height = width * land.between(0.9, 1.1)
    x, y, number = land.cells(width, height)
    house = (x > 0.22) & (x < 0.72) & (y > 0.3) & (y < 0.75)
    land.paint_choice(house, number, M.RED_ROOF, M.GREY_ROOF)
    _, street, _ = land.cells(4.0, height * 2)
    land.paint(street * height * 2 < 0.1, M.ASPHALT)


def river(land: Land) -> None:
    """A winding band of water between sandy banks."""
    land.countryside()
    bank = 0.05 * land.field(pixels_per_unit=12)
    across = np.abs(land.y - land.wave(0.35, 1.8, 3.2) + bank)
    width = land.between(0.12, 0.2)
    land.paint(across < width + land.between(0.02, 0.07), M.SAND)
    land.paint(across < width, M.WATER)


def roundabout(land: Land) -> None:
    """Four roads meeting in a ring."""
    land.countryside()
    land.paint((np.abs(land.x) < 0.13) | (np.abs(land.y) < 0.13), M.ASPHALT)
    reach = land.distance()
    land.paint(reach < 0.52, M.ASPHALT)
    land.paint(np.abs(reach - 0.36) < 0.015, M.PAINT)
    land.paint(reach < 0.24, M.GRASS)
    land.paint(reach < 0.1, M.TREES)
    land.cars((reach < 0.5) & (reach > 0.26), 8)


def runway(land: Land) -> None:
    """A marked strip and its taxiway."""
    land.countryside(trees=False)
    width = land.between(0.13, 0.18)
    across = np.abs(land.y)
    land.paint(across < width + 0.03, M.CONCRETE)
    land.paint(across < width, M.ASPHALT)
    land.paint((across < 0.02) & land.dashes(1 / 3, 0.6), M.PAINT)
    threshold = (np.abs(land.x + 0.75) < 0.13) & (across < width * 0.85) & (np.mod(land.y + 8, 0.05) < 0.025)
    land.paint(threshold, M.PAINT)
    land.paint(np.abs(land.y - 0.62) < 0.07, M.CONCRETE)  # the taxiway
    land.paint(land.box(0.5, 0.35, 0.05, 0.3), M.CONCRETE)


def solar_farm(land: Land) -> None:
    """Rows of dark panels."""
    land.fill(land.one_of(M.SOIL, M.GRASS))
    x, y, _ = land.cells(0.8, land.between(0.18, 0.26))
    panel = (y > 0.35) & (x > 0.1)
    land.paint(panel, M.SOLAR_PANEL)
    land.paint(panel & land.dashes(0.16, 0.12), M.METAL)


def stadium(land: Land) -> None:
    """A pitch, a track and stands, in rings."""
    if land.chance(0.5):
        land.fill(M.CONCRETE)
    else:
        land.countryside()
    reach = np.hypot(land.x / land.between(1.25, 1.5), land.y)
    land.paint(reach < 0.72, M.GREY_ROOF)
    land.paint(reach < 0.56, M.RED_CLAY)
    pitch = reach < 0.43
    land.paint(pitch, M.GRASS)
    land.paint(pitch & (np.abs(land.x) < 0.02), M.PAINT)
    land.paint(np.abs(land.distance() - 0.14) < 0.02, M.PAINT)


def storage_tanks(land: Land) -> None:
    """Round white tanks on a grid, with shadows."""
    land.fill(land.one_of(M.GRAVEL, M.CONCRETE))
    pitch = land.between(0.48, 0.68)
    x, y, _ = land.cells(pitch, pitch)
    radius = land.between(0.33, 0.42)
    land.paint(np.hypot(x - 0.58, y - 0.58) < radius, M.RAIL)  # its shadow
    reach = np.hypot(x - 0.5, y - 0.5)
    land.paint(reach < radius, M.METAL)
    land.paint(reach < radius * 0.2, M.GREY_ROOF)


def tennis_court(land: Land) -> None:
    """Marked courts side by side."""
    land.fill(M.GRASS if land.chance(0.6) else M.ASPHALT)
    x, y, _ = land.cells(0.72, 1.15)
    x, y = np.abs(x - 0.5) * 0.72, np.abs(y - 0.5) * 1.15
    land.paint((x < 0.32) & (y < 0.52), M.RED_CLAY if land.chance(0.3) else M.SPORTS_COURT)
    inside = (x < 0.2) & (y < 0.4)
    line = (x > 0.17) | (y > 0.37) | (y < 0.02) | (x < 0.015) & (y < 0.2)
    land.paint(inside & line, M.PAINT)


def wetland(land: Land) -> None:
    """Reeds broken by pools."""
    land.fill(M.REEDS)
    land.paint(land.field("patchy", pixels_per_unit=14) > 0.7, M.WATER)
    land.paint(land.field() < -1.0, M.GRASS)


_ALL = (
    airplane, baseball_diamond, beach, bridge, chaparral, circular_fields, desert, farmland,
    forest, glacier, golf_course, greenhouses, harbor, highway, industrial_area, intersection,
    island, lake, meadow, orchard, parking_lot, quarry, railway, residential_area,
    river, roundabout, runway, solar_farm, stadium, storage_tanks, tennis_court, wetland,
)  # fmt: skip

LAYOUTS: dict[str, Layout] = {layout.__name__.replace("_", " "): layout for layout in _ALL}
CLASSES: tuple[str, ...] = tuple(LAYOUTS)
