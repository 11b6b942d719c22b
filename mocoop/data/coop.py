"""The data sets in CoOp's folder layout, which most users in this field already have.

Fifteen data sets of three kinds: a split JSON ({"train": [[path, label, name], ...], "val": ..., "test": ...}
with paths below the image root); FGVC Aircraft's own text files; and ImageNet with its variants, whose folders are
scanned and named by `classnames.txt` (one `<wnid> <name>` per line). The image order is CoOp's for the first two
kinds; a scan is sorted by name, whereas CoOp used the file system's order. ImageNet's val is its test set, and the
four ImageNet variants have only a test set.

CoOp's stored few-shot files (`split_fewshot/*.pkl`) are Python pickles and are never read: drawing the shots again
(`mocoop.data.splits`) gives the same images.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mocoop.data.classnames import decode
from mocoop.data.dataset import SPLITS, Example, Listing, named
from mocoop.data.fence import Fence, absence_notes
from mocoop.data.folder import class_images, subfolders
from mocoop.errors import DataError
from mocoop.files import read_bytes, read_json

MAX_LIST_BYTES = 256 * 1024 * 1024
_CLASSNAMES = "classnames.txt"
_VARIANTS = "variants.txt"


@dataclass(frozen=True)
class Layout:
    """The layout of one data set: its folder below the data root, images and list below that folder.

    `marker` is the file or folder that identifies the layout; `read` lists the images.
    """

    name: str
    folder: str
    images: str
    marker: str
    read: Callable[[Layout, Path, bool], Listing]


def find_layout(folder: Path) -> Layout | None:
    """The CoOp layout of a folder, found by its list of images or by its name.

    Raises DataError for a folder with the name and content of a data set but without its list of images.
    """
    for layout in LAYOUTS:
        if _fits(layout, folder):
            return layout
    for layout in LAYOUTS:
        if folder.name in (layout.folder, layout.name) and layout.images and (folder / layout.images).is_dir():
            raise DataError(
                f"{folder}: the images of {layout.name} are there, but {layout.marker} is not",
                f"put it there, or give {folder / layout.images} to have the images split here",
            )
    return None


def folder_of(path: Path) -> Path:
    """Map ROOT/caltech101 to ROOT/caltech-101, for data sets whose folder has another name."""
    folders = {layout.name: layout.folder for layout in LAYOUTS}
    return path if os.path.exists(path) or path.name not in folders else path.with_name(folders[path.name])


def read_layout(layout: Layout, folder: Path, *, follow_links: bool = False) -> Listing:
    """List the images of a data set in CoOp's layout. Raises DataError."""
    root = folder / layout.images
    if not root.is_dir():
        raise DataError(f"{root} is missing", f"the images of {layout.name} belong there")
    return layout.read(layout, folder, follow_links)


def is_split_file(path: Path) -> bool:
    """Whether a JSON file has splits in CoOp's form, an object of lists of lists. Raises DataError."""
    value = read_json(path, what="manifest", error=DataError, max_bytes=MAX_LIST_BYTES)
    if not isinstance(value, dict) or not set(value) <= set(SPLITS):
        return False
    return any(isinstance(items, list) and items and isinstance(items[0], list) for items in value.values())


def read_split_file(path: Path, *, follow_links: bool = False) -> Listing:
    """List the images of a split file in CoOp's form, of any data set, beside its images or their folder.

    The first listed image says which folder that is. Raises DataError.
    """
    value = read_json(path, what="split file", error=DataError, max_bytes=MAX_LIST_BYTES)
    lists = [items for items in value.values() if isinstance(items, list)]  # what else there is, is told below
    first = next((item[0] for items in lists for item in items if isinstance(item, list) and item), "")
    homes = [path.parent, *(path.parent / name for name in subfolders(path.parent))]
    home = next((home for home in homes if isinstance(first, str) and os.path.exists(home / first)), path.parent)
    return _split_listing(path, home, follow_links)


def _read_split_json(layout: Layout, folder: Path, follow_links: bool) -> Listing:
    return _split_listing(folder / layout.marker, folder / layout.images, follow_links)


