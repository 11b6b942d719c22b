"""Templates in a table: comma-, semicolon- or tab-separated, with column names in the first row.

Columns: template; optionally group, title, description and init (yes marks the template that starts the expert). Rows
of one group need not be adjacent. Spreadsheets evaluate cells that start with =, +, - or @, so such cells are written
with a leading apostrophe, as spreadsheets do, which is removed on import.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from mocoop.groupfile.findings import Finding, quote
from mocoop.groupfile.groups import GroupFile
from mocoop.grouping.convert.listing import Listing, Section, Sentence, finding, flat, refusal, refuse

COLUMNS = ("group", "title", "description", "init", "template")
_ALIASES = {"templates": "template", "text": "template", "prompt": "template", "sentence": "template",
            "group_id": "group", "id": "group"}  # fmt: skip
_YES = frozenset(["yes", "true", "1", "x", "init", "*"])
_RUN_BY_SPREADSHEETS = re.compile("'*[=+\\-@\uff1d\uff0b\uff0d\uff20]")
_GUARDED = re.compile("'+[=+\\-@\uff1d\uff0b\uff0d\uff20]")


@dataclass(frozen=True)
class _Row:
    line: int
    cells: dict[str, str]


def read_table(text: str, source: str) -> list[Listing]:
    """Read the single list of a table. Raises GroupFileError with every row that cannot be read."""
    delimiter = _delimiter(text.split("\n", 1)[0])
    if delimiter is None:
        return [_single_column(text, source)]
    rows, unread = _rows(text, delimiter, source)
    notices = (f"columns that are not read: {', '.join(map(quote, unread))}",) if unread else ()
    findings = list(_problems(rows, source))
    if findings:
        raise refusal(source, findings)
    lines = text.split("\n")
    if not any(row.cells.get("group") for row in rows):
        return [flat([_sentence(row, lines) for row in rows], "", notices)]
    groups: dict[str, list[_Row]] = {}
    for row in rows:
        groups.setdefault(row.cells["group"].strip(), []).append(row)
    return [Listing(tuple(_section(name, members, lines) for name, members in groups.items()), "", notices)]


def write_table(file: GroupFile) -> str:
    """Write a group file's templates as comma-separated values, one row each."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(COLUMNS)
    for group in file.groups:
        for place, text in enumerate(group.texts):
            about = (group.title or "", group.description or "") if place == 0 else ("", "")
            row = (group.id, *about, "yes" if text == group.init else "", text)
            table.writerow([_guarded(cell) for cell in row])
    return out.getvalue()


def _guarded(cell: str) -> str:
    return "'" + cell if _RUN_BY_SPREADSHEETS.match(cell) else cell


def _unguarded(cell: str) -> str:
    return cell[1:] if _GUARDED.match(cell) else cell


def _delimiter(heading: str) -> str | None:
    """The column separator; None if the first line names no template column."""
    for delimiter in (",", "\t", ";"):
        if "template" in map(_column_name, heading.split(delimiter)):
            return delimiter
    return None


def _column_name(cell: str) -> str:
    name = cell.strip(' "\t').lower()
    return _ALIASES.get(name, name)


def _single_column(text: str, source: str) -> Listing:
    """A table of one column without a heading: one template per row."""
    rows = list(_parsed(text, ",", source))
    if any(len(cells) > 1 for _, cells in rows):
        hint = f"columns that are read: {', '.join(COLUMNS)}; a template with a comma stands in double quotes"
        raise refuse("G020", "the first row names no column `template`", hint, source)
    lines = text.split("\n")
    return flat(_sentence(_Row(line, {"template": _unguarded(cells[0])}), lines) for line, cells in rows)


def _rows(text: str, delimiter: str, source: str) -> tuple[list[_Row], list[str]]:
    """The rows by column, and the names of ignored columns."""
    parsed = list(_parsed(text, delimiter, source))
    names = [_column_name(cell) for cell in parsed[0][1]]
    twice = [name for name in COLUMNS if names.count(name) > 1]
    if twice:
        raise refuse("G105", f"two columns are called {quote(twice[0])}", "keep one of them", source)
    long = [(line, cells) for line, cells in parsed[1:] if len(cells) > len(names)]
    if long:
        hint = f'a template with a "{delimiter}" stands in double quotes'
        findings = [finding("G024", f"{len(c)} cells under {len(names)} columns", hint, source, n) for n, c in long]
        raise refusal(source, findings)
    rows = [  # a row that ends early has empty cells
        _Row(
            line, {name: _unguarded(cell) for name, cell in zip_longest(names, cells, fillvalue="") if name in COLUMNS}
        )
        for line, cells in parsed[1:]
    ]
    return rows, [name for name in names if name not in COLUMNS]


def _parsed(text: str, delimiter: str, source: str) -> Iterator[tuple[int, list[str]]]:
    """The line number and cells of each non-blank row."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    line = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        hint = "is a double quote left open?"
        raise refuse("G004", f"the table is not well formed: {error}", hint, source, line) from error


def _problems(rows: Sequence[_Row], source: str) -> Iterator[Finding]:
    grouped = any(row.cells.get("group", "").strip() for row in rows)
    for row in rows:
        if not row.cells.get("template", "").strip():
            yield finding("G020", "the row has no template", "write one, or take the row out", source, row.line)
        elif grouped and not row.cells["group"].strip():
            yield finding("G020", "the row names no group", "name one, or none in any row", source, row.line)


def _section(name: str, rows: list[_Row], lines: list[str]) -> Section:
    title, description = (next((c for row in rows if (c := row.cells.get(k))), None) for k in ("title", "description"))
    return Section(tuple(_sentence(row, lines) for row in rows), name, title, description)


def _sentence(row: _Row, lines: list[str]) -> Sentence:
    text = row.cells["template"]
    column = lines[row.line - 1].find(text) + 1
    return Sentence(text, row.line, max(column, 1), row.cells.get("init", "").strip().lower() in _YES)
