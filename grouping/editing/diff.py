"""Differences between two group files by content: groups, templates, inits and notes, not lines of text.

Groups are matched by id, and the rest by shared templates (the assignment that shares the most). Templates are matched
by text, and the rest within matched groups by similarity, as rewordings. Everything is reported except provenance,
which is history rather than content. How templates *should* be grouped is not decided here.
"""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mocoop.cli import printable
from mocoop.groupfile.findings import quote
from mocoop.grouping.editing.assignment import best_pairs
from mocoop.grouping.keep import SEEN, text_of, texts_of

Document = dict[str, Any]
Group = dict[str, Any]

ALIKE = 0.7  # share of common letter pairs from which one text counts as a rewording of the other
MOST_TOLD = 3  # changes of one kind that a summary line lists individually

ADDED, REMOVED, MOVED, REWORDED = "added", "removed", "moved", "reworded"
INIT, CHANGED, TEMPLATE_ORDER, GROUP_ORDER = "init", "changed", "template-order", "group-order"
GROUP_ADDED, GROUP_REMOVED, GROUP_RENAMED = "group-added", "group-removed", "group-renamed"
EXCLUDED, READMITTED = "excluded", "readmitted"


@dataclass(frozen=True)
class Change:
    """One difference. `group` is the group's id in the second file, or in the first if it was removed.

    `before` and `after` are ids for moved templates and renamed groups, texts for reworded templates and inits, lists
    of ids for the order of groups, and values for a changed `key`.
    """

    kind: str
    group: str | None = None
    text: str | None = None
    key: str | None = None
    before: Any = None
    after: Any = None
    excluded: bool = False  # for a removed template: whether it is now also listed as excluded

    def as_dict(self) -> dict[str, Any]:
        """The change as one JSON object, without fields that do not apply."""
        valued = self.kind in (CHANGED, INIT, MOVED, REWORDED, GROUP_RENAMED, GROUP_ORDER)
        return {
            name: value
            for name, value in asdict(self).items()
            if (name in ("before", "after") and valued) or value not in (None, False)
        }

    def sentence(self, show: Any = None) -> str:
        """The change in words; `show` formats a text (by default in full)."""
        show = show or _whole
        place = f" in {self.group}" if self.group else ""
        return {
            ADDED: lambda: f"added {show(self.text)} to {self.group}",
            REMOVED: lambda: f"removed {show(self.text)} from {self.group}{' (excluded)' if self.excluded else ''}",
            MOVED: lambda: f"moved {show(self.text)} from {self.before} to {self.after}",
            REWORDED: lambda: f"reworded {show(self.before)} to {show(self.after)}{place}",
            INIT: lambda: f"init of {self.group}: {show(self.before)} -> {show(self.after)}",
            TEMPLATE_ORDER: lambda: f"templates of {self.group} in another order",
            GROUP_ORDER: lambda: f"groups in another order: {', '.join(self.after)}",
            GROUP_ADDED: lambda: f"group {self.group} added",
            GROUP_REMOVED: lambda: f"group {self.group} removed",
            GROUP_RENAMED: lambda: f"group {self.before} renamed {self.after}",
            EXCLUDED: lambda: f"excluded {show(self.text)}",
            READMITTED: lambda: f"no longer excluded {show(self.text)}",
            CHANGED: lambda: self._changed(show),
        }[self.kind]()

    def _changed(self, show: Any) -> str:
        if self.key == SEEN:
            return f"reviewed templates of {self.group}: {len(self.before or ())} -> {len(self.after or ())}"
        subject = show(self.text) if self.text is not None else self.group or "the file"
        if self.key in ("locked", "reviewed"):
            return f"{subject} {'is' if self.after else 'is no longer'} {self.key}"
        if isinstance(self.before, (dict, list)) or isinstance(self.after, (dict, list)):
            done = "added" if self.before is None else "removed" if self.after is None else "changed"
            return f"{self.key} of {subject} {done}"
        return f"{self.key} of {subject}: {_value(self.before, show)} -> {_value(self.after, show)}"


def differences(before: Document, after: Document) -> list[Change]:
    """All differences between two valid documents, groups first; empty if the content is the same."""
    pairs = group_pairs(before["groups"], after["groups"])
    renamed = {old["id"]: new["id"] for old, new in pairs}
    twins = _twins(before["groups"], after["groups"], pairs)
    return [
        *_group_changes(before["groups"], after["groups"], pairs),
        *_template_changes(before, after, renamed, twins),
        *_inner_changes(pairs, twins),
        *_notes(before["groups"], after["groups"], twins),
        *_exclusions(before, after),
        *_keys(before, after, skip=("groups", "excluded", "provenance")),
    ]


