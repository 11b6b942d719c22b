"""Training progress on stderr: losses, accuracy, time left and the use of each expert.

On a terminal it is a small live display that disappears at the end. Elsewhere, as in a log, it is notices and an
occasional line, without bars or escape codes. Results are not printed here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mocoop import cli
from mocoop.cli import QUIET_SECONDS, Pace
from mocoop.training.trainer import Listener, StepLog

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_MOST_EXPERTS = 12  # maximum number shown, the most used first


@contextmanager
def training_progress(group_ids: Sequence[str] = ()) -> Iterator[Listener]:
    """A listener suited to stderr, terminal or not; `group_ids` name the experts."""
    console = cli.console(stderr=True)
    if not console.is_terminal or console.is_dumb_terminal:
        yield LineProgress(group_ids)
        return
    with LiveProgress(console, group_ids) as live:
        yield live


class LineProgress(Listener):
    """For logs: a line at most every `every` seconds, and always for the last step. A notice is printed once."""

    def __init__(
        self,
        group_ids: Sequence[str] = (),
        *,
        say: Callable[[str], None] = cli.say,
        clock: Callable[[], float] = time.monotonic,
        every: float = QUIET_SECONDS,
    ) -> None:
        self._ids, self._say, self._clock, self._every = tuple(group_ids), say, clock, every
        self._last, self._pace, self._said = clock(), Pace(clock), set[str]()
        self._epochs, self._encoding = 0, False

    def notice(self, text: str) -> None:
        """Print it once."""
        if text not in self._said:
            self._said.add(text)
            self._say(f"note: {text}")

    def features(self, done: int, total: int) -> None:
        """An occasional line, none for short work; work that had one has a line for its end too."""
        if self._due() or (self._encoding and done == total):
            self._encoding = done < total
            self._say(f"encoding images: {done} of {total}")

    def started(self, epochs: int, steps: int, resumed_step: int) -> None:
        """Print a line only on resumption."""
        self._epochs = epochs
        self._pace.start(resumed_step)
        if resumed_step:
            self._say(f"going on after step {resumed_step} of {steps}")

    def step(self, log: StepLog) -> None:
        """Print a line for this step, if one is due."""
        last_epoch = log.epoch + 1 == self._epochs  # its end always has a line
        if log.step == log.steps or (not last_epoch and self._due()):
            left = self._pace.left(log.step, log.steps)
            self._say(f"epoch {log.epoch + 1}/{self._epochs}  {losses_text(log)}  left {left}{self._use(log)}")

    def _use(self, log: StepLog) -> str:
        if len(log.expert_use) != len(self._ids):
            return ""
        return "  experts " + ", ".join(f"{name} {100 * share:.0f}%" for name, share in most_used(self._ids, log)[0])

    def _due(self) -> bool:
        if self._clock() - self._last < self._every:
            return False
        self._last = self._clock()
        return True


class LiveProgress(Listener):
    """For a terminal: the stage, a bar, the losses and a bar per expert; removed when the work is done."""

    def __init__(
        self, console: Console, group_ids: Sequence[str] = (), *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        from rich.live import Live

        self._console, self._ids = console, tuple(group_ids)
        self._stage, self._done, self._total, self._epochs = "starting", 0, 0, 0
        self._log: StepLog | None = None
        self._pace, self._said = Pace(clock), set[str]()
        self._live = Live(get_renderable=self.render, console=console, transient=True, refresh_per_second=4)

    def __enter__(self) -> LiveProgress:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def stage(self, text: str) -> None:
        """Show a new stage."""
        self._stage, self._done, self._total, self._log = text, 0, 0, None
        self._pace.start(0)

    def notice(self, text: str) -> None:
        """Print it above the display, once."""
        if text not in self._said:
            self._said.add(text)
            self._console.print(f"note: {text}", markup=False)

    def features(self, done: int, total: int) -> None:
        """Move the bar."""
        if done < self._done:  # other images, in the same stage
            self._pace.start(done)
        self._done, self._total = done, total

    def started(self, epochs: int, steps: int, resumed_step: int) -> None:
        """From here the bar counts steps."""
        self._epochs, self._done, self._total = epochs, resumed_step, steps
        self._pace.start(resumed_step)

    def step(self, log: StepLog) -> None:
        """Remember the step; the display refreshes four times a second."""
        self._done, self._log = log.step, log

    def render(self) -> RenderableType:
        """The current display."""
        from rich.console import Group
        from rich.text import Text

        log = self._log
        parts: list[RenderableType] = [self._head()]
        if log is not None:
            parts.append(Text(losses_text(log)))
            if len(log.expert_use) == len(self._ids):
                parts.append(self._experts(log))
        return Group(*parts)

    def _head(self) -> RenderableType:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        head = Table.grid(padding=(0, 1))
        epoch = f"epoch {self._log.epoch + 1}/{self._epochs}" if self._log else ""
        cells: list[RenderableType] = [Text(self._stage, style="bold"), Text(epoch)]
        if self._total:
            bar = ProgressBar(total=self._total, completed=self._done, width=24)
            left = f"{self._done}/{self._total}  {self._pace.left(self._done, self._total)} left"
            cells += [bar, Text(left)]
        head.add_row(*cells)
        return head

    def _experts(self, log: StepLog) -> RenderableType:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        shown, more = most_used(self._ids, log)
        table = Table.grid(padding=(0, 1))
        for name, share in shown:
            bar = ProgressBar(total=1, completed=share, width=24, finished_style="bar.complete")
            table.add_row(Text(name, overflow="ellipsis", no_wrap=True), bar, f"{100 * share:3.0f}%")
        if more:
            table.add_row(Text(f"and {more} more"))
        return table


def losses_text(log: StepLog) -> str:
    """The numbers of one step in one line; a term of exactly zero is not part of the method."""
    router = max(0.0, log.router_loss)  # a divergence of zero can round to slightly below
    terms = {"class": log.class_loss, "router": router, "text": log.text_loss}
    named = [f"{name} {round(value, 3) + 0.0:.3f}" for name, value in terms.items() if value or name == "class"]
    return "  ".join([f"loss {log.loss:.3f}", *named, f"batch accuracy {100 * log.accuracy:.0f}%"])


def most_used(group_ids: Sequence[str], log: StepLog) -> tuple[list[tuple[str, float]], int]:
    """The experts that are most often first, in this order, and how many are omitted."""
    ranked = sorted(zip(group_ids, log.expert_use, strict=True), key=lambda pair: -pair[1])
    return ranked[:_MOST_EXPERTS], max(0, len(ranked) - _MOST_EXPERTS)
