"""Edits to a group file, each a pure function from a document to a document.

The given document is never modified; an edit preserves everything it does not touch, including key order, `x-` notes
and the form of each template (text or object). Editing locked groups and templates raises an error. Nothing is read,
written or reported here: `mocoop.grouping.editing.diff` describes what differs between two documents.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from mocoop.errors import UsageError
from mocoop.groupfile.findings import quote
from mocoop.groupfile.templatetext import special_problem, template_problems
from mocoop.grouping.editing.lookup import (
    Document,
    Group,
    find,
    find_all,
    free_id,
    group_ids_of,
    group_of,
    holding,
    home,
    init_of,
    is_locked,
    replaced,
    with_key,
)
from mocoop.grouping.editing.reviewed import seen, with_seen
from mocoop.grouping.keep import text_of, texts_of, with_templates

_SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


class LockedError(UsageError):
    """A group or template is locked; the hint is the command that unlocks it."""


def add(document: Document, texts: Sequence[str], to: str) -> Document:
    """Append new templates to a group; they are no longer excluded, if they were.

    Raises UsageError for a text that is not a template or is already in the file, and for a locked group.
    """
    _check_new(document, texts)
    group = _destination(document, to)
    return _readmitted(replaced(document, {to: _with_members(group, [*group["templates"], *texts])}), texts)


def add_group(document: Document, texts: Sequence[str], new: str, title: str | None = None) -> Document:
    """Add new templates as a new last group. Raises UsageError as `add`, and for a bad or taken id."""
    _check_new(document, texts)
    return _readmitted(_with_group(document, _new_group(document, new, title, list(texts))), texts)


def remove(
    document: Document, words: Sequence[str], reason: str | None = None, group_id: str | None = None
) -> Document:
    """Remove templates (of one group, if named) and list them as excluded, so that they do not come back.

    Raises UsageError for templates that do not exist, are locked, or whose removal would leave a group empty, and for
    the id of a group, which is likelier meant than a template that holds the same word.
    """
    taken = list(dict.fromkeys(_to_remove(document, word, group_id) for word in words))
    left = {id_: _without(document, id_, texts) for id_, texts in _by_group(document, taken).items()}
    for id_, group in left.items():
        if not group["templates"]:
            hint = f"remove the whole group with --group {id_}, or add another template first"
            raise UsageError(f"that would leave the group {id_} without a template", hint)
    return exclude(replaced(document, left), taken, reason)


def remove_group(document: Document, group_id: str, reason: str | None = None) -> Document:
    """Remove a whole group and exclude its templates. Raises UsageError for the only group and for locks."""
    group = open_group(document, group_id)
    _check_unlocked(group, texts_of(group))
    if len(document["groups"]) == 1:
        raise UsageError(f"{group_id} is the only group", "a group file needs one; add another first")
    return exclude(replaced(document, {group_id: None}), texts_of(group), reason)


def rename(
    document: Document,
    group_id: str,
    *,
    new_id: str | None = None,
    title: str | None = None,
    description: str | None = None,
) -> Document:
    """Change a group's id, title or description; an empty title or description is removed.

    Metrics that name the group as a neighbour are updated. Raises UsageError for a bad or taken id, or a locked group.
    """
    group = open_group(document, group_id)
    for key, value in (("title", title), ("description", description)):
        if value is not None:
            group = with_key(group, key, value or None)
    if new_id is None or new_id == group_id:
        return replaced(document, {group_id: group})
    _check_free(document, new_id)
    renamed = replaced(document, {group_id: {**group, "id": new_id}})
    return {**renamed, "groups": [_neighbour_renamed(item, group_id, new_id) for item in renamed["groups"]]}


def move(document: Document, words: Sequence[str], to: str) -> Document:
    """Move templates to the end of another group. Raises UsageError for locks and for a group left empty."""
    target = _destination(document, to)
    moved = [text for text in find_all(document, words) if text not in texts_of(target)]
    left = _left_behind(document, moved)
    items = [_item(document, text) for text in moved]
    return replaced(document, {**left, to: _with_members(target, [*target["templates"], *items])})


def move_to_new(document: Document, words: Sequence[str], new: str, title: str | None = None) -> Document:
    """Move templates to a new last group. Raises UsageError as `move`, and for a bad id."""
    moved = find_all(document, words)
    group = _new_group(document, new, title, [_item(document, text) for text in moved])
    return _with_group(replaced(document, _left_behind(document, moved)), group)


def merge(document: Document, group_ids: Sequence[str], to: str, title: str | None = None) -> Document:
    """Merge several groups into one that is there: one of them, or another.

    Notes (`x-`) of the merged groups are kept, under another key if they collide. Raises UsageError for fewer than two
    groups and for locks.
    """
    _destination(document, to)
    groups = _to_merge(document, [to, *group_ids])
    for group in groups[1:]:
        _check_unlocked(group, texts_of(group))
    return _merged(document, groups, groups[0], title)


def merge_to_new(document: Document, group_ids: Sequence[str], new: str, title: str | None = None) -> Document:
    """Merge several groups into a new one, where the first was. Raises UsageError as `merge`, and for a bad id."""
    groups = _to_merge(document, group_ids)
    for group in groups:
        _check_unlocked(group, texts_of(group))
    return _merged(document, groups, _nameless(document, groups[0], new), title)


def _to_merge(document: Document, group_ids: Sequence[str]) -> list[Group]:
    groups = [open_group(document, id_) for id_ in dict.fromkeys(group_ids)]
    if len(groups) < 2:
        raise UsageError("one group alone cannot be merged", "name at least two groups")
    return groups


def _merged(document: Document, groups: list[Group], base: Group, title: str | None) -> Document:
    joined = _with_members(base, [item for group in groups for item in group["templates"]])
    for group in groups[1:]:
        joined = _with_notes(joined, group)
    if title is not None:
        joined = with_key(joined, "title", title or None)
    return replaced(document, {**dict.fromkeys(group["id"] for group in groups[1:]), groups[0]["id"]: joined})


def split_off(document: Document, group_id: str, words: Sequence[str], new: str, title: str | None = None) -> Document:
    """Split some templates off as a new group right after the old one. Raises UsageError as `move_to_new`."""
    group = open_group(document, group_id)
    taken = [find(document, word, group_id) for word in words]
    items = [item for item in group["templates"] if text_of(item) in taken]
    left = _left_behind(document, taken)
    return _with_group(replaced(document, left), _new_group(document, new, title, items), after=group_id)


def split_into(document: Document, group_id: str, parts: Sequence[Sequence[str]]) -> Document:
    """Split a group into several; the part with the init keeps the id, the others follow it as ID-2, ID-3, ...

    `parts` hold each template of the group once. Raises UsageError for locks.
    """
    group = open_group(document, group_id)
    init = init_of(group)
    others = [part for part in parts if init not in part]
    changed, after = document, group_id
    for part in others:
        new = free_id(changed, group_id)
        title = f"{group['title'][:70]} ({new.rsplit('-', 1)[1]})" if group.get("title") else None
        changed = split_off(changed, group_id, part, new, title)
        changed = _placed_after(changed, new, after)
        after = new
    return changed


def set_init(document: Document, group_id: str, words: str) -> Document:
    """Set the template whose words start the group's expert. Raises UsageError."""
    group = open_group(document, group_id)
    return replaced(document, {group_id: with_key(group, "init", find(document, words, group_id))})


