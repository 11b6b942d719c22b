"""Finding groups and templates in a document by what the user types, and replacing them.

A template is named by its text, or by a unique part of it. Documents are JSON as read and are never modified. Which
changes are allowed, and how they are made, is in `mocoop.grouping.editing.edit`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mocoop.errors import UsageError
from mocoop.groupfile.findings import quote
from mocoop.groupfile.schema import nearest
from mocoop.grouping.keep import SEEN, text_of, texts_of

Document = dict[str, Any]
Group = dict[str, Any]

MOST_LISTED = 8  # templates that a message lists

# Where to insert a new key: before the first existing key that follows it in this order.
_GROUP_KEYS = ("id", "title", "description", "rationale", "init", "locked", "reviewed", SEEN, "templates")
KEY_ORDER = (*_GROUP_KEYS, "groups", "excluded", "metrics", "provenance")


def group_ids_of(document: Document) -> list[str]:
    """The ids of the groups, in order."""
    return [group["id"] for group in document["groups"]]


def group_of(document: Document, group_id: str) -> Group:
    """The group with the given id. Raises UsageError that lists the ids."""
    for group in document["groups"]:
        if group["id"] == group_id:
            found: Group = group
            return found
    ids = group_ids_of(document)
    near = nearest(group_id, ids)
    hint = f"did you mean {near}?" if near else f"there are {', '.join(ids)}"
    raise UsageError(f"no group is called {quote(group_id)}", hint)


def home(document: Document, text: str) -> str:
    """The id of the group that holds exactly this text."""
    return str(next(group["id"] for group in document["groups"] if text in texts_of(group)))


def init_of(group: Group) -> str:
    """The template that starts the group's expert: the named init, or the first template."""
    return group.get("init") or text_of(group["templates"][0])


def find(document: Document, words: str, group_id: str | None = None) -> str:
    """Find a template by its text, or by a unique part of it, ignoring case.

    `group_id` restricts the search to one group. Raises UsageError that lists the matches, or the nearest text.
    """
    groups = document["groups"] if group_id is None else [group_of(document, group_id)]
    texts = [text for group in groups for text in texts_of(group)]
    if words in texts:
        return words
    fitting = [text for text in texts if words.strip() and words.casefold() in text.casefold()]
    if len(fitting) == 1:
        return fitting[0]
    where = f"of the group {group_id}" if group_id else "of the file"
    if not fitting:
        near = nearest(words, texts)
        hint = f"did you mean {quote(near)}?" if near else "`mocoop-groups show FILE --group ID` lists them"
        raise UsageError(f"no template {where} is or holds {quote(words)}", hint)
    listed = ", ".join(quote(text) for text in fitting[:MOST_LISTED])
    more = f" and {len(fitting) - MOST_LISTED} more" if len(fitting) > MOST_LISTED else ""
    raise UsageError(f"{len(fitting)} templates {where} hold {quote(words)}", f"name one of them: {listed}{more}")


def holding(document: Document, words: str) -> list[str]:
    """The ids of the groups with a template that is or holds these words, ignoring case, in order."""
    wanted = words.casefold()
    return [group["id"] for group in document["groups"] if any(wanted in text.casefold() for text in texts_of(group))]


def find_all(document: Document, words: Sequence[str]) -> list[str]:
    """Find several templates, each returned once. Raises UsageError."""
    return list(dict.fromkeys(find(document, word) for word in words))


def free_id(document: Document, base: str) -> str:
    """The first of base-2, base-3, ... that no group has."""
    taken, number = set(group_ids_of(document)), 2
    while f"{base[:60]}-{number}" in taken:
        number += 1
    return f"{base[:60]}-{number}"


def is_locked(item: Any) -> bool:
    """Whether a template, as stored in the document, is locked."""
    return isinstance(item, dict) and bool(item.get("locked"))


def replaced(document: Document, changes: Mapping[str, Group | None]) -> Document:
    """The document with some groups replaced or, for None, removed; `changes` is keyed by the old ids."""
    groups = [changes.get(group["id"], group) for group in document["groups"]]
    return {**document, "groups": [group for group in groups if group is not None]}


def with_key(item: Document, key: str, value: Any) -> Document:
    """An object with a key set in place, or inserted where the format puts it; None removes the key."""
    if value is None:
        return {name: kept for name, kept in item.items() if name != key}
    if key in item:
        return {**item, key: value}
    place = KEY_ORDER.index(key) if key in KEY_ORDER else KEY_ORDER.index("templates") - 1
    later = KEY_ORDER[place + 1 :]
    before = next((number for number, name in enumerate(item) if name in later), len(item))
    pairs = list(item.items())
    return dict([*pairs[:before], (key, value), *pairs[before:]])
