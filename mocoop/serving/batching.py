"""Images that wait are answered together: one thread takes what is there, up to a batch, and asks the model once.

Nobody waits for a batch to fill: alone, an image is a batch of one; under load, batches grow by themselves.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import NamedTuple

import numpy as np

from mocoop.export.engine import Answer


class Row(NamedTuple):
    """One image's place in the answer to a batch."""

    answer: Answer
    row: int


class Batcher:
    """A queue of prepared images, and the thread that empties it."""

    def __init__(
        self, predict: Callable[[np.ndarray], Answer], batch_size: int, seen: Callable[[int], None] = lambda _size: None
    ) -> None:
        """`seen` is called with the size of each batch."""
        self._predict, self._batch_size, self._seen = predict, batch_size, seen
        self._waiting: deque[tuple[np.ndarray, Future[Row]]] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name="mocoop-batches", daemon=True)
        self._thread.start()

    def submit(self, images: Sequence[np.ndarray]) -> list[Future[Row]]:
        """Let images wait for their answers; one that is cancelled before its batch begins costs nothing."""
        jobs = [(image, Future[Row]()) for image in images]
        with self._changed:
            if self._stopping:
                raise RuntimeError("the batcher has stopped")
            self._waiting.extend(jobs)
            self._changed.notify()
        return [future for _, future in jobs]

    def stop(self) -> None:
        """Answer what waits, then end."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while jobs := self._next():
            images, futures = zip(*jobs, strict=True)
            self._seen(len(images))
            try:
                answer = self._predict(np.stack(images))
            except Exception as error:  # whoever asked hears of it, and the next batch is tried
                for future in futures:
                    future.set_exception(error)
                continue
            for row, future in enumerate(futures):
                future.set_result(Row(answer, row))

    def _next(self) -> list[tuple[np.ndarray, Future[Row]]]:
        """The next batch of images that are still wanted; empty at the end."""
        jobs: list[tuple[np.ndarray, Future[Row]]] = []
        while not jobs:
            with self._changed:
                while not self._waiting and not self._stopping:
                    self._changed.wait()
                if not self._waiting:
                    return []
                taken = [self._waiting.popleft() for _ in range(min(self._batch_size, len(self._waiting)))]
            jobs = [job for job in taken if job[1].set_running_or_notify_cancel()]
        return jobs
