"""A folder of class folders, with or without split folders above them.

    root/train/forest/1.jpg   root/val/forest/2.jpg   root/test/forest/3.jpg     (val may be missing)
    root/forest/1.jpg                                                            (split by us)

`valid` and `validation` mean val. Classes are the sorted names of the class folders of all splits; images may be in
subfolders of a class folder, and are sorted by path.
"""

from __future__ import annotations

import os
from pathlib import Path

from mocoop.data.classnames import nearest
from mocoop.data.dataset import SPLITS, UNSPLIT, Example, Listing, named, split_word
from mocoop.data.fence import Fence
from mocoop.data.imageformats import READABLE
from mocoop.data.images import list_images
from mocoop.errors import DataError
from mocoop.files import os_error


def read_folder(root: Path, *, follow_links: bool = False) -> Listing:
    """List a folder of class folders. Raises DataError."""
    fence = Fence(root, follow_links=follow_links)
    top = subfolders(root)
    homes: dict[str, Path] = {}
    for name in top:
        split = split_word(name)
        if split in homes:
            raise DataError(f"{root} has both {homes[split].name} and {name}", "keep one of the two")
        if split is not None:
            homes[split] = root / name
    if not homes:
        listing = _read_splits({UNSPLIT: root}, fence)
    else:
        listing = _read_splits({name: homes[name] for name in SPLITS if name in homes}, fence)
    ignored = [name for name in top if homes and split_word(name) is None]
    notes = [f"not used, beside the splits: {named(ignored)}"] if ignored else []
    return Listing(keys=listing.keys, splits=listing.splits, notes=(*notes, *listing.notes))


def subfolders(folder: Path) -> list[str]:
    """Sorted names of the folders in a folder, without hidden ones. Raises DataError."""
    try:
        with os.scandir(folder) as scan:
            return sorted(entry.name for entry in scan if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise os_error(error, "read", folder, DataError) from error


def class_images(folder: Path, fence: Fence, notes: list[str]) -> list[Path]:
    """The images of one class folder; files of formats not read are noted. Raises DataError."""
    found = list_images(folder)
    for path in found.images:
        fence.check(path)
    if found.refused:
        what = named(path.name for path in found.refused)
        notes.append(f"{folder}: of a format that is not read: {what} ({READABLE})")
    return list(found.images)


def _read_splits(homes: dict[str, Path], fence: Fence) -> Listing:
    by_split = {split: subfolders(home) for split, home in homes.items()}
    keys = sorted({name for names in by_split.values() for name in names})
    if not keys:
        raise DataError(f"{fence.root} holds no class folders", "give a folder with one folder of images a class")
    labels = {key: label for label, key in enumerate(keys)}
    notes: list[str] = []
    splits: dict[str, list[Example]] = {}
    for split, names in by_split.items():
        splits[split] = []
        for name in names:
            images = class_images(homes[split] / name, fence, notes)
            splits[split] += [Example(path, labels[name]) for path in images]
            if not images:
                notes.append(f"the class folder {homes[split] / name} holds no image that is read")
    return Listing(keys=keys, splits=splits, notes=(*notes, *_near_misses(by_split)))


def _near_misses(by_split: dict[str, list[str]]) -> list[str]:
    """Class folders in only one split that look like a misspelt one of another split."""
    train = by_split.get("train", [])
    strangers = [(split, name) for split in ("val", "test") for name in by_split.get(split, []) if name not in train]
    return [f"the class {split}/{name} is not in train{nearest(name, train)}" for split, name in strangers if train]
