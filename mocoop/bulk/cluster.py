"""Bulk prediction on a Ray cluster: an actor a worker, each with the same predictor as on one machine.

Actors are given a shard at a time and write its part themselves, so that only numbers travel; the folder must be one
that all machines see. A worker that dies is replaced and its shard given out again: what it wrote is whole or not
there, and a part that is there is not made again, so no image is lost or doubled. Ray Data is not used: it would add
lineage and blocks to what is one number in and one file out.
"""

from __future__ import annotations

import io
import os
import socket
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from mocoop.bulk.jobs import Job
from mocoop.bulk.parts import Parts
from mocoop.bulk.predictor import MAX_REMARKED, BulkPredictor, Options
from mocoop.bulk.progress import Progress
from mocoop.bulk.shards import Shard
from mocoop.data.cache import Notice
from mocoop.data.remarks import remark_notes
from mocoop.errors import DataError, MoCoOpError, StorageError, UsageError
from mocoop.training.checkpoint import crash_point

MAX_TRIES = 3  # workers that may die of one part
_STORE = 128 * 1024 * 1024  # bytes for what travels, in a cluster of this machine: numbers and names

_Remarks = dict[Path, tuple[str, ...]]


class Worker:
    """What an actor does: one predictor, and parts written with it."""

    def __init__(self, options: Options, parts: Parts) -> None:
        self._options, self._parts = options, parts

    def begin(self) -> tuple[int, str, tuple[str, ...]]:
        """Load the run; its process, its host, and notes on the backbone. Raises what loading raises."""
        self._predictor = BulkPredictor(self._options)
        return os.getpid(), socket.gethostname(), self._predictor.notes

    def do(self, number: int, shard: Shard) -> tuple[int, _Remarks]:
        """Write a part that is not there; how many images it has, and remarks on them."""
        if self._parts.path(number).is_file():  # of a worker that died after it had written it
            return shard.images or 0, {}
        crash_point("worker-part", number)
        counter = _Counter()
        self._predictor.remarks.clear()
        self._parts.write(number, map(counter, self._predictor.rows(shard.items())))
        return counter.count, dict(self._predictor.remarks)


class _Counter:
    """Counts what passes."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        self.count += 1
        return row


def predict_on_ray(
    job: Job,
    progress: Progress,
    notice: Notice,
    *,
    workers: int | None = None,
    threads: int | None = None,
    address: str | None = None,
) -> None:
    """Write the parts that are missing with so many actors, or as many as the cluster has GPUs or cores for.

    Without an address a cluster of this machine is started, and ended. `threads` are those of an actor. Raises
    UsageError where Ray is not installed or not reached, DataError for a shard that three workers died of, and what a
    worker raised.
    """
    missing = job.parts.missing()
    if not missing:
        return
    # Ray prints every death to stdout, where results go; it is told here, in fewer words.
    with redirect_stdout(io.StringIO()), _cluster(address, workers, threads or 1) as ray:
        needs, most = _needs(ray.cluster_resources(), job.options.device, threads or 1)
        actor = ray.remote(**needs)(Worker)
        crew = _Crew(ray, job, lambda: actor.remote(job.options, job.parts), deque(missing))
        crew.work(min(workers or most, len(missing)), progress, notice)
    for note in remark_notes(crew.remarks, progress.images):
        notice(note)


@contextmanager
def _cluster(address: str | None, workers: int | None, threads: int) -> Iterator[Any]:
    """Ray, connected to a cluster, or to a new one that is ended afterwards. Raises UsageError."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
    try:
        import ray
    except ImportError as error:
        raise UsageError("--engine ray needs Ray", "pip install ray") from error
    own: dict[str, Any] = {"include_dashboard": False, "object_store_memory": _STORE}
    if workers is not None:
        own["num_cpus"] = workers * threads
    try:
        ray.init(address=address or "local", log_to_driver=False, logging_level="error", **({} if address else own))
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = str(error).split("\n")[0][:200]
        raise UsageError(
            f"Ray is not reached: {reason}", "check --address; without it, this machine is used"
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _needs(cluster: dict[str, float], device: str, threads: int) -> tuple[dict[str, int], int]:
    """What an actor needs: cores, and a GPU where there are any and none is ruled out; how many there is room for."""
    gpus, cores = int(cluster.get("GPU", 0)), int(cluster.get("CPU", 0)) // threads
    if device.startswith("cuda") or (device == "auto" and gpus):
        return {"num_cpus": threads, "num_gpus": 1}, max(1, gpus)
    return {"num_cpus": threads}, max(1, cores)


class _Crew:
    """The actors, what they are at, and what is still to be given out."""

    def __init__(self, ray: Any, job: Job, hire: Callable[[], Any], waiting: deque[int]) -> None:
        self._ray, self._job, self._new, self._waiting = ray, job, hire, waiting
        self._awaited: dict[Any, tuple[Any, int | None]] = {}  # by answer: the actor, and its part; None: it begins
        self._deaths: Counter[int | None] = Counter()  # at each part, and of those that had not begun
        self._told: set[str] = set()
        self.remarks: _Remarks = {}

    def work(self, workers: int, progress: Progress, notice: Notice) -> None:
        """Give out parts until all are there."""
        for _ in range(workers):
            self._hire()
        while self._awaited:
            (answer, *_), _ = self._ray.wait(list(self._awaited), num_returns=1)
            actor, number = self._awaited.pop(answer)
            try:
                said = self._ray.get(answer)
            except self._ray.exceptions.RayTaskError as error:
                raise _cause(error) from error
            except self._ray.exceptions.RayActorError as error:
                self._replace(number, error, notice)
                continue
            if number is None:
                if not self._told:
                    progress.begin()
                self._tell(said, notice)
            else:
                self._check_there(number)
                self.remarks |= said[1] if len(self.remarks) < MAX_REMARKED else {}
                progress.add(said[0])
                progress.part_done()
            if self._waiting:
                following = self._waiting.popleft()
                self._awaited[actor.do.remote(following, self._job.source.shards[following])] = (actor, following)

    def _hire(self) -> None:
        actor = self._new()
        self._awaited[actor.begin.remote()] = (actor, None)

    def _replace(self, number: int | None, error: Exception, notice: Notice) -> None:
        """A worker died: its part is given out first, to another one. Raises DataError if that has no end."""
        self._deaths[number] += 1
        at = "before it could begin" if number is None else f"at {self._job.parts.path(number).name}"
        if self._deaths[number] == MAX_TRIES:
            raise DataError(
                f"a worker died {at}, {MAX_TRIES} times: {_reason(error)}", "is its memory enough?"
            ) from error
        notice(f"a worker died {at}; another one takes over")
        if number is not None:
            self._waiting.appendleft(number)
        if self._waiting:
            self._hire()

    def _tell(self, said: tuple[int, str, tuple[str, ...]], notice: Notice) -> None:
        """Where a worker is, and once what it noted."""
        process, host, notes = said
        for note in (f"worker: process {process} on {host}", *notes):
            if note not in self._told:
                notice(note)
            self._told.add(note)

    def _check_there(self, number: int) -> None:
        if not (path := self._job.parts.path(number)).is_file():
            raise StorageError(f"a worker wrote {path}, and it is not there", "give -o a folder that all machines see")


def _cause(error: Any) -> Exception:
    """What a worker raised: an error of ours as it was."""
    cause = error.cause
    return cause if isinstance(cause, MoCoOpError) else RuntimeError(_reason(error))


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].split(" Some common causes")[0][:300] if lines else type(error).__name__
