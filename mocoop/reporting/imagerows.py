"""What a run said of each test image, a line of CSV each: for spreadsheets, and for whoever looks at the mistakes."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mocoop.files import atomic_write
from mocoop.reporting.plain import harmless

if TYPE_CHECKING:
    from mocoop.runs.evaluate import Evaluation
    from mocoop.runs.run import Run

COLUMNS = ("image", "classes", "label", "answer", "right", "probability", "second", "second_probability", "expert",
           "expert_weight")  # fmt: skip


def write_rows(run: Run, evaluations: Sequence[Evaluation], out: Path) -> None:
    """Write the lines of all evaluations. Raises StorageError."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for result in evaluations:
        writer.writerows(_lines(run, result))
    atomic_write(out, text.getvalue())


def _lines(run: Run, result: Evaluation) -> Iterator[tuple[str, ...]]:
    names = [one.name for one in result.per_class]
    for place, example in enumerate(result.examples):
        chances, weights = result.probabilities[place].tolist(), result.gate[place].tolist()
        first, *others = sorted(range(len(names)), key=lambda c: -chances[c])
        expert = max(range(len(weights)), key=weights.__getitem__)
        yield (
            harmless(str(example)),
            result.classes,
            harmless(names[example.label]),
            harmless(names[first]),
            "yes" if first == example.label else "no",
            f"{chances[first]:.6f}",
            *((harmless(names[others[0]]), f"{chances[others[0]]:.6f}") if others else ("", "")),
            run.groups.ids[expert],
            f"{weights[expert]:.6f}",
        )
