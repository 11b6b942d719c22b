"""Times of methods: to classify 100 images (the paper's Table 6), and to train."""

from __future__ import annotations

from collections.abc import Sequence

from mocoop.bench.rows import Row
from mocoop.reporting import paper
from mocoop.reporting.document import Entry, Number, Section, Table, Words
from mocoop.reporting.results import Line, Lines, datasets_of, machine_of
from mocoop.reporting.statistics import spread
from mocoop.reporting.tables import Naming


def inference_section(lines: Lines) -> Section:
    """Table 6: seconds for 100 images, ours and the paper's; empty if nothing was timed."""
    section = Section("inference-time", "Time to classify (the paper's Table 6)")
    timed = {line: cells for line, cells in lines.items() if any(map(_seconds, cells.values()))}
    if not timed:
        return section
    naming = Naming(timed)
    rows: list[tuple[Entry, ...]] = []
    for line, cells in timed.items():
        for dataset in datasets_of({line: cells}):
            mine = [row for (name, _), row in cells.items() if name == dataset and _seconds(row)]
            if mine:
                rows.append((*naming.entries(line, line.title), dataset, *_times(mine), _paper_seconds(line, dataset)))
    section.blocks.append(
        Words(
            "Seconds to classify one batch of 100 images from their features, the least of several runs; the image "
            "tower, which is the same for all methods, apart. The paper's seconds are of Caltech101 on an NVIDIA RTX "
            "3090, and it does not say what they include: only their order can be compared."
        )
    )
    columns = (*naming.columns, "data set", "seconds", "image tower, seconds", "on", "paper seconds (Caltech101)")
    if not any(row[-1] for row in rows):
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    section.blocks.append(Table("inference-time", columns, tuple(rows), "Seconds for 100 images."))
    return section


def _seconds(row: Row) -> float | None:
    found = row.get("seconds_per_100")
    return None if found is None else float(found)


def _times(rows: Sequence[Row]) -> tuple[Entry, Entry, str]:
    """Seconds for prediction and for the image tower, each with its deviation over runs, and the machines."""
    own = spread(row["seconds_per_100"] for row in rows)
    tower = spread(s for row in rows if isinstance(s := row.get("image_tower_seconds_per_100"), float))
    machines = sorted({machine_of(row) for row in rows})
    shown = [Number(one.mean, one.deviation, 5) if one else None for one in (own, tower)]
    return shown[0], shown[1], "; ".join(machines)


def _paper_seconds(line: Line, dataset: str) -> Number | None:
    found = paper.inference_seconds(line.method) if dataset == paper.TIMED_ON else None
    return Number(found) if found is not None else None


def training_section(lines: Lines) -> Section:
    """Training times; empty if nothing was trained."""
    section = Section("training-time", "Time to train")
    if not lines:
        return section
    naming = Naming(lines)
    rows: list[tuple[Entry, ...]] = []
    for line, cells in lines.items():
        trainings = [row["training"] for row in cells.values()]
        seconds, steps = (spread(one[what] for one in trainings) for what in ("seconds", "steps"))
        shown = [Number(one.mean, one.deviation, 1) if one else None for one in (seconds, steps)]
        rows.append((*naming.entries(line), f"{len(cells)} cells", *shown))
    caption = "Means and deviations over data sets and seeds. Encoding the images once, beforehand, is not counted."
    section.blocks.append(
        Table("training-time", (*naming.columns, "measured", "seconds", "steps"), tuple(rows), caption)
    )
    return section