def one_line(changes: Sequence[Change]) -> str:
    """All changes on one line; more than MOST_TOLD of a kind are counted, and review progress is left out."""
    alike: dict[str, list[Change]] = {}
    for change in (change for change in changes if change.key != SEEN):
        alike.setdefault(_kin(change), []).append(change)
    told = []
    for kin, items in alike.items():
        if len(items) > MOST_TOLD and kin:
            told.append(kin.format(n=len(items)))
        else:
            told.extend(item.sentence(_short) for item in items)
    return "; ".join(told) or "nothing changed"


def group_pairs(before: Sequence[Group], after: Sequence[Group]) -> list[tuple[Group, Group]]:
    """Matched groups of the two files: by id, the rest by shared templates, in the first file's order."""
    ids = {group["id"]: group for group in after}
    paired = {group["id"]: ids[group["id"]] for group in before if group["id"] in ids}
    left = [group for group in before if group["id"] not in paired]
    right = [group for group in after if group["id"] not in paired]
    shared = [[len(set(texts_of(a)) & set(texts_of(b))) for b in right] for a in left]
    paired.update({left[row]["id"]: right[column] for row, column in best_pairs(shared)})
    return [(group, paired[group["id"]]) for group in before if group["id"] in paired]


def likeness(one: str, other: str) -> float:
    """The share of letter pairs that two texts have in common (Dice coefficient), 0 to 1, symmetric."""
    return _shared(*_letter_pairs([one, other]))


def rewordings(gone: Sequence[str], came: Sequence[str]) -> dict[str, str]:
    """Map old texts to their rewordings among the new ones: the most similar pairs first, each text once."""
    pairs_of = _letter_pairs([*gone, *came])
    old, new = pairs_of[: len(gone)], pairs_of[len(gone) :]
    scored = [(_shared(a, b), -i, -j) for i, a in enumerate(old) for j, b in enumerate(new)]
    pairs: dict[str, str] = {}
    taken: set[int] = set()
    for _, i, j in sorted((one for one in scored if one[0] >= ALIKE), reverse=True):
        if gone[-i] not in pairs and j not in taken:
            pairs[gone[-i]] = came[-j]
            taken.add(j)
    return pairs


def _letter_pairs(texts: Sequence[str]) -> list[int]:
    """The letter pairs of each text as the bits of an integer, so that a bitwise AND gives what two texts share.

    A pair that occurs twice in a text takes two bits, so that repeats are counted.
    """
    bits: dict[tuple[str, int], int] = {}
    numbers = []
    for text in texts:
        bare = f" {unicodedata.normalize('NFKC', text).casefold()} "
        counted = Counter(bare[place : place + 2] for place in range(len(bare) - 1))
        held = [(pair, n) for pair, count in counted.items() for n in range(count)]
        numbers.append(sum(1 << bits.setdefault(one, len(bits)) for one in held))
    return numbers


def _shared(one: int, other: int) -> float:
    """Dice coefficient: twice the shared bits over the sum of both counts. No text is empty, as each has a slot."""
    return 2 * (one & other).bit_count() / (one.bit_count() + other.bit_count())


def _homes(groups: Iterable[Group]) -> dict[str, str]:
    return {text: group["id"] for group in groups for text in texts_of(group)}


def _twins(before: Sequence[Group], after: Sequence[Group], pairs: list[tuple[Group, Group]]) -> dict[str, str]:
    """The new text of each template that stayed."""
    old_texts, new_texts = _homes(before), _homes(after)
    twins = {text: text for text in old_texts if text in new_texts}
    for old, new in pairs:
        gone = [text for text in texts_of(old) if text not in new_texts]
        came = [text for text in texts_of(new) if text not in old_texts]
        twins.update(rewordings(gone, came))
    return twins


def _group_changes(
    before: Sequence[Group], after: Sequence[Group], pairs: list[tuple[Group, Group]]
) -> Iterable[Change]:
    for old, new in pairs:
        if old["id"] != new["id"]:
            yield Change(GROUP_RENAMED, new["id"], before=old["id"], after=new["id"])
    stayed, came = {old["id"] for old, _ in pairs}, {new["id"] for _, new in pairs}
    yield from (Change(GROUP_REMOVED, group["id"]) for group in before if group["id"] not in stayed)
    yield from (Change(GROUP_ADDED, group["id"]) for group in after if group["id"] not in came)
    order, now = [new["id"] for _, new in pairs], [group["id"] for group in after if group["id"] in came]
    if order != now:
        yield Change(GROUP_ORDER, before=[group["id"] for group in before], after=[group["id"] for group in after])


