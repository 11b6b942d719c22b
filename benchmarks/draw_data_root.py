"""Draw a made-up data root in CoOp's layout: all fifteen data sets, a few classes and tiny images of each.

The folders, lists and class names are those of the real data sets, the images are the stand-in's drawn tiles; so every
protocol of `mocoop bench` runs on it in a minute, and the numbers mean nothing.

    python benchmarks/draw_data_root.py DATA [--train 4] [--val 2] [--test 3] [--seed 0]
    mocoop bench base-to-new --data-root DATA --datasets all --groups paper -o results.jsonl
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from mocoop.data.coop import LAYOUTS
from mocoop.miniclip.layouts import CLASSES
from mocoop.miniclip.scenes import draw_tile
from mocoop.miniclip.styles import DOWNSTREAM

_FOLDERS = {layout.name: (layout.folder, layout.images, layout.marker) for layout in LAYOUTS}

# Six true classes of each; where the images of a class lie, {c} its folder and {n} the image's number.
SPLIT_JSON: dict[str, tuple[str, dict[str, str]]] = {
    "caltech101": ("{c}/image_{n:04d}.jpg", {
        "airplanes": "airplane", "bonsai": "bonsai", "camera": "camera", "dolphin": "dolphin", "lamp": "lamp",
        "starfish": "starfish"}),
    "oxford_pets": ("{c}_{n}.jpg", {
        "Abyssinian": "abyssinian", "beagle": "beagle", "Bengal": "bengal", "boxer": "boxer", "pug": "pug",
        "Sphynx": "sphynx"}),
    "stanford_cars": ("cars_{split}/{n:05d}.jpg", {
        "a": "2012 Acura TL Sedan", "b": "2012 BMW M3 Coupe", "c": "2012 Fisker Karma Sedan",
        "d": "2012 Tesla Model S Sedan", "e": "2012 smart fortwo Convertible", "f": "1993 Volvo 240 Sedan"}),
    "oxford_flowers": ("image_{n:05d}.jpg", {
        "a": "daffodil", "b": "pink primrose", "c": "rose", "d": "snapdragon", "e": "sunflower", "f": "water lily"}),
    "food101": ("{c}/{n}.jpg", {
        "apple_pie": "apple_pie", "guacamole": "guacamole", "pizza": "pizza", "ramen": "ramen", "sushi": "sushi",
        "waffles": "waffles"}),
    "sun397": ("{c}/sun_{n:04d}.jpg", {
        "a/abbey": "abbey", "a/airport_terminal": "airport_terminal", "a/alley": "alley", "b/beach": "beach",
        "b/bridge": "bridge", "c/canyon": "canyon"}),
    "dtd": ("{c}/{c}_{n:04d}.jpg", {
        "banded": "banded", "blotchy": "blotchy", "braided": "braided", "bubbly": "bubbly", "bumpy": "bumpy",
        "chequered": "chequered"}),
    "eurosat": ("{c}/{c}_{n}.jpg", {
        "AnnualCrop": "Annual Crop Land", "Forest": "Forest", "Highway": "Highway or Road",
        "Industrial": "Industrial Buildings", "Residential": "Residential Buildings", "River": "River"}),
    "ucf101": ("{c}/v_{c}_g{n:02d}_c01.jpg", {
        "Archery": "Archery", "ApplyEyeMakeup": "Apply_Eye_Makeup", "Biking": "Biking", "Bowling": "Bowling",
        "Surfing": "Surfing", "YoYo": "Yo_Yo"}),
}  # fmt: skip
VARIANTS = ("707-320", "A380", "Cessna 172", "DC-10", "Spitfire", "Tornado")  # of FGVC Aircraft
IMAGENET = {
    "n01440764": "tench", "n01443537": "goldfish", "n01484850": "great white shark", "n01494475": "hammerhead shark",
    "n01498041": "stingray", "n01514859": "hen", "n01518878": "ostrich", "n01531178": "goldfinch",
}  # fmt: skip
SUBSETS = {  # the classes that each variant of ImageNet has of these
    "imagenetv2": tuple(IMAGENET),
    "imagenet_sketch": tuple(IMAGENET),
    "imagenet_a": ("n01498041", "n01531178"),
    "imagenet_r": tuple(IMAGENET)[1:],
}


@dataclass(frozen=True)
class Sizes:
    """Images a class in each split."""

    train: int = 4
    val: int = 2
    test: int = 3

    def __iter__(self) -> Iterator[tuple[str, int]]:
        return iter((("train", self.train), ("val", self.val), ("test", self.test)))


def draw_data_root(root: Path, sizes: Sizes | None = None, seed: int = 0) -> Path:
    """Draw all fifteen data sets below `root`; the same images for the same seed."""
    sizes = sizes or Sizes()
    pen = _Pen(seed)
    for name in SPLIT_JSON:
        _split_json(root, name, sizes, pen)
    _aircraft(root, sizes, pen)
    _imagenet(root, sizes, pen)
    for name, wnids in SUBSETS.items():
        _variant(root, name, wnids, sizes.test, pen)
    return root


class _Pen:
    """Draws one tile after the other, each of its own content, in the styles in turn."""

    def __init__(self, seed: int) -> None:
        self._seed, self._drawn = seed, 0

    def draw(self, path: Path, label: int) -> None:
        """One JPEG; classes of a label look alike in all data sets."""
        rng = np.random.default_rng([self._seed, self._drawn])
        tile = draw_tile(CLASSES[label * 4 % len(CLASSES)], DOWNSTREAM[self._drawn % len(DOWNSTREAM)], rng)
        self._drawn += 1
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(tile).save(path, "JPEG", quality=90)


def _split_json(root: Path, name: str, sizes: Sizes, pen: _Pen) -> None:
    where, classes = SPLIT_JSON[name]
    folder, images, marker = _FOLDERS[name]
    splits: dict[str, list[list[object]]] = {split: [] for split, _ in sizes}
    number = 0
    for label, (key, classname) in enumerate(classes.items()):
        for split, count in sizes:
            for _ in range(count):
                number += 1
                relative = where.format(c=key, n=number, split=split)
                pen.draw(root / folder / images / relative, label)
                splits[split].append([relative, label, classname])
    (root / folder / marker).write_text(json.dumps(splits), encoding="utf-8")


def _aircraft(root: Path, sizes: Sizes, pen: _Pen) -> None:
    folder, images, _ = _FOLDERS["fgvc_aircraft"]
    home, number = root / folder, 0
    lines: dict[str, list[str]] = {split: [] for split, _ in sizes}
    for label, variant in enumerate(VARIANTS):
        for split, count in sizes:
            for _ in range(count):
                number += 1
                pen.draw(home / images / f"{number:07d}.jpg", label)
                lines[split].append(f"{number:07d} {variant}\n")
    (home / "variants.txt").write_text("".join(f"{variant}\n" for variant in VARIANTS), encoding="utf-8")
    for split, found in lines.items():
        (home / f"images_variant_{split}.txt").write_text("".join(found), encoding="utf-8")


def _imagenet(root: Path, sizes: Sizes, pen: _Pen) -> None:
    """train and val, whose val is the test set."""
    folder, images, _ = _FOLDERS["imagenet"]
    for split, count in (("train", sizes.train), ("val", sizes.test)):
        for label, wnid in enumerate(IMAGENET):
            for number in range(count):
                pen.draw(root / folder / images / split / wnid / f"{split}_{number:04d}.JPEG", label)
    _write_classnames(root / folder)


def _variant(root: Path, name: str, wnids: tuple[str, ...], count: int, pen: _Pen) -> None:
    folder, images, _ = _FOLDERS[name]
    for label, wnid in enumerate(IMAGENET):
        if wnid in wnids:
            called = str(label) if name == "imagenetv2" else wnid  # V2 calls its folders by number
            for number in range(count):
                pen.draw(root / folder / images / called / f"{number:04d}.jpg", label)
    _write_classnames(root / folder)


def _write_classnames(home: Path) -> None:
    text = "".join(f"{wnid} {name}\n" for wnid, name in IMAGENET.items())
    (home / "classnames.txt").write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="a new folder")
    for split, count in Sizes():
        parser.add_argument(f"--{split}", type=int, default=count, help=f"images a class in {split}")
    parser.add_argument("--seed", type=int, default=0, help="which tiles")
    given = parser.parse_args()
    if given.root.exists() and any(given.root.iterdir()):
        parser.error(f"{given.root} is not empty: choose a new folder")
    draw_data_root(given.root, Sizes(given.train, given.val, given.test), given.seed)
    print(f"{given.root}: {len(LAYOUTS)} data sets")


if __name__ == "__main__":
    main()
