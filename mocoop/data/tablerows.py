"""Rows of a table file: CSV, TSV, JSON lines, JSON and Parquet, all as a line number and cells by column.

The separator of a CSV (comma, semicolon or tab) is found in its first line. JSON is a list of objects or an object of
columns. Parquet needs pyarrow (the extra `parquet`); its columns are read only if they are text or whole numbers.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mocoop import strictjson
from mocoop.data.classnames import decode
from mocoop.errors import DataError
from mocoop.files import read_bytes, read_json

MAX_BYTES = 512 * 1024 * 1024
SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet")
_SEPARATORS = ",;\t"
_BATCH_ROWS = 1024

Wanted = Callable[[Sequence[str], str], Sequence[str]]  # (columns, where) to those to be read; raises DataError


class Row(NamedTuple):
    """One line: its number in the file, from 1, and the cells by column."""

    line: int
    values: dict[str, Any]


def read_rows(path: Path, wanted: Wanted) -> Iterator[Row]:
    """The rows of a table, with the columns that `wanted` chooses from the header, or from each object's keys.

    They come one by one, because a table may have millions. Raises DataError.
    """
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return _parquet_rows(path, wanted)
    if suffix == ".json":
        return _json_rows(path, read_json(path, what="manifest", error=DataError, max_bytes=MAX_BYTES), wanted)
    data = read_bytes(path, max_bytes=MAX_BYTES, what="manifest", error=DataError)
    decode(data, path)  # whether it is text at all; it is decoded again as its lines are read
    return _csv_rows(data, path, wanted) if suffix in (".csv", ".tsv") else _line_rows(data, path, wanted)


def _lines(data: bytes, newline: str) -> Iterator[str]:
    """The lines of a text in bytes, with their ends; `newline` as of `open`."""
    return io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig", newline=newline)


def _csv_rows(data: bytes, path: Path, wanted: Wanted) -> Iterator[Row]:
    first = next((part for line in _lines(data, "") for part in line.splitlines() if part.strip()), "")
    separator = max(_SEPARATORS, key=lambda mark: _columns(first, mark))
    reader = csv.reader(_lines(data, ""), delimiter=separator, strict=True)
    header: list[str] | None = None
    chosen: Sequence[str] = ()
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            where = f"{path}:{reader.line_num}"
            if header is None:
                header, chosen = cells, wanted(cells, where)
                if any(header.count(column) > 1 for column in chosen):
                    raise DataError(f"{where}: a column is given twice", "write path,label[,split]")
            elif len(cells) != len(header):
                message = f"{where}: {len(cells)} cells under {len(header)} columns"
                raise DataError(message, f'a "{separator}" inside a cell needs quotes: "a{separator} b"')
            else:
                cell_of = dict(zip(header, cells, strict=True))
                yield Row(reader.line_num, {column: cell_of[column] for column in chosen})
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: {error}", "check quotes and commas") from error


def _columns(line: str, separator: str) -> int:
    """How many cells a line has by a separator; none if it cannot be read, which is told when all lines are."""
    try:
        return len(next(csv.reader([line], delimiter=separator), []))
    except csv.Error:
        return 0


def _line_rows(data: bytes, path: Path, wanted: Wanted) -> Iterator[Row]:
    for number, whole in enumerate(_lines(data, "\n"), start=1):
        line = whole.removesuffix("\n")
        if not line.strip():
            continue
        where = f"{path}:{number}"
        parsed = strictjson.parse(line.encode(), max_bytes=MAX_BYTES)
        if parsed.faults:
            fault = parsed.faults[0]
            raise DataError(f"{where}:{fault.column}: {fault.message}", fault.hint)
        yield _object_row(parsed.value, number, where, wanted)


def _json_rows(path: Path, value: Any, wanted: Wanted) -> Iterator[Row]:
    if isinstance(value, dict) and value:
        value = _turned(path, value, wanted)
    if not isinstance(value, list):
        raise DataError(f"{path}: not a table", 'write a list of {"path": "a/1.jpg", "label": "forest"}')
    for number, item in enumerate(value, start=1):
        yield _object_row(item, number, f"{path}: /{number - 1}", wanted)


def _turned(path: Path, value: dict[str, Any], wanted: Wanted) -> list[dict[str, Any]]:
    """Rows of an object of columns, each a list or an object by row, as data frames are written."""
    columns = {name: list(cells.values()) if isinstance(cells, dict) else cells for name, cells in value.items()}
    chosen = wanted(list(columns), str(path))
    cells = [columns[name] for name in chosen]
    if not all(isinstance(column, list) and len(column) == len(cells[0]) for column in cells):
        raise DataError(f"{path}: its columns are no lists of one length", "write a list of objects, one an image")
    return [dict(zip(chosen, row, strict=True)) for row in zip(*cells, strict=True)]


def _object_row(value: Any, number: int, where: str, wanted: Wanted) -> Row:
    if not isinstance(value, dict):
        raise DataError(f"{where}: not an object", 'write {"path": "a/1.jpg", "label": "forest"}')
    return Row(number, {column: value[column] for column in wanted(list(value), where)})


def _parquet_rows(path: Path, wanted: Wanted) -> Iterator[Row]:
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError as error:
        hint = "pip install pyarrow, or save the table as CSV"
        raise DataError(f"{path}: reading Parquet needs pyarrow", hint) from error
    try:
        with parquet.ParquetFile(path) as file:
            chosen = wanted(list(file.schema_arrow.names), str(path))
            for column in chosen:
                _check_type(arrow, file.schema_arrow.field(column).type, column, path)
            for number, row in enumerate(_cells(file, chosen, path), start=1):
                yield Row(number, row)
    except (arrow.ArrowException, OSError) as error:
        reason = str(error).split("\n")[0][:200]
        raise DataError(f"{path}: this is no Parquet file that can be read: {reason}", "save it again") from error


def _check_type(arrow: Any, kind: Any, column: str, path: Path) -> None:
    types = arrow.types
    if types.is_dictionary(kind):
        kind = kind.value_type
    if types.is_struct(kind) or types.is_binary(kind) or types.is_large_binary(kind):
        raise DataError(
            f'{path}: the column "{column}" holds the pictures themselves ({kind})',
            "save them as files, and a table with their paths and labels",
        )
    if not (types.is_string(kind) or types.is_large_string(kind) or types.is_integer(kind) or types.is_floating(kind)):
        raise DataError(f'{path}: the column "{column}" is {kind}', "a path or a label is text or a whole number")


def _cells(file: Any, chosen: Sequence[str], path: Path) -> Iterator[dict[str, Any]]:
    """The rows, a few at a time, as long as they are fewer than fit MAX_BYTES.

    What the file says of a column's size is not asked for: it may lie, and pyarrow (26.0) ends the process if that part
    of the file is damaged in some ways.
    """
    left = MAX_BYTES
    for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=list(chosen)):
        left -= max(batch.nbytes, 16 * batch.num_rows)
        if left < 0:
            raise DataError(f"{path}: larger than {MAX_BYTES:,} bytes", "is this really a table of images?")
        yield from batch.to_pylist()
