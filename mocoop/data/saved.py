"""A folder that Hugging Face's `save_to_disk` wrote: a Dataset, or a DatasetDict with a folder a split.

    root/dataset_info.json  state.json  data-00000-of-00001.arrow
    root/dataset_dict.json  train/dataset_info.json ...  test/...

The package `datasets` is not needed and not used. Pictures stay inside the Arrow files (`mocoop.data.arrowfile`), or
are files below the folder, if the column has paths only. The classes are the names of the ClassLabel, in its order;
images without a label (-1 or none) are left out with a note.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mocoop import strictjson
from mocoop.data.arrowfile import Opened, batches, open_file
from mocoop.data.dataset import Listing, named
from mocoop.data.fence import Fence
from mocoop.data.manifest import Columns, check_columns, listing_of
from mocoop.data.splitwords import split_word
from mocoop.data.tablerows import Row
from mocoop.errors import DataError
from mocoop.files import read_json

MAX_JSON = 64 * 1024 * 1024
MAX_ROWS = 5_000_000
_DICT, _INFO, _STATE = "dataset_dict.json", "dataset_info.json", "state.json"
_HINT = "say which columns are which: --columns path=...,label=..."
_AGAIN = "save it again with save_to_disk"


def is_saved(folder: Path) -> bool:
    """Whether a folder is one that `save_to_disk` writes."""
    return (folder / _DICT).is_file() or all((folder / name).is_file() for name in (_INFO, _STATE))


def read_saved(folder: Path, *, follow_links: bool = False, columns: Mapping[str, str] | None = None) -> Listing:
    """List the images of a saved Dataset or DatasetDict. Raises DataError."""
    check_columns(columns or {})
    notes: list[str] = []
    reader = _Reader(folder, Fence(folder, follow_links=follow_links), columns, notes)
    for name, split in _splits(folder, notes).items():
        reader.read(name, split)
    if not reader.rows:
        raise DataError(f"{folder}: no image has a label", "check that this is the right data set")
    if reader.unlabelled:
        notes.append(f"{reader.unlabelled:,} images without a label are left out")
    chooser = reader.chooser
    assert chooser is not None, "there are rows"
    listing = listing_of(reader.rows, folder, chooser, notes, follow_links, order=list(reader.names))
    if empty := [name for name in reader.names if name not in listing.keys]:
        notes = [*listing.notes, f"classes without an image are left out: {named(empty)}"]
        return Listing(keys=listing.keys, splits=listing.splits, notes=notes)
    return listing


def _splits(folder: Path, notes: list[str]) -> dict[str, str | None]:
    """The folder of each data set and its split; None: it has none. Raises DataError."""
    if not (folder / _DICT).is_file():
        return {"": None}
    about = read_json(folder / _DICT, what="list of splits", error=DataError, max_bytes=MAX_JSON)
    names = about.get("splits") if isinstance(about, dict) else None
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise DataError(f"{folder / _DICT}: it lists no splits", _AGAIN)
    known = {name: split for name in names if (split := split_word(name))}
    if len(names) == 1:
        notes.append(f"{names[0]} is the only split, so its images are divided like those of a folder without splits")
        return {names[0]: None}
    if not known:
        raise DataError(
            f"{folder}: none of {named(names)} is called train, val or test",
            "give the folder of one of them, or rename them in the DatasetDict",
        )
    if len(set(known.values())) < len(known):
        raise DataError(f"{folder} has several splits for one of train, val and test: {named(known)}", "keep one")
    if others := [name for name in names if name not in known]:
        notes.append(f"not used, beside the splits: {named(others)}")
    return dict(known)


@dataclass
class _Reader:
    """Collects the rows of one data set after another."""

    root: Path
    fence: Fence
    columns: Mapping[str, str] | None
    notes: list[str]
    rows: list[tuple[Path, Row, str | None]] = field(default_factory=list)
    names: dict[str, None] = field(default_factory=dict)  # of all ClassLabels, in their order
    unlabelled: int = 0
    chooser: Columns | None = None

    def read(self, name: str, split: str | None) -> None:
        """Read the data set in a folder below the root. Raises DataError."""
        home = self.fence.listed(name, str(self.root / _DICT)) if name else self.root
        for path in self._files(home):
            opened = open_file(path)
            features = _features(home, opened)
            if self.chooser is None:
                given = {**_telling(features, opened), **(self.columns or {})}
                self.chooser = Columns(given, self.notes, _HINT)
            chosen = self.chooser(list(opened.schema.names), str(path))
            self._check_types(path, opened, chosen)
            label = next(column for column in chosen if self.chooser.role_of[column] == "label")
            words = _class_words(features.get(label), path)
            self.names |= dict.fromkeys(words)
            self._add(path, opened, chosen, words, split)

    def _files(self, home: Path) -> Iterator[Path]:
        """The Arrow files of a data set, in order. Raises DataError."""
        state = home / _STATE
        about = read_json(state, what="state", error=DataError, max_bytes=MAX_JSON)
        about = about if isinstance(about, dict) else {}
        if about.get("_indices_data_files"):
            raise DataError(f"{home}: its rows are chosen by an index", "save .flatten_indices() of it")
        listed = about.get("_data_files")
        names = [one.get("filename") for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
        if not names or not all(isinstance(name, str) for name in names):
            raise DataError(f"{state}: it lists no Arrow files", _AGAIN)
        inside = home.relative_to(self.root).as_posix()
        for name in names:
            path = self.fence.listed(f"{inside}/{name}", str(state))
            if not path.is_file():
                raise DataError(f"{path} is missing", _AGAIN)
            yield path

    def _check_types(self, path: Path, opened: Opened, chosen: list[str]) -> None:
        from pyarrow import types

        assert self.chooser is not None, "columns were chosen"
        for column in chosen:
            kind = opened.schema.field(opened.schema.get_field_index(column)).type
            text = types.is_string(kind) or types.is_large_string(kind)
            if self.chooser.role_of[column] == "path":
                inner = {f.name: f.type for f in kind} if types.is_struct(kind) else {"bytes": kind}
                found = inner.get("bytes")
                right = text or (found is not None and (types.is_binary(found) or types.is_large_binary(found)))
                wanted = "a picture is a struct of bytes and path, or bytes, or a path"
            else:
                right, wanted = text or types.is_integer(kind), "a label or split is text or a whole number"
            if not right or "/" in column:
                raise DataError(f'{path}: the column "{column}" is {kind}', wanted)

    def _add(self, path: Path, opened: Opened, chosen: list[str], words: list[str], split: str | None) -> None:
        assert self.chooser is not None, "columns were chosen"
        roles = [self.chooser.role_of[column] for column in chosen]
        row = 0
        for values in batches(path, opened, chosen):
            by_role = dict(zip(roles, values, strict=True))
            if len(self.rows) + len(values[0]) > MAX_ROWS:
                raise DataError(f"{self.root}: more than {MAX_ROWS:,} images", "give a part of them")
            places = _places(by_role.pop("path"), path.name, chosen[roles.index("path")], row)
            others = {role: column.to_pylist() for role, column in by_role.items()}
            for number, place in enumerate(places):
                cells = {role: column[number] for role, column in others.items()}
                cells["label"] = _label(cells["label"], words, f"{path}:{row + number}")
                if cells["label"] is None:
                    self.unlabelled += 1
                    continue
                cells["path"] = place
                by_column = {column: cells[role] for column, role in zip(chosen, roles, strict=True)}
                self.rows.append((path, Row(row + number, by_column), split))
            row += len(values[0])


def _features(home: Path, opened: Opened) -> dict[str, Any]:
    """What the columns are, by name, as `dataset_info.json` or the Arrow file itself says."""
    about = read_json(home / _INFO, what="description", error=DataError, max_bytes=MAX_JSON)
    found = about.get("features") if isinstance(about, dict) else None
    if not isinstance(found, dict):
        noted = (opened.schema.metadata or {}).get(b"huggingface", b"{}")
        value = strictjson.parse(noted, max_bytes=MAX_JSON).value
        info = value.get("info") if isinstance(value, dict) else None
        found = info.get("features") if isinstance(info, dict) else None
    return {name: one for name, one in (found or {}).items() if isinstance(one, dict)}


def _telling(features: Mapping[str, Any], opened: Opened) -> dict[str, str]:
    """The columns that must be the path and the label, because no other is an Image or a ClassLabel."""
    kinds = {"path": "Image", "label": "ClassLabel"}
    names = set(opened.schema.names)
    found = {
        role: [name for name, one in features.items() if one.get("_type") == kind and name in names]
        for role, kind in kinds.items()
    }
    return {role: columns[0] for role, columns in found.items() if len(columns) == 1}


def _class_words(feature: Any, path: Path) -> list[str]:
    """The names of a ClassLabel by number; empty if a column is none. Raises DataError."""
    if not isinstance(feature, dict) or feature.get("_type") != "ClassLabel":
        return []
    words = feature.get("names")
    if not isinstance(words, list) or not all(isinstance(word, str) and word.strip() for word in words):
        raise DataError(f"{path.parent / _INFO}: the ClassLabel has no names", _AGAIN)
    if len(set(words)) < len(words):
        raise DataError(f"{path.parent / _INFO}: a class is named twice", "give every class its own name")
    return words


def _label(value: Any, words: list[str], where: str) -> Any:
    """A label as text or number; None for an image without one. Raises DataError."""
    if value is None or value == -1:
        return None
    if not words or isinstance(value, str):
        return value
    if not 0 <= value < len(words):
        raise DataError(f"{where}: label {value} of {len(words)} classes", "check the data set")
    return words[value]


def _places(pictures: Any, file: str, column: str, first: int) -> Iterator[str]:
    """Where each picture of a batch is: in the Arrow file, or at the path that stands for it."""
    from pyarrow import types

    if types.is_string(pictures.type) or types.is_large_string(pictures.type):
        yield from (path or "" for path in pictures.to_pylist())
        return
    has_paths = types.is_struct(pictures.type) and pictures.type.get_field_index("path") >= 0
    empty = pictures.field("bytes").is_null().to_pylist() if has_paths else [False] * len(pictures)
    for number, lacks in enumerate(empty):
        path = pictures.field("path")[number].as_py() if lacks else None
        yield path or f"{file}/{column}/{first + number}"
