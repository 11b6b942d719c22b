"""The sections on ablations: a table for each, with the paper's numbers, and curves for the two loss weights."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial

from mocoop.bench.rows import Row
from mocoop.reporting import paper
from mocoop.reporting.ablations import Ablation, ablation_lines, main_lines
from mocoop.reporting.answers import constant_cells
from mocoop.reporting.curves import Point, plot_curves
from mocoop.reporting.document import Number, Picture, Section, Table, Words
from mocoop.reporting.paper import Accuracies
from mocoop.reporting.results import Cells, Line, Lines, datasets_of, numbers
from mocoop.reporting.tables import (
    PARTS,
    BaseNewRow,
    Naming,
    base_new_entries,
    base_new_table,
    difference_table,
    rows_of,
    wanted_cells,
)


def ablation_section(rows: Sequence[Row], one: Ablation) -> Section:
    """A table of the ablation's variants; empty if it was not run."""
    section = Section(f"ablation-{one.name}", f"Ablation: {one.title}")
    variants = ablation_lines(rows, one.name)
    if not variants:
        return section
    every = {line: cells for lines in variants.values() for line, cells in lines.items()}
    datasets = datasets_of(every)
    naming, wanted = Naming(every), wanted_cells(every)
    found: list[BaseNewRow] = []
    for place in [None, *datasets] if len(datasets) > 1 else datasets:
        for setting, lines in variants.items():
            found += rows_of(lines, place, partial(_paper_ablation, one, setting, place))
    section.blocks.append(Words(one.about))
    if one.paper and any(row.paper for row in found):
        section.blocks.append(Words(" ".join([paper.note(every), *paper.oddities(one.name.rstrip("s"))])))
    caption = "On base-to-new. Settings that are equal were trained once and stand in every table that has them."
    section.blocks.append(base_new_table(section.anchor, found, wanted, naming, caption, datasets=len(datasets) > 1))
    section.blocks += _differences(one, rows, variants)
    if one.name in ("lambda-router", "lambda-text"):
        section.blocks.append(_sensitivity(one, variants, datasets))
    return section


def _differences(one: Ablation, rows: Sequence[Row], variants: Mapping[str, Lines]) -> list[Table]:
    """Each variant against the unchanged method, except the variant that is the unchanged method."""
    plain = {
        line: cells for line, cells in main_lines(rows).items() if line.method == one.reference and not line.setting
    }
    keys = {row["key"] for cells in plain.values() for row in cells.values()}
    lines = {
        line: cells
        for found in variants.values()
        for line, cells in found.items()
        if "; " not in line.setting and not keys >= {row["key"] for row in cells.values()}
    }
    every = {**plain, **lines}
    values = {part: {line: numbers(cells, part) for line, cells in every.items()} for part in PARTS}
    constant = {part: {line: constant_cells(cells, part) for line, cells in every.items()} for part in PARTS}
    caption = (
        "Differences in points from the method as it is, over pairs of (data set, seed); the intervals are as under "
        "Paired differences."
    )
    table = difference_table(f"ablation-{one.name}-differences", values, one.reference, caption, constant)
    return [table] if table else []


def _paper_ablation(one: Ablation, setting: str, dataset: str | None, line: Line, cells: Cells) -> Accuracies | None:
    if one.paper is None or line.shots != paper.SHOTS or ";" in line.setting:
        return None
    label = one.paper_label(setting)
    if dataset is not None:
        return paper.ablation(one.paper, dataset, label)
    return paper.ablation_average(one.paper, {name for name, _ in cells}, label)


def _sensitivity(one: Ablation, variants: Mapping[str, Lines], datasets: Sequence[str]) -> list[Picture]:
    """Base, new and H over the weight, one picture per training setup: averaged, or for the only data set."""
    place = "average" if len(datasets) > 1 else datasets[0]
    found: dict[tuple[str, ...], dict[str, list[Point]]] = {}
    for setting, lines in variants.items():
        if weight := _NUMBER.search(setting):
            for line, cells in lines.items():
                curves = found.setdefault(_context(line), {part: [] for part in PARTS})
                _add_points(curves, float(weight[1]), cells, place)
    pictures = []
    for number, (context, curves) in enumerate(sorted(found.items())):
        drawn = {part: points for part, points in curves.items() if points}
        draw = partial(plot_curves, drawn, title=f"{one.title.split(' (')[0]}, {place}", xlabel=one.about.split()[0])
        words = f"Base, new and H over the weight ({', '.join(word for word in context if word)})"
        pictures.append(Picture(f"{one.name}-{number}", draw, words))
    return pictures


_NUMBER = re.compile(r"= (\d+(?:\.\d+)?)$")


def _context(line: Line) -> tuple[str, ...]:
    """The line's training setup without the weight; changes of the whole comparison follow its name."""
    changes = line.setting.partition("; ")[2]
    return line.preset, line.budget, changes, line.groups.strip("-"), f"{line.shots} shots", line.backbone


def _add_points(curves: Mapping[str, list[Point]], x: float, cells: Cells, place: str) -> None:
    for part, entry in base_new_entries(cells, None if place == "average" else place).items():
        if isinstance(entry, Number):
            curves[part].append((x, entry.value, entry.deviation))
