"""Running cells: each once, in any number of processes, whatever is killed in between.

The rows of the results file say what is done. A process claims a cell with a file lock that the operating system
frees when the process ends, however it ends; so a killed one leaves its cell to the others.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from mocoop import cli
from mocoop.backbone import Backbone, load_backbone
from mocoop.bench.cells import TIME, Cell
from mocoop.bench.data import BenchData, open_bench_data
from mocoop.bench.protocols import groups_of_kind
from mocoop.bench.rows import Row, append_row, read_rows
from mocoop.bench.run_cell import Ready, ready, run_cell
from mocoop.bench.timing import time_cell
from mocoop.data.cache import FeatureCache
from mocoop.errors import MoCoOpError
from mocoop.groups import GroupFile, load_groups
from mocoop.progress import Pace


@dataclass(frozen=True, kw_only=True)
class BenchPlan:
    """What is run, on what, and where the rows go."""

    cells: tuple[Cell, ...]
    data: Mapping[str, Path | None]
    results: Path
    groups: Mapping[str, Path]  # the group file of each data set, where it has one
    backbone: str = "miniclip"
    pretrained: str | None = None
    device: str = "auto"
    precision: str = "auto"
    threads: int | None = None
    split_seed: int = 0
    class_names: Path | None = None
    use_cache: bool = True


@dataclass(frozen=True)
class Progress:
    """How a plan stands: cells, those done before, those run now, and what went wrong."""

    cells: int
    found: int
    run: int
    failures: tuple[str, ...]


class Bench:
    """A plan with its backbone, data sets and groups, each opened when it is first needed."""

    def __init__(self, plan: BenchPlan) -> None:
        if plan.threads is not None:
            torch.set_num_threads(plan.threads)
        self.plan = plan
        self.cache = FeatureCache() if plan.use_cache else None
        self.backbone: Backbone = load_backbone(
            plan.backbone, plan.pretrained, device=plan.device, precision=plan.precision
        )
        self.data: dict[str, BenchData] = {}

    def ready(self, cell: Cell) -> Ready:
        """A cell with its settings, groups and key. Raises what is wrong with its data or groups."""
        for name in (cell.dataset, *cell.targets):
            if name not in self.data:
                plan = self.plan
                self.data[name] = open_bench_data(
                    name, plan.data[name], split_seed=plan.split_seed, class_names=plan.class_names
                )
        return ready(cell, self.data, self._groups(cell), self.backbone)

    def run(self, one: Ready) -> Row:
        """Run a cell."""
        path = self.plan.groups.get(one.cell.dataset)
        run = time_cell if one.cell.protocol == TIME else run_cell
        return run(one, self.data, self.backbone, cache=self.cache, groups_file=path.name if path else None)

    def _groups(self, cell: Cell) -> GroupFile | None:
        path = self.plan.groups.get(cell.dataset)
        if path is None:
            return None
        return groups_of_kind(load_groups(path), cell.group_kind, cell.seed)


def list_cells(plan: BenchPlan) -> Iterator[tuple[Cell, bool]]:
    """Every cell once, and whether its row is there already. Nothing is trained."""
    bench = Bench(plan)
    done = {row["key"] for row in read_rows(plan.results)}

    def fail(cell: Cell, error: MoCoOpError) -> None:
        cli.say(f"cannot run: {cell}: {error.message}")

    for one in _distinct(bench, fail):
        yield one.cell, one.key in done


def run_plan(plan: BenchPlan, jobs: int = 1) -> Progress:
    """Run what is not done, in so many processes. Raises what makes every cell impossible; a cell's fault is told."""
    if jobs == 1:
        return _work(plan)
    threads = plan.threads or max(1, (os.cpu_count() or 1) // jobs)
    shared = replace(plan, threads=threads)
    context = multiprocessing.get_context("spawn")
    others = [context.Process(target=_work, args=(shared,), daemon=True) for _ in range(jobs - 1)]
    for process in others:
        process.start()
    try:
        own = _work(shared)
    finally:
        for process in others:
            process.join()
    return own


def _work(plan: BenchPlan) -> Progress:
    """One process's share: whatever nobody else has done or is doing."""
    bench = Bench(plan)
    failures: list[str] = []

    def fail(cell: Cell, error: MoCoOpError) -> None:
        failures.append(f"{cell}: {error.message}")
        cli.say(f"failed: {cell}: {error.message}")

    todo = list(_distinct(bench, fail))
    keys = {one.key for one in todo}
    done = _Done(plan.results)
    found = len(keys & done())
    pace, count = Pace(), 0
    pace.start(found)
    while True:
        waiting = 0
        for one in todo:
            if one.key in done():
                continue
            with _claim(plan.results, one.key) as mine:
                if not mine:
                    waiting += 1
                    continue
                if one.key in done():  # finished by another between the two looks
                    continue
                began = time.monotonic()
                try:
                    row = bench.run(one)
                except MoCoOpError as error:
                    fail(one.cell, error)
                    keys.discard(one.key)
                    continue
                append_row(plan.results, row)
                count += 1
            finished = len(keys & done())
            took, left = time.monotonic() - began, pace.left(finished, len(keys))
            cli.say(f"{finished}/{len(keys)}  {one.cell}  {_headline(row)}  {took:.1f} s  left {left}")
        todo = [one for one in todo if one.key in keys and one.key not in done()]
        if not waiting or not todo:
            return Progress(len(keys), found, count, tuple(failures))
        time.sleep(0.5)  # others are at the rest; should one of them die, its cell is free again


def _distinct(bench: Bench, fail: Callable[[Cell, MoCoOpError], None]) -> Iterator[Ready]:
    """The plan's cells, those that are the same run only once."""
    seen: set[str] = set()
    for cell in bench.plan.cells:
        try:
            one = bench.ready(cell)
        except MoCoOpError as error:
            fail(cell, error)
            continue
        if one.key not in seen:
            seen.add(one.key)
            yield one


@contextmanager
def _claim(results: Path, key: str) -> Iterator[bool]:
    """Whether this process may run a cell; the claim ends with the block, or with the process."""
    from filelock import FileLock, Timeout

    folder = results.with_name(f"{results.name}.claims")
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{key}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


class _Done:
    """The keys of the rows there are, read again only when the file has grown."""

    def __init__(self, results: Path) -> None:
        self._results, self._size = results, -1
        self._keys: set[str] = set()

    def __call__(self) -> set[str]:
        size = self._results.stat().st_size if self._results.is_file() else 0
        if size != self._size:
            self._size, self._keys = size, {row["key"] for row in read_rows(self._results)}
        return self._keys


def _headline(row: Mapping[str, Any]) -> str:
    parts = {name: value for name, value in row["accuracy"].items() if value is not None}
    return "  ".join(f"{name} {value:.2f}" for name, value in parts.items())


def group_files(given: str | None, datasets: Sequence[str]) -> dict[str, Path]:
    """The group file of each data set: one for all, or with "paper" each one's own from the paper.

    Raises UsageError for a data set that the paper has no groups for.
    """
    from importlib.resources import files

    from mocoop.errors import UsageError

    if given is None:
        return {}
    if given != "paper":
        return dict.fromkeys(datasets, Path(given))
    folder = Path(str(files("mocoop.templates").joinpath("paper")))
    found = {name: folder / f"{name}.json" for name in datasets}
    if missing := [name for name, path in found.items() if not path.is_file()]:
        raise UsageError(f"the paper has no groups for {', '.join(missing)}", "give a group file with --groups FILE")
    return found
