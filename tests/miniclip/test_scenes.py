"""Drawn tiles: the same everywhere and always, every class and style unlike the others, files named for both."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mocoop.errors import StorageError, UsageError
from mocoop.miniclip.land import Land
from mocoop.miniclip.layouts import CLASSES, LAYOUTS
from mocoop.miniclip.materials import COLOURS, Material
from mocoop.miniclip.scenes import DEMO_SHIFT, draw_scenes, draw_tile, style_of, write_scenes
from mocoop.miniclip.styles import DOWNSTREAM, STYLES


def test_there_are_enough_classes_sorted_as_a_folder_lists_them() -> None:
    assert len(CLASSES) >= 28
    assert list(CLASSES) == sorted(CLASSES)
    folders = [name.replace(" ", "_") for name in CLASSES]
    assert folders == sorted(folders)


def test_the_material_tables_have_a_row_for_every_material() -> None:
    assert [int(material) for material in Material] == list(range(len(COLOURS)))
    assert COLOURS.min() >= 0
    assert COLOURS.max() <= 1


@pytest.mark.parametrize("name", CLASSES)
def test_every_layout_draws_more_than_one_material(name: str) -> None:
    drawn: set[int] = set()
    for seed in range(5):
        land = Land(np.random.default_rng(seed))
        LAYOUTS[name](land)
        drawn |= set(np.unique(land.materials).tolist())
    assert len(drawn) >= 2
    assert max(drawn) < len(Material)


def test_tiles_are_bytes_and_labels_are_balanced() -> None:
    scenes = draw_scenes(2, seed=3)
    count = 2 * len(CLASSES) * len(DOWNSTREAM)
    assert scenes.images.shape == (count, 64, 64, 3)
    assert scenes.images.dtype == np.uint8
    assert np.bincount(scenes.labels).tolist() == [2 * len(DOWNSTREAM)] * len(CLASSES)
    pairs = scenes.styles * len(CLASSES) + scenes.labels
    assert np.bincount(pairs).tolist() == [2] * len(CLASSES) * len(DOWNSTREAM)


@pytest.mark.parametrize("shift", [0.0, 0.6])
def test_a_tile_depends_on_seed_and_index_alone(shift: float) -> None:
    small = draw_scenes(1, seed=5, shift=shift)
    large = draw_scenes(2, seed=5, shift=shift)
    other = draw_scenes(1, seed=6, shift=shift)
    count = len(small.images)
    assert np.array_equal(small.images, large.images[:count])
    assert not np.array_equal(small.images, large.images[count:])
    assert not np.array_equal(small.images, other.images)


def test_worker_processes_draw_the_same_tiles() -> None:
    alone = draw_scenes(10, seed=1)
    together = draw_scenes(10, seed=1, workers=2)
    assert np.array_equal(alone.images, together.images)


@pytest.mark.parametrize("name", ["residential area", "harbor", "tennis court"])
def test_every_style_shows_the_same_land_in_another_way(name: str) -> None:
    tiles = {style: draw_tile(name, style, np.random.default_rng(9)).astype(float) for style in STYLES}
    for one, other in combinations(STYLES, 2):
        assert np.abs(tiles[one] - tiles[other]).mean() > 4, (one, other)


def test_grey_styles_have_no_colour_and_the_shift_changes_the_look() -> None:
    grey = draw_tile("lake", "radar", np.random.default_rng(0))
    assert np.abs(grey.astype(int).max(-1) - grey.astype(int).min(-1)).max() < 30  # sensor noise alone
    unshifted, shifted = (draw_scenes(1, 0, shift, styles=["plain"]).images.astype(float) for shift in (0.0, 0.8))
    assert np.abs(unshifted.mean((0, 1, 2)) - shifted.mean((0, 1, 2))).max() > 5


def test_every_downstream_style_has_a_group_of_its_own() -> None:
    aspects = [STYLES[style].aspect for style in DOWNSTREAM]
    assert len(set(aspects)) == len(DOWNSTREAM) == 8


@pytest.mark.parametrize(
    ("arguments", "word"),
    [({"styles": ["sepia"]}, "sepia"), ({"classes": ["moon base"]}, "moon base"), ({"shift": 2.0}, "2.0")],
)
def test_what_cannot_be_drawn_is_named(arguments: dict[str, object], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        draw_scenes(1, 0, **arguments)  # type: ignore[arg-type]


def test_a_written_set_has_parts_class_folders_and_styles_in_its_names(tmp_path: Path) -> None:
    styles, classes = ("plain", "night"), ("beach", "parking lot", "river")
    write_scenes(tmp_path, train=2, val=1, test=3, seed=4, styles=styles, classes=classes)
    files = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png"))
    assert len(files) == (2 + 1 + 3) * 6
    assert {file.split("/")[0] for file in files} == {"train", "val", "test"}
    assert {file.split("/")[1] for file in files} == {"beach", "parking_lot", "river"}
    assert sum(file.startswith("test/parking_lot/night_") for file in files) == 3
    assert {style_of(file) for file in files} == set(styles)
    drawn = draw_scenes(6, 4, DEMO_SHIFT, styles=styles, classes=classes)
    with Image.open(tmp_path / "train/parking_lot/night_000.png") as image:
        assert np.array_equal(np.asarray(image), drawn.images[4])


def test_a_set_that_cannot_be_written_names_its_file(tmp_path: Path) -> None:
    (tmp_path / "train").write_text("in the way", encoding="utf-8")
    with pytest.raises(StorageError, match="train"):
        write_scenes(tmp_path, train=1, val=0, test=0, styles=("plain",), classes=("beach",))


@pytest.mark.parametrize("name", ["photo.png", "plain.png", "sepia_001.png", "plain_x.png"])
def test_other_file_names_have_no_style(name: str) -> None:
    assert style_of(name) is None
