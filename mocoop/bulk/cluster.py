"""Bulk prediction on a Ray cluster: an actor a worker, each with the same predictor as on one machine.

Actors are given a shard at a time and write its part themselves, so that only numbers travel; the folder must be one
that all machines see. The shard of a worker that dies is given out again: what it wrote is whole or not there, and a
part that is there is not made again, so no image is lost or doubled. Ray Data is not used: it would add lineage and
blocks to what is one number in and one file out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mocoop.bulk.jobs import Job
from mocoop.bulk.options import Options
from mocoop.bulk.parts import Parts
from mocoop.bulk.predictor import MAX_REMARKED, BulkPredictor
from mocoop.bulk.progress import Progress
from mocoop.bulk.shards import Shard
from mocoop.cluster import Crew, Greeting, connected, greeting, needs
from mocoop.data.cache import Notice
from mocoop.data.remarks import remark_notes
from mocoop.errors import MoCoOpError, StorageError
from mocoop.files import crash_point

_Remarks = dict[Path, tuple[str, ...]]


class _Task(NamedTuple):
    """A shard, and the number of its part."""

    number: int
    shard: Shard


class Worker:
    """What an actor does: one predictor, and parts written with it."""

    def __init__(self, options: Options, parts: Parts) -> None:
        self._options, self._parts = options, parts

    def begin(self) -> Greeting:
        """Load the run; the notes are on the backbone. Raises what loading raises."""
        self._predictor = BulkPredictor(self._options)
        return greeting(self._predictor.notes)

    def do(self, task: _Task) -> tuple[int, _Remarks]:
        """Write a part that is not there; how many images it has, and remarks on them."""
        number, shard = task
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
    remarks: _Remarks = {}
    with connected(address, workers, threads or 1) as ray:
        wanted, most = needs(ray.cluster_resources(), job.options.device, threads or 1)
        actor = ray.remote(**wanted)(Worker)
        crew = Crew[_Task](
            ray,
            hire=lambda: actor.remote(job.options, job.parts),
            name=lambda task: _path(job, task).name,
            notice=notice,
            begun=progress.begin,
        )
        crew.hire(min(workers or most, len(missing)))
        for images, seen in _done(job, crew, iter([_Task(number, job.source.shards[number]) for number in missing])):
            progress.add(images)
            progress.part_done()
            remarks |= seen if len(remarks) < MAX_REMARKED else {}
    for note in remark_notes(remarks, progress.images):
        notice(note)


def _done(job: Job, crew: Crew[_Task], tasks: Iterator[_Task]) -> Iterator[tuple[int, _Remarks]]:
    """The images of each part that is written, and remarks on them. Raises what a worker raised."""
    for task, answer in crew.answers(lambda: next(tasks, None)):
        if isinstance(answer, MoCoOpError):
            raise answer
        if not (path := _path(job, task)).is_file():
            raise StorageError(f"a worker wrote {path}, and it is not there", "give -o a folder that all machines see")
        yield answer


def _path(job: Job, task: _Task) -> Path:
    return job.parts.path(task.number)
