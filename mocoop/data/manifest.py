"""A table of images: a column of paths, one of labels and, if there are splits, one of splits.

    path,label,split                      {"path": "a/1.jpg", "label": "forest", "split": "train"}
    a/1.jpg,forest,train

Columns may have other usual names (filepath, file_name, class, target, subset, ...) or are named by the user; others
are not used, which a note says. Paths are relative to the table's folder, or absolute, and must stay below it. A label
is a class name or a number; classes are numbered in sorted order, numbers by value. Either every line has a split
or none has. Every error names the line. How tables are read: `mocoop.data.tablerows`.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mocoop.data.classnames import nearest
from mocoop.data.dataset import SPLITS, UNSPLIT, Example, Listing, named
from mocoop.data.fence import Fence, absence_notes
from mocoop.data.folder import split_folders
from mocoop.data.namelists import in_order
from mocoop.data.splitwords import split_word
from mocoop.data.tablerows import MAX_BYTES, SUFFIXES, Row, read_rows
from mocoop.errors import DataError, UsageError

__all__ = [
    "COLUMNS",
    "MAX_BYTES",
    "SUFFIXES",
    "Columns",
    "check_columns",
    "listing_of",
    "read_manifest",
    "read_metadata",
    "read_paths",
]

COLUMNS = ("path", "label", "split")
_WORDS = {
    "path": ("path", "filepath", "file_path", "file_name", "filename", "file", "image_path", "img_path", "image", "img",
             "images"),
    "label": ("label", "class", "class_name", "classname", "category", "label_name", "target", "labels", "y"),
    "split": ("split", "splits", "set", "subset", "partition", "fold"),
}  # fmt: skip
_LONG = 40  # characters of a column that a message shows
_REQUIRED = ("path", "label")
_HINT = "the first line names the columns: path,label[,split]; or say which is which: --columns path=...,label=..."
_METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")


def read_manifest(path: Path, *, follow_links: bool = False, columns: Mapping[str, str] | None = None) -> Listing:
    """List the images of a table. `columns` says which column is the path, label or split. Raises DataError."""
    check_columns(columns or {})
    notes: list[str] = []
    chooser = Columns(columns or {}, notes)
    rows = ((path, row, None) for row in read_rows(path, chooser))
    listing = listing_of(rows, path.parent, chooser, notes, follow_links)
    if not listing.splits:
        raise DataError(f"{path}: no images are listed", "write one line an image: path,label[,split]")
    return listing


def read_paths(
    path: Path, *, follow_links: bool = False, columns: Mapping[str, str] | None = None
) -> tuple[list[Path], list[str]]:
    """The images of a table, in its order, without any label, and notes; a file may be missing. Raises DataError."""
    check_columns(columns or {})
    notes: list[str] = []
    chooser = Columns(columns or {}, notes, roles=("path",))
    place = _Places(path.parent, follow_links)
    found = []
    for row in read_rows(path, chooser):
        where = f"{path}:{row.line}"
        (cell,) = row.values.values()
        found.append(place(path, where, _text(cell, "path", where)))
    if not found:
        raise DataError(f"{path}: no images are listed", "write one line an image, under a column path")
    return found, [*notes, *place.notes]


def read_metadata(
    folder: Path, *, follow_links: bool = False, columns: Mapping[str, str] | None = None
) -> Listing | None:
    """The images of a folder with a `metadata.csv`, `.jsonl` or `.parquet` in it or in each split's folder.

    `columns` says which column is the path, label or split. None if there is no such table, or one without labels.
    """
    check_columns(columns or {})
    places: dict[str | None, Path] = {None: folder}
    if _metadata_of(folder) is None:
        places = dict(split_folders(folder).items())
    notes: list[str] = []
    chooser = Columns(columns or {}, notes)
    tables = [(split, path) for split, home in places.items() if (path := _metadata_of(home)) is not None]
    found = ((path, row, split) for split, path in tables for row in read_rows(path, chooser))
    try:
        listing = listing_of(found, folder, chooser, notes, follow_links)
    except _NoLabel:
        return None  # captions, boxes: the classes are folders
    return listing if listing.splits else None


def _metadata_of(folder: Path) -> Path | None:
    return next((folder / name for name in _METADATA if (folder / name).is_file()), None)


def check_columns(columns: Mapping[str, str]) -> None:
    """Raises UsageError for a role that no column can have."""
    if unknown := [role for role in columns if role not in COLUMNS]:
        raise UsageError(
            f"--columns: {unknown[0]!r} is none of path, label and split", "write --columns path=file,label=kind"
        )


class _NoLabel(DataError):
    """A table without a column of labels."""


class Columns:
    """Finds the columns of path, label and split in a header, once; notes what is used under another name or not."""

    def __init__(
        self, given: Mapping[str, str], notes: list[str], hint: str = _HINT, roles: Sequence[str] = COLUMNS
    ) -> None:
        self._given, self._notes, self._hint, self._roles = given, notes, hint, roles
        self.role_of: dict[str, str] = {}  # by column
        self._seen: set[str] = set()

    def __call__(self, columns: Sequence[str], where: str) -> list[str]:
        """The columns to be read of those in a header at `where`. Raises DataError."""
        roles = {role: found for role in self._roles if (found := self._find(role, columns, where))}
        for role in _REQUIRED:
            if role in self._roles and role not in roles:
                kind = _NoLabel if role == "label" else DataError
                near = _like(role, columns) or f" among {named(_shown(column)[:_LONG] for column in columns)}"
                raise kind(f'{where}: no column "{role}"{near}', self._hint)
        unused = set(columns) - set(roles.values())
        if (
            "split" in self._roles
            and "split" not in roles
            and (near := next((column for column in sorted(unused) if nearest(column, ("split",))), ""))
        ):
            raise DataError(f'{where}: unknown column "{near}" (did you mean "split"?)', self._hint)
        others = [column for column in columns if column not in roles.values() and column not in self._seen]
        renamed = [f"{column} is the {role}" for role, column in roles.items() if column != role]
        if not self._seen and renamed:
            self._notes.append(f"columns: {', '.join(renamed)}")
        if others and "label" in self._roles:  # whoever reads paths alone expects no other column to be used
            self._notes.append(f"columns not used: {named(_shown(column) for column in others)}")
        self._seen |= set(columns)
        self.role_of |= {column: role for role, column in roles.items()}
        return list(roles.values())

    def _find(self, role: str, columns: Sequence[str], where: str) -> str | None:
        if role in self._given:
            if self._given[role] not in columns:
                column = self._given[role]
                raise DataError(f'{where}: no column "{column}"{nearest(column, columns)}', self._hint)
            return self._given[role]
        by_word = {column.casefold().replace(" ", "_").replace("-", "_"): column for column in reversed(columns)}
        taken = set(self._given.values())
        return next((by_word[word] for word in _WORDS[role] if word in by_word and by_word[word] not in taken), None)


def _like(role: str, columns: Sequence[str]) -> str:
    """' (did you mean ...?)' of a column that is nearly one of a role's words."""
    return next((near for column in columns if column and (near := nearest(column, _WORDS[role][:1]))), "")


