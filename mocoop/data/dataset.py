"""An opened data set: examples with labels in three splits, class names, and notes.

A source (folder, manifest, CoOp layout, array file) gives a `Listing`, which still has its own class keys and
perhaps no splits; `mocoop.data.sources` turns it into a `Dataset`. `check_examples` has the checks common to all
data sets, whatever their source.

No files are read here, and nothing here is random.
"""

from __future__ import annotations

import difflib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mocoop.errors import DataError

if TYPE_CHECKING:
    from mocoop.data.reading import Reading
    from mocoop.data.storedrows import StoredRows

SPLITS = ("train", "val", "test")
UNSPLIT = "all"  # the only split of a Listing whose source has no splits
MAX_NAMED = 5  # examples or classes listed in one message
_FEW, _MANY = 2, 5  # images of a class that may be a misspelt one; so many times as many has the one that was meant
_NEAR = 0.8  # likeness of their names by difflib


@dataclass(frozen=True, slots=True, init=False)
class Example:
    """One image: its file, its label, and its row if the data set is an array of features.

    The file is kept as text, because there may be millions of examples and a Path takes several times as much memory.
    """

    file: str | None
    label: int
    row: int | None

    def __init__(self, path: str | os.PathLike[str] | None, label: int, row: int | None = None) -> None:
        """A `path` given as text should be as `str(Path(path))` is, so that one file has one name."""
        object.__setattr__(self, "file", None if path is None else os.fspath(path))
        object.__setattr__(self, "label", label)
        object.__setattr__(self, "row", row)

    @property
    def path(self) -> Path | None:
        """The file, made into a Path each time."""
        return None if self.file is None else Path(self.file)

    @property
    def picture(self) -> Path | None:
        """The file, to be shown; None for a row of features whose file is not here, only where they were made."""
        return self.path if self.row is None or (self.file is not None and os.path.isfile(self.file)) else None

    def __iter__(self) -> Iterator[Any]:
        """Path, label and row: an example is unpacked and sorted like a tuple of them."""
        return iter((self.path, self.label, self.row))

    def __lt__(self, other: Example) -> bool:
        return tuple(self) < tuple(other)

    def _replace(self, **changes: Any) -> Example:
        """The same with another `path`, `label` or `row`, as of a named tuple."""
        return Example(**{"path": self.file, "label": self.label, "row": self.row, **changes})

    def __str__(self) -> str:
        return f"row {self.row}" if self.file is None else self.file


def common_folder(examples: Iterable[Example]) -> str:
    """The folder that the files of all examples are in, "" if there is none."""
    folders = {os.path.dirname(example.file) for example in examples if example.file is not None}
    try:
        return os.path.commonpath(folders) if folders else ""
    except ValueError:  # some are absolute and some are not
        return ""


