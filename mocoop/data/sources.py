"""The one door to data: `open_dataset` finds out what a path holds and gives a Dataset.

It takes a folder of class folders, a folder in CoOp's layout, a table of images, a folder that Hugging Face's
`save_to_disk` wrote, or an array file of features; each kind has its module beside this one. Whatever the source,
class names are made readable, splits that are missing are made by `split_seed`, and the result is checked. Images are
not opened here.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mocoop.data import arrays, coop, manifest
from mocoop.data.classnames import ClassNames, final_names
from mocoop.data.dataset import UNSPLIT, Dataset, Example, Listing, check_examples, named
from mocoop.data.fence import meant
from mocoop.data.folder import read_folder, subfolders
from mocoop.data.imagefolder import ImageFolder, read_image_folder
from mocoop.data.reading import ValueRange
from mocoop.data.saved import is_saved, read_saved
from mocoop.data.splits import divide, make_val
from mocoop.errors import DataError, UsageError
from mocoop.files import irregular, os_error

__all__ = ["Dataset", "Example", "open_dataset"]

NO_SPLITS = "no splits were given"  # how the note on splits that were made begins


def open_dataset(
    path: str | os.PathLike[str] | ImageFolder,
    *,
    class_names: ClassNames | None = None,
    names_by_position: bool = False,
    kept_names: Mapping[str, str] | None = None,
    split_seed: int = 0,
    follow_links: bool = False,
    columns: Mapping[str, str] | None = None,
    name: str | None = None,
) -> Dataset:
    """Open a folder, a manifest or an array file of features.

    `class_names` is a mapping from class folder to readable name, or a file of such names (see
    `mocoop.data.classnames`); a list of names that fits no class by its key is taken only with `names_by_position`.
    `kept_names` are a run's names by key, used where none are given. `split_seed` makes the splits that the source
    does not have. `follow_links` allows symbolic links that leave the folder of the images. `columns` says which
    column of a table is the path, the label or the split, where their names do not tell. torchvision's `ImageFolder`
    is taken too. `name` defaults to the data set's or the path's own.

    Raises DataError, and says what to change.
    """
    where = coop.folder_of(Path(path if isinstance(path, (str, os.PathLike)) else path.root))
    _check_there(where)
    if not isinstance(path, (str, os.PathLike)):
        listing = read_image_folder(path)
    elif columns is not None or where.suffix.lower() == ".json":
        listing = _read_table(where, follow_links, columns)
    else:
        listing = _read_file(where, follow_links) if where.is_file() else _read_folder(where, follow_links)
    if odd := [key for key in listing.keys if not _is_unicode(key)]:
        raise DataError(f"{where}: the name of the class {odd[0]!a} is not UTF-8", "give its folder another name")
    divided = UNSPLIT in listing.splits
    listing = _with_splits(listing, split_seed)
    notes = check_examples(listing.keys, listing.splits)
    names, name_notes = final_names(
        listing.keys,
        listing.names,
        class_names,
        kept=kept_names,
        by_position=names_by_position,
        twins_allowed=listing.twins_allowed,
    )
    return Dataset(
        name=name or data_name(where),
        classnames=names,
        train=tuple(listing.splits.get("train", ())),
        val=tuple(listing.splits.get("val", ())),
        test=tuple(listing.splits.get("test", ())),
        features=listing.features,
        notes=(*listing.notes, *notes, *name_notes),
        keys=tuple(listing.keys),
        divided=divided,
    )


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """How a data set is opened and its pictures are read: part of every plan of work on one."""

    split_seed: int = 0
    class_names: Path | None = None
    names_by_position: bool = False
    columns: Mapping[str, str] | None = None  # of tables, by role
    follow_links: bool = False
    bands: tuple[int, ...] | None = None  # of a TIFF, counted from 1
    value_range: ValueRange | None = None  # of pictures of more than 8 bits

    def open_data(self, path: Path) -> Dataset:
        """What `open_dataset` gives with these settings; no picture is opened. Raises DataError, UsageError."""
        return open_dataset(
            path,
            split_seed=self.split_seed,
            class_names=self.class_names,
            names_by_position=self.names_by_position,
            columns=self.columns,
            follow_links=self.follow_links,
        )

    def settle_data(self, dataset: Dataset) -> Dataset:
        """The data set with the rule for its pictures (`mocoop.data.survey.settled`). Raises DataError."""
        from mocoop.data.survey import settled  # brings NumPy, which opening a folder does without

        return settled(dataset, bands=self.bands, value_range=self.value_range)


def data_name(path: str | os.PathLike[str]) -> str:
    """What `open_dataset` calls the data set of a path, without reading its list."""
    where = coop.folder_of(Path(path))
    if not where.is_dir():
        return where.stem
    layout = coop.find_layout(where)
    return layout.name if layout else where.resolve().name


def _check_there(where: Path) -> None:
    """Refuse a path where nothing is, that may not be looked at, or that is neither a file nor a folder."""
    try:
        kind = irregular(os.stat(where).st_mode)
    except PermissionError as error:
        raise os_error(error, "read", where, DataError) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise DataError(f"there is no data at {str(where)!a}{meant(where)}", "check the path") from error
    if kind:
        raise DataError(f"cannot read the data at {where}: it is {kind}", "give a folder, or the path of a file")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _read_table(path: Path, follow_links: bool, columns: Mapping[str, str] | None) -> Listing:
    """A table whose columns are named by the user, or a JSON file: a table, or splits in CoOp's form."""
    if is_saved(path):
        return read_saved(path, follow_links=follow_links, columns=columns)
    if path.is_dir() and (listing := manifest.read_metadata(path, follow_links=follow_links, columns=columns)):
        return listing
    if path.is_dir() or path.suffix.lower() not in manifest.SUFFIXES:
        raise UsageError(f"{path} is no table, so there are no columns to name", "leave out --columns")
    if columns is None and coop.is_split_file(path):
        return coop.read_split_file(path, follow_links=follow_links)
    return manifest.read_manifest(path, follow_links=follow_links, columns=columns)


