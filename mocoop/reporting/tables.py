"""Tables of results: each row names its method with preset, budget and extras; cells not measured are empty.

A table shows means over seeds with their sample deviations. An average without a cell that another method of the same
comparison has is marked as partial, with its counts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from mocoop.reporting.document import Entry, Number, Table, number
from mocoop.reporting.paper import Accuracies, is_harmonic
from mocoop.reporting.results import Cells, Line, Lines, impossible, numbers
from mocoop.reporting.statistics import (
    CellName,
    Paired,
    Spread,
    over_datasets,
    paired_differences,
    seed_averages,
    spread,
)
from mocoop.runs.evaluate import harmonic_mean

PARTS = ("base", "new", "H")
CANNOT, PARTIAL = "cannot", "partial: "
NOT_HARMONIC = "†"
NOT_HARMONIC_NOTE = "As printed; it is not the harmonic mean of the base and new that stand beside it."
_ALWAYS = ("method", "preset", "budget", "extra names")
Wanted = Mapping[tuple[str, int], Collection[CellName]]  # (backbone, shots) -> the cells that any of its lines has


class Naming:
    """The columns that identify a row: always method, preset, budget and extra names, others if lines differ."""

    def __init__(self, lines: Iterable[Line]) -> None:
        known = list(lines)
        self._optional = [name for name in ("groups", "shots", "backbone") if len(_values(known, name)) > 1]
        self.columns = (*_ALWAYS, *self._optional)

    def entries(self, line: Line, name: str | None = None) -> tuple[str, ...]:
        """A line's entries in these columns, with another name for the method if given."""
        extra = "read in training" if line.extra_names else "none"
        optional = (str(getattr(line, column)) for column in self._optional)
        preset = f"{line.preset}, tuned: {line.tuned}" if line.tuned else line.preset
        return name or line.name, preset, line.budget, extra, *optional


def _values(lines: Iterable[Line], name: str) -> set[object]:
    return {getattr(line, name) for line in lines} - {"-", 0}


def distinct_names(lines: Iterable[Line]) -> list[str]:
    """A unique name for each line: other parts of its training setup are added if needed."""
    known = list(lines)
    naming = Naming(known)
    named: dict[str, list[tuple[str, ...]]] = {}
    for line in known:
        named.setdefault(_short(line), []).append(naming.entries(line))
    found = []
    for line in known:
        columns = zip(*named[_short(line)], strict=True)
        told = [own for own, values in zip(naming.entries(line), columns, strict=True) if len(set(values)) > 1]
        found.append(", ".join([_short(line), *told]))
    return found


def _short(line: Line) -> str:
    return f"{line.name}, tuned" if line.tuned else line.name


def wanted_cells(lines: Lines) -> dict[tuple[str, int], set[CellName]]:
    """The cells that any line has, by backbone and shots: a complete average covers them."""
    found: dict[tuple[str, int], set[CellName]] = {}
    for line, cells in lines.items():
        found.setdefault((line.backbone, line.shots), set()).update(cells)
    return found


def base_new_entries(cells: Cells, dataset: str | None) -> dict[str, Entry]:
    """Base, new and H of one data set, or averaged over all (None): "cannot" if the method lacks that part.

    H of a data set is the mean of its seeds' H; H of an average is computed from the averaged base and new.
    """
    mine = cells if dataset is None else {name: row for name, row in cells.items() if name[0] == dataset}
    found = _averages(mine) if dataset is None else {part: spread(numbers(mine, part).values()) for part in PARTS}
    shown: dict[str, Entry] = {part: number(value) for part, value in found.items()}
    return {part: CANNOT if value is None and impossible(mine, part) else value for part, value in shown.items()}


def _averages(cells: Cells) -> dict[str, Spread | None]:
    base, new = numbers(cells, "base"), numbers(cells, "new")
    found = {"base": over_datasets(base), "new": over_datasets(new), "H": None}
    if found["base"] and found["new"] and set(base) == set(new):
        of_base, of_new = seed_averages(base), seed_averages(new)
        by_seed = spread(harmonic_mean(of_base[seed], of_new[seed]) for seed in of_base)
        h = harmonic_mean(found["base"].mean, found["new"].mean)
        found["H"] = Spread(h, by_seed.deviation if by_seed else None, len(base))
    return found