def _shown(column: str) -> str:
    return column or "the one without a name"


def listing_of(
    found: Iterable[tuple[Path, Row, str | None]],
    root: Path,
    columns: Columns,
    notes: list[str],
    follow_links: bool,
    order: Sequence[str] = (),
) -> Listing:
    """The listing of the rows of one or more tables; a row's split may come from its table's folder.

    Classes are in the order given, others after them in sorted order. There may be millions of rows: of each only its
    file and two numbers are kept until all are read. Raises DataError.
    """
    place, splits = _Places(root, follow_links), _Splits()
    files: list[str] = []
    labels: dict[str, int] = {}  # numbered as they come
    label_of = array("I")
    for path, row, split in found:
        where = f"{path}:{row.line}"
        values = {columns.role_of[column]: value for column, value in row.values.items()}
        texts = {role: _text(values[role], role, where) for role in _REQUIRED}
        files.append(str(place(path, where, texts["path"])))
        label_of.append(labels.setdefault(texts["label"], len(labels)))
        splits.add(where, split, values)
    names = splits.names(columns, notes)
    notes += place.notes
    keys = [key for key in order if key in labels]
    keys += in_order(sorted(labels.keys() - set(keys)))
    number = {key: label for label, key in enumerate(keys)}
    final = [number[key] for key in labels]
    examples: dict[str, list[Example]] = {split: [] for split in (*SPLITS, UNSPLIT)}
    for file, label, cell in zip(files, label_of, splits.of_row, strict=True):
        examples[names[cell]].append(Example(file, final[label]))
    present = {split: some for split, some in examples.items() if some}
    return Listing(keys=keys, splits=present, notes=[*notes, *absence_notes(present, root)])


