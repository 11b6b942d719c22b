"""Matching a list of class names, one a line, to the class keys: by key, never by luck.

In this order: the lines are the keys themselves (case, spaces and punctuation do not count: "parking lot" is
parking_lot, "Sea Lake" is SeaLake); every line begins or ends with a key or an id ("n01440764 tench", "harbor 3");
keys that are numbers go by number ("07" is 7). What is left goes by position, and only if that is allowed.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from mocoop.data.dataset import named
from mocoop.errors import DataError

MAX_LINE = 1000  # characters: where a key ends is tried at every space

_SEPARATOR = re.compile(r"\s*(?:[:,;=|\t]|->|=>)\s*|\s+[-–—]\s+|\s+")
_AFTER_NUMBER = re.compile(r"[(\[#]?(\d+)[)\].:]?[\s._:,;=|-]*(?=\D)")
_BEFORE_NUMBER = re.compile(r"(.*\D?)[\s._:,;=|(\[#-]+(\d+)[)\]]?")
_LEADING_NUMBER = re.compile(r"\d+[\s._-]+")
_CODED = re.compile(r"[\d_]|[a-z][A-Z]")


class Match(NamedTuple):
    """A name for every key, in the order of the keys; how they were found; and lines that name no class here."""

    names: list[str]
    how: str
    unused: list[str]


class PositionNeeded(DataError):
    """Names that could only be given by position; `pairs` are (key, name) as they would go."""

    def __init__(self, message: str, hint: str, pairs: Sequence[tuple[str, str]]) -> None:
        super().__init__(message, hint)
        self.pairs = tuple(pairs)


def match_list(keys: Sequence[str], lines: Sequence[str], where: str, *, by_position: bool = False) -> Match:
    """The names of a list by key. Raises PositionNeeded, or DataError for a list that fits neither way."""
    if long := next((line for line in lines if len(line) > MAX_LINE), None):
        message = f'{where}: the line "{long[:40]}..." has {len(long):,} characters'
        raise DataError(message, f"a key and its name have at most {MAX_LINE:,}; write one class a line")
    known = Keys(keys)
    rests = _numbered(lines)
    tried = [(_by_name, lines), (_by_name, rests), (_by_part, lines), (_by_part, rests)]
    if found := next((match for way, some in tried if some and (match := way(known, some))), None):
        return found
    if len(lines) != len(keys):
        message = f"{where}: {len(lines)} names for {len(keys)} classes"
        raise DataError(message, f"write a line a class, its key and its name: {in_order(keys)[0]}: ...")
    names = rests or list(lines)
    pairs = list(zip(in_order(keys), names, strict=True))
    if rests is None and known.numbers is not None and sorted(known.numbers) in _counts(len(keys)):
        return _by_pairs(keys, pairs, "by number")
    if by_position:
        if crossed := [f"{key} -> {name}" for key, name in pairs if known.place(name) not in (None, known.place(key))]:
            message = f"{where}: by position, classes would get the names of others: {named(crossed)}"
            raise DataError(message, "write a line a class, its key and its name, as key: name")
        return _by_pairs(keys, pairs, "by position")
    strangers = [line for line in lines if known.place(line) is None]
    if 0 < 2 * len(strangers) <= len(lines):
        message = f"{where}: most lines are classes of the data, but not {named(strangers)}"
        free = set(range(len(keys))) - {known.place(line) for line in lines}
        raise PositionNeeded(
            message,
            f"the classes without a line: {named(keys[place] for place in sorted(free))}; write them as "
            "key: name, or go by position with --names-by-position",
            pairs,
        )
    raise PositionNeeded(
        f"{where}: the names are not the classes' keys, so they could only go by position: {pairs_text(pairs)}",
        f"write the key first ({pairs[0][0]}: {pairs[0][1]}), or, if these pairs are right, add --names-by-position",
        pairs,
    )


class Keys:
    """Finds a key as people write it: exactly, without case and punctuation, or by its number."""

    def __init__(self, keys: Sequence[str]) -> None:
        self.keys = keys
        self._exact = {key: place for place, key in enumerate(keys)}
        self._loose = _unique([squeezed(key) for key in keys])
        bare = _unique([squeezed(_LEADING_NUMBER.sub("", key, count=1)) for key in keys])
        self._loose = {**bare, **self._loose}
        numbers = {int(key): place for place, key in enumerate(keys) if _is_number(key)}
        self.numbers = numbers if len(numbers) == len(keys) else None  # None unless every key is a number of its own

    def place(self, written: str) -> int | None:
        """The place of the key that a text stands for, or None."""
        written = written.strip()
        found = self._exact.get(written)
        if found is None:
            found = self._loose.get(squeezed(written))
        if found is None and self.numbers is not None and _is_number(written.strip("()[].#")):
            found = self.numbers.get(int(written.strip("()[].#")))
        return found


def squeezed(text: str) -> str:
    """The letters and digits of a text, without case."""
    return "".join(c for c in unicodedata.normalize("NFKC", text).casefold() if c.isalnum() or _is_mark(c))


def in_order(keys: Sequence[str]) -> list[str]:
    """Keys in the order in which a person lists them: numbers by value."""
    return sorted(keys, key=int) if all(map(_is_number, keys)) else list(keys)


def pairs_text(pairs: Sequence[tuple[str, str]], shown: int = 3) -> str:
    """The first pairs for a message: `10 -> beach, 11 -> forest, ... (21)`."""
    some = ", ".join(f"{key} -> {name}" for key, name in pairs[:shown])
    return some + (f", ... ({len(pairs)})" if len(pairs) > shown else "")


def _by_name(known: Keys, lines: Sequence[str]) -> Match | None:
    """Lines that are keys; a few may say more than their key ("dense residential area" for denseresidential)."""
    places = [known.place(line) for line in lines]
    if len(lines) == len(known.keys):
        places = _with_longer(known, lines, places)
    return _match(known, lines, places, list(lines), "by name")


def _with_longer(known: Keys, lines: Sequence[str], places: list[int | None]) -> list[int | None]:
    """Places of the lines, with lines that begin with a key that is left, if at least half were found and it is one."""
    free = [place for place in range(len(known.keys)) if place not in places]
    if not free or 2 * len(free) > len(lines):
        return places
    found = list(places)
    for number, line in enumerate(lines):
        if places[number] is None:
            fits = [place for place in free if squeezed(line).startswith(squeezed(known.keys[place]))]
            found[number] = fits[0] if len(fits) == 1 else None
    return found


def _by_part(known: Keys, lines: Sequence[str]) -> Match | None:
    """Lines that begin with a key, or that end with one."""
    for cut in (_head, _tail):
        parts = [cut(known, line) for line in lines]
        places = [place for place, _, _ in parts]
        stripped = [rest for _, rest, _ in parts]
        plain = [soft for _, _, soft in parts]
        # "sea lake" for the folder sea is a name, "sea sea water" has the key before it
        told = any(s and place is not None and squeezed(known.keys[place]) in squeezed(rest)
                   for place, rest, s in parts)  # fmt: skip
        keep_whole = all(plain) and not told
        if found := _match(known, lines, places, list(lines) if keep_whole else stripped, "by key"):
            return found
    return None


def _head(known: Keys, line: str) -> tuple[int | None, str, bool]:
    """The key that a line begins with (the longest), the rest, and whether only a space ends a key that is a word."""
    for gap in reversed(list(_SEPARATOR.finditer(line))):
        place = known.place(line[: gap.start()])
        if place is not None and line[gap.end() :].strip():
            return place, line[gap.end() :].strip(), _is_soft(gap.group(), line[: gap.start()])
    number = _AFTER_NUMBER.match(line)
    if number and known.numbers is not None and (place := known.numbers.get(int(number[1]))) is not None:
        return place, line[number.end() :].strip(), False
    return None, line, False


def _tail(known: Keys, line: str) -> tuple[int | None, str, bool]:
    """The same for the key that a line ends with."""
    for gap in _SEPARATOR.finditer(line):
        place = known.place(line[gap.end() :])
        if place is not None and line[: gap.start()].strip():
            return place, line[: gap.start()].strip(), _is_soft(gap.group(), line[gap.end() :])
    return None, line, False


def _is_soft(gap: str, key: str) -> bool:
    return not gap.strip() and "\t" not in gap and not _CODED.search(key)


def _match(
    known: Keys, lines: Sequence[str], places: Sequence[int | None], names: Sequence[str], how: str
) -> Match | None:
    """The match, if every key has exactly one line."""
    chosen = {place: name for place, name in zip(places, names, strict=True) if place is not None}
    count = sum(place is not None for place in places)
    if not count == len(chosen) == len(known.keys):
        return None
    unused = [line for line, place in zip(lines, places, strict=True) if place is None]
    return Match([chosen[place] for place in range(len(known.keys))], how, unused)


def _by_pairs(keys: Sequence[str], pairs: Sequence[tuple[str, str]], how: str) -> Match:
    names = dict(pairs)
    return Match([names[key] for key in keys], how, [])


def _numbered(lines: Sequence[str]) -> list[str] | None:
    """Lines without the numbers that they all begin or end with, in the order of the numbers; else None."""
    for cut in (_first_number, _last_number):
        parts = [cut(line) for line in lines]
        found = [part for part in parts if part is not None]
        if len(found) == len(lines) == len({number for number, _ in found}):
            ordered = sorted(found)
            if [number for number, _ in ordered] in _counts(len(lines)):
                return [rest for _, rest in ordered]
    return None


def _first_number(line: str) -> tuple[int, str] | None:
    found = _AFTER_NUMBER.match(line)
    rest = line[found.end() :].strip() if found else ""
    return (int(found[1]), rest) if found and rest else None


def _last_number(line: str) -> tuple[int, str] | None:
    found = _BEFORE_NUMBER.fullmatch(line)
    return (int(found[2]), found[1].strip()) if found and found[1].strip() else None


def _counts(count: int) -> tuple[list[int], list[int]]:
    """The numbers of so many things, from 0 and from 1."""
    return list(range(count)), list(range(1, count + 1))


def _unique(forms: Sequence[str]) -> dict[str, int]:
    """The place of every form that only one key has."""
    counts = Counter(forms)
    return {form: place for place, form in enumerate(forms) if form and counts[form] == 1}


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18


def _is_mark(character: str) -> bool:
    """Marks of scripts that write vowels as marks, and signs that tell names apart (C and C++)."""
    return unicodedata.category(character)[0] == "M" or character in "+#"
