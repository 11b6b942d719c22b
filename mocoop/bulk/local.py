"""Bulk prediction on this machine: one part after another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from mocoop.bulk.jobs import Job
from mocoop.bulk.predictor import BulkPredictor
from mocoop.bulk.progress import Progress
from mocoop.data.cache import Notice
from mocoop.data.remarks import remark_notes
from mocoop.files import crash_point


def predict_here(job: Job, progress: Progress, notice: Notice) -> None:
    """Write the parts that are missing; the backbone is loaded only if there is one.

    Raises DataError for an unreadable picture under "fail", StorageError for what cannot be written.
    """
    missing = job.parts.missing()
    if not missing:
        return
    predictor = BulkPredictor(job.options, job.tower, pictures=job.source.pictures)
    for note in predictor.notes:
        notice(note)
    progress.begin()
    for number in missing:
        job.parts.write(number, _watched(predictor.batches(job.source.shards[number].items()), progress))
        crash_point("after-part", number)
        progress.part_done()
    for note in remark_notes(predictor.remarks, progress.images):
        notice(note)


def _watched(batches: Iterable[list[dict[str, Any]]], progress: Progress) -> Iterator[dict[str, Any]]:
    """The rows as they come, counted; at each a test can end the process."""
    for batch in batches:
        for place, row in enumerate(batch):
            crash_point("bulk-row", progress.images + place)
            yield row
        progress.add(len(batch))
