"""The report on a comparison: its sections, their order, and the text around the tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from mocoop.bench.cell import CROSS, FEW_SHOT, SHIFT, TIME
from mocoop.bench.protocols import INFERENCE
from mocoop.bench.rows import Row
from mocoop.reporting import paper
from mocoop.reporting.ablation_sections import ablation_section
from mocoop.reporting.ablations import SHOWN, main_lines
from mocoop.reporting.about import about
from mocoop.reporting.answers import answers_section, constant_cells, constant_targets
from mocoop.reporting.calibration import calibration_section
from mocoop.reporting.curves import Point, plot_curves, plot_differences
from mocoop.reporting.document import Document, Entry, Number, Picture, Section, Table, Words
from mocoop.reporting.paper import Accuracies
from mocoop.reporting.plots import BaseNewResult, plot_base_new
from mocoop.reporting.results import Cells, Line, Lines, by_shots, datasets_of, lines_of, numbers
from mocoop.reporting.routing import expert_use_section
from mocoop.reporting.searches import search_section
from mocoop.reporting.statistics import CellName, over_datasets, paired_differences
from mocoop.reporting.tables import (
    PARTIAL,
    PARTS,
    Naming,
    base_new_entries,
    base_new_table,
    difference_table,
    distinct_names,
    few_shot_table,
    measured,
    reference_of,
    rows_of,
    target_numbers,
    transfer_table,
    wanted_cells,
)
from mocoop.reporting.timing import inference_section, training_section

TITLE = "Comparison of methods"
INTERVAL = (
    "An interval covers, in 95 of 100 repetitions, the mean difference over all such pairs, if the pairs are "
    "independent draws; the seeds of one data set are not quite, so with few data sets it is rather too narrow."
)


def comparison(rows: Sequence[Row], reference: str = "mocoop", title: str = TITLE) -> Document:
    """The whole report on some rows, independent of their order."""
    main = main_lines(rows)
    of = partial(_protocol, rows)
    few = of(FEW_SHOT)
    sections = [
        about(rows, [*(one.name for one in SHOWN), INFERENCE]),
        _base_to_new(main),
        _few_shot(few),
        _transfer(of(CROSS), "cross-dataset", "Trained on one data set, tested on others"),
        _transfer(of(SHIFT), "domain-shift", "The same classes, other kinds of images"),
        _differences(_compared(main, few, of(CROSS), of(SHIFT)), reference, _constant(main, few, of(CROSS), of(SHIFT))),
        *(ablation_section(rows, one) for one in SHOWN),
        inference_section(of(TIME)),
        expert_use_section(main or few),
        answers_section(main or few),
        calibration_section(main or few),
        training_section(main or few),
        search_section(rows),
    ]
    return Document(title, [section for section in sections if section.blocks])


def _protocol(rows: Iterable[Row], protocol: str) -> Lines:
    return lines_of(row for row in rows if row["protocol"] == protocol)


def _base_to_new(lines: Lines) -> Section:
    section = Section("base-to-new", "Base and new classes (the paper's Table 1)")
    if not lines:
        return section
    datasets = datasets_of(lines)
    section.blocks.append(
        Words(
            "Trained on the first half of the classes (base), tested on them and on the other half (new), which are "
            "only named at test time. H is the harmonic mean of both: of a data set, the mean of its seeds' H; of an "
            "average, H of the averaged base and new."
        )
    )
    section.blocks += _paper_note(lines, datasets)
    naming, wanted = Naming(lines), wanted_cells(lines)
    if len(datasets) > 1:
        rows = rows_of(lines, None, _paper_average)
        caption = f"Average over {', '.join(datasets)}."
        section.blocks.append(base_new_table("base-to-new-average", rows, wanted, naming, caption))
    one = datasets[0] if len(datasets) == 1 else None
    if bars := _bars(lines, one):
        draw = partial(plot_base_new, bars, title=one or "Average over data sets")
        section.blocks.append(Picture("base-to-new", draw, "Base, new and H of each method"))
    for dataset in datasets:
        rows = rows_of(lines, dataset, partial(_paper_of, dataset))
        section.blocks.append(base_new_table(f"base-to-new-{dataset}", rows, wanted, naming, f"{dataset}."))
    if set(datasets) & set(paper.DATASETS):
        section.blocks.append(_published())
    return section


def _paper_of(dataset: str, line: Line, _cells: Cells) -> Accuracies | None:
    return paper.base_to_new(line.method, dataset) if _like_the_paper(line) else None


def _paper_average(line: Line, cells: Cells) -> Accuracies | None:
    datasets = {dataset for dataset, _ in cells}
    return paper.base_to_new_average(line.method, datasets) if _like_the_paper(line) else None


def _like_the_paper(line: Line) -> bool:
    """Whether the line is the unchanged method with the paper's shots; backbone and budget may differ."""
    return not line.setting and line.shots == paper.SHOTS


