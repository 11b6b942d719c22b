"""Trying methods split by split within a time, and the choice among them.

Every method answers for the same held-out images. After each split a method that is behind the best by more than two
standard errors of their paired difference is left: it will not win, and the time is worth more elsewhere. The choice is
by a lower bound (`lower_bounds`), because not all methods may have answered for all images. Nothing is trained here:
the caller's `measure` does, so that the race can be tested without it. N images in all.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

BEHIND = 2.0  # standard errors of the paired difference to the best, beyond which a method is left
TIE = 0.5  # points: bounds nearer than that to the best are a tie


class TimeIsUp(Exception):
    """A training would not end in the time there is; `needed` is how long it would take, in seconds."""

    def __init__(self, needed: float) -> None:
        super().__init__()
        self.needed = needed


@dataclass
class Entry:
    """A method that is tried: which of the images it answered rightly, how often it answered, and at what cost."""

    name: str
    title: str
    parts: tuple[str, ...] = ()  # methods it is made of
    steps: bool = False  # whether it is trained step by step, which takes long
    names_any_class: bool = True
    right: Tensor = field(default_factory=lambda: torch.zeros(0))  # (N,) right answers, and
    asked: Tensor = field(default_factory=lambda: torch.zeros(0))  # (N,) answers
    seconds: list[float] = field(default_factory=list)  # of each split
    left: str | None = None  # why it was left, if it was, and
    behind: bool = False  # whether because it was behind

    def add(self, rows: Tensor, right: Tensor, seconds: float) -> None:
        """Count the answers for some rows of the images: `right` (B,) bool."""
        self.right[rows] += right.float()
        self.asked[rows] += 1
        self.seconds.append(seconds)

    @property
    def images(self) -> int:
        """Images answered for."""
        return int((self.asked > 0).sum())

    @property
    def shares(self) -> Tensor:
        """(N,): of each image the share of right answers; nan where it was not asked."""
        return self.right / self.asked

    @property
    def accuracy(self) -> float:
        """In percent, over the images answered for."""
        return 100 * float(self.shares[self.asked > 0].mean())

    @property
    def error(self) -> float:
        """The accuracy's standard error in points, by Laplace's rule, so that few right answers are no certainty."""
        share = (self.images * self.accuracy / 100 + 1) / (self.images + 2)
        return 100 * math.sqrt(share * (1 - share) / self.images)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; numbers are null for a method that answered for nothing."""
        known = self.images > 0
        return {
            "method": self.name,
            "title": self.title,
            "accuracy": self.accuracy if known else None,
            "standard_error": self.error if known else None,
            "images": self.images,
            "splits": len(self.seconds),
            "seconds": sum(self.seconds),
            "names_any_class": self.names_any_class,
            "left": self.left,
        }


Measure = Callable[[Entry, int, float], tuple[Tensor, Tensor]]  # an entry, a split, seconds left: rows, right answers


@dataclass(frozen=True)
class Clock:
    """The time there is, and a clock that tests can turn."""

    seconds: float
    now: Callable[[], float] = time.monotonic
    began: float = field(default=0.0)

    @classmethod
    def start(cls, seconds: float, now: Callable[[], float] = time.monotonic) -> Clock:
        """From now on."""
        return cls(seconds, now, now())

    @property
    def left(self) -> float:
        """Seconds left; negative once they are over."""
        return self.seconds - (self.now() - self.began)


def race(
    entries: Sequence[Entry],
    images: int,
    splits: int,
    measure: Measure,
    clock: Clock,
    *,
    after: float,
    told: Callable[[Entry, int], None] = lambda _entry, _split: None,
) -> None:
    """Try the entries split by split, in their order, which should be that of their cost; they keep what they got.

    Those that take no steps are tried on all splits first, so that the others meet the best of them at once.

    Args:
        images: N.
        after: how many times the seconds of a split it takes to keep a winner: they are set aside for each method.
        told: hears of each split that an entry was measured on, and of each entry that is left.
    """
    for entry in entries:
        entry.right, entry.asked = torch.zeros(images), torch.zeros(images)
    for steps in (False, True):
        tier = [entry for entry in entries if entry.steps is steps]
        for split in range(splits):
            for entry in tier:
                if entry.left is None or _is_part(entry, entries):
                    _try(entry, entries, split, measure, clock, after)
                    told(entry, split)
            for entry in _behind(entries):
                told(entry, split)


