"""A folder of class folders, with or without split folders above them.

    root/train/forest/1.jpg   root/val/forest/2.jpg   root/test/forest/3.jpg     (val may be missing)
    root/forest/1.jpg                                                            (split by us)

Split folders may have other names (training, seg_train, valid, dev, Test), may hold one folder of the same name, and
may all stand in one folder below the root. A folder named like a split with pictures directly inside is a class
("train", the vehicle). Classes are the sorted names of the class folders of all splits; images may be in subfolders
of a class folder, and are sorted by path. Folders without any image that is read are left out with a note.
"""

from __future__ import annotations

import os
from pathlib import Path

from mocoop.data.classnames import nearest
from mocoop.data.dataset import SPLITS, UNSPLIT, Example, Listing, named
from mocoop.data.fence import Fence
from mocoop.data.imageformats import READ_SUFFIXES, READABLE
from mocoop.data.images import list_images
from mocoop.data.splitwords import split_word
from mocoop.errors import DataError
from mocoop.files import os_error

_LITTER = {"__macosx", "__pycache__", "@eadir", "lost+found", "$recycle.bin", "annotations", "annotation"}
_PICTURES = {"images", "image", "imgs", "img", "pictures", "photos", "jpg", "jpeg", "png"}  # a class's only subfolder


def read_folder(root: Path, *, follow_links: bool = False) -> Listing:
    """List a folder of class folders. Raises DataError."""
    fence = Fence(root, follow_links=follow_links)
    notes: list[str] = []
    home = _unwrapped(root, notes)
    homes = _split_homes(home, notes) or {UNSPLIT: home}
    listing = _read_splits(homes, fence)
    return Listing(keys=listing.keys, splits=listing.splits, notes=(*notes, *listing.notes))


def split_folders(root: Path) -> dict[str, Path]:
    """The folders right below a folder that are named like splits, the first of each. Raises DataError."""
    return {split: root / name for name in reversed(_wanted(root)) if (split := split_word(name))}


