"""What a report says, before it is HTML, Markdown or CSV: sections of sentences, tables and pictures.

A number is a `Number` until it is written, so every form writes the same digits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mocoop.reporting.statistics import Spread


@dataclass(frozen=True)
class Number:
    """A number with its deviation, if it has one, and the digits it is shown with."""

    value: float
    deviation: float | None = None
    digits: int = 2
    signed: bool = False
    mark: str = ""  # of a footnote

    @property
    def value_text(self) -> str:
        """The number alone."""
        rounded = round(self.value, self.digits) + 0.0  # no "-0.00"
        return f"{rounded:+.{self.digits}f}" if self.signed and rounded else f"{rounded:.{self.digits}f}"

    @property
    def deviation_text(self) -> str:
        """The deviation alone, "" where there is none."""
        return "" if self.deviation is None else f"{self.deviation:.{self.digits}f}"

    def __str__(self) -> str:
        told = f"{self.value_text} ± {self.deviation_text}" if self.deviation is not None else self.value_text
        return told + self.mark


Entry = Number | str | None  # of a table; None: nothing was measured


@dataclass(frozen=True)
class Table:
    """A table; `name` tells it from the others of the report."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Entry, ...], ...]
    caption: str


@dataclass(frozen=True)
class Picture:
    """A picture that is drawn when it is needed, and what it shows in words."""

    name: str
    draw: Callable[[Path], Path]
    description: str


@dataclass(frozen=True)
class Words:
    """A sentence or more; a note must not be missed."""

    text: str
    kind: Literal["plain", "note"] = "plain"


@dataclass(frozen=True)
class Tiles:
    """Small pictures, side by side, each with its caption."""

    pictures: tuple[tuple[Path, str], ...]


Block = Table | Picture | Words | Tiles | Sequence[Picture]


@dataclass
class Section:
    """A heading and what stands below it; `anchor` is its place in the page."""

    anchor: str
    title: str
    blocks: list[Block] = field(default_factory=list)


@dataclass
class Document:
    """A whole report."""

    title: str
    sections: list[Section] = field(default_factory=list)

    def tables(self) -> list[Table]:
        """All tables, in order."""
        return [block for section in self.sections for block in section.blocks if isinstance(block, Table)]


def number(found: Spread | None, digits: int = 2) -> Number | None:
    """A mean with its deviation as it is shown."""
    return None if found is None else Number(found.mean, found.deviation, digits)
