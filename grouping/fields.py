"""The field bank: templates that take up the words of a domain, and the vocabulary that finds those words.

A template of this bank holds marks besides the slot: <medium>, <noun>, <head>, <subject>, <place>; `subject.py` finds
what fills them. It is kept apart from the bank of `bank.py`, whose sentences stand by themselves. Templates of either
bank that suit only some domains of a profile ("a chest radiograph with {}.") are listed with the words that call for
them.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from mocoop.grouping.bank import Aspect


@dataclass(frozen=True)
class FieldAspect(Aspect):
    """An aspect whose templates hold marks."""

    media: str = "any"  # the kind of picture it suits: optical, other (a sensor that is no camera) or any
    only_for: tuple[str, ...] = ()  # words, one of which the domain must contain; none: no condition


@dataclass(frozen=True)
class Medium:
    """A kind of picture: its name in templates, the words that name it, and whether light makes it."""

    name: str
    words: tuple[str, ...]
    optical: bool


@dataclass(frozen=True)
class Condition:
    """Templates that contain one of the phrases suit only domains that contain one of the words."""

    phrases: tuple[str, ...]
    words: tuple[str, ...]


@dataclass(frozen=True)
class FieldBank:
    """The aspects, and the vocabulary by which a domain's text is read."""

    version: str
    aspects: dict[str, FieldAspect]
    media: tuple[Medium, ...]  # the special ones first
    only_for: tuple[Condition, ...]
    families: tuple[tuple[Condition, ...], ...]  # of each, members that the domain does not name are left out
    context: frozenset[str]  # words that say what is done with pictures, or what is found, not what they show
    context_endings: tuple[str, ...]
    places: dict[str, str]  # nouns that are places -> their preposition
    aliases: dict[str, str]  # words that name no single thing -> one that does
    adjectives: frozenset[str]
    adjective_endings: tuple[str, ...]
    nouns_like_adjectives: frozenset[str]
    ing_nouns: frozenset[str]

    def suits(self, text: str, domain: str) -> bool:
        """Whether a template says nothing that the domain does not call for."""
        if any(_says(text, each.phrases) and not contains(domain, each.words) for each in self.only_for):
            return False
        for family in self.families:
            named = [contains(domain, member.words) for member in family]
            meant = [_says(text, member.phrases) for member in family]
            if any(named) and any(meant) and not any(map(min, named, meant)):
                return False
        return True


@functools.cache
def load_fields() -> FieldBank:
    """The field bank that ships with the package."""
    text = files("mocoop.templates").joinpath("field_bank.json").read_text(encoding="utf-8")
    document = json.loads(text)
    return FieldBank(
        version=document["bank_version"],
        aspects={item["name"]: _aspect(item) for item in document["aspects"]},
        media=tuple(Medium(item["name"], tuple(item["words"]), item["optical"]) for item in document["media"]),
        only_for=tuple(map(_condition, document["only_for"])),
        families=tuple(tuple(map(_condition, family["members"])) for family in document["families"]),
        context=frozenset(document["context"]),
        context_endings=tuple(document["context_endings"]),
        places=document["places"],
        aliases=document["aliases"],
        adjectives=frozenset(document["adjectives"]),
        adjective_endings=tuple(document["adjective_endings"]),
        nouns_like_adjectives=frozenset(document["nouns_like_adjectives"]),
        ing_nouns=frozenset(document["ing_nouns"]),
    )


def contains(text: str, words: Sequence[str]) -> bool:
    """Whether a text contains one of the words or phrases, whole, plurals included; a stem is marked with *."""
    return any(spans(word, text) for word in words)


@functools.lru_cache(maxsize=16384)
def spans(keyword: str, text: str) -> tuple[tuple[int, int], ...]:
    """Where a keyword stands in a text; a hyphen or an underscore in the text counts as a space."""
    return tuple(found.span() for found in _pattern(keyword).finditer(text.replace("_", " ")))


@functools.cache
def _pattern(keyword: str) -> re.Pattern[str]:
    words = re.split("[ -]", keyword.removesuffix("*"))
    ending = r"\w*" if keyword.endswith("*") else r"(?:s|es)?\b"
    return re.compile(rf"\b{'[ -]'.join(map(re.escape, words))}{ending}", re.IGNORECASE)


def _says(text: str, phrases: Sequence[str]) -> bool:
    return any(phrase in text for phrase in phrases)


def _aspect(item: dict[str, Any]) -> FieldAspect:
    return FieldAspect(
        name=item["name"],
        family=item["family"],
        description=item["description"],
        domains=("fields",),
        class_kinds=tuple(item["class_kinds"]),
        templates=tuple(item["templates"]),
        media=item.get("media", "any"),
        only_for=tuple(item.get("only_for", ())),
    )


def _condition(item: dict[str, Any]) -> Condition:
    return Condition(tuple(item["phrases"]), tuple(item["words"]))