def _split_listing(path: Path, images: Path, follow_links: bool) -> Listing:
    """The listing of a split file whose paths are below `images`. Raises DataError."""
    value = read_json(path, what="split file", error=DataError, max_bytes=MAX_LIST_BYTES)
    if not isinstance(value, dict) or not all(isinstance(items, list) for items in value.values()):
        raise DataError(f"{path}: not an object of lists", 'it should read {"train": [...], "val": ..., "test": ...}')
    if unknown := [key for key in value if key not in SPLITS]:
        raise DataError(f"{path}: unknown split {named(unknown)}", "the splits are train, val and test")
    fence = Fence(images, follow_links=follow_links)
    names: dict[int, str] = {}
    splits: dict[str, list[Example]] = {}
    for split in SPLITS:
        splits[split] = [
            _split_item(item, names, fence, f"{path}: /{split}/{index}")
            for index, item in enumerate(value.get(split, []))
        ]
    keys = [names[label] for label in _without_gaps(names, path)]
    present = {split: examples for split, examples in splits.items() if examples}
    return Listing(keys=keys, splits=present, notes=absence_notes(present, fence.root))


def _split_item(item: Any, names: dict[int, str], fence: Fence, where: str) -> Example:
    """Read one [path, label, class name]; `names` collects the class names by label."""
    if not isinstance(item, list) or len(item) != 3:
        raise DataError(f"{where}: not a list of three", 'it should read ["a/1.jpg", 0, "class name"]')
    relative, label, name = item
    if not isinstance(relative, str) or not isinstance(name, str):
        raise DataError(f"{where}: the path and the class name must be strings", "put them in double quotes")
    if isinstance(label, bool) or not isinstance(label, int) or label < 0:
        raise DataError(f"{where}: the label {label!r} is no whole number from 0 on", "number the classes 0, 1, 2 ...")
    if names.setdefault(label, name) != name:
        message = f'{where}: label {label} is "{name}" here and "{names[label]}" before'
        raise DataError(message, "give every label one class name")
    return Example(fence.listed(relative, where), label)


def _without_gaps(names: dict[int, str], path: Path) -> range:
    """The labels 0 .. n-1. Raises DataError unless every one of them is used."""
    for label in range(len(names)):
        if label not in names:
            raise DataError(f"{path}: label {label} has no image, label {max(names)} has", "number without gaps")
    return range(len(names))


def _read_aircraft(layout: Layout, folder: Path, follow_links: bool) -> Listing:
    fence = Fence(folder / layout.images, follow_links=follow_links)
    names = [line.strip() for _, line in _lines(folder / _VARIANTS)]
    labels = {name: label for label, name in enumerate(names)}
    splits = {split: _aircraft_split(folder / f"images_variant_{split}.txt", labels, fence) for split in SPLITS}
    return Listing(keys=names, splits=splits, notes=absence_notes(splits, fence.root))


def _aircraft_split(path: Path, labels: dict[str, int], fence: Fence) -> list[Example]:
    """Read lines of `<image> <variant>`; a variant's name may contain spaces."""
    examples = []
    for number, line in _lines(path):
        image, _, variant = line.strip().partition(" ")
        if variant not in labels:
            raise DataError(f'{path}:{number}: the variant "{variant}" is not in {_VARIANTS}', "use matching files")
        examples.append(Example(fence.listed(image + ".jpg", f"{path}:{number}"), labels[variant]))
    return examples


def _read_imagenet(layout: Layout, folder: Path, follow_links: bool) -> Listing:
    """Read images/train and images/val: CoOp tests on val, so it is both val and test here."""
    images = folder / layout.images
    names = _class_names(folder)
    homes = [home for home in (images / "train", images / "val") if home.is_dir()]
    wnids = sorted({wnid for home in homes for wnid in subfolders(home)})
    notes = ["val is the test set, as in CoOp"]
    splits = {home.name: _scan(home, wnids, Fence(home, follow_links=follow_links), notes) for home in homes}
    if "val" in splits:
        splits["test"] = splits["val"]
    return _scanned(folder, wnids, names, splits, notes)


def _read_variant(layout: Layout, folder: Path, follow_links: bool) -> Listing:
    """Read an ImageNet variant with folders named by wnid, labelled in sorted order."""
    images = folder / layout.images
    wnids = subfolders(images)
    notes: list[str] = []
    test = _scan(images, wnids, Fence(images, follow_links=follow_links), notes)
    return _scanned(folder, wnids, _class_names(folder), {"test": test}, notes)