def _paper_note(lines: Lines, datasets: Sequence[str]) -> list[Words]:
    """A note on the paper's columns, or that there are none."""
    if not set(datasets) & set(paper.DATASETS):
        return [Words(f"The paper has no numbers for {', '.join(datasets)}.")]
    return [Words(paper.note(lines))]


def _published() -> Table:
    rows: list[tuple[Entry, ...]] = []
    rows += [(name, *map(Number, values)) for name, values in paper.published_averages().items()]
    caption = (
        "For orientation: averages over the eleven data sets as their authors published them (ViT-B/16, 16 shots); "
        "nothing here was measured by this software."
    )
    return Table("published", ("method", *(f"published {part}" for part in PARTS)), tuple(rows), caption)


def _bars(lines: Lines, dataset: str | None) -> list[BaseNewResult]:
    """A data set's results, or the averages (None), of the lines that have base, new and H."""
    bars, wanted = [], wanted_cells(lines)
    for line, name in zip(lines, distinct_names(lines), strict=True):
        counts = measured(lines[line], wanted[line.backbone, line.shots], dataset)
        name = f"(partial) {name}" if counts.startswith(PARTIAL) else name
        base, new, h = base_new_entries(lines[line], dataset).values()
        if isinstance(base, Number) and isinstance(new, Number) and isinstance(h, Number):
            bars.append(
                BaseNewResult(
                    method=name,
                    base=base.value,
                    new=new.value,
                    h=h.value,
                    base_sd=base.deviation,
                    new_sd=new.deviation,
                    h_sd=h.deviation,
                )
            )
    return bars


def _few_shot(lines: Lines) -> Section:
    section = Section("few-shot", "Few shots, all classes (the paper's Fig. 3)")
    if not lines:
        return section
    found = by_shots(lines)
    caption = "Accuracy on all classes by training images a class. The paper shows its own as curves, without numbers."
    section.blocks.append(few_shot_table("few-shot", found, caption))
    names = distinct_names(found)
    datasets = datasets_of(lines)
    pictures = []
    for number, place in enumerate([None, *datasets] if len(datasets) > 1 else datasets):
        curves = {name: _points(cells, place) for name, cells in zip(names, found.values(), strict=True)}
        drawn = {name: points for name, points in curves.items() if points}
        title, where = (
            (place, f"on {place}") if place else ("Average over data sets", "on whole averages over data sets")
        )
        draw = partial(plot_curves, drawn, title=title, xlabel="training images a class", names=names, by_doubling=True)
        words = f"Accuracy {where} by training images a class; bars are deviations over seeds"
        if drawn:
            pictures.append(Picture(f"few-shot-{number}", draw, words))
    section.blocks.append(pictures)
    return section


