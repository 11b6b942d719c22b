"""The canvas that layouts paint on: a square of material numbers and the rotated, zoomed coordinates over it.

Coordinates run from about -1 to 1 over the tile, x along and y across the layout's own direction. `Land` offers
the few shapes that layouts are made of; what a class looks like is in `layouts`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mocoop.miniclip import noise
from mocoop.miniclip.materials import Material
from mocoop.miniclip.noise import Field, Kind

SIZE = 64  # pixels along a side of a tile

Mask = NDArray[np.bool_]

_AXIS = ((np.arange(SIZE) + 0.5) / SIZE * 2 - 1).astype(np.float32)
_CARS = (Material.WHITE_CAR, Material.RED_CAR, Material.DARK_CAR)
_FAR = 16.0  # added before a modulo, so that it only meets positive numbers


class Land:
    """One tile being painted. `zoom` > 1 shows less land, `angle` turns it, `offset` moves it."""

    def __init__(
        self,
        rng: np.random.Generator,
        zoom: float = 1.0,
        angle: float = 0.0,
        offset: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        self.rng = rng
        along, across = np.float32(np.cos(angle) / zoom), np.float32(np.sin(angle) / zoom)
        self.x: Field = _AXIS[None, :] * along - _AXIS[:, None] * across + np.float32(offset[0])
        self.y: Field = _AXIS[None, :] * across + _AXIS[:, None] * along + np.float32(offset[1])
        self.materials: NDArray[np.uint8] = np.zeros((SIZE, SIZE), np.uint8)

    # Random choices.

    def between(self, low: float, high: float) -> float:
        """A uniform random number from [low, high)."""
        return float(self.rng.uniform(low, high))

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return bool(self.rng.random() < probability)

    def one_of(self, *materials: Material) -> Material:
        """One of the materials, uniformly at random."""
        return materials[int(self.rng.integers(len(materials)))]

    def place(self, reach: float = 1.0) -> tuple[float, float]:
        """A random point of the tile."""
        return self.between(-reach, reach), self.between(-reach, reach)

    # Masks.

    def field(self, kind: Kind = "smooth", pixels_per_unit: float = 20.0) -> Field:
        """A random field over the tile, with mean 0 and standard deviation 1."""
        return noise.sample(kind, self.rng, self.x, self.y, pixels_per_unit)

    def box(self, x: float, y: float, half_width: float, half_height: float) -> Mask:
        """A rectangle about (x, y)."""
        inside: Mask = (np.abs(self.x - x) < half_width) & (np.abs(self.y - y) < half_height)
        return inside

    def disc(self, x: float, y: float, radius: float) -> Mask:
        """Points nearer to (x, y) than the radius."""
        inside: Mask = (self.x - x) ** 2 + (self.y - y) ** 2 < radius * radius
        return inside

    def distance(self, stretch: float = 1.0) -> Field:
        """Distance from the middle; `stretch` > 1 flattens circles across."""
        reach: Field = np.hypot(self.x, self.y * np.float32(stretch))
        return reach

    def wave(self, height: float, low: float, high: float) -> Field:
        """A winding line's y for every x, with a random phase and a frequency between low and high."""
        line: Field = height * np.sin(self.x * self.between(low, high) + self.between(0, 2 * np.pi))
        return line

    def dashes(self, period: float, share: float = 0.5) -> Mask:
        """Marks along x: `share` of every period."""
        return np.mod(self.x, period) < share * period

    def cells(self, width: float, height: float) -> tuple[Field, Field, NDArray[np.int64]]:
        """A grid: position within the cell along x and y (0 to 1), and a random number below 2**16 per cell."""
        columns, rows = (self.x + _FAR) / width, (self.y + _FAR) / height
        column, row = np.floor(columns).astype(np.int64), np.floor(rows).astype(np.int64)
        mixed = (column * 73_856_093) ^ (row * 19_349_663) ^ int(self.rng.integers(1 << 30))
        mixed = ((mixed & 0xFFFF_FFFF) * 2_654_435_761) & 0xFFFF_FFFF  # so that neighbours differ
        return columns - column, rows - row, mixed >> 16

    # Painting.

    def fill(self, material: Material) -> None:
        """Paint the whole tile."""
        self.materials[:] = material

    def paint(self, mask: Mask, material: Material) -> None:
        """Paint where the mask is true, over what is there."""
        self.materials[mask] = material

    def paint_choice(self, mask: Mask, numbers: NDArray[np.int64], *choices: Material) -> None:
        """Paint every cell of the mask with the choice selected by its number."""
        table = np.array(choices, np.uint8)
        self.materials[mask] = table[numbers[mask] % len(choices)]

    def countryside(self, trees: bool = True) -> None:
        """Grass, sometimes crops or soil, with woods: the background of many classes."""
        common = self.chance(0.7)
        self.fill(Material.GRASS if common else self.one_of(Material.GREEN_CROP, Material.SOIL))
        if trees:
            self.paint(self.field() > 1.2, Material.TREES)

    def cars(self, on: Mask, count: int) -> None:
        """Small cars at random places, where the mask allows."""
        for _ in range(count):
            self.paint(self.box(*self.place(), 0.06, 0.035) & on, self.one_of(*_CARS))
