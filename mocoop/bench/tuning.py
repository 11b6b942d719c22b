"""Choosing settings on validation images only: a grid, a budget of training runs, successive halving over seeds.

All candidates are tried with the first seed, the better half of them with the second too, and so on, so that most of
the budget goes to the best candidates (Jamieson and Talwalkar 2016). Candidates are ranked by number of seeds, then
by mean accuracy on val, then by mean loss on val, then by their order. One whose answer is nearly always the same class
(`mocoop.runs.scores`) with any seed comes after all others: its accuracy is that class's share. Test images are never
used. Nothing here trains: the caller's `measure` does, so that the search can be tested without it.

Packing several training runs into one batch was measured and not adopted: on two CPU cores three mixtures of eight
experts packed into one took 19.7 ms a step each, and 21.4 ms alone.
"""

from __future__ import annotations

import itertools
import json
import random
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mocoop.bench.groupkinds import OWN
from mocoop.config import setting_text
from mocoop.errors import UsageError
from mocoop.methods import method_named


@dataclass(frozen=True)
class Candidate:
    """One configuration to try: changes to the preset's settings, and the index of its group file."""

    changes: Mapping[str, Any]
    groups: int = 0

    def __str__(self) -> str:
        return told(self.changes)


@dataclass(frozen=True)
class Measured:
    """The result of one training run on val: accuracy in percent, mean cross-entropy in nats, and whether the answer is
    nearly always the same."""

    accuracy: float
    loss: float
    constant: bool = False


@dataclass
class Scored:
    """A candidate and the results of its training runs, one per seed."""

    candidate: Candidate
    results: list[Measured] = field(default_factory=list)

    @property
    def accuracy(self) -> float:
        """Mean over its seeds, percent."""
        return statistics.fmean(result.accuracy for result in self.results)

    @property
    def loss(self) -> float:
        """Mean over its seeds, nats."""
        return statistics.fmean(result.loss for result in self.results)

    @property
    def constant(self) -> int:
        """With how many of its seeds the answer is nearly always the same."""
        return sum(result.constant for result in self.results)


ALL_CONSTANT = (
    "every candidate gave nearly always one answer on the validation images, with one seed at least, so the best of "
    "them is no choice: try other values, more --shots, or another --backbone"
)

Measure = Callable[[Candidate, int], Measured]  # a candidate and a seed


def told(changes: Mapping[str, Any]) -> str:
    """ "lr=0.1, ctx_init=null", as `--try` takes it."""
    return ", ".join(f"{name}={setting_text(value)}" for name, value in changes.items()) or "as the preset says"


def grid(values: Mapping[str, Sequence[Any]], group_files: int = 1) -> list[Candidate]:
    """Every combination of the values, for every group file; the preset itself comes first."""
    names = list(values)
    combinations = itertools.product(*values.values())
    changes = [{}, *(dict(zip(names, combination, strict=True)) for combination in combinations if names)]
    return [Candidate(one, groups) for groups in range(max(1, group_files)) for one in changes]


