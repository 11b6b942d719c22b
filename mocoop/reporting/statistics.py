"""Means, standard deviations and paired differences, as pure functions of numbers.

Sums are exact before rounding, so the order of the numbers does not matter. A *cell* is (data set, seed).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

CellName = tuple[str, int]
_EQUAL = 1e-9  # percent: accuracies from equal counts that differ only by rounding


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation (over n - 1); a single number has no deviation."""

    mean: float
    deviation: float | None
    count: int


@dataclass(frozen=True)
class Paired:
    """Differences first - second over the pairs: their number, mean, its interval, and how often each was better.

    `constant` counts pairs in which the larger number is that of a classifier with one answer, which is not better.
    """

    count: int
    mean: float
    interval: tuple[float, float] | None
    wins: int
    ties: int
    losses: int
    constant: int = 0


def spread(values: Iterable[float]) -> Spread | None:
    """Mean and sample standard deviation; None without numbers."""
    found = list(values)
    if not found:
        return None
    return Spread(statistics.fmean(found), statistics.stdev(found) if len(found) > 1 else None, len(found))


def confidence_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float] | None:
    """Student's t interval of the mean; None for fewer than two numbers."""
    if len(values) < 2:
        return None
    from scipy.stats import t

    middle = statistics.fmean(values)
    half = float(t.ppf((1 + level) / 2, len(values) - 1)) * statistics.stdev(values) / math.sqrt(len(values))
    return middle - half, middle + half


def paired_differences(
    first: Mapping[CellName, float],
    second: Mapping[CellName, float],
    constant: tuple[Collection[CellName], Collection[CellName]] = ((), ()),
) -> Paired | None:
    """Differences over the cells that both have; None if they share none.

    `constant`: the cells of first and of second that have one answer to nearly everything, which never count as better.
    """
    shared = {name: first[name] - second[name] for name in first if name in second}
    differences = list(shared.values())
    if not differences:
        return None
    unearned = {
        name
        for name, difference in shared.items()
        if (difference > _EQUAL and name in constant[0]) or (difference < -_EQUAL and name in constant[1])
    }
    earned = [d for name, d in shared.items() if name not in unearned]
    wins, losses = sum(d > _EQUAL for d in earned), sum(d < -_EQUAL for d in earned)
    return Paired(
        count=len(differences),
        mean=statistics.fmean(differences),
        interval=confidence_interval(differences),
        wins=wins,
        ties=len(earned) - wins - losses,
        losses=losses,
        constant=len(unearned),
    )


def by_dataset(cells: Mapping[CellName, float]) -> dict[str, Spread]:
    """Mean and deviation over the seeds of each data set."""
    found: dict[str, list[float]] = {}
    for (dataset, _), value in sorted(cells.items()):
        found.setdefault(dataset, []).append(value)
    return {dataset: Spread(statistics.fmean(some), _deviation(some), len(some)) for dataset, some in found.items()}


def over_datasets(cells: Mapping[CellName, float]) -> Spread | None:
    """The average over data sets of their means over seeds; None without cells.

    The deviation is that of the single seeds' averages, over the seeds that every data set has; `count` counts cells.
    """
    datasets = by_dataset(cells)
    if not datasets:
        return None
    return Spread(
        mean=statistics.fmean(one.mean for one in datasets.values()),
        deviation=_deviation(list(seed_averages(cells).values())),
        count=len(cells),
    )


def seed_averages(cells: Mapping[CellName, float]) -> dict[int, float]:
    """The average over data sets for each seed that all of them have."""
    datasets = {dataset for dataset, _ in cells}
    seeds = {seed for _, seed in cells}
    whole = [seed for seed in sorted(seeds) if all((dataset, seed) in cells for dataset in datasets)]
    return {seed: statistics.fmean(cells[dataset, seed] for dataset in datasets) for seed in whole}


def _deviation(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) if len(values) > 1 else None
