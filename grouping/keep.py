"""What must be kept from an earlier group file when groups are generated again.

Locked groups stay whole and in position; locked templates stay in a group with the same id; texts that the user
removed (`excluded`) do not come back, however they are spelled; notes (`x-` and `_comment` keys) stay. Everything else
in the earlier file may go. Groups and documents are JSON as read, since that is what is written back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mocoop.groupfile.groups import GroupFile
from mocoop.groupfile.rules import template_text
from mocoop.groupfile.templatetext import folded

Group = dict[str, Any]

SEEN = "reviewed_templates"  # key of a partly reviewed group: the templates that have been reviewed


@dataclass(frozen=True)
class Kept:
    """What is kept. `locked` are whole groups; `anchored` are unlocked groups reduced to their locked templates."""

    locked: tuple[tuple[int, Group], ...] = ()  # each with its index among the groups
    anchored: tuple[Group, ...] = ()
    excluded: frozenset[str] = frozenset()  # folded texts
    present: frozenset[str] = frozenset()  # texts of the earlier file, to which the exclusion of a twin does not apply
    document: dict[str, Any] = field(default_factory=dict)  # top-level keys to carry over
    inits: dict[str, str] = field(default_factory=dict)  # original inits of the anchored groups, which may come back

    @property
    def texts(self) -> tuple[str, ...]:
        """The templates that are kept, those of locked groups first."""
        return tuple(text for group in self._groups for text in texts_of(group))

    @property
    def _groups(self) -> tuple[Group, ...]:
        return (*(group for _, group in self.locked), *self.anchored)

    def allows(self, text: str) -> bool:
        """Whether a new template may be added: it is neither excluded nor kept already.

        A text that the earlier file held beside an excluded twin ("the" for "a") may be added.
        """
        taken_out = folded(text) in self.excluded and text not in self.present
        return not taken_out and folded(text) not in set(map(folded, self.texts))

    def weave(self, new: Sequence[Group], *, count: int | None = None, per_group: int | None = None) -> list[Group]:
        """Merge new groups with the kept ones. May drop templates, so it is not for a pool, which must keep them all.

        A locked group replaces a new one with its id; a new group with an anchored id takes in the locked templates,
        placed first. Templates that `allows` rejects are dropped, as are groups left empty. `count` limits the groups
        and `per_group` the templates of each; kept ones are never cut.
        """
        locked_ids = {group["id"] for _, group in self.locked}
        allowed = [trimmed for group in new if group["id"] not in locked_ids and (trimmed := self._allowed(group))]
        merged = self._with_anchors(allowed, per_group)
        woven = self._bounded(merged, count)
        for place, group in self.locked:
            woven.insert(place, group)
        return woven

    def carry(self, document: dict[str, Any]) -> dict[str, Any]:
        """A new document with the earlier one's notes and exclusions; the provenance stays last."""
        last = {key: value for key, value in document.items() if key == "provenance"}
        return {**self.document, **{k: v for k, v in document.items() if k not in last}, **last}

    def notice(self) -> str | None:
        """One line that says what is kept, or None if nothing is."""
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
    """What must be kept from a group file; nothing if there is none."""
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
    """The sentence of a template as stored in a valid file: a string, or an object with `text`."""
    return item if isinstance(item, str) else template_text(item) or ""


def texts_of(group: Group) -> tuple[str, ...]:
    """The sentences of a group's templates."""
    return tuple(text_of(item) for item in group["templates"])


def with_templates(group: Group, templates: list[Any]) -> Group:
    """A group with its templates replaced; an init that is no longer among them becomes the first one."""
    changed = {**group, "templates": templates}
    if "init" in changed and changed["init"] not in texts_of(changed):
        changed["init"] = text_of(templates[0])
    return changed


def _locked_part(group: Group) -> Group | None:
    locked = [item for item in group["templates"] if isinstance(item, dict) and item.get("locked")]
    if not locked:
        return None
    part = with_templates(group, locked)
    # templates added later have not been reviewed; these have
    return {**part, "reviewed": False, SEEN: list(texts_of(part))} if part.get("reviewed") else part


def _joined(anchor: Group, new: Group, per_group: int | None, init: str | None) -> Group:
    """The anchor's metadata and locked templates, then new templates; the earlier init if it is among them."""
    room = None if per_group is None else max(per_group - len(anchor["templates"]), 0)
    joined = {**new, **anchor, "templates": [*anchor["templates"], *new["templates"][:room]]}
    return {**joined, "init": init} if init in texts_of(joined) else joined