def plan(candidates: int, trainings: int, seeds: int) -> list[int]:
    """The number of candidates per seed, the most that the budget allows: each seed tries half of those before it.

    Raises UsageError if the budget is less than one training run per seed.
    """
    if trainings < seeds:
        raise UsageError(
            f"{trainings} trainings are fewer than the {seeds} seeds", "give more --trainings, fewer --seeds"
        )
    for first in range(candidates, 0, -1):
        rounds = [max(1, -(-first // 2**number)) for number in range(seeds)]
        if sum(rounds) <= trainings:
            return rounds
    return [1] * seeds


def drawn(candidates: Sequence[Candidate], count: int, seed: int) -> list[Candidate]:
    """`count` of the candidates, in their order: the first of each group file, and others sampled with the seed."""
    if count >= len(candidates):
        return list(candidates)
    first = [place for place, one in enumerate(candidates) if not one.changes][:count]
    others = [place for place in range(len(candidates)) if place not in first]
    chosen = sorted(first + random.Random(seed).sample(others, count - len(first)))
    return [candidates[place] for place in chosen]


def search(
    candidates: Sequence[Candidate], seeds: Sequence[int], trainings: int, measure: Measure, *, draw_seed: int = 0
) -> list[Scored]:
    """Successive halving; returns all candidates that were tried, the best first."""
    rounds = plan(len(candidates), trainings, len(seeds))
    scored = [Scored(candidate) for candidate in drawn(candidates, rounds[0], draw_seed)]
    for seed, count in zip(seeds, rounds, strict=True):
        for one in ranked(scored)[:count]:
            one.results.append(measure(one.candidate, seed))
    return ranked(scored)


def chosen(rows: Iterable[Mapping[str, Any]], method: str, preset: str) -> dict[str, Any] | None:
    """The best changes to a preset in the rows of a search; None if the method was not searched. As `best_of`."""
    best = best_of(rows, method, preset)
    return None if best is None else dict(best.candidate.changes)


def best_of(rows: Iterable[Mapping[str, Any]], method: str, preset: str) -> Scored | None:
    """The best candidate in the rows of a search that started from a preset; None if the method was not searched.

    Rows of several data sets are averaged. Raises UsageError if candidates were tried on different classes, shots or
    groups, so that they cannot be compared.
    """
    mine = [row for row in rows if (row["protocol"], row["method"], row["preset"]) == ("tune", method, preset)]
    groupings: dict[str, set[tuple[str, str]]] = {}  # by data set; each may have its own
    for row in mine:
        groupings.setdefault(row["dataset"], set()).add((row["groups"]["sha256"], row["groups"]["kind"]))
    if any(len(some) > 1 for some in groupings.values()) and method_named(method).reads_groups:
        raise UsageError(
            f"{method} was tuned on several groupings, which a comparison does not choose between",
            "keep the rows of one, and name its file with --groups",
        )
    if len({(row.get("classes"), row["shots"], row.get("val_shots")) for row in mine}) > 1:
        raise UsageError(f"{method} was tuned on several choices of classes or shots", "keep the rows of one")
    found: dict[str, Scored] = {}
    for row in mine:
        one = found.setdefault(json.dumps(row["changes"], sort_keys=True), Scored(Candidate(row["changes"])))
        one.results.append(measured(row))
    return ranked(list(found.values()))[0] if found else None


def of_other_groups(rows: Iterable[Mapping[str, Any]], preset: str, now: Mapping[str, str]) -> list[str]:
    """The methods that a search tuned with other groups than a comparison has `now` (sha256 by data set), sorted."""
    return sorted(
        {
            row["method"]
            for row in rows
            if (row["protocol"], row["preset"], row["groups"]["kind"]) == ("tune", preset, OWN)
            and method_named(row["method"]).reads_groups
            and row["groups"]["sha256"] != now.get(row["dataset"], row["groups"]["sha256"])
        }
    )


def measured(row: Mapping[str, Any]) -> Measured:
    """The result that a row of a search is ranked by. Raises UsageError if the method cannot name held-out classes."""
    accuracy = chosen_by(row)
    if accuracy is None:
        raise UsageError(f"{row['method']} cannot name the classes left out", "choose on --classes all or base")
    return Measured(accuracy, statistics.fmean(row["loss"].values()), constant=is_constant(row))


def is_constant(row: Mapping[str, Any]) -> bool:
    """Whether one class takes nearly all answers on a part of val that the row is ranked by."""
    return any(bool(one.get("constant")) for one in (row.get("scores") or {}).values())


def chosen_by(row: Mapping[str, Any]) -> float | None:
    """The percentage that candidates are ranked by: accuracy on val, or H if half of the classes was held out.

    None if the method cannot name those.
    """
    found = row["accuracy"].get("H", row["accuracy"].get("val"))
    return None if found is None else float(found)


def ranked(scored: Sequence[Scored]) -> list[Scored]:
    """The best first: no constant answer, most seeds, then accuracy, then loss; ties keep their order."""

    def place(one: Scored) -> tuple[float, ...]:
        return (one.constant > 0, -len(one.results), -one.accuracy, one.loss) if one.results else (0, 0, 0, 0)

    return sorted(scored, key=place)