def lock(document: Document, target: str, on: bool = True) -> Document:
    """Lock or unlock a group (by its id) or a template. Raises UsageError if there is no such target."""
    if target in group_ids_of(document):
        return replaced(document, {target: with_key(group_of(document, target), "locked", on or None)})
    try:
        text = find(document, target)
    except UsageError as error:
        raise UsageError(f"no group is called {quote(target)}, and {error.message}", error.hint) from None
    return _with_item(document, text, _noted(_item(document, text), "locked", on or None))


def reword(document: Document, words: str, new_text: str) -> Document:
    """Reword a template in place, keeping its notes; it stays the init if it was.

    Raises UsageError for locks, and for a text that is not a template or is already in the file.
    """
    text = find(document, words)
    if text == new_text:
        return document
    _check_new(document, [new_text])
    group = open_group(document, home(document, text))
    _check_unlocked(group, [text])
    items = [worded(item, new_text) if text_of(item) == text else item for item in group["templates"]]
    init = {"init": new_text} if group.get("init") == text else {}
    changed = with_seen({**group, "templates": items, **init}, seen(group) - {text})
    return _readmitted(replaced(document, {group["id"]: changed}), [new_text])


def annotate(document: Document, words: str, note: str | None) -> Document:
    """Set the user's note on a template; None or an empty one removes it. Locks do not prevent this."""
    text = find(document, words)
    return _with_item(document, text, _noted(_item(document, text), "note", note or None))


