"""One command's share of a comparison: the cells that are open, those it has claimed, and what became of them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mocoop import cli
from mocoop.bench.cell import Cell, Ready
from mocoop.bench.claims import Claims, Done
from mocoop.bench.rows import Row, append_row
from mocoop.cli import Pace
from mocoop.errors import MoCoOpError
from mocoop.methods import method_named

PATIENCE = 0.5  # seconds between two looks at what other processes are doing
# Costs of cells relative to one image of one prompt's training, measured on the scenes; only for the time left.
_EVALUATION, _PROBE = 100, 2000
_TEXTS_AN_IMAGE = 16  # for a method whose prompts depend on the image


@dataclass(frozen=True)
class Progress:
    """The progress of a plan: cells, those done before, those run now, and failures."""

    cells: int
    found: int
    run: int
    failures: tuple[str, ...]

    def __add__(self, other: Progress) -> Progress:
        failures = (*self.failures, *other.failures)
        return Progress(self.cells + other.cells, self.found + other.found, self.run + other.run, failures)


class Share:
    """What one process does of the cells of a plan; the rows go to `results`. All its claims end with the context.

    `impossible` are cells that cannot run, by error: they count as failures.
    """

    def __init__(self, results: Path, todo: Sequence[Ready], impossible: Mapping[str, Sequence[Cell]]) -> None:
        self._results, self._claims, self._done = results, Claims(results), Done(results)
        self._cells, self._impossible = {one.key: one for one in todo}, impossible
        self._found, self._run = len(self._cells.keys() & self._done()), 0
        self._began: dict[str, float] = {}  # of the cells claimed
        self._pace, self._whole = Pace(), sum(map(_length, todo))
        self.begin()

    def __enter__(self) -> Share:
        return self

    def __exit__(self, *_: object) -> None:
        self._claims.close()

    def begin(self) -> None:
        """The clock for the time left starts."""
        self._pace.start(self._length_done())

    def open(self) -> list[Ready]:
        """The cells that nobody has done and none has failed at."""
        return [one for one in self._cells.values() if self._is_open(one)]

    def take(self) -> Ready | None:
        """Claim an open cell; None if other processes, or this one, have all of them."""
        for one in self.open():
            if one.key in self._began or not self._claims.take(one.key):
                continue
            if self._is_open(one):  # another process may have finished it between the two checks
                self._began[one.key] = time.monotonic()
                return one
            self._claims.release(one.key)
        return None

    def finish(self, key: str, made: Row | MoCoOpError) -> None:
        """Store the row of a claimed cell, or the error, which no other process runs into again; then let it go."""
        cell, took = self._cells[key].cell, time.monotonic() - self._began.pop(key)
        if isinstance(made, MoCoOpError):
            self._claims.fail(key, made.message)
            tell({made.message: [cell]}, "failed")
        else:
            append_row(self._results, made)
            self._run += 1
            place = f"{len(self._cells.keys() & self._done())}/{len(self._cells)}"
            left = self._pace.left(self._length_done(), self._whole)
            cli.say(f"{place}  {cell}  {_headline(made)}  {took:.1f} s  left {left}")
        self._claims.release(key)

    def progress(self) -> Progress:
        """The counts, and what failed here or in other processes."""
        why = [(one.cell, self._claims.failure(one.key)) for one in self._cells.values()]
        failed = [f"{cell}: {said}" for cell, said in why if said is not None]
        could_not = [f"{cell}: {said}" for said, named in self._impossible.items() for cell in named]
        return Progress(len(self._cells), self._found, self._run, (*could_not, *failed))

    def _is_open(self, one: Ready) -> bool:
        return one.key not in self._done() and self._claims.failure(one.key) is None

    def _length_done(self) -> int:
        return sum(_length(self._cells[key]) for key in self._cells.keys() & self._done())


def tell(failures: Mapping[str, Sequence[Cell]], what: str) -> None:
    """Report each error once, however many cells it affects."""
    for message, cells in failures.items():
        others = f" and {len(cells) - 1} more" if len(cells) > 1 else ""
        cli.say(f"{what}: {cells[0]}{others}: {message}")


def _length(one: Ready) -> int:
    """The rough relative duration of a cell, in images that one prompt is trained on."""
    method = method_named(one.cell.method)
    if not method.learns:
        return _EVALUATION
    if "epochs" not in method.settings:
        return _EVALUATION + _PROBE
    texts = _TEXTS_AN_IMAGE if method.conditional else len(one.groups.groups)
    return _EVALUATION + one.cell.shots * one.config.epochs_for(one.cell.shots) * texts


def _headline(row: Mapping[str, Any]) -> str:
    parts = {name: value for name, value in row["accuracy"].items() if value is not None}
    return "  ".join(f"{name} {value:.2f}" for name, value in parts.items())
