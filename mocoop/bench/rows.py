"""Results as rows of one JSON Lines file: one row per cell, appended by several processes, none lost or repeated.

A row records everything that its numbers depend on, so that a table of any rows can be labelled. The format is
schemas/result.v1.json. A line that a killed process left incomplete is skipped, and its cell runs again; a whole row
without its line end is a row (see `whole_lines`).
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from mocoop.errors import DataError
from mocoop.files import os_error, read_bytes, sha256_bytes

FORMAT = 1
MAX_BYTES = 1 << 30
_MOST, _MOST_DIGITS = 1e15, 15  # larger numbers are errors, and their sums overflow
Row = dict[str, Any]


def cell_key(identity: Any) -> str:
    """The key of a cell: the hash of everything its result depends on, as plain JSON values."""
    return sha256_bytes(json.dumps(identity, sort_keys=True, ensure_ascii=False).encode())[:24]


def read_rows(path: Path) -> list[Row]:
    """The rows of a file, in order, the last of two with the same key; none if there is no file.

    Raises DataError for a whole line that is not a row, naming it, and for a file that cannot be read.
    """
    if not path.exists():
        return []
    content = read_bytes(path, max_bytes=MAX_BYTES, what="results file", error=DataError)
    rows: dict[str, Row] = {}
    for number, line in enumerate(whole_lines(content).split(b"\n"), start=1):
        if not line.strip():
            continue
        row = _row(line)
        if fault := _fault(row):
            raise DataError(f"{path}:{number}: this is not a result: {fault}", "take the line out, or restore the file")
        rows.pop(row["key"], None)
        rows[row["key"]] = row
    return list(rows.values())


def append_row(path: Path, row: Row) -> None:
    """Append one complete row; other processes may do the same. Raises StorageError."""
    from filelock import FileLock

    assert (fault := _fault(row)) is None, fault
    line = json.dumps(row, ensure_ascii=False).encode() + b"\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"), path.open("ab") as out:
            whole = whole_lines(path.read_bytes())
            out.truncate(len(whole))  # a killed process may have left an incomplete line
            out.write(line if not whole or whole.endswith(b"\n") else b"\n" + line)
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        raise os_error(error, "write", path) from error


def whole_lines(content: bytes) -> bytes:
    """The whole lines of a results file: all but a last one that a killed process left incomplete.

    That is a line without an end that begins as a row does and is no JSON. No beginning of a row is JSON, so a row that
    lacks nothing but its line end, as editors leave it, is whole; so is what was never a row, which no one cuts off.
    """
    last = content[content.rfind(b"\n") + 1 :]
    return content.removesuffix(last) if last.lstrip().startswith(b"{") and not _is_json(last) else content


def select(rows: Iterable[Row], **wanted: Any) -> list[Row]:
    """The rows whose fields have these values; a list or tuple matches any of its values."""
    return [row for row in rows if all(_matches(row[name], value) for name, value in wanted.items())]


def _matches(found: Any, value: Any) -> bool:
    return found in value if isinstance(value, Sequence) and not isinstance(value, str) else found == value


def _row(line: bytes) -> Any:
    try:
        return json.loads(line, parse_constant=_finite, parse_float=_finite, parse_int=_countable)
    except (ValueError, RecursionError):
        return None


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _finite(text: str) -> float:
    """Parse a number that can be averaged. NaN and infinities are not JSON, though Python reads them."""
    if not abs(value := float(text)) < _MOST:  # written so that NaN is refused too
        raise ValueError(text)
    return value


def _countable(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError(text)
    return int(text)


def _fault(row: Any) -> str | None:
    if row is None:
        return "it is not JSON, or a number in it is out of all range"
    misfit = next(_schema().iter_errors(row), None)
    return misfit.message[:200] if misfit else None


@functools.cache
def _schema() -> Any:
    import jsonschema

    text = files("mocoop.schemas").joinpath("result.v1.json").read_text(encoding="utf-8")
    return jsonschema.Draft202012Validator(json.loads(text))
