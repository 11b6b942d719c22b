"""Class names that say little to a text tower, found by one rule for all sources of names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from mocoop.data.dataset import named

_ID = re.compile(r"(?:class|cls|label|category|id|c|n|wn)? ?\d+", re.IGNORECASE)
_LEADING_NUMBER = re.compile(r"\d+[\s.:)-]+(?=[^\W\d])")
_LEADING_ID = re.compile(r"[a-z]{0,3}\d{5,}[\s:,;]+(?=\S)", re.IGNORECASE)
_SEVERAL = re.compile(r"[|;,+&/]")
# Second words of names that data sets write in one; compounds that are English words by themselves are not among them.
_SECOND_WORDS = (
    "residential", "industrial", "commercial", "court", "course", "diamond", "lot", "park", "tank", "tanks", "area",
    "building", "buildings", "region", "site",
)  # fmt: skip
_LONGEST_WORD = 13  # letters; words of one piece are rarely longer
_SHARED = 7  # letters that two joined names have in common at one end
_PART = 4  # letters of the other part


def odd_names(names: Sequence[str]) -> list[str]:
    """A note on names that are ids, joined words or begin with a number; none if there are none."""
    if not any(character.isalpha() for name in names for character in name):
        return ["the class names are numbers, which say nothing to a text tower: see --class-names"]
    joined = _joined(names)
    found = [f"{name} ({what})" for name in names if (what := _oddity(name, joined))]
    if not found:
        return []
    return [f"class names that say little to a text tower: {named(found)}: give readable ones with --class-names"]


def combinations(keys: Sequence[str]) -> list[str]:
    """A note on labels that name several classes at once ("beach,water"); none if there are none.

    A mark between parts counts if a part is a class of its own or a part of another label, and always without a
    space after it, for "tench, Tinca tinca" is one class with two names.
    """
    parts = {key: [part.strip().casefold() for part in _SEVERAL.split(key)] for key in keys}
    seen = Counter(part for key in keys for part in set(parts[key]))
    found = [
        key
        for key in keys
        if len(parts[key]) > 1
        and all(parts[key])
        and (re.search(r"\w[|;,]\w", key) or any(seen[part] > 1 for part in parts[key]))
    ]
    if not found:
        return []
    what = named(f'"{key}"' for key in found)
    return [f"labels that are combinations: {what}: each is a class of its own here, for an image has one class"]


def _oddity(name: str, joined: frozenset[str]) -> str | None:
    if _LEADING_NUMBER.match(name):
        return "a leading number"
    if _LEADING_ID.match(name):
        return "a leading id"
    digits = sum(character.isdigit() for character in name)
    if _ID.fullmatch(name) or (" " not in name and "-" not in name and digits >= 4 and 2 * digits >= len(name)):
        return "an id"
    return "joined words" if name in joined else None


def _joined(names: Sequence[str]) -> frozenset[str]:
    """Names of one word that look like several written in one: long, or ending as other names or a second word do."""
    words = {name for name in names if name.isalpha() and name.isascii() and name == name.lower()}
    ends = Counter(word[-_SHARED:] for word in words if len(word) >= _SHARED + _PART)
    shared = {word for word in words if len(word) >= _SHARED + _PART and ends[word[-_SHARED:]] > 1}
    return frozenset(shared | {word for word in words if len(word) > _LONGEST_WORD or _has_second(word)})


def _has_second(word: str) -> bool:
    return any(word.endswith(second) and len(word) >= len(second) + _PART for second in _SECOND_WORDS)
