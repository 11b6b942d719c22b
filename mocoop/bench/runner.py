"""Running cells: each once, in any number of processes, even if some are killed.

The rows of the results file record what is done. A process claims a cell with a file lock that the operating system
releases when the process ends, however it ends; so the cell of a killed process is left to the others.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from mocoop import cli
from mocoop.backbone.backbone import Backbone, load_backbone
from mocoop.bench.cell import TIME, Cell, Ready
from mocoop.bench.claims import Claims
from mocoop.bench.data import BenchData, open_bench_data
from mocoop.bench.groupkinds import groups_of_kind
from mocoop.bench.rows import Row, read_rows
from mocoop.bench.run_cell import ready, run_cell
from mocoop.bench.share import PATIENCE, Progress, Share, tell
from mocoop.bench.timing import time_cell
from mocoop.data.cache import FeatureCache
from mocoop.data.classnames import naming_notes
from mocoop.data.sources import DataSettings
from mocoop.errors import MoCoOpError
from mocoop.groupfile.groups import PAPER, GroupFile, load_groups, paper_groups

Spread = Callable[["BenchPlan"], Progress]  # runs what is open of a plan, in this process and others


@dataclass(frozen=True, kw_only=True)
class BenchPlan(DataSettings):
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
    use_cache: bool = True


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

    def settled(self) -> tuple[list[Ready], dict[str, list[Cell]]]:
        """The plan's cells, equal ones only once; and the cells that cannot run, by error.

        Raises the error if one error affects all of them.
        """
        found: dict[str, Ready] = {}
        impossible: dict[str, list[Cell]] = {}
        for cell in self.plan.cells:
            try:
                one = self.ready(cell)
            except MoCoOpError as error:
                impossible.setdefault(error.message, []).append(cell)
                if len(impossible[error.message]) == len(self.plan.cells):
                    raise
            else:
                found.setdefault(one.key, one)
        return list(found.values()), impossible

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
            self.data[name] = open_bench_data(name, plan.data[name], plan)
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
    todo, impossible = Bench(plan).settled()
    tell(impossible, "cannot run")
    done = {row["key"] for row in read_rows(plan.results)}
    for one in todo:
        yield one.cell, one.key in done


def run_plan(plan: BenchPlan, jobs: int = 1) -> Progress:
    """Run what is not done, in `jobs` processes of this machine.

    Raises an error that affects every cell; errors of single cells are reported.
    """
    if jobs == 1:
        Claims(plan.results).forget_failures()
        return _work(plan)
    return run_spread(plan, lambda others: _share_out(others, jobs))


def run_spread(plan: BenchPlan, spread: Spread) -> Progress:
    """Run what is not done as `spread` does; timing cells run last, here, with nothing else on the machine."""
    Claims(plan.results).forget_failures()
    timed = tuple(cell for cell in plan.cells if cell.protocol == TIME)
    others = tuple(cell for cell in plan.cells if cell.protocol != TIME)
    if not others:
        return _work(plan)
    done = spread(replace(plan, cells=others))
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
    todo, impossible = bench.settled()
    if first:
        tell(impossible, "failed")
    with Share(plan.results, todo, impossible) as share:
        while share.open() and not _orphaned():
            one = share.take()
            if one is None:
                time.sleep(PATIENCE)  # others run the rest; if one of them dies, its cell is free again
                continue
            share.finish(one.key, _made(bench, one))
        return share.progress()


def _made(bench: Bench, one: Ready) -> Row | MoCoOpError:
    """The row of a cell, or why there is none."""
    try:
        return bench.run(one)
    except MoCoOpError as error:
        return error


def _orphaned() -> bool:
    """Whether the parent process is gone, so that nobody waits for more rows."""
    parent = multiprocessing.parent_process()
    return parent is not None and not parent.is_alive()


def group_files(given: str | None, datasets: Sequence[str]) -> dict[str, Path]:
    """The group file of each data set: one for all, or with "paper" the paper's own for each.

    Raises UsageError for a data set for which the paper has no groups.
    """
    if given is None:
        return {}
    if given != PAPER or Path(given).is_file():
        return dict.fromkeys(datasets, Path(given))
    return {name: paper_groups(name) for name in datasets}
