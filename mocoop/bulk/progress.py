"""What is seen of a bulk prediction while it runs, on stderr: parts, images, pace and the time left."""

from __future__ import annotations

import time
from collections.abc import Callable

from mocoop import cli
from mocoop.bulk.jobs import Job
from mocoop.cli import QUIET_SECONDS, Pace

Clock = Callable[[], float]


class Progress:
    """Says how far a job is, every few seconds; `images` are those done since it began."""

    def __init__(
        self,
        job: Job,
        *,
        say: Callable[[str], None] = cli.say,
        clock: Clock = time.monotonic,
        every: float = QUIET_SECONDS,
    ) -> None:
        self._job, self._say, self._clock, self._every = job, say, clock, every
        sizes = [shard.images for shard in job.source.shards]
        missing = job.parts.missing()
        self._known = None not in sizes  # then time is told by images, else by parts
        self._total = sum(size or 0 for size in sizes) if self._known else len(sizes)
        self._parts = len(sizes) - len(missing)
        left = sum(sizes[number] or 0 for number in missing) if self._known else len(missing)
        self._before, self.images = self._total - left, 0
        self._pace = Pace(clock)
        self.begin()
        if self._parts and missing:
            say(f"going on: {self._parts} of {len(sizes)} parts are there")

    def begin(self) -> None:
        """The clock starts: the backbone is loaded."""
        self._began = self._last = self._clock()
        self._pace.start(self._before)

    def add(self, images: int) -> None:
        """Some more images are done."""
        self.images += images
        if self._clock() - self._last >= self._every:
            self._last = self._clock()
            self._say(self.line())

    def part_done(self) -> None:
        """A part is written."""
        self._parts += 1

    def line(self) -> str:
        """How far it is."""
        done = self._before + self.images if self._known else self._parts
        pace = self.images / max(1e-9, self._clock() - self._began)
        images = f"{self.images:,} images" if not self._known else f"{done:,} of {self._total:,} images"
        left = self._pace.left(done, self._total)
        parts = f"{self._parts} of {len(self._job.source.shards)} parts written"
        return f"{parts}  {images}  {pace:,.1f} a second  left {left}"