def measured(cells: Collection[CellName], wanted: Collection[CellName], dataset: str | None) -> str:
    """ "3 of 3" seeds of a data set; for an average "33 of 33 cells", marked as partial if some are missing."""
    mine = [name for name in cells if dataset in (None, name[0])]
    all_of_them = [name for name in wanted if dataset in (None, name[0])]
    if dataset is not None:
        return f"{len(mine)} of {len(all_of_them)} seeds"
    counts = f"{len(mine)} of {len(all_of_them)} cells"
    if len(mine) == len(all_of_them):
        return counts
    if _datasets(mine) == _datasets(all_of_them):
        return f"{PARTIAL}{counts}"
    return f"{PARTIAL}{counts}, {_datasets(mine)} of {_datasets(all_of_them)} data sets"


def _datasets(cells: Iterable[CellName]) -> int:
    return len({dataset for dataset, _ in cells})


@dataclass(frozen=True)
class BaseNewRow:
    """A row of a table of base, new and H; `dataset` None is the average."""

    line: Line
    cells: Cells
    dataset: str | None
    name: str | None = None  # replaces the method's name
    paper: Accuracies | None = None


def base_new_table(
    name: str, rows: Sequence[BaseNewRow], wanted: Wanted, naming: Naming, caption: str, *, datasets: bool = False
) -> Table:
    """Base, new and H of some rows, with the paper's if there are any; `datasets` adds that column."""
    paper = any(row.paper for row in rows)
    columns = (*naming.columns, "measured", *PARTS, *(f"paper {part}" for part in PARTS if paper))
    found = []
    for row in rows:
        counts = measured(row.cells, wanted[row.line.backbone, row.line.shots], row.dataset)
        ours = base_new_entries(row.cells, row.dataset)
        theirs = _printed(row.paper) if paper else []
        place = (row.dataset or "average",) if datasets else ()
        found.append((*place, *naming.entries(row.line, row.name), counts, *(ours[part] for part in PARTS), *theirs))
    if any(isinstance(entry, Number) and entry.mark for row in found for entry in row):
        caption = f"{caption} {NOT_HARMONIC} {NOT_HARMONIC_NOTE}"
    return Table(name, ("data set", *columns) if datasets else columns, tuple(found), caption)


def _printed(row: Accuracies | None) -> list[Entry]:
    """The paper's base, new and H as printed; H is marked if it is not the harmonic mean of the other two."""
    if row is None:
        return [None] * len(PARTS)
    mark = "" if is_harmonic(row) else NOT_HARMONIC
    return [Number(row[part], mark=mark if part == "H" else "") for part in PARTS]


def rows_of(
    lines: Lines, dataset: str | None, paper: Callable[[Line, Cells], Accuracies | None], *, name: str | None = None
) -> list[BaseNewRow]:
    """A row for each line that has the data set, or an average of each line (None)."""
    mine = {line: cells for line, cells in lines.items() if dataset is None or any(d == dataset for d, _ in cells)}
    return [BaseNewRow(line, cells, dataset, name, paper(line, cells)) for line, cells in mine.items()]


def few_shot_table(name: str, found: Mapping[Line, Mapping[int, Cells]], caption: str) -> Table:
    """Accuracy on all classes: a row per data set and line, and for the averages; a column per number of shots."""
    shots = sorted({count for by_shots in found.values() for count in by_shots})
    datasets = sorted({dataset for by_shots in found.values() for cells in by_shots.values() for dataset, _ in cells})
    places: list[str | None] = [None, *datasets] if len(datasets) > 1 else list(datasets)
    naming = Naming(found)
    wanted = {(line.backbone, count): set[CellName]() for line in found for count in shots}
    for line, by_shots in found.items():
        for count, cells in by_shots.items():
            wanted[line.backbone, count].update(cells)
    rows = []
    for place in places:
        for line, by_shots in found.items():
            entries = [_accuracy(by_shots.get(count, {}), place) for count in shots]
            if all(entry is None for entry in entries):
                continue
            have = [(*cell, count) for count, cells in by_shots.items() for cell in cells if place in (None, cell[0])]
            need = [
                (*cell, count) for count in shots for cell in wanted[line.backbone, count] if place in (None, cell[0])
            ]
            partial = PARTIAL if place is None and len(have) < len(need) else ""
            counts = f"{partial}{len(have)} of {len(need)} cells"
            rows.append((place or "average", *naming.entries(line), counts, *entries))
    columns = ("data set", *naming.columns, "measured", *(f"{n} shot{'s' * (n > 1)}" for n in shots))
    return Table(name, columns, tuple(rows), caption)


def _accuracy(cells: Cells, dataset: str | None) -> Entry:
    mine = {name: row for name, row in cells.items() if dataset in (None, name[0])}
    return number(over_datasets(numbers(mine, "all")))


