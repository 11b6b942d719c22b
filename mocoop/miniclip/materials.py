"""The materials of the drawn land: one table with a row per material and a column per way of imaging it.

A land-cover class is a map of materials (`layouts`); a style shows that map through one or two columns of this table
(`styles`). The numbers are chosen to look right, not measured.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Colour = tuple[float, float, float]


class Material(IntEnum):
    """The materials; the value is the row in the tables below."""

    GRASS = 0
    TREES = 1
    WATER = 2
    DEEP_WATER = 3
    ASPHALT = 4
    CONCRETE = 5
    RED_ROOF = 6
    GREY_ROOF = 7
    SOIL = 8
    SAND = 9
    GREEN_CROP = 10
    RIPE_CROP = 11
    STUBBLE = 12
    PAINT = 13
    METAL = 14
    SOLAR_PANEL = 15
    ICE = 16
    ROCK = 17
    SPORTS_COURT = 18
    RED_CLAY = 19
    WHITE_CAR = 20
    RED_CAR = 21
    DARK_CAR = 22
    RAIL = 23
    GRAVEL = 24
    REEDS = 25
    POOL = 26
    GLASS = 27
    SHRUBS = 28


class _Look(NamedTuple):
    """How one material looks; every number lies between 0 and 1."""

    colour: Colour  # red, green, blue by day
    infrared: float  # reflectance in the near infrared
    light: float  # how brightly it is lit at night
    grain: float  # strength of its texture
    map_colour: Colour  # on a drawn map
    snow: float  # how much of it snow hides
    heat: float  # warmth on a summer day
    height: float  # above its surroundings
    echo: float  # radar backscatter


_LOOKS = {
    Material.GRASS: _Look((0.36, 0.47, 0.24), 0.75, 0.02, 0.16, (0.80, 0.90, 0.70), 0.85, 0.42, 0.30, 0.35),
    Material.TREES: _Look((0.12, 0.26, 0.12), 0.62, 0.00, 0.45, (0.45, 0.70, 0.45), 0.40, 0.25, 0.72, 0.62),
    Material.WATER: _Look((0.12, 0.26, 0.38), 0.05, 0.00, 0.06, (0.55, 0.75, 0.95), 0.00, 0.10, 0.08, 0.05),
    Material.DEEP_WATER: _Look((0.05, 0.13, 0.28), 0.03, 0.00, 0.05, (0.45, 0.65, 0.92), 0.00, 0.05, 0.00, 0.03),
    Material.ASPHALT: _Look((0.28, 0.28, 0.30), 0.22, 0.35, 0.08, (0.98, 0.95, 0.70), 0.35, 0.82, 0.36, 0.10),
    Material.CONCRETE: _Look((0.62, 0.61, 0.58), 0.40, 0.30, 0.07, (0.85, 0.85, 0.85), 0.80, 0.66, 0.42, 0.28),
    Material.RED_ROOF: _Look((0.60, 0.28, 0.20), 0.38, 0.75, 0.10, (0.75, 0.60, 0.52), 0.85, 0.74, 0.84, 0.85),
    Material.GREY_ROOF: _Look((0.48, 0.49, 0.52), 0.33, 0.70, 0.10, (0.66, 0.60, 0.58), 0.85, 0.70, 0.90, 0.80),
    Material.SOIL: _Look((0.50, 0.38, 0.26), 0.42, 0.00, 0.15, (0.90, 0.82, 0.70), 0.80, 0.60, 0.22, 0.24),
    Material.SAND: _Look((0.82, 0.72, 0.52), 0.60, 0.00, 0.08, (0.97, 0.92, 0.72), 0.80, 0.76, 0.20, 0.14),
    Material.GREEN_CROP: _Look((0.30, 0.52, 0.16), 0.85, 0.00, 0.14, (0.86, 0.93, 0.62), 0.85, 0.34, 0.40, 0.46),
    Material.RIPE_CROP: _Look((0.68, 0.62, 0.30), 0.55, 0.00, 0.12, (0.93, 0.90, 0.60), 0.85, 0.54, 0.46, 0.40),
    Material.STUBBLE: _Look((0.46, 0.40, 0.22), 0.48, 0.00, 0.16, (0.88, 0.84, 0.66), 0.85, 0.62, 0.26, 0.32),
    Material.PAINT: _Look((0.93, 0.93, 0.92), 0.80, 0.80, 0.03, (0.40, 0.40, 0.40), 0.35, 0.60, 0.38, 0.20),
    Material.METAL: _Look((0.86, 0.87, 0.86), 0.62, 0.55, 0.04, (0.72, 0.72, 0.80), 0.70, 0.90, 0.96, 1.00),
    Material.SOLAR_PANEL: _Look((0.08, 0.11, 0.30), 0.10, 0.00, 0.05, (0.35, 0.40, 0.70), 0.35, 0.95, 0.55, 0.70),
    Material.ICE: _Look((0.90, 0.94, 0.98), 0.68, 0.00, 0.07, (0.92, 0.97, 1.00), 0.30, 0.00, 0.50, 0.42),
    Material.ROCK: _Look((0.44, 0.40, 0.37), 0.34, 0.00, 0.32, (0.78, 0.74, 0.70), 0.75, 0.64, 0.66, 0.66),
    Material.SPORTS_COURT: _Look((0.16, 0.42, 0.52), 0.30, 0.90, 0.04, (0.60, 0.85, 0.78), 0.85, 0.70, 0.34, 0.16),
    Material.RED_CLAY: _Look((0.66, 0.30, 0.20), 0.42, 0.90, 0.05, (0.90, 0.62, 0.50), 0.85, 0.72, 0.32, 0.18),
    Material.WHITE_CAR: _Look((0.92, 0.92, 0.92), 0.70, 0.60, 0.02, (0.50, 0.50, 0.50), 0.60, 0.55, 0.54, 0.92),
    Material.RED_CAR: _Look((0.72, 0.12, 0.12), 0.40, 0.60, 0.02, (0.50, 0.50, 0.50), 0.60, 0.88, 0.54, 0.92),
    Material.DARK_CAR: _Look((0.10, 0.12, 0.20), 0.10, 0.60, 0.02, (0.50, 0.50, 0.50), 0.60, 0.94, 0.54, 0.92),
    Material.RAIL: _Look((0.20, 0.17, 0.16), 0.15, 0.05, 0.06, (0.30, 0.30, 0.35), 0.35, 0.86, 0.40, 0.88),
    Material.GRAVEL: _Look((0.56, 0.50, 0.45), 0.36, 0.05, 0.16, (0.86, 0.82, 0.78), 0.75, 0.68, 0.34, 0.50),
    Material.REEDS: _Look((0.24, 0.31, 0.20), 0.40, 0.00, 0.30, (0.62, 0.80, 0.76), 0.60, 0.22, 0.26, 0.54),
    Material.POOL: _Look((0.25, 0.72, 0.80), 0.08, 0.60, 0.04, (0.40, 0.80, 0.95), 0.00, 0.16, 0.12, 0.06),
    Material.GLASS: _Look((0.74, 0.82, 0.84), 0.45, 0.95, 0.06, (0.80, 0.90, 0.86), 0.50, 0.98, 0.62, 0.76),
    Material.SHRUBS: _Look((0.34, 0.36, 0.20), 0.55, 0.00, 0.24, (0.72, 0.78, 0.58), 0.60, 0.48, 0.48, 0.52),
}

_ROWS = [_LOOKS[material] for material in Material]


def _column(values: list[object]) -> NDArray[np.float32]:
    return np.array(values, dtype=np.float32)


COLOURS = _column([(*look.colour, look.infrared) for look in _ROWS])  # (M, 4): red, green, blue, near infrared
MAP_COLOURS = _column([look.map_colour for look in _ROWS])  # (M, 3)
LIGHTS = _column([look.light for look in _ROWS])  # (M,), as all below
GRAINS = _column([look.grain for look in _ROWS])
SNOW = _column([look.snow for look in _ROWS])
HEAT = _column([look.heat for look in _ROWS])
HEIGHTS = _column([look.height for look in _ROWS])
ECHOES = _column([look.echo for look in _ROWS])