def _read_file(path: Path, follow_links: bool) -> Listing:
    suffix = path.suffix.lower()
    if suffix in manifest.SUFFIXES:
        return manifest.read_manifest(path, follow_links=follow_links)
    if suffix in arrays.SUFFIXES:
        return arrays.read_arrays(path)
    known = ", ".join((*manifest.SUFFIXES, *arrays.SUFFIXES))
    raise DataError(f"{path} is no data set", f"give a folder, or a file of one of these kinds: {known}")


def _read_folder(folder: Path, follow_links: bool) -> Listing:
    layout = coop.find_layout(folder)
    if layout is not None:
        return coop.read_layout(layout, folder, follow_links=follow_links)
    if inside := [name for name in subfolders(folder) if coop.find_layout(folder / name)]:
        raise DataError(f"{folder} holds several data sets", f"give one of them, for example {folder / inside[0]}")
    if is_saved(folder):
        return read_saved(folder, follow_links=follow_links)
    if len(own := sorted(folder.glob("split*.json"))) == 1 and coop.is_split_file(own[0]):
        return coop.read_split_file(own[0], follow_links=follow_links)
    listing = manifest.read_metadata(folder, follow_links=follow_links)
    return listing or read_folder(folder, follow_links=follow_links)


def _with_splits(listing: Listing, split_seed: int) -> Listing:
    """Make the splits, or only val, where the source has none; says so in the notes.

    An image that is listed more than once is taken once first, so that no split of ours has it on both sides.
    """
    splits, twice = dict(listing.splits), list[Example]()
    note: str | None
    if UNSPLIT in splits:
        once = _once(splits[UNSPLIT], twice)
        splits = dict(divide(once, listing.keys, split_seed))
        note = f"{NO_SPLITS}: each class was split 50/20/30 by split_seed {split_seed}"
    elif splits.get("train") and not splits.get("val"):
        train, val = make_val(_once(splits["train"], twice), listing.keys, split_seed)
        splits = {"train": train, "val": val, "test": splits.get("test", ())}
        # Without val, one or two images a class, all are trained on; that val has none is said elsewhere.
        note = f"no val was given: a fifth of train was taken for it by split_seed {split_seed}" if val else None
    else:
        return listing
    again = f"listed more than once, and taken once: {named(twice)}" if twice else None
    return replace(listing, splits=splits, notes=(*listing.notes, *(said for said in (again, note) if said)))


def _once(examples: Sequence[Example], twice: list[Example]) -> list[Example]:
    """Each example once, in the order of the first; those that come again go to `twice`."""
    counts = Counter(examples)
    twice += [example for example, count in counts.items() if count > 1]
    return list(counts)
