"""Work spread over a Ray cluster: connecting to one, and a crew of actors of which some may die.

An actor is given one piece of work at a time. One that dies is replaced and its piece given out again, so what is done
must be done as a whole or not at all. What the actors do is in the rooms that use this.
"""

from __future__ import annotations

import io
import os
import socket
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, Generic, NamedTuple, TypeVar

from mocoop.errors import DataError, MoCoOpError, UsageError

MAX_TRIES = 3  # actors that may die of one piece of work
_STORE = 128 * 1024 * 1024  # bytes for what travels, in a cluster of this machine: numbers and names

Work = TypeVar("Work")


class Greeting(NamedTuple):
    """What an actor says when it has begun: its process, its host, and notes for the user."""

    process: int
    host: str
    notes: tuple[str, ...]


def greeting(notes: tuple[str, ...]) -> Greeting:
    """The greeting of this process."""
    return Greeting(os.getpid(), socket.gethostname(), notes)


@contextmanager
def connected(address: str | None, workers: int | None, threads: int) -> Iterator[Any]:
    """Ray, connected to a cluster, or to a new one of this machine that is ended afterwards.

    Ray prints every death to stdout, where results go; `Crew` tells it in fewer words. Raises UsageError where Ray is
    not installed or not reached.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
    try:
        import ray
    except ImportError as error:
        raise UsageError("--engine ray needs Ray", "pip install ray") from error
    own: dict[str, Any] = {"include_dashboard": False, "object_store_memory": _STORE}
    if workers is not None:
        own["num_cpus"] = workers * threads
    with redirect_stdout(io.StringIO()):
        try:
            ray.init(address=address or "local", log_to_driver=False, logging_level="error", **({} if address else own))
        except (ConnectionError, RuntimeError, ValueError) as error:
            reason = str(error).split("\n")[0][:200]
            hint = "check --address; without it, this machine is used"
            raise UsageError(f"Ray is not reached: {reason}", hint) from error
        try:
            yield ray
        finally:
            ray.shutdown()


def needs(cluster: dict[str, float], device: str, threads: int) -> tuple[dict[str, int], int]:
    """What an actor needs: cores, and a GPU where there are any and none is ruled out; how many there is room for."""
    gpus, cores = int(cluster.get("GPU", 0)), int(cluster.get("CPU", 0)) // threads
    if device.startswith("cuda") or (device == "auto" and gpus):
        return {"num_cpus": threads, "num_gpus": 1}, max(1, gpus)
    return {"num_cpus": threads}, max(1, cores)


class Crew(Generic[Work]):
    """Actors, what they are at, and what is given out again.

    An actor has two methods: `begin()` gives its `Greeting`, `do(work)` an answer. `hire` makes one; `name` names a
    piece of work in messages; `notice` hears who works and who died; `begun` is called when the first one has begun.
    """

    def __init__(
        self,
        ray: Any,
        hire: Callable[[], Any],
        name: Callable[[Work], str],
        notice: Callable[[str], None],
        begun: Callable[[], None],
    ) -> None:
        self._ray, self._new, self._name, self._notice, self._begun = ray, hire, name, notice, begun
        self._awaited: dict[Any, tuple[Any, Work | None]] = {}  # by answer: the actor, and its work; None: it begins
        self._idle: list[Any] = []
        self._again: deque[Work] = deque()
        self._deaths: Counter[str] = Counter()
        self._told: set[str] = set()

    def hire(self, count: int) -> None:
        """Start some actors."""
        for _ in range(count):
            actor = self._new()
            self._awaited[actor.begin.remote()] = (actor, None)

    def answers(self, following: Callable[[], Work | None]) -> Iterator[tuple[Work, Any]]:
        """Each piece of work with its answer, as they come, until `following` gives None and all are answered.

        An answer is what the actor gave, or the MoCoOpError that it raised; a DataError if `MAX_TRIES` actors died of
        the work. Raises what `begin` raised, or DataError if actors die of it.
        """
        self._give_out(following)
        while self._awaited:
            (ready, *_), _ = self._ray.wait(list(self._awaited), num_returns=1)
            actor, work = self._awaited.pop(ready)
            try:
                answer = self._ray.get(ready)
            except self._ray.exceptions.RayTaskError as error:
                answer = _cause(error)
            except self._ray.exceptions.RayActorError as error:
                if (lost := self._mourn(work, error)) is None:
                    self._give_out(following)
                    continue
                answer = lost
            else:
                self._idle.append(actor)
            if work is not None:
                yield work, answer
            elif isinstance(answer, MoCoOpError):
                raise answer
            else:
                self._tell(answer)
            self._give_out(following)

    def _give_out(self, following: Callable[[], Work | None]) -> None:
        """Work for all who have none, first what others died of."""
        while self._idle and (work := self._again.popleft() if self._again else following()) is not None:
            actor = self._idle.pop()
            self._awaited[actor.do.remote(work)] = (actor, work)

    def _mourn(self, work: Work | None, error: Exception) -> DataError | None:
        """Replace an actor that died, and keep its work for another one; an error if that has had its tries."""
        at = "before it could begin" if work is None else f"at {self._name(work)}"
        self._deaths[at] += 1
        self.hire(1)
        if self._deaths[at] == MAX_TRIES:
            return DataError(f"a worker died {at}, {MAX_TRIES} times: {_reason(error)}", "is its memory enough?")
        self._notice(f"a worker died {at}; another one takes over")
        if work is not None:
            self._again.append(work)
        return None

    def _tell(self, said: Greeting) -> None:
        """Where an actor is, and what it noted, each note once."""
        if not self._told:
            self._begun()
        for note in (f"worker: process {said.process} on {said.host}", *said.notes):
            if note not in self._told:
                self._notice(note)
            self._told.add(note)


def _cause(error: Any) -> MoCoOpError:
    """What an actor raised: an error of ours as it was; others are faults and raised."""
    if isinstance(error.cause, MoCoOpError):
        return error.cause
    raise RuntimeError(_reason(error)) from error


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].split(" Some common causes")[0][:300] if lines else type(error).__name__