def _read_v2(layout: Layout, folder: Path, follow_links: bool) -> Listing:
    """Read ImageNetV2: folders are named by number, in the order of classnames.txt."""
    images = folder / layout.images
    names = _class_names(folder)
    wnids = list(names)
    numbers = [str(number) for number in range(len(wnids))]
    if strange := [name for name in subfolders(images) if name not in numbers]:
        raise DataError(f"{images}: no class for the folder {named(strange)}", f"{_CLASSNAMES} has {len(wnids)} lines")
    notes: list[str] = []
    test = _scan(images, numbers, Fence(images, follow_links=follow_links), notes)
    return _scanned(folder, wnids, names, {"test": test}, notes)


def _scan(images: Path, folders: Sequence[str], fence: Fence, notes: list[str]) -> list[Example]:
    """All images of the class folders, labelled by the order of `folders`."""
    return [
        Example(path, label)
        for label, name in enumerate(folders)
        if (images / name).is_dir()
        for path in class_images(images / name, fence, notes)
    ]


def _scanned(
    folder: Path,
    wnids: Sequence[str],
    names: dict[str, str],
    splits: dict[str, list[Example]],
    notes: list[str],
) -> Listing:
    """The listing of a scan. CoOp's ImageNet names have duplicates (two classes "missile"): noted, not refused."""
    if unknown := [wnid for wnid in wnids if wnid not in names]:
        raise DataError(f"{folder / _CLASSNAMES}: no name for {named(unknown)}", "use CoOp's classnames.txt")
    return Listing(keys=wnids, names=[names[wnid] for wnid in wnids], splits=splits, notes=notes, twins_allowed=True)


def _class_names(folder: Path) -> dict[str, str]:
    path = folder / _CLASSNAMES
    names: dict[str, str] = {}
    for number, line in _lines(path):
        wnid, _, name = line.strip().partition(" ")
        if not name or wnid in names:
            raise DataError(f"{path}:{number}: {line!a}", "write <wnid> <name>, each wnid once")
        names[wnid] = name
    return names


def _lines(path: Path) -> list[tuple[int, str]]:
    """The non-blank lines of a text file with their numbers."""
    text = decode(read_bytes(path, max_bytes=MAX_LIST_BYTES, what=path.name, error=DataError), path)
    return [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]


def _fits(layout: Layout, folder: Path) -> bool:
    """Whether a folder has this layout: by its list, or by its folders for the ImageNets, which share a list's name."""
    if not (folder / layout.marker).is_file():
        return False
    if layout.marker != _CLASSNAMES:
        return True
    images = folder / layout.images
    if layout.images != "images":
        return images.is_dir()
    has_splits = (images / "train").is_dir() or (images / "val").is_dir()
    return images.is_dir() and has_splits is (layout.read is _read_imagenet)


def _split_json(name: str, folder: str, images: str, stem: str) -> Layout:
    return Layout(name, folder, images, f"split_zhou_{stem}.json", _read_split_json)


LAYOUTS = (
    _split_json("caltech101", "caltech-101", "101_ObjectCategories", "Caltech101"),
    _split_json("oxford_pets", "oxford_pets", "images", "OxfordPets"),
    _split_json("stanford_cars", "stanford_cars", "", "StanfordCars"),
    _split_json("oxford_flowers", "oxford_flowers", "jpg", "OxfordFlowers"),
    _split_json("food101", "food-101", "images", "Food101"),
    _split_json("sun397", "sun397", "SUN397", "SUN397"),
    _split_json("dtd", "dtd", "images", "DescribableTextures"),
    _split_json("eurosat", "eurosat", "2750", "EuroSAT"),
    _split_json("ucf101", "ucf101", "UCF-101-midframes", "UCF101"),
    Layout("fgvc_aircraft", "fgvc_aircraft", "images", "images_variant_train.txt", _read_aircraft),
    Layout("imagenetv2", "imagenetv2", "imagenetv2-matched-frequency-format-val", _CLASSNAMES, _read_v2),
    Layout("imagenet_a", "imagenet-adversarial", "imagenet-a", _CLASSNAMES, _read_variant),
    Layout("imagenet_r", "imagenet-rendition", "imagenet-r", _CLASSNAMES, _read_variant),
    Layout("imagenet_sketch", "imagenet-sketch", "images", _CLASSNAMES, _read_variant),
    Layout("imagenet", "imagenet", "images", _CLASSNAMES, _read_imagenet),
)
