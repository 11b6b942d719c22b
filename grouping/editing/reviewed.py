"""Which templates of a group have been reviewed, as recorded in the file.

A group is reviewed once the user has seen each of its templates there. Adding a template ends that; `SEEN` records
which ones were seen, so that a review only asks about the others, and a long one can be interrupted and resumed.
"""

from __future__ import annotations

from collections.abc import Iterable

from mocoop.grouping.editing.lookup import Document, Group, replaced, with_key
from mocoop.grouping.keep import SEEN, texts_of


def seen(group: Group) -> set[str]:
    """The templates of a group that have been reviewed there."""
    texts = set(texts_of(group))
    if group.get("reviewed"):
        return texts
    listed = group.get(SEEN)
    return {text for text in listed if isinstance(text, str)} & texts if isinstance(listed, list) else set()


def with_seen(group: Group, reviewed: set[str]) -> Group:
    """The group with these templates marked as reviewed; the group itself is reviewed if all are."""
    texts = [text for text in texts_of(group) if text in reviewed]
    if len(texts) == len(group["templates"]):
        return with_key(with_key(group, SEEN, None), "reviewed", True)
    unmarked = {**group, "reviewed": False} if group.get("reviewed") else group
    return with_key(unmarked, SEEN, texts or None)


def mark_seen(document: Document, texts: Iterable[str]) -> Document:
    """Mark templates as reviewed in their groups; the last one of a group makes the group reviewed."""
    marked = set(texts)
    holding = [group for group in document["groups"] if marked & set(texts_of(group))]
    return replaced(document, {group["id"]: with_seen(group, seen(group) | marked) for group in holding})
