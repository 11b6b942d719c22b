"""Reading rows of results, and assigning each to a row of a table.

A *line* is one row of a table: a method with its whole training setup. A *cell* of it is (data set, seed). If two
results have the same cell (for example, measured again by another version), the newer one counts, in any order.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mocoop.bench.rows import Row, read_rows
from mocoop.config import METHODS, setting_text
from mocoop.errors import DataError
from mocoop.methods import method_named
from mocoop.reporting.statistics import CellName
from mocoop.training.method import Method


@dataclass(frozen=True, order=True)
class Line:
    """A method and its training setup; `shots` is 0 if the columns of a table are shots."""

    place: int  # the method's index among all methods, so that all tables have the same order
    method: str
    title: str = field(compare=False)
    setting: str
    preset: str
    tuned: str  # the settings that a search chose
    budget: str
    extra_names: bool
    groups: str
    shots: int
    backbone: str

    @property
    def name(self) -> str:
        """The name in tables."""
        return f"{self.title} ({self.setting})" if self.setting not in ("", self.title) else self.title


Cells = dict[CellName, Row]
Lines = dict[Line, Cells]


def read_results(paths: Sequence[Path]) -> list[Row]:
    """All rows of some files, each key once. Raises DataError for a line that is not a row, or if there are none."""
    found: dict[str, Row] = {}
    for path in paths:
        for row in read_rows(path):
            other = found.get(row["key"])
            if other is None or _age(row) > _age(other):
                found[row["key"]] = row
    if not found:
        named = ", ".join(map(str, paths))
        raise DataError(f"there is no result in {named}", "mocoop bench writes them; name its results file")
    return sorted(found.values(), key=lambda row: str(row["key"]))


def line_of(row: Row, *, setting: str | None = None) -> Line:
    """The line of a row; `setting` is its other difference from the method's default, "" for none."""
    method = row["method"]
    return Line(
        place=METHODS.index(method) if method in METHODS else len(METHODS),
        method=method,
        title=row.get("title") or method,
        setting=changes_text(beside_tuning(row, row["changes"])) if setting is None else setting,
        preset=row["preset"],
        tuned=changes_text(row.get("tuned", {})),
        budget=row["budget"] or "as the preset",
        extra_names=read_extra_names(row),
        groups=_groups(row),
        shots=row["shots"],
        backbone=backbone_name(row),
    )


def lines_of(rows: Iterable[Row], label: Callable[[Row], Line | None] = line_of) -> Lines:
    """The rows by line and cell, without those that have no line; of two with the same cell the newer."""
    found: Lines = {}
    for row in rows:
        line = label(row)
        if line is None:
            continue
        cells = found.setdefault(line, {})
        name = (row["dataset"], row["seed"])
        if name not in cells or _age(row) > _age(cells[name]):
            cells[name] = row
    return {line: found[line] for line in sorted(found)}


def measured_twice(rows: Sequence[Row]) -> int:
    """The number of results not shown because there is a newer one for the same cell."""
    told = ("protocol", "ablation", "setting", "dataset", "classes", "seed")
    seen = {(*(row.get(name) for name in told), line_of(row)) for row in rows}
    return len(rows) - len(seen)


def numbers(cells: Mapping[CellName, Row], part: str) -> dict[CellName, float]:
    """One part's accuracy in percent by cell, without cells that lack it."""
    found = {name: row["accuracy"].get(part) for name, row in cells.items()}
    return {name: float(value) for name, value in found.items() if value is not None}


def impossible(cells: Mapping[CellName, Row], part: str) -> bool:
    """Whether in every cell the method was asked for this part and cannot do it."""
    return bool(cells) and all(part in row["accuracy"] and row["accuracy"][part] is None for row in cells.values())


def datasets_of(lines: Lines) -> list[str]:
    """The data sets that any line was trained on, in order."""
    return sorted({dataset for cells in lines.values() for dataset, _ in cells})


def by_shots(lines: Lines) -> dict[Line, dict[int, Cells]]:
    """Lines that differ only in shots, merged: their cells by shots."""
    found: dict[Line, dict[int, Cells]] = {}
    for line, cells in lines.items():
        found.setdefault(replace(line, shots=0), {})[line.shots] = cells
    return {line: dict(sorted(found[line].items())) for line in sorted(found)}


def read_extra_names(row: Row) -> bool:
    """Whether the text loss used the names of classes that were not trained on."""
    names, weight = row["config"].get("extra_class_names"), row["config"].get("lambda_text")
    return bool(names) and weight != 0 and _reads_extra_names(row)


def _reads_extra_names(row: Row) -> bool:
    method = _known(row)
    return method is None or "extra_class_names" in method.settings


def backbone_name(row: Row) -> str:
    """ "ViT-B-16, openai"; a stand-in is marked as one."""
    backbone = row["backbone"]
    weights = f", {backbone['pretrained']}" if backbone["pretrained"] else ""
    return f"{backbone['name']}{weights}{' (a stand-in)' if backbone['stand_in'] else ''}"


def machine_of(row: Row) -> str:
    """ "cpu, bfloat16, 2 threads"; rows measured before formats were noted are in float32."""
    return f"{row['device']}, {row.get('precision', 'float32')}, {row['threads']} thread{'s' * (row['threads'] != 1)}"


def beside_tuning(row: Row, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The changes without those that a search chose."""
    return {name: value for name, value in changes.items() if name not in row.get("tuned", {})}


def changes_text(changes: Mapping[str, Any]) -> str:
    """ "top_k=1, lr=0.1"."""
    return ", ".join(f"{name}={setting_text(value)}" for name, value in sorted(changes.items()))


def _groups(row: Row) -> str:
    """The group file used; "-" for a method without groups."""
    method, groups = _known(row), row["groups"]
    if groups is None or (method is not None and not method.reads_groups):
        return "-"
    file = groups.get("file")
    if file is None:
        return str(groups["domain"])
    return "each data set's own" if Path(file).stem == row["dataset"] else str(file)


def _known(row: Row) -> Method | None:
    """The method of a row; None if this version does not have it."""
    return method_named(row["method"]) if row["method"] in METHODS else None


def _age(row: Row) -> tuple[str, str, str]:
    """A sort key by age, with a tie-break for rows of the same second."""
    return row.get("finished", ""), row["key"], json.dumps(row, sort_keys=True)
