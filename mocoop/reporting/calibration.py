"""Calibration of the classifiers: the expected calibration error, and reliability over all images.

Rows have, for each part, confidence bins as (images, mean confidence, accuracy in 0..1).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from mocoop.certainty.measures import BINS
from mocoop.reporting.curves import Bin, plot_reliability
from mocoop.reporting.document import Number, Picture, Section, Table, Words
from mocoop.reporting.results import Cells, Lines
from mocoop.reporting.statistics import CellName, over_datasets
from mocoop.reporting.tables import Naming, distinct_names

FEWEST = 10  # minimum images of a bin in a diagram


def calibration_parts(lines: Lines) -> list[str]:
    """The parts for which any row has calibration, base and new first."""
    found = {part for cells in lines.values() for row in cells.values() for part in row.get("calibration") or {}}
    return sorted(found, key=lambda part: (part not in ("base", "new", "all"), part))


def errors(cells: Cells, part: str) -> dict[CellName, float]:
    """Expected calibration error in percent by cell."""
    found = {name: (row.get("calibration") or {}).get(part) for name, row in cells.items()}
    return {name: float(one["ece"]) for name, one in found.items() if one}


def calibration_table(name: str, lines: Lines, caption: str) -> Table:
    """The expected calibration error of each part, averaged over data sets and seeds."""
    naming, parts = Naming(lines), calibration_parts(lines)
    rows = []
    for line, cells in lines.items():
        found = [over_datasets(errors(cells, part)) for part in parts]
        if any(found):
            shown = [Number(one.mean, one.deviation) if one else None for one in found]
            rows.append((*naming.entries(line), f"{len(cells)} cells", *shown))
    return Table(name, (*naming.columns, "measured", *(f"{part}, ECE %" for part in parts)), tuple(rows), caption)


def reliability(cells: Cells, part: str) -> list[Bin]:
    """The bins of all cells pooled, weighted by images, without empty bins."""
    return pooled(
        bin_ for row in cells.values() for bin_ in ((row.get("calibration") or {}).get(part) or {"bins": ()})["bins"]
    )


def pooled(bins: Iterable[Any]) -> list[Bin]:
    """Merge bins of several results: each goes by its mean confidence into one of BINS bins of equal width."""
    found: dict[int, list[tuple[float, float, float]]] = {}
    for images, sure, right in bins:
        found.setdefault(min(BINS - 1, max(0, int(sure * BINS))), []).append((images, sure, right))
    return [_joined(found[place]) for place in sorted(found) if sum(count for count, *_ in found[place]) > 0]


def _joined(bins: list[tuple[float, float, float]]) -> Bin:
    images = sum(count for count, _, _ in bins)
    sure, right = (sum(one[0] * one[which] for one in sorted(bins)) / images for which in (1, 2))
    return int(images), sure, right


def calibration_section(lines: Lines) -> Section:
    """The table and a reliability diagram for each part."""
    section, parts = Section("calibration", "Calibration"), calibration_parts(lines)
    if not parts:
        return section
    section.blocks.append(
        Words(
            "The expected calibration error (ECE) is how far confidence is from accuracy, averaged over images in bins "
            "of confidence. In the diagrams all images of a method are put together, and bins of fewer than "
            f"{FEWEST} are left out; below the diagonal it is surer than it is right."
        )
    )
    section.blocks.append(calibration_table("calibration", lines, "ECE in points of percent; less is better."))
    pictures: list[Picture] = []
    for part in parts:
        curves = {
            name: [one for one in reliability(cells, part) if one[0] >= FEWEST]
            for name, cells in zip(distinct_names(lines), lines.values(), strict=True)
        }
        if not (drawn := {name: bins for name, bins in curves.items() if bins}):
            continue
        draw = partial(plot_reliability, drawn, title=part)
        pictures.append(Picture(f"reliability-{len(pictures)}", draw, f"Accuracy over confidence, {part}"))
    section.blocks.append(pictures)
    return section