def _template_changes(
    before: Document, after: Document, renamed: dict[str, str], twins: dict[str, str]
) -> Iterable[Change]:
    old_homes, new_homes = _homes(before["groups"]), _homes(after["groups"])
    excluded = set(_excluded(after)) - set(_excluded(before))
    for text, group_id in old_homes.items():
        if text not in twins:
            yield Change(REMOVED, renamed.get(group_id, group_id), text, excluded=text in excluded)
        elif twins[text] != text:
            yield Change(REWORDED, new_homes[twins[text]], before=text, after=twins[text])
        elif renamed.get(group_id) != new_homes[text]:
            yield Change(MOVED, new_homes[text], text, before=group_id, after=new_homes[text])
    known = set(twins.values())
    yield from (Change(ADDED, group_id, text) for text, group_id in new_homes.items() if text not in known)


def _inner_changes(pairs: list[tuple[Group, Group]], twins: dict[str, str]) -> Iterable[Change]:
    """Changes of order, init and other keys within the groups that stayed."""
    for old, new in pairs:
        there = set(texts_of(new))
        stayed = [twins[text] for text in texts_of(old) if twins.get(text) in there]
        kept = set(stayed)
        if stayed != [text for text in texts_of(new) if text in kept]:
            yield Change(TEMPLATE_ORDER, new["id"])
        was, now = _init(old), _init(new)
        if twins.get(was) != now:
            yield Change(INIT, new["id"], before=was, after=now)
        elif ("init" in old) != ("init" in new):
            yield Change(CHANGED, new["id"], key="init", before=old.get("init"), after=new.get("init"))
        yield from _keys(old, new, skip=("id", "templates", "init"), group=new["id"])


def _notes(before: Sequence[Group], after: Sequence[Group], twins: dict[str, str]) -> Iterable[Change]:
    """Changes in the keys (notes, locks, ...) of the templates that stayed."""
    now = {text_of(item): item for group in after for item in group["templates"]}
    homes = _homes(after)
    for group in before:
        for item in group["templates"]:
            text = twins.get(text_of(item))
            if text is not None:
                yield from _keys(_facts(item), _facts(now[text]), skip=("text",), group=homes[text], text=text)


def _exclusions(before: Document, after: Document) -> Iterable[Change]:
    old, new = _excluded(before), _excluded(after)
    removed = set(_homes(before["groups"])) - set(_homes(after["groups"]))
    yield from (Change(EXCLUDED, text=text) for text in new if text not in old and text not in removed)
    yield from (Change(READMITTED, text=text) for text in old if text not in new)
    for text in old:
        if text in new:
            yield from _keys(old[text], new[text], skip=("text",), text=text)


def _keys(
    before: Document, after: Document, *, skip: Sequence[str], group: str | None = None, text: str | None = None
) -> Iterable[Change]:
    for key in dict.fromkeys([*before, *after]):
        was, now = before.get(key), after.get(key)
        if key not in skip and was != now and (was or now or key not in ("locked", "reviewed")):
            yield Change(CHANGED, group, text, key, was, now)


def _facts(item: Any) -> Document:
    return item if isinstance(item, dict) else {"text": item}


def _init(group: Group) -> str:
    return group.get("init") or text_of(group["templates"][0])


def _excluded(document: Document) -> dict[str, Document]:
    return {entry["text"]: entry for entry in document.get("excluded", [])}


def _kin(change: Change) -> str:
    """A summary phrase for many changes of this kind; empty for changes that are listed individually."""
    return {
        ADDED: f"added {{n}} templates to {change.group}",
        REMOVED: f"removed {{n}} templates from {change.group}{' (excluded)' if change.excluded else ''}",
        MOVED: f"moved {{n}} templates from {change.before} to {change.after}",
        REWORDED: f"reworded {{n}} templates in {change.group}",
        INIT: "another init in {n} groups",
        EXCLUDED: "excluded {n} texts",
        READMITTED: "no longer excluded {n} texts",
    }.get(change.kind, "" if change.text is None else f"{change.key} of {{n}} templates changed")


def _whole(text: Any) -> str:
    return f'"{printable(text)}"'


def _short(text: Any) -> str:
    return quote(str(text))


def _value(value: Any, show: Any) -> str:
    if value is None:
        return "none"
    return str(show(value)) if isinstance(value, str) else json.dumps(value)