def _points(cells: Mapping[int, Cells], dataset: str | None) -> list[Point]:
    """Accuracy by shots on a data set, or averaged (None) for those shots that have all cells any shots have."""
    most = max(map(len, cells.values()))
    points: list[Point] = []
    for shots, found in cells.items():
        mine = {name: row for name, row in found.items() if dataset in (None, name[0])}
        one = over_datasets(numbers(mine, "all"))
        if one is not None and (dataset is not None or len(found) == most):
            points.append((shots, one.mean, one.deviation))
    return points


def _transfer(lines: Lines, anchor: str, title: str) -> Section:
    section = Section(anchor, title)
    for source in datasets_of(lines):
        caption = f"Trained on all classes of {source}; the average is over the targets, without {source}."
        section.blocks.append(transfer_table(f"{anchor}-{source}", lines, source, caption))
    return section


Compared = dict[str, dict[Line, dict[CellName, float]]]


def _compared(main: Lines, few: Lines, cross: Lines, shift: Lines) -> Compared:
    """The values to compare: percent by part, line and (data set, seed)."""
    found: Compared = {part: {line: numbers(cells, part) for line, cells in main.items()} for part in PARTS}
    found["few-shot"] = {line: numbers(cells, "all") for line, cells in few.items()}
    for part, lines in (("cross-dataset, targets", cross), ("domain-shift, targets", shift)):
        targets = {name for cells in lines.values() for row in cells.values() for name in row["accuracy"]} - {"all"}
        found[part] = {line: target_numbers(cells, sorted(targets)) for line, cells in lines.items()}
    return {part: lines for part, lines in found.items() if lines}


Constant = dict[str, dict[Line, set[CellName]]]


def _constant(main: Lines, few: Lines, cross: Lines, shift: Lines) -> Constant:
    """Of the values to compare those of classifiers with one answer to nearly everything."""
    found: Constant = {part: {line: constant_cells(cells, part) for line, cells in main.items()} for part in PARTS}
    found["few-shot"] = {line: constant_cells(cells, "all") for line, cells in few.items()}
    for part, lines in (("cross-dataset, targets", cross), ("domain-shift, targets", shift)):
        targets = {name for cells in lines.values() for row in cells.values() for name in row["accuracy"]} - {"all"}
        found[part] = {line: constant_targets(cells, sorted(targets)) for line, cells in lines.items()}
    return found


def _differences(compared: Compared, reference: str, constant: Constant) -> Section:
    section = Section("differences", "Paired differences")
    if not compared:
        return section
    titles = {line.title for lines in compared.values() for line in lines if line.method == reference}
    called = min(titles, default=reference)
    caption = "Differences in points of percent: the method's accuracy less that of the method it is held against."
    table = difference_table("differences", compared, reference, caption, constant)
    section.blocks.append(
        Words(
            f"Each method against {called} trained with the same preset, budget, shots and backbone, over the "
            "pairs of (data set, seed) that both have; pairs says how many. better, equal and worse count pairs. The "
            "interval is Student's t at 95 %; one pair has none."
        )
    )
    if table is None:
        section.blocks.append(
            Words(f"No result of {reference} shares preset, budget, shots and backbone with another.")
        )
        return section
    section.blocks += [Words(INTERVAL), table]
    lines = compared.get("H", {})
    if shown := _means(lines, reference):
        draw = partial(plot_differences, shown, title=f"H, less that of {called}")
        section.blocks.append(Picture("differences", draw, f"Mean differences in H from {called}, with intervals"))
    return section


def _means(
    lines: Mapping[Line, Mapping[CellName, float]], reference: str
) -> dict[str, tuple[float, tuple[float, float] | None]]:
    """Mean difference and interval by name, for the lines that have a reference."""
    found = {}
    for line, name in zip(lines, distinct_names(lines), strict=True):
        against = reference_of(line, lines, reference)
        pairs = paired_differences(lines[line], lines[against]) if against else None
        if pairs:
            found[name] = pairs.mean, pairs.interval
    return found
