"""The template bank: hand-written templates under visual aspects, shipped with the package.

Read once, typed, and checked against the rules of group files, so that everything generated from it validates. Aspects
are chosen for a domain in `domains.py`.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True)
class Aspect:
    """One way in which images of a domain differ, with templates that describe it. The name becomes a group's id."""

    name: str
    family: str
    description: str
    domains: tuple[str, ...]
    class_kinds: tuple[str, ...]
    templates: tuple[str, ...]

    @property
    def title(self) -> str:
        """The name in readable form."""
        return self.name.replace("_", " ").capitalize()

    def search(self, word: str) -> tuple[str, ...]:
        """The templates that contain a word, ignoring case."""
        return tuple(text for text in self.templates if word.lower() in text.lower())


@dataclass(frozen=True)
class Bank:
    """All aspects, in the order of the file."""

    name: str
    version: str
    aspects: tuple[Aspect, ...]

    def aspect(self, name: str) -> Aspect:
        """The aspect with the given name. Raises KeyError."""
        return self._by_name[name]

    @functools.cached_property
    def _by_name(self) -> dict[str, Aspect]:
        return {aspect.name: aspect for aspect in self.aspects}


@functools.cache
def load_bank() -> Bank:
    """The bank that ships with the package."""
    document = json.loads(files("mocoop.templates").joinpath("template_bank.json").read_text(encoding="utf-8"))
    aspects = tuple(
        Aspect(
            name=item["name"],
            family=item["family"],
            description=item["description"],
            domains=tuple(item["domains"]),
            class_kinds=tuple(item["class_kinds"]),
            templates=tuple(item["templates"]),
        )
        for item in document["aspects"]
    )
    return Bank(document["bank"], document["bank_version"], aspects)