@dataclass(frozen=True)
class Dataset:
    """Class names by label, the examples of each split in a fixed order, and notes.

    `features` (N, D), not normalised, is set if the source was an array file; an example's `row` indexes it.
    `reading` is the rule for bands and depths of its pictures, once found (`mocoop.data.survey`).
    `notes` are sentences for the user: what was ignored, missing or decided. `keys` may be empty: then none are known.
    `divided`: the source had no splits, so they were made by a seed.
    """

    name: str
    classnames: tuple[str, ...]
    train: tuple[Example, ...]
    val: tuple[Example, ...]
    test: tuple[Example, ...]
    features: StoredRows | None = field(default=None, compare=False, repr=False)
    notes: tuple[str, ...] = ()
    keys: tuple[str, ...] = field(default=(), compare=False)  # the source's own name of each class, by label
    reading: Reading | None = None
    divided: bool = False

    def split(self, name: str) -> tuple[Example, ...]:
        """The examples of "train", "val" or "test"."""
        return {"train": self.train, "val": self.val, "test": self.test}[name]

    def counts(self, name: str) -> tuple[int, ...]:
        """The number of examples of each class in a split, by label."""
        found = Counter(example.label for example in self.split(name))
        return tuple(found[label] for label in range(len(self.classnames)))


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The content of a source: a key for each class (such as a folder's name) and examples by split.

    `splits` has some of train, val and test, or only UNSPLIT. `names` are the source's class names, if they differ
    from the keys. `twins_allowed` lets two classes share a name.
    """

    keys: Sequence[str]
    splits: Mapping[str, Sequence[Example]]
    names: Sequence[str] | None = None
    features: StoredRows | None = None
    notes: Sequence[str] = ()
    twins_allowed: bool = False


def named(things: Iterable[object], total: int | None = None) -> str:
    """The first few of many things for a message: "a, b, c, d, e and 7 more"."""
    words = [str(thing) for thing in things]
    total = len(words) if total is None else total
    shown = words[:MAX_NAMED]
    return ", ".join(shown) + (f" and {total - len(shown)} more" if total > len(shown) else "")


def check_examples(keys: Sequence[str], splits: Mapping[str, Sequence[Example]]) -> list[str]:
    """Check what must be true of every data set; returns notes on what is odd but usable.

    Errors: no image at all, fewer than two classes, a class without any image, one file with two labels, one file in
    train and in another split. Raises DataError.
    """
    if not any(splits.values()):
        raise DataError("there is no image in this data set", "check that the path is the right one")
    if len(keys) < 2:
        raise DataError(
            f"there is one class only, {keys[0]!r}",
            "two are needed: give pictures of anything else a folder or label too",
        )
    present = {example.label for example in chain.from_iterable(splits.values())}
    if missing := [key for label, key in enumerate(keys) if label not in present]:
        raise DataError(f"no image of the class {named(missing)}", "add images or take the class out")
    return _class_notes(keys, splits) + _slips(keys, splits) + _file_notes(splits)


def _class_notes(keys: Sequence[str], splits: Mapping[str, Sequence[Example]]) -> list[str]:
    notes = []
    for name, examples in splits.items():
        present = {example.label for example in examples}
        lacking = [key for label, key in enumerate(keys) if label not in present]
        if not examples:
            notes.append(f"{name} has no images")
        elif lacking:
            notes.append(f"no image in {name} of {_plural(len(lacking), 'class')}: {named(lacking)}")
    return notes


def _slips(keys: Sequence[str], splits: Mapping[str, Sequence[Example]]) -> list[str]:
    """A note on classes of an image or two that are spelt nearly as a large one: a label with a slip of the pen."""
    counts = Counter(example.label for example in chain.from_iterable(splits.values()))
    rare = [label for label in range(len(keys)) if counts[label] <= _FEW]
    if len(rare) > MAX_NAMED:  # then the data set is made so
        return []
    common = [key for label, key in enumerate(keys) if counts[label] >= _FEW * _MANY]
    found = []
    for label in rare:
        # names that differ in their numbers alone ("class 1", "class 2") are meant so
        alike = [key for key in common if _letters(key) != _letters(keys[label])]
        for near in difflib.get_close_matches(keys[label], alike, 1, _NEAR):
            found.append(f"{keys[label]!r} ({_plural(counts[label], 'image')}) is spelt nearly as {near!r}")
    return [f"{named(found)}: a slip of the pen? each is a class of its own here"] if found else []


def _letters(key: str) -> str:
    return "".join(character for character in key if not character.isdigit())


def _file_notes(splits: Mapping[str, Sequence[Example]]) -> list[str]:
    """Notes on files listed more than once. Raises DataError for one in train and another split, or with two labels."""
    homes: dict[str, tuple[str, int]] = {}
    twice: list[str] = []
    val_is_test = splits.get("val") is not None and splits.get("val") == splits.get("test")
    for name, examples in splits.items():
        if name == "val" and val_is_test:
            continue
        kinds: dict[int, tuple[str, int]] = {}  # one object a class, not one a file
        for example in examples:
            if example.file is None:
                continue
            if example.file not in homes:
                homes[example.file] = kinds.setdefault(example.label, (name, example.label))
                continue
            first_split, first_label = homes[example.file]
            if first_label != example.label:
                raise DataError(f"{example} is listed under two classes", "keep the right one")
            if first_split != name and "train" in (first_split, name):
                raise DataError(f"{example} is in {first_split} and in {name}", "keep it in one split")
            twice.append(example.file)
    return [f"listed more than once: {named(twice)}"] if twice else []


def _plural(count: int, word: str) -> str:
    return f"{count} {word if count == 1 else word + ('es' if word.endswith('s') else 's')}"
