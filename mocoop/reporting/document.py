"""The content of a report, independent of HTML, Markdown or CSV: sections of text, tables and pictures.

A number stays a `Number` until it is written, so every format writes the same digits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mocoop.reporting.statistics import Spread


@dataclass(frozen=True)
class Number:
    """A number with its deviation, if any, and the digits to show."""

    value: float
    deviation: float | None = None
    digits: int = 2
    signed: bool = False
    mark: str = ""  # footnote mark

    @property
    def value_text(self) -> str:
        """The number without its deviation."""
        rounded = round(self.value, self.digits) + 0.0  # no "-0.00"
        return f"{rounded:+.{self.digits}f}" if self.signed and rounded else f"{rounded:.{self.digits}f}"

    @property
    def deviation_text(self) -> str:
        """The deviation, "" if there is none."""
        return "" if self.deviation is None else f"{self.deviation:.{self.digits}f}"

    def __str__(self) -> str:
        told = f"{self.value_text} ± {self.deviation_text}" if self.deviation is not None else self.value_text
        return told + self.mark


Entry = Number | str | None  # a table's entry; None: not measured


@dataclass(frozen=True)
class Table:
    """A table; `name` is unique in the report."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Entry, ...], ...]
    caption: str


@dataclass(frozen=True)
class Picture:
    """A picture, drawn on demand, and its description."""

    name: str
    draw: Callable[[Path], Path]
    description: str


@dataclass(frozen=True)
class Words:
    """One or more sentences; notes are emphasised."""

    text: str
    kind: Literal["plain", "note"] = "plain"


@dataclass(frozen=True)
class Tiles:
    """Small pictures side by side, each with its caption."""

    pictures: tuple[tuple[Path, str], ...]


Block = Table | Picture | Words | Tiles | Sequence[Picture]


@dataclass
class Section:
    """A heading and its content; `anchor` is its link target in the page."""

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
    """A mean with its deviation, for display."""
    return None if found is None else Number(found.mean, found.deviation, digits)
