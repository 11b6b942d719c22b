"""Running cells: each once, in any number of processes, even if some are killed.

The rows of the results file record what is done. A process claims a cell with a file lock that the operating system
releases when the process ends, however it ends; so the cell of a killed process is left to the others.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from mocoop import cli
from mocoop.backbone.backbone import Backbone, load_backbone
from mocoop.bench.cell import TIME, Cell, Ready
from mocoop.bench.claims import Claims, Done
from mocoop.bench.data import BenchData, open_bench_data
from mocoop.bench.groupkinds import groups_of_kind
from mocoop.bench.rows import Row, append_row, read_rows
from mocoop.bench.run_cell import ready, run_cell
from mocoop.bench.timing import time_cell
from mocoop.data.cache import FeatureCache
from mocoop.data.classnames import naming_notes
from mocoop.data.reading import ValueRange
from mocoop.errors import MoCoOpError
from mocoop.groupfile.groups import PAPER, GroupFile, load_groups, paper_groups
from mocoop.methods import method_named
from mocoop.training.progress import Pace

_PATIENCE = 0.5  # seconds between two checks of what other processes are doing
# Costs of cells relative to one image of one prompt's training, measured on the scenes; only for the time left.
_EVALUATION, _PROBE = 100, 2000
_TEXTS_AN_IMAGE = 16  # for a method whose prompts depend on the image


@dataclass(frozen=True, kw_only=True)
class BenchPlan:
    """What to run, on what, and where to write the rows."""

    cells: tuple[Cell, ...]
    data: Mapping[str, Path | None]
    results: Path
    groups: Mapping[str, Path]  # the group file of each data set, if it has one
    backbone: str = "miniclip"
    pretrained: str | None = None
    device: str = "auto"
    precision: str = "auto"
    quick_gelu: bool | None = None
    threads: int | None = None
    split_seed: int = 0
    class_names: Path | None = None
    names_by_position: bool = False
    columns: Mapping[str, str] | None = None  # of tables, by role
    follow_links: bool = False
    bands: tuple[int, ...] | None = None
    value_range: ValueRange | None = None
    use_cache: bool = True


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


class Bench:
    """A plan with its backbone, data sets and groups, each opened on first use; a `backbone` at hand is used again."""

    def __init__(self, plan: BenchPlan, backbone: Backbone | None = None) -> None:
        if plan.threads is not None:
            torch.set_num_threads(plan.threads)
        self.plan = plan
        self.cache = FeatureCache() if plan.use_cache else None
        self.backbone: Backbone = backbone or load_backbone(
            plan.backbone,
            plan.pretrained,
            device=plan.device,
            precision=plan.precision,
            quick_gelu=plan.quick_gelu,
        )
        if backbone is None and multiprocessing.parent_process() is None:  # once a command
            for note in self.backbone.notes:
                cli.say(f"note: {note}")
        self.data: dict[str, BenchData] = {}
        self._closed: dict[str, MoCoOpError] = {}
        self._files: dict[Path, GroupFile] = {}

    def ready(self, cell: Cell) -> Ready:
        """A cell with its settings, groups and key. Raises the errors of its data or groups."""
        for name in (cell.dataset, *cell.targets):
            self._open(name)
        return ready(cell, self.data, self._groups(cell), self.backbone)

    def run(self, one: Ready) -> Row:
        """Run a cell."""
        path = self.plan.groups.get(one.cell.dataset)
        run = time_cell if one.cell.protocol == TIME else run_cell
        return run(one, self.data, self.backbone, cache=self.cache, groups_file=path.name if path else None)

    def _open(self, name: str) -> None:
        """Open a data set once; one that cannot be opened is not retried."""
        if name in self._closed:
            raise self._closed[name]
        if name in self.data:
            return
        plan = self.plan
        try:
            self.data[name] = open_bench_data(
                name,
                plan.data[name],
                split_seed=plan.split_seed,
                class_names=plan.class_names,
                names_by_position=plan.names_by_position,
                columns=plan.columns,
                follow_links=plan.follow_links,
                bands=plan.bands,
                value_range=plan.value_range,
            )
        except MoCoOpError as error:
            self._closed[name] = error
            raise
        if multiprocessing.parent_process() is None:  # once, not by each of several processes
            opened = self.data[name]
            for note in (*naming_notes(opened.dataset.notes), *opened.reading_notes):
                cli.say(f"note: {name}: {note}")

    def _groups(self, cell: Cell) -> GroupFile | None:
        path = self.plan.groups.get(cell.dataset)
        if path is None:
            return None
        if path not in self._files:
            self._files[path] = load_groups(path)
        return groups_of_kind(self._files[path], cell.group_kind, cell.seed)


def list_cells(plan: BenchPlan) -> Iterator[tuple[Cell, bool]]:
    """Every cell once, and whether its row exists already. Nothing is trained."""
    todo, impossible = _settled(Bench(plan))
    _tell(impossible, "cannot run")
    done = {row["key"] for row in read_rows(plan.results)}
    for one in todo:
        yield one.cell, one.key in done


def run_plan(plan: BenchPlan, jobs: int = 1) -> Progress:
    """Run what is not done, in `jobs` processes; timing cells run last, with nothing else on the machine.

    Raises an error that affects every cell; errors of single cells are reported.
    """
    Claims(plan.results).forget_failures()
    timed = tuple(cell for cell in plan.cells if cell.protocol == TIME)
    others = tuple(cell for cell in plan.cells if cell.protocol != TIME)
    if jobs == 1 or not others:
        return _work(plan)
    done = _share_out(replace(plan, cells=others), jobs)
    return done + _work(replace(plan, cells=timed)) if timed else done


def _share_out(plan: BenchPlan, jobs: int) -> Progress:
    shared = replace(plan, threads=plan.threads or max(1, (os.cpu_count() or 1) // jobs))
    context = multiprocessing.get_context("spawn")
    others = [context.Process(target=_share, args=(shared,), daemon=True) for _ in range(jobs - 1)]
    for process in others:
        process.start()
    try:
        return _work(shared)
    except BaseException:
        for process in others:
            process.terminate()
        raise
    finally:
        for process in others:
            process.join()


def _share(plan: BenchPlan) -> None:
    """The work of every process but the first. An error that stops all of them is reported by the first."""
    with suppress(KeyboardInterrupt, MoCoOpError):
        _work(plan, first=False)


def _work(plan: BenchPlan, *, first: bool = True) -> Progress:
    """One process's share: every cell that no other process has done or is doing."""
    bench = Bench(plan)
    todo, impossible = _settled(bench)
    if first:
        _tell(impossible, "failed")
    claims, done = Claims(plan.results), Done(plan.results)
    cells = {one.key: one for one in todo}
    found = len(cells.keys() & done())
    count, pace, whole = 0, Pace(), sum(map(_length, todo))
    pace.start(_length_of(cells, done()))
    while todo := [one for one in todo if _is_open(one, done, claims)]:
        if _orphaned():
            break
        one = next((one for one in todo if claims.take(one.key)), None)
        if one is None:
            time.sleep(_PATIENCE)  # others run the rest; if one of them dies, its cell is free again
            continue
        began = time.monotonic()
        with claims.held(one.key):  # another process may have finished it between the two checks
            row = _row_of(one, bench, claims) if _is_open(one, done, claims) else None
        if row is not None:
            count += 1
            took, left = time.monotonic() - began, pace.left(_length_of(cells, done()), whole)
            place = f"{len(cells.keys() & done())}/{len(cells)}"
            cli.say(f"{place}  {one.cell}  {_headline(row)}  {took:.1f} s  left {left}")
    failed = [f"{one.cell}: {said}" for one in cells.values() if (said := claims.failure(one.key)) is not None]
    claims.tidy()
    could_not = [f"{cell}: {said}" for said, named in impossible.items() for cell in named]
    return Progress(len(cells), found, count, (*could_not, *failed))