def replace_members(document: Document, group_id: str, items: Sequence[Any], init: str | None) -> Document:
    """Replace a group's list of templates by one that the user wrote; the caller excludes those that left it.

    `init` None keeps the group's init if it is still there. Raises UsageError for locks, bad texts and an empty list.
    """
    group = open_group(document, group_id)
    texts = [text_of(item) for item in items]
    if not texts:
        raise UsageError(f"that would leave the group {group_id} without a template", "keep at least one line")
    gone = [text for text in texts_of(group) if text not in texts]
    came = [text for text in texts if text not in texts_of(group)]
    _check_unlocked(group, gone)
    _check_new(document, came)
    changed = _with_members(group, list(items))
    if init is not None and init != init_of(changed):
        changed = with_key(changed, "init", init)
    return _readmitted(replaced(document, {group_id: changed}), came)


def exclude(document: Document, texts: Iterable[str], reason: str | None = None) -> Document:
    """List texts as excluded, so that they do not come back; the groups are not changed."""
    why = {"reason": reason} if reason else {}
    gone = {text: {"text": text, **why, "by": "person"} for text in texts}
    kept = [entry for entry in document.get("excluded", []) if entry["text"] not in gone]
    return with_key(document, "excluded", [*kept, *gone.values()]) if gone else document


# ---- parts of the above


def _check_new(document: Document, texts: Sequence[str]) -> None:
    taken = {text: group["id"] for group in document["groups"] for text in texts_of(group)}
    for number, text in enumerate(texts):
        special = special_problem(text, (), "the template")
        for problem in [*template_problems(text, (), "the template"), *([special] if special else [])]:
            raise UsageError(problem.message, problem.hint)
        if text in taken:
            raise UsageError(
                f"{quote(text)} stands already in the group {taken[text]}", "move it, or word it otherwise"
            )
        if text in texts[:number]:
            raise UsageError(f"{quote(text)} is given twice", "give it once")


def _check_free(document: Document, new: str) -> None:
    if not _SLUG.fullmatch(new):
        hint = 'lower-case letters, digits, "-" and "_", a letter or digit first, 64 at most, as in "low_detail"'
        raise UsageError(f"{quote(new)} cannot be a group's id", hint)
    if new in group_ids_of(document):
        raise UsageError(f"there is a group {new} already", "choose another id, or put the templates --to it")


def open_group(document: Document, group_id: str) -> Group:
    """The group with the given id, for editing. Raises LockedError if it is locked."""
    group = group_of(document, group_id)
    if group.get("locked"):
        raise LockedError(
            f"the group {group_id} is locked", f"unlock it first: mocoop-groups lock FILE {group_id} --off"
        )
    return group


def _destination(document: Document, to: str) -> Group:
    """The group that templates go to. Raises UsageError as `open_group`, which says how to make a new one."""
    try:
        return open_group(document, to)
    except UsageError as error:
        if to in group_ids_of(document):
            raise
        raise UsageError(error.message, f"{error.hint}; a new group is made with --new {to}") from None


def _to_remove(document: Document, word: str, group_id: str | None) -> str:
    texts = {text for group in document["groups"] for text in texts_of(group)}
    if word in group_ids_of(document) and word not in texts:
        more = "; a template that holds this word, by more of its text" if holding(document, word) else ""
        raise UsageError(f"{word} is a group", f"the whole group goes with --group {word}{more}")
    try:
        return find(document, word, group_id)
    except UsageError as error:
        homes = [id_ for id_ in holding(document, word) if id_ != group_id]
        if group_id is not None and homes:
            raise UsageError(error.message, f"it stands in {', '.join(homes)}: --group {homes[0]}") from None
        if len(homes) > 1:
            raise UsageError(error.message, f"{error.hint}; or its group too, as in --group {homes[0]}") from None
        raise


