"""Drawn satellite-like tiles: one, a labelled set in memory, or a set as class folders of PNG files.

Tile i of a set depends only on the seed and i, so a larger set begins with the smaller one, and worker processes draw
the same tiles as a single process. The tiles are drawings for a stand-in backbone, not photographs, and represent no
real sensor.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mocoop.errors import UsageError
from mocoop.files import os_error
from mocoop.miniclip.land import SIZE, Land
from mocoop.miniclip.layouts import CLASSES, LAYOUTS
from mocoop.miniclip.materials import Material
from mocoop.miniclip.styles import DOWNSTREAM, STYLES, render

DEMO_SHIFT = 0.9  # strength of the downstream look at which zero-shot classification is about half right

_PART = 2048  # tiles a worker draws at a time


@dataclass(frozen=True)
class Scenes:
    """Labelled tiles. `labels` and `styles` index `class_names` and `style_names`."""

    images: NDArray[np.uint8]  # (N, 64, 64, 3)
    labels: NDArray[np.int64]  # (N,)
    styles: NDArray[np.int64]  # (N,)
    class_names: tuple[str, ...]
    style_names: tuple[str, ...]


def draw_tile(name: str, style: str, rng: np.random.Generator, shift: float = 0.0) -> NDArray[np.uint8]:
    """One tile (64, 64, 3) of the class `name` in a style."""
    zoom = rng.uniform(0.85, 1.2) * rng.uniform(1 - 0.35 * shift, 1 + 0.5 * shift)
    east, south = rng.uniform(-0.18, 0.18, 2) * (1 + shift)
    land = Land(rng, zoom, rng.uniform(0, 2 * np.pi), (east, south))
    LAYOUTS[name](land)
    if rng.random() < 0.3 + 0.5 * shift:
        _scatter(land, shift)
    return render(style, land.materials, rng, shift)


def draw_scenes(
    per_class_and_style: int,
    seed: int,
    shift: float = 0.0,
    *,
    styles: Sequence[str] = DOWNSTREAM,
    classes: Sequence[str] = CLASSES,
    workers: int = 1,
) -> Scenes:
    """A balanced set: equally many tiles of every class in every style, classes changing fastest, then styles.

    Raises UsageError for a class, style or shift that cannot be drawn.
    """
    _check(styles, classes, shift)
    count = per_class_and_style * len(styles) * len(classes)
    index = np.arange(count)
    labels, style_of = index % len(classes), index // len(classes) % len(styles)
    draw = partial(_draw_part, count=count, seed=seed, shift=shift, styles=tuple(styles), classes=tuple(classes))
    starts = range(0, count, _PART)
    if workers > 1 and len(starts) > 1:
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, mp_context=spawn) as pool:
            parts = list(pool.map(draw, starts))
    else:
        parts = [draw(start) for start in starts]
    images = np.concatenate(parts) if parts else np.zeros((0, SIZE, SIZE, 3), np.uint8)
    return Scenes(images, labels, style_of, tuple(classes), tuple(styles))


def write_scenes(
    folder: str | Path,
    *,
    train: int = 2,
    val: int = 1,
    test: int = 10,
    seed: int = 0,
    shift: float = DEMO_SHIFT,
    styles: Sequence[str] = DOWNSTREAM,
    classes: Sequence[str] = CLASSES,
) -> Path:
    """Write a set as <folder>/<train|val|test>/<class>/<style>_<number>.png and return the folder.

    `train`, `val` and `test` count tiles per class *and style*; no tile is in two parts. `_` replaces the space in a
    class name, and `style_of` reads the style back from a path. Raises StorageError, UsageError.
    """
    from PIL import Image

    root = Path(folder)
    scenes = draw_scenes(train + val + test, seed, shift, styles=styles, classes=classes)
    parts = ["train"] * train + ["val"] * val + ["test"] * test
    per_round = len(classes) * len(styles)
    for index, image in enumerate(scenes.images):
        name = scenes.class_names[scenes.labels[index]].replace(" ", "_")
        number = index // per_round
        path = root / parts[number] / name / f"{scenes.style_names[scenes.styles[index]]}_{number:03d}.png"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
        except OSError as error:
            raise os_error(error, "write", path) from error
    return root


def style_of(path: str | Path) -> str | None:
    """The style of a file that `write_scenes` wrote, or None for any other name."""
    style, _, number = Path(path).stem.rpartition("_")
    return style if style in STYLES and number.isdigit() else None


def _check(styles: Sequence[str], classes: Sequence[str], shift: float) -> None:
    unknown = [name for name in styles if name not in STYLES] + [name for name in classes if name not in LAYOUTS]
    if unknown:
        known = f"styles are {', '.join(STYLES)}; classes are {', '.join(CLASSES)}"
        raise UsageError(f"no such scene to draw: {', '.join(unknown)}", known)
    if not 0 <= shift <= 1:
        raise UsageError(f"the shift is {shift}", "give a strength from 0 (as in pretraining) to 1")


def _draw_part(
    start: int, *, count: int, seed: int, shift: float, styles: tuple[str, ...], classes: tuple[str, ...]
) -> NDArray[np.uint8]:
    """Tiles `start` to at most `start + _PART` of a set, (n, 64, 64, 3)."""
    indices = range(start, min(start + _PART, count))
    images = np.empty((len(indices), SIZE, SIZE, 3), np.uint8)
    for place, index in enumerate(indices):
        style = styles[index // len(classes) % len(styles)]
        rng = np.random.default_rng([seed, index])
        images[place] = draw_tile(classes[index % len(classes)], style, rng, shift)
    return images


def _scatter(land: Land, shift: float) -> None:
    """Clutter at random places: trees, tracks, sheds, ponds; more and larger with the shift."""
    for _ in range(int(land.rng.integers(1, 4 + int(8 * shift)))):
        kind = int(land.rng.integers(4))
        x, y = land.place()
        if kind == 0:
            land.paint(land.disc(x, y, land.between(0.05, 0.1 + 0.1 * shift)), Material.TREES)
        elif kind == 1:
            direction = land.between(0, np.pi)
            across = (land.x - x) * np.cos(direction) + (land.y - y) * np.sin(direction)
            land.paint(np.abs(across) < land.between(0.02, 0.05), land.one_of(Material.ASPHALT, Material.SOIL))
        elif kind == 2:
            half_width, half_height = land.between(0.05, 0.1 + 0.12 * shift), land.between(0.05, 0.1 + 0.12 * shift)
            roof = land.one_of(Material.GREY_ROOF, Material.RED_ROOF, Material.CONCRETE)
            land.paint(land.box(x, y, half_width, half_height), roof)
        else:
            patch = land.one_of(Material.GRASS, Material.WATER, Material.SOIL)
            land.paint(land.disc(x, y, land.between(0.05, 0.1 + 0.15 * shift)), patch)
