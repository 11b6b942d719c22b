"""Validating a model's answers against the rules of the prompt, whatever the server promised.

Each check takes the JSON object of an answer and returns typed values, or raises `OutOfRules` with the problems, which
are sent to the model once. Titles and descriptions are cleaned here, so that a group file can hold them. Templates are
sifted in `mocoop.grouping.llm.sift`.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mocoop.groupfile.templatetext import character_problems, special_token
from mocoop.grouping.llm.session import OutOfRules
from mocoop.grouping.llm.sift import Sifted, sift

MAX_TITLE = 80
MAX_LINE = 400
_MOST_LISTED = 12  # numbers named in one problem


@dataclass(frozen=True)
class Aspect:
    """A visual aspect that the model named; `id` is a valid group id."""

    id: str
    title: str
    description: str
    fits_when: str


@dataclass(frozen=True)
class Named:
    """A group that the model named; `members` are indices into the list of templates it was sent."""

    id: str
    title: str
    description: str
    rationale: str
    members: tuple[int, ...] = ()


def read_aspects(answer: dict[str, Any], count: int) -> tuple[Aspect, ...]:
    """The aspects of an answer, at most `count`. Raises OutOfRules for too few or far too many."""
    items = _items(answer, "aspects")
    if len(items) > 2 * count + 8:
        raise OutOfRules([f"{len(items)} aspects are far more than the {count} asked for"])
    aspects, seen = [], set[str]()
    for item in items:
        title = one_line(item.get("title") or item.get("id"), MAX_TITLE)
        identifier = as_id(item.get("id") or title)
        if title and identifier and identifier not in seen:
            seen.add(identifier)
            fits = one_line(item.get("fits_when"), MAX_LINE)
            aspects.append(Aspect(identifier, title, one_line(item.get("description"), MAX_LINE), fits))
    if len(aspects) < max(1, count // 2):
        raise OutOfRules([f"{len(aspects)} usable aspects are too few: {count} were asked for, each with a title"])
    return tuple(aspects[:count])


def read_templates(answer: dict[str, Any], count: int, class_names: Sequence[str] = ()) -> Sifted:
    """The templates of an answer, sifted. Raises OutOfRules if less than half of `count` are left."""
    items = answer.get("templates")
    if not isinstance(items, list):
        raise OutOfRules(['the object has no list "templates"'])
    if len(items) > 20 * count + 100:
        raise OutOfRules([f"{len(items)} templates are far more than were asked for"])
    texts = [item.get("text") if isinstance(item, dict) else item for item in items]
    sifted = sift((text for text in texts if isinstance(text, str)), class_names)
    if len(sifted.texts) < max(1, count // 2):
        lost = [f"{number} dropped: {reason}" for reason, number in sorted(sifted.dropped.items())]
        raise OutOfRules([f"only {len(sifted.texts)} of {len(items)} templates can be used", *lost])
    return sifted


def read_groups(answer: dict[str, Any], count: int, existing: Collection[str], most: int) -> tuple[Named, ...]:
    """Groups that hold each of `count` templates once. Raises OutOfRules with the numbers that are wrong."""
    items = _items(answer, "groups")
    groups = [_named(item, tuple(number - 1 for number in _numbers(item.get("templates")))) for item in items]
    groups = [group for group in groups if group.members]
    placed = Counter(member for group in groups for member in group.members)
    problems = list(_name_problems(groups, existing, most))
    problems += _number_problems(placed, range(count), first=1)
    if problems:
        raise OutOfRules(problems)
    return tuple(groups)


def read_names(answer: dict[str, Any], existing: Collection[str], most: int) -> tuple[Named, ...]:
    """Groups without their templates. Raises OutOfRules."""
    groups = [_named(item) for item in _items(answer, "groups")]
    problems = list(_name_problems(groups, existing, most))
    if not groups and not existing:
        problems.append("no group is named")
    if problems:
        raise OutOfRules(problems)
    return tuple(groups)


def read_places(answer: dict[str, Any], numbers: range, ids: Sequence[str]) -> dict[int, str]:
    """The group id for each template number. Raises OutOfRules."""
    placed, unknown, counted = dict[int, str](), set[str](), Counter[int]()
    for item in _items(answer, "places"):
        number, name = item.get("template"), as_id(item.get("group"))
        for each in _numbers([number]):
            counted[each] += 1
            placed[each] = name
        if name not in ids:
            unknown.add(name)
    problems = list(_number_problems(counted, numbers, first=0))
    if unknown:
        problems.append(f"no group has the id {', '.join(sorted(unknown)[:_MOST_LISTED])}; there are {', '.join(ids)}")
    if problems:
        raise OutOfRules(problems)
    return placed


def one_line(text: object, most: int) -> str:
    """The text as one line that is valid in a group file; empty if it is not a text."""
    if not isinstance(text, str):
        return ""
    shown = "".join(" " if char.isspace() else char for char in text)
    kept = "".join(c for c in shown if unicodedata.category(c) != "Cs" and not any(character_problems(c, (), "")))
    line = " ".join(kept.split())
    return "" if special_token(line) else line[:most].strip()


def as_id(text: object) -> str:
    """The text as a group id: lower-case letters, digits and underscores; empty if nothing is left."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode() if isinstance(text, str) else ""
    return re.sub(r"[^a-z0-9]+", "_", plain.lower()).strip("_")[:64].strip("_")


def _items(answer: dict[str, Any], name: str) -> list[dict[str, Any]]:
    items = answer.get(name)
    if not isinstance(items, list):
        raise OutOfRules([f'the object has no list "{name}"'])
    return [item for item in items if isinstance(item, dict)]


def _named(item: dict[str, Any], members: tuple[int, ...] = ()) -> Named:
    title = one_line(item.get("title") or item.get("id"), MAX_TITLE)
    return Named(
        as_id(item.get("id") or title),
        title,
        one_line(item.get("description"), MAX_LINE),
        one_line(item.get("rationale"), MAX_LINE),
        members,
    )


def _numbers(value: object) -> list[int]:
    """The integers of a list, including those that a model wrote as strings."""
    listed = value if isinstance(value, list) else []
    texts = [str(item).strip() for item in listed if isinstance(item, (int, str)) and not isinstance(item, bool)]
    return [int(text) for text in texts if re.fullmatch("[0-9]{1,9}", text)]


def _name_problems(groups: Sequence[Named], existing: Collection[str], most: int) -> Iterator[str]:
    if any(not group.id or not group.title for group in groups):
        yield "a group has no title"
    repeated = [name for name, times in Counter(group.id for group in groups).items() if times > 1 and name]
    if repeated:
        yield f"two groups have the id {', '.join(repeated[:_MOST_LISTED])}"
    new = [group for group in groups if group.id not in existing]
    if len(new) > most:
        yield f"{len(new)} groups are more than the {most} asked for"


def _number_problems(placed: Counter[int], wanted: range, *, first: int) -> Iterator[str]:
    """Problems with the numbers. `first` is added to the numbers shown: 1 if they count from 0."""
    for what, numbers in (
        ("missing", [number for number in wanted if number not in placed]),
        ("given more than once", [number for number, times in placed.items() if times > 1]),
        ("not in the data", [number for number in placed if number not in wanted]),
    ):
        if numbers:
            shown = ", ".join(str(number + first) for number in sorted(numbers)[:_MOST_LISTED])
            more = f" and {len(numbers) - _MOST_LISTED} more" if len(numbers) > _MOST_LISTED else ""
            yield f"templates {what}: {shown}{more}"