def _check_unlocked(group: Group, texts: Iterable[str]) -> None:
    wanted = set(texts)
    for item in group["templates"]:
        if is_locked(item) and text_of(item) in wanted:
            hint = f'unlock it first: mocoop-groups lock FILE "{text_of(item)}" --off'
            raise LockedError(f"the template {quote(text_of(item))} is locked", hint)


def _by_group(document: Document, texts: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for text in texts:
        found.setdefault(home(document, text), []).append(text)
    return found


def _without(document: Document, group_id: str, texts: Sequence[str]) -> Group:
    group = open_group(document, group_id)
    _check_unlocked(group, texts)
    left = [item for item in group["templates"] if text_of(item) not in texts]
    return _with_members(group, left) if left else {**group, "templates": []}


def _left_behind(document: Document, moved: Sequence[str]) -> dict[str, Group]:
    """The source groups without the moved templates. Raises UsageError if one would be left empty."""
    left = {id_: _without(document, id_, texts) for id_, texts in _by_group(document, moved).items()}
    for id_, group in left.items():
        if not group["templates"]:
            hint = f"to take them all, merge {id_} into the other group, or rename it"
            raise UsageError(f"that would leave the group {id_} without a template", hint)
    return left


def _item(document: Document, text: str) -> Any:
    return next(item for group in document["groups"] for item in group["templates"] if text_of(item) == text)


def _with_item(document: Document, text: str, item: Any) -> Document:
    group = group_of(document, home(document, text))
    items = [item if text_of(old) == text else old for old in group["templates"]]
    return replaced(document, {group["id"]: {**group, "templates": items}})


def _noted(item: Any, key: str, value: Any) -> Any:
    """A template with a key set or removed; if only `text` remains, it is stored as a plain string."""
    noted = {**(item if isinstance(item, dict) else {"text": item}), key: value}
    kept = {name: fact for name, fact in noted.items() if fact is not None}
    return kept["text"] if list(kept) == ["text"] else kept


def worded(item: Any, text: str) -> Any:
    """A template, as stored in the document, with another text and the same notes."""
    return {**item, "text": text} if isinstance(item, dict) else text


def _with_members(group: Group, templates: list[Any]) -> Group:
    return with_seen(with_templates(group, templates), seen(group))


def _new_group(document: Document, new: str, title: str | None, items: list[Any]) -> Group:
    _check_free(document, new)
    return {"id": new, **({"title": title} if title else {}), "templates": items}


def _with_group(document: Document, group: Group, after: str | None = None) -> Document:
    changed = {**document, "groups": [*document["groups"], group]}
    return changed if after is None else _placed_after(changed, group["id"], after)


def _placed_after(document: Document, group_id: str, after: str) -> Document:
    groups = [group for group in document["groups"] if group["id"] != group_id]
    place = next(number for number, group in enumerate(groups) if group["id"] == after) + 1
    return {**document, "groups": [*groups[:place], group_of(document, group_id), *groups[place:]]}


def _nameless(document: Document, group: Group, new: str) -> Group:
    """The base of a group merged under a new id: the first group's notes and templates, without title and the like."""
    _check_free(document, new)
    dropped = ("title", "description", "rationale", "metrics")
    return {**{key: value for key, value in group.items() if key not in dropped}, "id": new}


def _with_notes(group: Group, gone: Group) -> Group:
    for key, value in gone.items():
        if key.startswith(("x-", "_comment")) and group.get(key) != value:
            group = {**group, f"{key}-{gone['id']}" if key in group else key: value}
    return group


def _neighbour_renamed(group: Group, old: str, new: str) -> Group:
    metrics = group.get("metrics", {})
    return {**group, "metrics": {**metrics, "nearest_group": new}} if metrics.get("nearest_group") == old else group


def _readmitted(document: Document, texts: Iterable[str]) -> Document:
    came = set(texts)
    listed = document.get("excluded", [])
    left = [entry for entry in listed if entry["text"] not in came]
    return document if len(left) == len(listed) else with_key(document, "excluded", left or None)