class _Splits:
    """The splits of rows: `of_row` are numbers of the few different cells, each kept once with its first place."""

    def __init__(self) -> None:
        self.of_row = array("I")
        self._numbers: dict[Hashable, int] = {}
        self._cells: list[tuple[str, str | None, dict[str, Any]]] = []

    def add(self, where: str, folder: str | None, values: Mapping[str, Any]) -> None:
        """Another row: the split of its table's folder, or else its own cell, if there is one."""
        cell = {"split": values["split"]} if "split" in values else {}
        kind = [(type(value), str(value)) for value in cell.values()]
        number = self._numbers.setdefault((folder, *kind), len(self._cells))
        if number == len(self._cells):
            self._cells.append((where, folder, cell))
        self.of_row.append(number)

    def names(self, columns: Columns, notes: list[str]) -> list[str]:
        """The split of each different cell, by number. Raises DataError."""
        has_splits = self._are_splits(columns, notes)
        return [folder or _split_of(cell, has_splits, where) for where, folder, cell in self._cells]

    def _are_splits(self, columns: Columns, notes: list[str]) -> bool:
        """Whether a column gives the splits; one with another name, and no split in it (folds 1 to 5), does not."""
        if not self._cells:
            return False
        _, folder, first = self._cells[0]
        if "split" not in first or folder is not None:
            return False
        column = next(name for name, role in columns.role_of.items() if role == "split")
        if column == "split" or any(split_word(str(cell.get("split", ""))) for *_, cell in self._cells):
            return True
        notes.append(f"the column {column} names no splits and is not used")
        for *_, cell in self._cells:
            cell.pop("split", None)
        return False


class _Places:
    """Turns the paths of tables into paths below one folder, and counts what was written oddly."""

    def __init__(self, root: Path, follow_links: bool) -> None:
        self._root, self._fence, self._backslashes = root, Fence(root, follow_links=follow_links), 0
        self._homes = [os.path.abspath(root), os.path.realpath(root)]

    def __call__(self, table: Path, where: str, relative: str) -> Path:
        """The place of a path written at `where` in a table. Raises DataError for one that leaves the folder."""
        if "\\" in relative:
            self._backslashes += 1
            relative = relative.replace("\\", "/")
        if table.parent != self._root and not relative.startswith("/"):
            relative = f"{table.parent.relative_to(self._root).as_posix()}/{relative}"
        return self._fence.listed(_below(relative, self._homes), where)

    @property
    def notes(self) -> list[str]:
        """What was written oddly."""
        return [f"{self._backslashes} paths have backslashes, read as /"] if self._backslashes else []


def _split_of(values: Mapping[str, Any], has_splits: bool, where: str) -> str:
    if ("split" in values) is not has_splits:
        raise DataError(f"{where}: some lines have a split and some have none", "give every line one, or none")
    if not has_splits:
        return UNSPLIT
    word = _text(values["split"], "split", where)
    split = split_word(word)
    if split is None:
        raise DataError(f'{where}: split "{word}"{nearest(word, SPLITS)}', "write train, val or test")
    return split


def _text(value: Any, role: str, where: str) -> str:
    """A cell as text; a label may be a whole number. Raises DataError."""
    if isinstance(value, list):
        raise DataError(f"{where}: {role} is a list", "an image has one class here: keep one, or take the line out")
    if role == "label" and isinstance(value, (int, float)) and not isinstance(value, bool) and value == value // 1:
        value = str(int(value))
    if value is None or value != value or (isinstance(value, str) and not value.strip()):
        raise DataError(f"{where}: an empty {role}", "fill the cell or take the line out")
    if not isinstance(value, str):
        raise DataError(f"{where}: {role} is no string", "a label is a class name in double quotes, or a whole number")
    return value


def _below(path: str, homes: Sequence[str]) -> str:
    """An absolute path that lies in the folder as a relative one; any other path unchanged."""
    for home in homes:
        if path.startswith(f"{home}/"):
            return path[len(home) + 1 :]
    return path