def transfer_table(name: str, lines: Lines, source: str, caption: str) -> Table:
    """Trained on one data set: accuracy there, on each target, and averaged over the targets."""
    mine = {line: _from(cells, source) for line, cells in lines.items()}
    mine = {line: cells for line, cells in mine.items() if cells}
    targets = sorted({part for cells in mine.values() for row in cells.values() for part in row["accuracy"]} - {"all"})
    naming = Naming(mine)
    wanted: dict[tuple[str, int], set[CellName]] = {}
    for line, cells in mine.items():
        wanted.setdefault((line.backbone, line.shots), set()).update(target_numbers(cells, targets))
    rows = []
    for line, cells in mine.items():
        reached = target_numbers(cells, targets)
        entries: list[Entry] = [number(spread(numbers(cells, part).values())) for part in ("all", *targets)]
        impossibles = [impossible(cells, part) for part in ("all", *targets)]
        entries = [CANNOT if no and one is None else one for one, no in zip(entries, impossibles, strict=True)]
        counts = measured(reached, wanted[line.backbone, line.shots], None)
        rows.append((*naming.entries(line), counts, *entries, number(over_datasets(reached))))
    columns = (*naming.columns, "measured", f"{source} (source)", *targets, "average of targets")
    return Table(name, columns, tuple(rows), caption)


def _from(cells: Cells, source: str) -> Cells:
    return {name: row for name, row in cells.items() if name[0] == source}


def target_numbers(cells: Cells, targets: Iterable[str]) -> dict[CellName, float]:
    """Accuracy by (target, seed)."""
    found: dict[CellName, float] = {}
    for target in targets:
        found |= {(target, seed): value for (_, seed), value in numbers(cells, target).items()}
    return found


def difference_table(
    name: str,
    values: Mapping[str, Mapping[Line, Mapping[CellName, float]]],
    reference: str,
    caption: str,
    constant: Mapping[str, Mapping[Line, Collection[CellName]]] | None = None,
) -> Table | None:
    """Each line against the reference method trained with the same preset, budget, shots and backbone.

    `values`: percent by part, line and cell; `constant`: the cells among them whose classifier has one answer to nearly
    everything. Where such a cell has the larger number it counts neither as better nor as worse, but in another column.
    None if nothing can be compared.
    """
    naming = Naming(line for lines in values.values() for line in lines)
    pairs = []
    for part, lines in values.items():
        one_answer = (constant or {}).get(part, {})
        for line, cells in lines.items():
            against = reference_of(line, lines, reference)
            if against is None:
                continue
            sides = one_answer.get(line, ()), one_answer.get(against, ())
            if (found := paired_differences(cells, lines[against], sides)) is not None:
                pairs.append((part, line, against, found))
    shown = any(found.constant for *_, found in pairs)
    rows = [
        (part, *naming.entries(line), against.name, *_difference(found), *([str(found.constant)] if shown else []))
        for part, line, against, found in pairs
    ]
    columns = ("part", *naming.columns, "against", "pairs", "difference", "95 % from", "95 % to", *_COUNTS)
    if shown:
        columns, caption = (*columns, CONSTANT), f"{caption} {CONSTANT_NOTE}"
    return Table(name, columns, tuple(rows), caption) if rows else None


_COUNTS = ("better", "equal", "worse")
CONSTANT = "one answer"
CONSTANT_NOTE = (
    "one answer: pairs in which the larger number is that of a classifier with one answer to nearly everything; they "
    "count neither as better nor as worse, and the difference says nothing there."
)


def reference_of(line: Line, lines: Iterable[Line], reference: str) -> Line | None:
    """The reference method's plain line with the same preset, budget, shots and backbone; never the line itself.

    One with the same groups is preferred, then one that agrees in having been tuned or not.
    """
    like = [
        other
        for other in sorted(lines)
        if other.method == reference
        and not other.setting
        and (other.preset, other.budget, other.shots, other.backbone)
        == (line.preset, line.budget, line.shots, line.backbone)
    ]
    like.sort(key=lambda other: (other.groups != line.groups, bool(other.tuned) != bool(line.tuned)))
    return like[0] if like and like[0] != line else None


def _difference(found: Paired) -> tuple[Entry, ...]:
    ends: Sequence[Entry] = (None, None)
    if found.interval:
        ends = [Number(end, signed=True) for end in found.interval]
    counts = (str(count) for count in (found.wins, found.ties, found.losses))
    return str(found.count), Number(found.mean, signed=True), *ends, *counts
