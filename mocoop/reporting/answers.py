"""What stands beside the accuracies: balanced accuracy, the worst class's recall, and how often one answer is given.

Rows have these numbers for each part (`mocoop.runs.scores`); rows of older versions have none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mocoop.bench.rows import Row
from mocoop.reporting.document import Entry, Number, Section, Table, Words
from mocoop.reporting.results import Cells, Lines, datasets_of
from mocoop.reporting.statistics import CellName, spread
from mocoop.reporting.tables import Naming

_SHOWN = {
    "balanced_accuracy": "balanced accuracy",
    "worst_recall": "worst class's recall",
    "largest_class_share": "largest class's share",
    "answered_share": "largest answer's share",
}


def scores_of_row(row: Row) -> Mapping[str, Mapping[str, Any]]:
    """The scores of a row by part; empty if it has none."""
    found: Mapping[str, Mapping[str, Any]] = row.get("scores") or {}
    return found


def constant_cells(cells: Cells, part: str) -> set[CellName]:
    """The cells whose classifier gives one answer to nearly everything of a part; H has both parts of the classes."""
    parts = ("base", "new") if part == "H" else (part,)
    return {name for name, row in cells.items() if any(_constant(row, one) for one in parts)}


def constant_targets(cells: Cells, targets: list[str]) -> set[CellName]:
    """The same by (target, seed)."""
    return {(target, seed) for target in targets for (_, seed), row in cells.items() if _constant(row, target)}


def _constant(row: Row, part: str) -> bool:
    return bool(scores_of_row(row).get(part, {}).get("constant"))


def answers_section(lines: Lines) -> Section:
    """A table a data set: means over seeds, and in how many results the answer is constant."""
    section = Section("answers", "Beside the accuracies")
    tables = [table for dataset in datasets_of(lines) if (table := _table(f"answers-{dataset}", lines, dataset)).rows]
    if not tables:
        return section
    section.blocks.append(
        Words(
            "A classifier that gives one answer to everything has that class's share as its accuracy, and 100/C % as "
            "its balanced accuracy, the mean of the classes' recalls. constant counts results in which one class takes "
            "95 % of the answers and less than half of the others' images are found; they count nowhere as better."
        )
    )
    section.blocks += tables
    return section


def _table(name: str, lines: Lines, dataset: str) -> Table:
    naming, rows = Naming(lines), []
    for line, cells in lines.items():
        mine = {cell: row for cell, row in cells.items() if cell[0] == dataset}
        for part in sorted({part for row in mine.values() for part in scores_of_row(row)}):
            found = [scores_of_row(row)[part] for row in mine.values() if part in scores_of_row(row)]
            accuracy = [row["accuracy"].get(part) for row in mine.values() if part in scores_of_row(row)]
            entries = [_mean([one for one in accuracy if one is not None])]
            entries += [_mean([one[key] for one in found]) for key in _SHOWN]
            constant = f"{sum(one['constant'] for one in found)} of {len(found)}"
            rows.append((*naming.entries(line), part, *entries, constant))
    columns = (*naming.columns, "part", "accuracy", *_SHOWN.values(), "constant")
    return Table(name, columns, tuple(rows), f"{dataset}, percent, means over seeds.")


def _mean(values: list[float]) -> Entry:
    found = spread(values)
    return None if found is None else Number(found.mean, found.deviation, 1)
