"""What making groups anew must keep of an earlier group file.

Locked groups stay whole and in their place; locked templates stay in a group of their id; what a person took out
(`excluded`) does not come back, however it is spelt; notes (`x-` and `_comment` keys) stay. Everything else of the
earlier file may go. Groups and documents are JSON as read, since that is what is written back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mocoop.groupfile.groups import GroupFile
from mocoop.groupfile.rules import template_text
from mocoop.groupfile.templatetext import folded

Group = dict[str, Any]

SEEN = "reviewed_templates"  # of a group that is not reviewed as a whole: the templates that are


@dataclass(frozen=True)
class Kept:
    """What stays. `locked` are whole groups, `anchored` unlocked ones reduced to their locked templates."""

    locked: tuple[tuple[int, Group], ...] = ()  # with the place each had among the groups
    anchored: tuple[Group, ...] = ()
    excluded: frozenset[str] = frozenset()  # folded texts
    present: frozenset[str] = frozenset()  # what the earlier file held: never meant by an exclusion of its twin
    document: dict[str, Any] = field(default_factory=dict)  # top-level keys to carry over
    inits: dict[str, str] = field(default_factory=dict)  # of the anchored groups as they were, which may come back

    @property
    def texts(self) -> tuple[str, ...]:
        """The templates that stay, those of locked groups first."""
        return tuple(text for group in self._groups for text in texts_of(group))

    @property
    def _groups(self) -> tuple[Group, ...]:
        return (*(group for _, group in self.locked), *self.anchored)

    def allows(self, text: str) -> bool:
        """Whether a new template may come in: nobody took it out, and it is not there already.

        A text that was left in beside an excluded twin ("the" for "a") may come in.
        """
        taken_out = folded(text) in self.excluded and text not in self.present
        return not taken_out and folded(text) not in set(map(folded, self.texts))

    def weave(self, new: Sequence[Group], *, count: int | None = None, per_group: int | None = None) -> list[Group]:
        """New groups and the kept ones together. Not for a pool, whose templates must all stay: it may drop some.

        A locked group replaces a new one of its id; a new group of an anchored id takes the locked templates in,
        first. Templates that `allows` refuses go, and groups left empty with them. `count` bounds the groups and
        `per_group` the templates of each; kept ones are never cut.
        """
        locked_ids = {group["id"] for _, group in self.locked}
        allowed = [trimmed for group in new if group["id"] not in locked_ids and (trimmed := self._allowed(group))]
        merged = self._with_anchors(allowed, per_group)
        woven = self._bounded(merged, count)
        for place, group in self.locked:
            woven.insert(place, group)
        return woven

    def carry(self, document: dict[str, Any]) -> dict[str, Any]:
        """A new document with the earlier one's notes and exclusions, before its provenance."""
        last = {key: value for key, value in document.items() if key == "provenance"}
        return {**self.document, **{k: v for k, v in document.items() if k not in last}, **last}

    def notice(self) -> str | None:
        """One line that says what stays, or None where nothing does."""
        templates = sum(len(group["templates"]) for group in self.anchored)
        counts = (
            (len(self.locked), "locked group"),
            (templates, "locked template"),
            (len(self.excluded), "excluded template"),
        )
        told = [f"{n} {what}{'s' if n > 1 else ''}" for n, what in counts if n]
        return f"kept from the earlier file: {', '.join(told)}" if told else None

    def _allowed(self, group: Group) -> Group | None:
        templates = [item for item in group["templates"] if self.allows(text_of(item))]
        return with_templates(group, templates) if templates else None

    def _with_anchors(self, groups: list[Group], per_group: int | None) -> list[Group]:
        new = {group["id"]: group for group in groups}
        anchors = {group["id"]: group for group in self.anchored}
        merged = [
            _joined(anchors[id_], group, per_group, self.inits.get(id_)) if id_ in anchors else group
            for id_, group in new.items()
        ]
        return [*merged, *(anchor for id_, anchor in anchors.items() if id_ not in new)]

    def _bounded(self, groups: list[Group], count: int | None) -> list[Group]:
        if count is None:
            return groups
        anchored = {group["id"] for group in self.anchored}
        spare = count - len(self.locked) - len(anchored)
        free = [group["id"] for group in groups if group["id"] not in anchored][: max(spare, 0)]
        return [group for group in groups if group["id"] in anchored or group["id"] in free]


def kept_of(file: GroupFile | None) -> Kept:
    """What must stay of a group file; nothing where there is none."""
    if file is None:
        return Kept()
    groups = file.document["groups"]
    locked = tuple((place, group) for place, group in enumerate(groups) if group.get("locked"))
    anchored = tuple(anchor for group in groups if not group.get("locked") and (anchor := _locked_part(group)))
    excluded = file.document.get("excluded", [])
    carried = {key: value for key, value in file.document.items() if key.startswith(("x-", "_comment", "$schema"))}
    if excluded:
        carried["excluded"] = excluded
    anchored_ids = {group["id"] for group in anchored}
    inits = {g["id"]: g.get("init") or texts_of(g)[0] for g in groups if g["id"] in anchored_ids}
    out = {entry["text"] for entry in excluded}
    present = frozenset(text for group in groups for text in texts_of(group)) - out
    return Kept(locked, anchored, frozenset(map(folded, out)), present, carried, inits)


def text_of(item: Any) -> str:
    """The sentence of a template as it stands in a valid file: a string, or an object with `text`."""
    return template_text(item) or ""


def texts_of(group: Group) -> tuple[str, ...]:
    """The sentences of a group's templates."""
    return tuple(text_of(item) for item in group["templates"])


def with_templates(group: Group, templates: list[Any]) -> Group:
    """A group with other templates; an init that is no longer among them becomes the first."""
    changed = {**group, "templates": templates}
    if "init" in changed and changed["init"] not in texts_of(changed):
        changed["init"] = text_of(templates[0])
    return changed


def _locked_part(group: Group) -> Group | None:
    locked = [item for item in group["templates"] if isinstance(item, dict) and item.get("locked")]
    if not locked:
        return None
    part = with_templates(group, locked)
    # what joins it has not been reviewed, and it has
    return {**part, "reviewed": False, SEEN: list(texts_of(part))} if part.get("reviewed") else part


def _joined(anchor: Group, new: Group, per_group: int | None, init: str | None) -> Group:
    """The anchor's words about the group, its locked templates, then new ones; its earlier init where that is there."""
    room = None if per_group is None else max(per_group - len(anchor["templates"]), 0)
    joined = {**new, **anchor, "templates": [*anchor["templates"], *new["templates"][:room]]}
    return {**joined, "init": init} if init in texts_of(joined) else joined
