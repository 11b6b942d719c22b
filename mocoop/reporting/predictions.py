"""Predictions as files for people: a table for spreadsheets, and a page with the least sure images first.

Rows are those of `mocoop predict --json`. They are read one after another, of any number of them; what a page keeps is
bounded.
"""

from __future__ import annotations

import csv
import heapq
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mocoop.errors import ImageError
from mocoop.files import atomic_path, atomic_write
from mocoop.reporting.document import Document, Section, Table, Tiles, Words
from mocoop.reporting.page import html
from mocoop.reporting.plain import harmless
from mocoop.reporting.printing import answer_told, summary_rows
from mocoop.reporting.thumbnails import small_copy

if TYPE_CHECKING:
    from mocoop.data.reading import Reading

COLUMNS = ("path", "class", "probability", "second", "second_probability", "set", "unsure", "expert", "expert_weight",
           "trained_on", "error")  # fmt: skip
MOST_PICTURES = 120
MOST_ROWS = 2000
_SIDE = 160  # pixels
_SEPARATOR = "; "

Row = Mapping[str, Any]


def write_table(rows: Iterable[Row], out: Path) -> None:
    """A line of CSV a row, flat, under COLUMNS; no cell is run by a spreadsheet. Raises StorageError."""
    with atomic_path(out) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([harmless(cell) for cell in _flat(row)] for row in rows)


def _flat(row: Row) -> tuple[str, ...]:
    """A row under COLUMNS."""
    if row.get("error") is not None:
        return (row["path"], *[""] * (len(COLUMNS) - 2), row["error"])
    second = row["top_k"][1] if len(row["top_k"]) > 1 else None
    expert = row["experts"][0] if row.get("experts") else None
    return (
        row["path"],
        row["class"],
        _number(row["probability"]),
        *((second["class"], _number(second["probability"])) if second else ("", "")),
        _SEPARATOR.join(row.get("set") or ()),
        "yes" if row.get("unsure") else "",
        *((expert["id"], _number(expert["weight"])) if expert else ("", "")),
        "yes" if row.get("trained_on") else "",
        "",
    )


def _number(value: float) -> str:
    return f"{value:.6f}"


def write_page(
    rows: Iterable[tuple[Path | None, Row]], summary: Row, out: Path, *, title: str, reading: Reading | None = None
) -> None:
    """A page: a summary a class, the least sure images as pictures and in a table, and what could not be read.

    A row comes with its file, or with None if it has none. Raises StorageError.
    """
    least = _least_sure(rows)
    document = Document(title, [_summary(summary), _table(summary, [row for _, row in least])])
    with tempfile.TemporaryDirectory() as folder:
        if pictures := _pictures(least, Path(folder), reading):
            document.sections.insert(1, pictures)
        atomic_write(out, html(document))


def _least_sure(rows: Iterable[tuple[Path | None, Row]]) -> list[tuple[Path | None, Row]]:
    """Those with the smallest probabilities, equals in their order, without what could not be read."""
    read = ((row["probability"], place, path, row) for place, (path, row) in enumerate(rows) if not row.get("error"))
    return [(path, row) for _, _, path, row in heapq.nsmallest(MOST_ROWS, read, key=lambda one: one[:2])]


def _summary(summary: Row) -> Section:
    columns, rows = summary_rows(summary)
    images, failed = summary["images"], summary["failed"]
    section = Section("classes", "Class by class")
    said = f"{images:,} images, {failed:,} of them not read." if failed else f"{images:,} images."
    section.blocks += [
        Words(said),
        Table("classes", columns, tuple(tuple(map(str, row)) for row in rows), "Images by their likeliest class"),
    ]
    if again := summary["trained_on"]:
        note = f"{again:,} of these images were trained on: of them it knows the answer by heart."
        section.blocks.append(Words(note, "note"))
    if failed:
        lines = tuple((one["path"], one["error"]) for one in summary["first_failed"])
        more = f", the first {len(lines)} of {failed:,}" if len(lines) < failed else ""
        section.blocks.append(Table("failed", ("image", "why"), lines, f"Not read{more}"))
    return section


def _pictures(least: Sequence[tuple[Path | None, Row]], folder: Path, reading: Reading | None) -> Section | None:
    tiles = list[tuple[Path, str]]()
    for path, row in least:
        if path is None or len(tiles) == MOST_PICTURES:
            continue
        second = [one for one in row["top_k"][1:2] if one["probability"] > 0]
        told = [answer_told(row), *(f"or {one['class']} {100 * one['probability']:.0f}%" for one in second)]
        try:
            copy = small_copy(path, folder / f"{len(tiles)}.jpg", reading, _SIDE)
        except ImageError:
            continue  # gone since it was read: its row is in the table
        tiles.append((copy, f"{path.name}: {', '.join(told)}"))
    if not tiles:
        return None
    title = "The least sure first"
    left = f" The {len(tiles)} least sure are shown." if len(tiles) == MOST_PICTURES < len(least) else ""
    return Section("unsure", title, [Words(f"An answer that is not sure is worth a look.{left}"), Tiles(tuple(tiles))])


def _table(summary: Row, rows: Sequence[Row]) -> Section:
    sets, unsure, experts = (any(row.get(key) for row in rows) for key in ("set", "unsure", "experts"))
    more = [*(["set"] * sets), *(["not sure"] * unsure), *(["first expert"] * experts)]
    columns = ("image", "class", "probability", "second", "its probability", *more)
    lines = []
    for row in rows:
        path, name, chance, second, other, held, doubtful, expert, *_ = _flat(row)
        lines.append((path, name, chance, second, other, *[held] * sets, *[doubtful] * unsure, *[expert] * experts))
    read = summary["images"] - summary["failed"]
    left = f"the {len(rows):,} least sure of {read:,}; a .csv, .jsonl or .parquet has all" if len(rows) < read else ""
    caption = "The least sure first" + (f": {left}" if left else "")
    return Section("images", "Image by image", [Table("images", columns, tuple(lines), caption)])
