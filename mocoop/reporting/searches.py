"""Results of `mocoop tune` on validation images: every candidate, and its gain over the preset."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace

from mocoop.bench.cell import TUNE
from mocoop.bench.rows import Row
from mocoop.bench.tuning import chosen_by, is_constant
from mocoop.reporting.document import Entry, Number, Section, Table, Words
from mocoop.reporting.results import Line, Lines, lines_of
from mocoop.reporting.statistics import CellName, paired_differences, spread
from mocoop.reporting.tables import Naming

Values = dict[Line, dict[CellName, float]]  # percent by candidate and (data set, seed)
_COLUMNS = ("seeds", "on val", "gain", "95 % from", "95 % to")
_CONSTANT = "one answer"  # with how many seeds; only if there are any
_CLASSES = {
    "all": "Accuracy on all classes",
    "base": "Accuracy on the base classes",
    "halves": "Trained on the first half of the classes; H of both halves",
    "base-halves": "Trained on the first half of the base classes; H of both halves of them",
}


def search_section(rows: Sequence[Row]) -> Section:
    """A table for each data set and choice of classes; empty if nothing was tuned."""
    section = Section("searches", "Settings tried on validation images")
    mine = [row for row in rows if row["protocol"] == TUNE and chosen_by(row) is not None]
    if not mine:
        return section
    section.blocks.append(
        Words(
            "What mocoop tune tried, the best of each method first; a gain is over the method as its preset has it, "
            "paired by seed, with Student's t interval at 95 %. No test image was looked at. The more that is tried, "
            "the more the best of it owes to luck. Settings with which nearly all answers are one class come last."
        )
    )
    parts: dict[tuple[str, str], list[Row]] = {}
    for row in mine:
        parts.setdefault((row["dataset"], row.get("classes", "all")), []).append(row)
    for number, ((dataset, classes), some) in enumerate(sorted(parts.items()), start=1):
        caption = f"{dataset}. {_CLASSES[classes]}, percent."
        section.blocks.append(_table(f"search-{number}", lines_of(some), caption))
    return section


def _table(name: str, lines: Lines, caption: str) -> Table:
    values: Values = {
        line: {cell: found for cell, row in cells.items() if (found := chosen_by(row)) is not None}
        for line, cells in lines.items()
    }
    naming = Naming(lines)
    rows: list[tuple[Entry, ...]] = []
    same = {line: sum(map(is_constant, cells.values())) for line, cells in lines.items()}
    columns = (*_COLUMNS, *([_CONSTANT] if any(same.values()) else []))
    for line in sorted(lines, key=lambda line: (line.place, same[line] > 0, -statistics.fmean(values[line].values()))):
        mean = spread(values[line].values())
        assert mean is not None
        shown = Number(mean.mean, mean.deviation)
        told = [f"{same[line]} of {mean.count}"] if any(same.values()) else []
        gain = _gain(values, line, replace(line, setting=""))
        rows.append((*naming.entries(line), str(mean.count), shown, *gain, *told))
    return Table(name, (*naming.columns, *columns), tuple(rows), caption)


def _gain(values: Values, line: Line, preset: Line) -> tuple[Entry, Entry, Entry]:
    found = paired_differences(values[line], values[preset]) if line != preset and preset in values else None
    if found is None:
        return None, None, None
    low, high = found.interval or (None, None)
    ends = [None if end is None else Number(end, signed=True) for end in (low, high)]
    return Number(found.mean, signed=True), ends[0], ends[1]