def _is_open(one: Ready, done: Done, claims: Claims) -> bool:
    return one.key not in done() and claims.failure(one.key) is None


def _row_of(one: Ready, bench: Bench, claims: Claims) -> Row | None:
    """Run a cell and store its row; None if it failed, which is reported and remembered."""
    try:
        row = bench.run(one)
    except MoCoOpError as error:
        claims.fail(one.key, error.message)
        _tell({error.message: [one.cell]}, "failed")
        return None
    append_row(bench.plan.results, row)
    return row


def _settled(bench: Bench) -> tuple[list[Ready], dict[str, list[Cell]]]:
    """The plan's cells, equal ones only once; and the cells that cannot run, by error.

    Raises the error if one error affects all of them.
    """
    found: dict[str, Ready] = {}
    impossible: dict[str, list[Cell]] = {}
    for cell in bench.plan.cells:
        try:
            one = bench.ready(cell)
        except MoCoOpError as error:
            impossible.setdefault(error.message, []).append(cell)
            if len(impossible[error.message]) == len(bench.plan.cells):
                raise
        else:
            found.setdefault(one.key, one)
    return list(found.values()), impossible


def _tell(failures: Mapping[str, Sequence[Cell]], what: str) -> None:
    """Report an error once, however many cells it affects."""
    for message, cells in failures.items():
        others = f" and {len(cells) - 1} more" if len(cells) > 1 else ""
        cli.say(f"{what}: {cells[0]}{others}: {message}")


def _orphaned() -> bool:
    """Whether the parent process is gone, so that nobody waits for more rows."""
    parent = multiprocessing.parent_process()
    return parent is not None and not parent.is_alive()


def _length(one: Ready) -> int:
    """The rough relative duration of a cell, in images that one prompt is trained on."""
    method = method_named(one.cell.method)
    if not method.learns:
        return _EVALUATION
    if "epochs" not in method.settings:
        return _EVALUATION + _PROBE
    texts = _TEXTS_AN_IMAGE if method.conditional else len(one.groups.groups)
    return _EVALUATION + one.cell.shots * one.config.epochs_for(one.cell.shots) * texts


def _length_of(cells: Mapping[str, Ready], keys: set[str]) -> int:
    return sum(_length(cells[key]) for key in cells.keys() & keys)


def _headline(row: Mapping[str, Any]) -> str:
    parts = {name: value for name, value in row["accuracy"].items() if value is not None}
    return "  ".join(f"{name} {value:.2f}" for name, value in parts.items())


def group_files(given: str | None, datasets: Sequence[str]) -> dict[str, Path]:
    """The group file of each data set: one for all, or with "paper" the paper's own for each.

    Raises UsageError for a data set for which the paper has no groups.
    """
    if given is None:
        return {}
    if given != PAPER or Path(given).is_file():
        return dict.fromkeys(datasets, Path(given))
    return {name: paper_groups(name) for name in datasets}
