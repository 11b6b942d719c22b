"""A comparison on a Ray cluster: an actor a worker, which is given a cell at a time and gives its row back.

The command that started it claims the cells, as `--jobs` does, and writes the rows; so several commands may work on one
results file, and a cell whose worker dies is run again by another: its row is not there, or whole.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

from mocoop.bench.cell import Cell
from mocoop.bench.rows import Row
from mocoop.bench.runner import Bench, BenchPlan, run_spread
from mocoop.bench.share import PATIENCE, Progress, Share, tell
from mocoop.cluster import Crew, Greeting, connected, greeting, needs
from mocoop.data.cache import Notice
from mocoop.errors import DataError
from mocoop.files import os_error


class Worker:
    """What an actor does: it opens the plan, in the folder that the command was given in, and runs cells."""

    def __init__(self, plan: BenchPlan, folder: Path) -> None:
        self._plan, self._folder = plan, folder

    def begin(self) -> Greeting:
        """Load the backbone. Raises what loading raises, DataError if this machine does not see the folder."""
        try:
            os.chdir(self._folder)
        except OSError as error:
            raise os_error(error, "work in", self._folder, DataError) from error
        self._bench = Bench(self._plan)
        return greeting(())

    def do(self, asked: tuple[Cell, str]) -> Row:
        """The row of a cell. Raises DataError if its key is another one here, and what running it raises."""
        cell, key = asked
        one = self._bench.ready(cell)
        if one.key != key:
            raise DataError(
                f"{greeting(()).host} sees other data, groups or weights than the machine of the command",
                "give paths that all machines see",
            )
        return self._bench.run(one)


def run_on_ray(plan: BenchPlan, notice: Notice, *, workers: int | None = None, address: str | None = None) -> Progress:
    """Run what is not done with so many actors, or as many as the cluster has GPUs or cores for.

    `plan.threads` are those of an actor, one if left out. Without an address a cluster of this machine is started, and
    ended. Raises UsageError where Ray is not installed or not reached, and an error that affects every cell; errors of
    single cells are reported, and a cell that three workers died of is one.
    """
    return run_spread(plan, lambda others: _spread(others, notice, workers, address))


def _spread(plan: BenchPlan, notice: Notice, workers: int | None, address: str | None) -> Progress:
    todo, impossible = Bench(plan).settled()
    tell(impossible, "failed")
    with Share(plan.results, todo, impossible) as share:
        if share.open():
            _run(plan, share, notice, workers, address)
        return share.progress()


def _run(plan: BenchPlan, share: Share, notice: Notice, workers: int | None, address: str | None) -> None:
    threads, folder = plan.threads or 1, Path.cwd()

    def following() -> tuple[Cell, str] | None:
        one = share.take()
        return None if one is None else (one.cell, one.key)

    with connected(address, workers, threads) as ray:
        wanted, most = needs(ray.cluster_resources(), plan.device, threads)
        actor = ray.remote(**wanted)(Worker)
        crew = Crew[tuple[Cell, str]](
            ray,
            hire=lambda: actor.remote(replace(plan, cells=(), threads=threads), folder),
            name=lambda asked: str(asked[0]),
            notice=notice,
            begun=share.begin,
        )
        crew.hire(min(workers or most, len(share.open())))
        while share.open():
            for (_, key), row in crew.answers(following):
                share.finish(key, row)
            time.sleep(PATIENCE)  # other commands run the rest; if one of them dies, its cells are free again