def subfolders(folder: Path) -> list[str]:
    """Sorted names of the folders in a folder, without hidden ones. Raises DataError."""
    try:
        with os.scandir(folder) as scan:
            return sorted(entry.name for entry in scan if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise os_error(error, "read", folder, DataError) from error


def class_images(folder: Path, fence: Fence, notes: list[str]) -> list[Path]:
    """The images of one class folder; files left out are noted. Raises DataError."""
    found = list_images(folder)
    for path in found.images:
        fence.check(path)
    notes += found.left_out(folder)
    return list(found.images)


def _unwrapped(root: Path, notes: list[str]) -> Path:
    """The folder itself, or the only folder inside it if that one holds the splits or two classes or more."""
    inside = _wanted(root)
    if len(inside) != 1 or _has_images(root) or split_word(inside[0]):
        return root
    home = root / inside[0]
    if len(_wanted(home)) < 2 or _has_images(home) or not _is_set(home):
        return root
    notes.append(f"read from the only folder in {root}: {inside[0]}")
    return home


def _is_set(folder: Path) -> bool:
    """Whether splits or classes are in a folder: not so if pictures lie in subfolders for another reason."""
    return any(split_word(name) for name in _wanted(folder)) or any(map(_has_images, _paths(folder)))


def _split_homes(root: Path, notes: list[str]) -> dict[str, Path]:
    """The folder of class folders of each split; empty if there are no splits. Raises DataError."""
    top = _wanted(root)
    candidates = {name: split for name in top if (split := split_word(name))}
    alone = len(candidates) == 1 and len(top) > 1
    flat = [name for name in candidates if _is_class(root / name, alone=alone)]
    found = [name for name in candidates if name not in flat]
    if not any(_wanted(root / name) for name in found):
        if flat and len(flat) == len(top):
            raise DataError(
                f"{root}: {named(flat)} hold images but no class folders",
                "put the images into a folder a class, or list them in a table: path,label,split",
            )
        return {}
    homes: dict[str, Path] = {}
    for name in found:
        if (split := candidates[name]) in homes:
            raise DataError(f"{root} has both {homes[split].name} and {name}", "keep one of the two")
        homes[split] = root / name
    homes = {split: _doubled(homes[split]) for split in SPLITS if split in homes}
    if left := [name for name in subfolders(root) if name not in found]:
        notes.append(f"not used, beside the splits: {named(left)}")
    return homes


def _is_class(folder: Path, *, alone: bool) -> bool:
    """Whether a folder named like a split is a class: pictures lie in it, or it is alone and has no classes.

    `alone`: there are other folders beside it, none of them named like a split.
    """
    inside = _wanted(folder)
    if _has_images(folder):
        return alone or not inside
    return alone and len(inside) == 1


def _doubled(home: Path) -> Path:
    """`seg_train/seg_train`: the inner folder, if a split folder holds nothing but one of its own name."""
    inside = _wanted(home)
    again = len(inside) == 1 and not _has_images(home) and split_word(inside[0]) == split_word(home.name)
    return home / inside[0] if again and _wanted(home / inside[0]) else home


def _read_splits(homes: dict[str, Path], fence: Fence) -> Listing:
    by_split = {split: subfolders(home) for split, home in homes.items()}
    if not any(by_split.values()):
        raise DataError(f"{fence.root} holds no class folders", "give a folder with one folder of images a class")
    notes: list[str] = []
    images: dict[str, dict[str, list[Path]]] = {}
    for split, names in by_split.items():
        home = homes[split]
        _refuse_the_other_way_round(home)
        images[split] = {name: class_images(home / name, fence, notes) for name in names if not _is_litter(name)}
    keys = sorted({name for found in images.values() for name, paths in found.items() if paths})
    if not keys:
        raise DataError(f"there is no image in the folders of {fence.root}", f"check the path; {READABLE}")
    notes += _left_out(homes, by_split, images, set(keys))
    labels = {key: label for label, key in enumerate(keys)}
    splits = {
        split: [Example(path, labels[name]) for name, paths in found.items() for path in paths]
        for split, found in images.items()
    }
    kept = {split: [name for name in found if name in labels] for split, found in images.items()}
    return Listing(keys=keys, splits=splits, notes=(*notes, *_near_misses(kept)))


def _left_out(
    homes: dict[str, Path], by_split: dict[str, list[str]], images: dict[str, dict[str, list[Path]]], keys: set[str]
) -> list[str]:
    """Notes on folders that are no classes, and on classes without an image in one split."""
    notes = []
    for split, names in by_split.items():
        for name in names:
            if name in keys and not images[split].get(name):
                notes.append(f"the class folder {homes[split] / name} holds no image that is read")
    gone = sorted({name for names in by_split.values() for name in names if name not in keys})
    return (
        [*notes, f"left out, for they are no classes or hold no image that is read: {named(gone)}"] if gone else notes
    )


def _refuse_the_other_way_round(home: Path) -> None:
    """Refuse "classes" that all hold the same folders: then these are the classes or the splits. Raises DataError."""
    classes = _paths(home)
    inner = [set(_wanted(folder)) for folder in classes]
    if len(classes) < 2 or not inner[0] or any(one != inner[0] for one in inner) or any(map(_has_images, classes)):
        return
    same = sorted(inner[0])
    outer = named(folder.name for folder in classes)
    if any(split_word(name) for name in same):
        raise DataError(
            f"{home}: every folder holds the splits {named(same)}, so they stand below the classes {outer}",
            "put the splits on top: train/<class>, test/<class>; or list the images in a table: path,label,split",
        )
    if len(same) > 1 and not set(same) <= _PICTURES:
        raise DataError(
            f"{home}: {outer} all hold the same folders, {named(same)}, which look like the classes",
            f"if {named(same)} are the classes, name the upper folders train, val and test, or give one of them; if "
            "the upper ones are, put the pictures straight into them, or list them in a table: path,label",
        )


def _wanted(folder: Path) -> list[str]:
    """The subfolders that may be classes or splits."""
    return [name for name in subfolders(folder) if not _is_litter(name)]


def _paths(folder: Path) -> list[Path]:
    return [folder / name for name in _wanted(folder)]


def _is_litter(name: str) -> bool:
    return name.casefold() in _LITTER


def _has_images(folder: Path) -> bool:
    """Whether a picture lies directly in a folder. Raises DataError."""
    try:
        with os.scandir(folder) as scan:
            return any(
                os.path.splitext(entry.name)[1].lower() in READ_SUFFIXES and not entry.name.startswith(".")
                for entry in scan
                if not entry.is_dir()
            )
    except OSError as error:
        raise os_error(error, "read", folder, DataError) from error


def _near_misses(by_split: dict[str, list[str]]) -> list[str]:
    """Class folders in only one split that look like a misspelt one of another split."""
    train = by_split.get("train", [])
    strangers = [(split, name) for split in ("val", "test") for name in by_split.get(split, []) if name not in train]
    return [f"the class {split}/{name} is not in train{nearest(name, train)}" for split, name in strangers if train]
