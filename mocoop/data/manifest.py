"""A table of images: CSV or JSON lines with `path`, `label` and, if there are splits, `split`.

    path,label,split                      {"path": "a/1.jpg", "label": "forest", "split": "train"}
    a/1.jpg,forest,train

Paths are relative to the manifest's folder and must stay below it. A label is a class name; classes are numbered in
sorted order. Either every line has a split (train, val, valid, validation or test) or none has. Every error names
the line.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mocoop import strictjson
from mocoop.data.classnames import decode, nearest
from mocoop.data.dataset import SPLITS, UNSPLIT, Example, Listing
from mocoop.data.fence import Fence, absence_notes
from mocoop.data.splitwords import split_word
from mocoop.errors import DataError
from mocoop.files import read_bytes

MAX_BYTES = 512 * 1024 * 1024
SUFFIXES = (".csv", ".jsonl")
COLUMNS = ("path", "label", "split")
_REQUIRED = ("path", "label")


class _Row(NamedTuple):
    line: int
    values: dict[str, str]


def read_manifest(path: Path, *, follow_links: bool = False) -> Listing:
    """List the images of a .csv or .jsonl manifest. Raises DataError."""
    data = read_bytes(path, max_bytes=MAX_BYTES, what="manifest", error=DataError)
    rows = list(_csv_rows(data, path) if path.suffix.lower() == ".csv" else _json_rows(data, path))
    if not rows:
        raise DataError(f"{path}: no images are listed", "write one line an image: path,label[,split]")
    has_splits = "split" in rows[0].values
    labels = {key: label for label, key in enumerate(sorted({row.values["label"] for row in rows}))}
    fence = Fence(path.parent, follow_links=follow_links)
    splits: dict[str, list[Example]] = {split: [] for split in (SPLITS if has_splits else (UNSPLIT,))}
    for row in rows:
        where = f"{path}:{row.line}"
        split = _split_of(row, has_splits, where)
        image = fence.listed(row.values["path"], where)
        splits[split].append(Example(image, labels[row.values["label"]]))
    present = {split: found for split, found in splits.items() if found}
    return Listing(keys=list(labels), splits=present, notes=absence_notes(present, fence.root))


def _split_of(row: _Row, has_splits: bool, where: str) -> str:
    if ("split" in row.values) is not has_splits:
        raise DataError(f"{where}: some lines have a split and some have none", "give every line one, or none")
    if not has_splits:
        return UNSPLIT
    split = split_word(row.values["split"])
    if split is None:
        word = row.values["split"]
        raise DataError(f'{where}: split "{word}"{nearest(word, SPLITS)}', "write train, val or test")
    return split


def _csv_rows(data: bytes, path: Path) -> Iterator[_Row]:
    reader = csv.reader(io.StringIO(decode(data, path), newline=""), strict=True)
    header: list[str] | None = None
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            where = f"{path}:{reader.line_num}"
            if header is None:
                header = _checked_header(cells, where)
            elif len(cells) != len(header):
                message = f"{where}: {len(cells)} cells under {len(header)} columns"
                raise DataError(message, 'a comma inside a cell needs quotes: "a, b"')
            else:
                yield _Row(reader.line_num, _checked_values(dict(zip(header, cells, strict=True)), where))
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: {error}", "check quotes and commas") from error


def _checked_header(cells: list[str], where: str) -> list[str]:
    if len(cells) == 1 and any(mark in cells[0] for mark in ";\t|"):
        raise DataError(f"{where}: the columns are not separated by commas", "write path,label[,split]")
    _check_columns(cells, where, "the first line names the columns: path,label[,split]")
    if len(set(cells)) < len(cells):
        raise DataError(f"{where}: a column is given twice", "write path,label[,split]")
    return cells


def _json_rows(data: bytes, path: Path) -> Iterator[_Row]:
    for number, line in enumerate(decode(data, path).split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        parsed = strictjson.parse(line.encode(), max_bytes=MAX_BYTES)
        if parsed.faults:
            fault = parsed.faults[0]
            raise DataError(f"{where}:{fault.column}: {fault.message}", fault.hint)
        if not isinstance(parsed.value, dict):
            raise DataError(f"{where}: not an object", 'write {"path": "a/1.jpg", "label": "forest"}')
        _check_columns(list(parsed.value), where, 'write {"path": "a/1.jpg", "label": "forest"}')
        for key, value in parsed.value.items():
            if not isinstance(value, str):
                raise DataError(f"{where}: {key} is no string", "a label is a class name in double quotes")
        yield _Row(number, _checked_values(parsed.value, where))


def _check_columns(columns: list[str], where: str, hint: str) -> None:
    for column in columns:
        if column not in COLUMNS:
            raise DataError(f'{where}: unknown column "{column}"{nearest(column, COLUMNS)}', hint)
    for column in _REQUIRED:
        if column not in columns:
            raise DataError(f'{where}: no column "{column}"', hint)


def _checked_values(values: dict[str, str], where: str) -> dict[str, str]:
    for column, value in values.items():
        if not value.strip():
            raise DataError(f"{where}: an empty {column}", "fill the cell or take the line out")
    return values
