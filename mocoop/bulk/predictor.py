"""The predictor of bulk prediction: pictures into rows, by a tower that is made once.

The same class serves the loop on this machine and the actors of a cluster. Pictures are decoded in threads ahead of
the image tower; what is in memory is bounded by their number and their bytes. A batch is the same pictures as in
`mocoop predict`, so the digits are the same. B pictures, D joint width.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mocoop.answers import with_experts
from mocoop.bulk.items import Item, as_text
from mocoop.bulk.options import Options
from mocoop.bulk.towers import Tower, tower_of
from mocoop.data.contents import picture_bytes
from mocoop.data.images import open_image
from mocoop.errors import DataError, ImageError
from mocoop.files import sha256_bytes

MAX_HELD = 256 * 1024 * 1024  # bytes of undecoded pictures in memory, or one picture
MAX_REMARKED = 1000  # pictures whose remarks are kept


class _Seen(NamedTuple):
    """A picture as the tower sees it, or features (D), and its hash; or the reason why it cannot be read."""

    name: str
    values: np.ndarray | None
    sha256: str = ""
    why: str = ""
    remarks: tuple[str, ...] = ()


class BulkPredictor:
    """A tower ready to predict. `notes` are what the user should know of it; `remarks` are those on the pictures read
    so far, a thousand at most."""

    def __init__(self, options: Options, tower: Tower | None = None, *, pictures: bool = True) -> None:
        """`pictures` is false if there are features alone."""
        self._options, self._tower = options, tower or tower_of(options)
        self.notes = self._tower.load(pictures=pictures)
        self._workers = min(8, (os.cpu_count() or 1) + 1)
        self.remarks: dict[Path, tuple[str, ...]] = {}

    def rows(self, items: Iterable[Item]) -> Iterator[dict[str, Any]]:
        """A dictionary for each picture, in order: as `mocoop predict --json` prints it, or `path` and `error`.

        Raises DataError for a picture that cannot be read if that is to end the work.
        """
        return chain.from_iterable(self.batches(items))

    def batches(self, items: Iterable[Item]) -> Iterator[list[dict[str, Any]]]:
        """The same, as many at a time as go through the tower together."""
        with ThreadPoolExecutor(self._workers) as pool:
            seen = self._ahead(pool, items)
            while batch := list(islice(seen, self._options.batch_size)):
                yield self._batch(batch)

    def _ahead(self, pool: ThreadPoolExecutor, items: Iterable[Item]) -> Iterator[_Seen]:
        """Pictures in order; those of the next batch are decoded while the tower works on this one."""
        waiting: deque[tuple[Future[_Seen], int]] = deque()
        held = 0
        try:
            for item in items:
                size = len(item.content) if isinstance(item.content, bytes) else 0
                waiting.append((pool.submit(self._decoded, item), size))
                held += size
                del item  # its bytes belong to the pool now, which lets go of them
                while len(waiting) > self._options.batch_size or (held > MAX_HELD and waiting):
                    future, size = waiting.popleft()
                    held -= size
                    yield future.result()
            while waiting:
                yield waiting.popleft()[0].result()
        finally:
            for future, _ in waiting:
                future.cancel()

    def _decoded(self, item: Item) -> _Seen:
        """Runs in a thread."""
        if isinstance(item.content, str):
            return _Seen(item.name, None, why=as_text(item.content))
        if isinstance(item.content, np.ndarray):
            return _Seen(item.name, item.content, sha256_bytes(item.content.tobytes()))
        remarks: list[str] = []
        try:
            data = item.content if isinstance(item.content, bytes) else picture_bytes(item.content)
            image = open_image(data, name=item.name, reading=self._options.reading, remark=remarks.append)
        except ImageError as error:
            why = str(error).removeprefix(f"{error.path}: ")
            return _Seen(item.name, None, why=as_text(why))
        return _Seen(item.name, self._tower.view(image), sha256_bytes(data), remarks=tuple(remarks))

    def _batch(self, batch: list[_Seen]) -> list[dict[str, Any]]:
        """The rows of some pictures, of which the readable ones go through the tower together."""
        for one in batch:
            if one.values is None and self._options.on_bad_image == "fail":
                raise DataError(f"{one.name}: {one.why}", "replace it, or give --on-bad-image skip")
            if one.remarks and len(self.remarks) < MAX_REMARKED:
                self.remarks[Path(one.name)] = one.remarks
        predicted = iter(self._predicted([one for one in batch if one.values is not None]))
        return [{"path": one.name, "error": one.why} if one.values is None else next(predicted) for one in batch]

    def _predicted(self, good: list[_Seen]) -> list[dict[str, Any]]:
        """Those of a batch that could be read, pictures or features, never both: a shard holds one kind."""
        if not good:
            return []
        stacked = np.stack([one.values for one in good if one.values is not None])  # (B, ...)
        rows = self._tower.rows([one.name for one in good], stacked, [one.sha256 for one in good])
        return [with_experts(row, self._options.experts) for row in rows]