def _try(entry: Entry, entries: Sequence[Entry], split: int, measure: Measure, clock: Clock, after: float) -> None:
    """One split of one entry, if it fits in the time that is left."""
    parts = [one for one in entries if one.name in entry.parts]
    own = max(entry.seconds, default=0.0)
    whole = own + sum(max(one.seconds, default=0.0) for one in parts)
    missing = sum(max(one.seconds, default=0.0) for one in parts if len(one.seconds) <= split)
    if own + missing + after * whole > clock.left:
        entry.left = entry.left or _late(whole, after, clock)
        return
    began = clock.now()
    try:
        rows, right = measure(entry, split, clock.left / (1 + after))
    except TimeIsUp as late:
        entry.left = entry.left or _late(late.needed, after, clock)
    else:
        entry.add(rows, right, clock.now() - began)


def _is_part(entry: Entry, entries: Sequence[Entry]) -> bool:
    """Whether another that is not left is made of it, and would have to learn it anyway."""
    return bool(entry.seconds) and any(other.left is None and entry.name in other.parts for other in entries)


def _late(needed: float, after: float, clock: Clock) -> str:
    """Both times, for a split alone may be shorter than what is left."""
    later = f"what follows if it is picked {after * needed:.0f} s"
    return f"no time: a split takes about {needed:.0f} s, {later}; {max(0.0, clock.left):.0f} s were left"


def _behind(entries: Sequence[Entry]) -> list[Entry]:
    """Mark the entries that are left behind the best, and return them."""
    running = [entry for entry in entries if entry.left is None and entry.images]
    found = []
    for entry in running:
        best = max(running, key=lambda one: one.accuracy)
        gap, error = paired(best, entry)
        if entry is not best and gap > BEHIND * error:
            entry.left, entry.behind = f"{gap:.1f} points behind {best.title}", True
            found.append(entry)
    return found


def paired(one: Entry, other: Entry) -> tuple[float, float]:
    """By how many points one is ahead of another on the images that both answered for, and its standard error.

    As if there were two images more, of which each wins one: so few images are no certainty.
    """
    both = (one.asked > 0) & (other.asked > 0)
    gaps = torch.cat([(one.shares - other.shares)[both], torch.tensor([1.0, -1.0])])
    return 100 * float(gaps.sum()) / max(1, int(both.sum())), 100 * float(gaps.std()) / math.sqrt(len(gaps))


def lower_bounds(entries: Sequence[Entry]) -> dict[str, float]:
    """What the choice is by, in percent, of each entry that was measured and is not behind.

    Accuracy minus its standard error. One that answered for fewer images than others may have had the easier ones: its
    bound is that of the best of those who answered for the most, plus its difference to that one on the images of both,
    minus the difference's standard error.
    """
    running = [entry for entry in entries if entry.images and not entry.behind]
    most = max((entry.images for entry in running), default=0)
    full = [entry for entry in running if entry.images == most]
    found = {entry.name: entry.accuracy - entry.error for entry in full}
    for entry in running:
        if entry.images < most:
            best = max(full, key=lambda one: one.accuracy)
            gap, error = paired(entry, best)
            found[entry.name] = found[best.name] + gap - error
    return {entry.name: found[entry.name] for entry in running}


def chosen(entries: Sequence[Entry]) -> Entry | None:
    """The entry of the highest lower bound; None if none was measured.

    Of bounds that are nearer than half a point to it, those that can name any class come first, then the cheaper one.
    In doubt it is one made of several, since that can be as either of its parts: if it is behind by no more than a
    standard error of the paired difference.
    """
    bounds = lower_bounds(entries)
    if not bounds:
        return None
    tied = [entry for entry in entries if bounds.get(entry.name, -math.inf) > max(bounds.values()) - TIE]
    first = next((entry for entry in tied if entry.names_any_class), tied[0])
    joined = [entry for entry in entries if entry.parts and entry.name in bounds and entry.images == first.images]
    return next((entry for entry in joined if in_doubt(first, entry)), first)


def in_doubt(one: Entry, other: Entry) -> bool:
    """Whether one is no more than a standard error of the paired difference ahead of another."""
    gap, error = paired(one, other)
    return gap <= error
