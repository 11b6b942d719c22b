"""What the review page may ask for, by name: each is one of the editing functions, applied to a document.

A template is named by its whole text, not by a part of it as on the command line: a page never means another one. Where
a person puts a template with their own hands, it is reviewed there, as in the terminal's review.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mocoop.errors import UsageError
from mocoop.groupfile.findings import ERROR, quote
from mocoop.groupfile.groups import check, dump_groups
from mocoop.groupfile.schema import MAX_GROUPS, MAX_TEMPLATES
from mocoop.grouping.editing import edit
from mocoop.grouping.editing.diff import differences, one_line
from mocoop.grouping.editing.lookup import Document, Group, group_of, init_of, replaced
from mocoop.grouping.editing.reviewed import mark_seen, seen, with_seen
from mocoop.grouping.keep import text_of, texts_of

Operation = Mapping[str, Any]

REPLACE = "replace"  # the whole document: only in what is kept, never asked for by a page


class _Asked:
    """The arguments of an operation. Each reader raises UsageError for what is not of its kind."""

    def __init__(self, operation: Operation) -> None:
        """Raises UsageError for an argument that no operation has: all that is given must be fit to be kept."""
        self._given = operation
        for name in operation:
            read = _ARGUMENTS.get(name)
            if read is None:
                raise UsageError(f"no operation has an argument {name!a}", "load the page again")
            read(self, name)

    def text(self, name: str) -> str:
        value = self.maybe(name)
        if value is None:
            raise UsageError(f"the operation lacks {name!r}", "load the page again")
        return value

    def maybe(self, name: str) -> str | None:
        value = self._given.get(name)
        if value is not None and not isinstance(value, str):
            raise UsageError(f"{name!r} is no text", "load the page again")
        return _whole(value)

    def texts(self, name: str) -> list[str]:
        return _texts(self._given.get(name), name)

    def parts(self, name: str) -> list[list[str]]:
        value = self._given.get(name)
        if not isinstance(value, list) or not value:
            raise UsageError(f"{name!r} is no list", "load the page again")
        return [_texts(part, name) for part in value]

    def on(self, name: str = "on") -> bool:
        value = self._given.get(name, True)
        if not isinstance(value, bool):
            raise UsageError(f"{name!r} is neither true nor false", "load the page again")
        return value


_ARGUMENTS: dict[str, Callable[[_Asked, str], Any]] = {
    **dict.fromkeys(
        ("operation", "to", "new", "title", "text", "reason", "group", "id", "description", "note"), _Asked.maybe
    ),
    **dict.fromkeys(("texts", "groups"), _Asked.texts),
    "parts": _Asked.parts,
    "on": _Asked.on,
}


def _texts(value: Any, name: str) -> list[str]:
    if value == []:
        raise UsageError("nothing is chosen", "choose one or more first")
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise UsageError(f"{name!r} is no list of texts", "load the page again")
    return [text for one in value if (text := _whole(one)) is not None]


def _whole(value: str | None) -> str | None:
    """A text that can be written; half a character, which JSON can hold, cannot."""
    try:
        return None if value is None else value.encode().decode()
    except UnicodeEncodeError:
        raise UsageError("half a character (a lone surrogate) stands in the text", "type it again") from None


def apply(document: Document, operation: Operation) -> Document:
    """The document after one operation; the same object if that changes nothing.

    Raises UsageError for what is not possible, and for what would make the file invalid.
    """
    name = operation.get("operation")
    do = _OPERATIONS.get(name) if isinstance(name, str) else None
    if do is None:
        raise UsageError(f"no operation is called {name!r}", "load the page again")
    changed = do(document, _Asked(operation))
    if changed == document:
        return document
    _check_valid(document, changed)
    return changed


def told(before: Document, after: Document) -> str:
    """What an operation did, on one line; only the groups that differ are compared, since files may be large."""
    line = one_line(differences(*_differing(before, after)))
    return "reviewed, or no longer" if line == "nothing changed" else line


def _differing(before: Document, after: Document) -> tuple[Document, Document]:
    """Both documents with only the groups that are not the same object in both, and one more, since some must be."""
    old, new = ({id(group) for group in document["groups"]} for document in (before, after))
    same = [group for group in before["groups"] if id(group) in new][:1]
    return (
        {**before, "groups": [*same, *(group for group in before["groups"] if id(group) not in new)]},
        {**after, "groups": [*same, *(group for group in after["groups"] if id(group) not in old)]},
    )


def _check_valid(before: Document, after: Document) -> None:
    """Raises UsageError if a change made the file invalid: checked is what changed, by the rules of `validate`."""
    groups = after["groups"]
    if len(groups) > MAX_GROUPS:
        raise UsageError(f"a group file has {MAX_GROUPS} groups at most", "merge some first")
    full = next((group["id"] for group in groups if len(group["templates"]) > MAX_TEMPLATES), None)
    if full is not None:
        raise UsageError(f"{full} would have more than {MAX_TEMPLATES} templates", "a group has that many at most")
    known = {id(item) for group in before["groups"] for item in group["templates"]}
    old = {id(group) for group in before["groups"]}
    changed = [_reduced(group, known) for group in groups if id(group) not in old] or [_reduced(groups[0], known)]
    part = {**after, "groups": changed}
    if after.get("excluded") is before.get("excluded"):
        part.pop("excluded", None)
    for finding in check(dump_groups(part)):
        if finding.severity == ERROR:
            raise UsageError(f"{finding.code}: {finding.message}", finding.hint)


def _reduced(group: Group, known: set[int]) -> Group:
    """A group with the templates that are new in the file, and its init: the others were checked before."""
    init = init_of(group)
    kept = [item for item in group["templates"] if id(item) not in known or text_of(item) == init]
    return {**group, "templates": kept or group["templates"][:1]}


# ---- the operations


def _there(document: Document, texts: Sequence[str], group_id: str | None = None) -> list[str]:
    """The texts, all of them in the file (or group). Raises UsageError: a part of a text names nothing here."""
    groups = document["groups"] if group_id is None else [group_of(document, group_id)]
    known = {text for group in groups for text in texts_of(group)}
    for text in texts:
        if text not in known:
            raise UsageError(f"{quote(text)} is no longer there", "look where it went, then do it again")
    return list(texts)


def _move(document: Document, asked: _Asked) -> Document:
    texts = _there(document, asked.texts("texts"))
    return mark_seen(edit.move(document, texts, asked.text("to")), texts)


def _move_to_new(document: Document, asked: _Asked) -> Document:
    texts = _there(document, asked.texts("texts"))
    return mark_seen(edit.move_to_new(document, texts, asked.text("new"), asked.maybe("title")), texts)


def _add(document: Document, asked: _Asked) -> Document:
    texts = asked.texts("texts")
    return mark_seen(edit.add(document, texts, asked.text("to")), texts)


def _add_group(document: Document, asked: _Asked) -> Document:
    texts = asked.texts("texts")
    return mark_seen(edit.add_group(document, texts, asked.text("new"), asked.maybe("title")), texts)


def _reword(document: Document, asked: _Asked) -> Document:
    (text,), new = _there(document, [asked.text("text")]), asked.text("to")
    return document if text == new else mark_seen(edit.reword(document, text, new), [new])


def _exclude(document: Document, asked: _Asked) -> Document:
    return edit.remove(document, _there(document, asked.texts("texts")), asked.maybe("reason"))


def _exclude_group(document: Document, asked: _Asked) -> Document:
    return edit.remove_group(document, asked.text("group"), asked.maybe("reason"))


def _merge(document: Document, asked: _Asked) -> Document:
    return edit.merge(document, asked.texts("groups"), asked.text("to"), asked.maybe("title"))


def _split(document: Document, asked: _Asked) -> Document:
    group_id = asked.text("group")
    texts = _there(document, asked.texts("texts"), group_id)
    return edit.split_off(document, group_id, texts, asked.text("new"), asked.maybe("title"))


def _split_into(document: Document, asked: _Asked) -> Document:
    group_id, parts = asked.text("group"), asked.parts("parts")
    listed = [text for part in parts for text in part]
    if sorted(listed) != sorted(texts_of(group_of(document, group_id))):
        raise UsageError(f"{group_id} holds other templates by now", "split it again")
    return edit.split_into(document, group_id, parts)


def _rename(document: Document, asked: _Asked) -> Document:
    return edit.rename(
        document,
        asked.text("group"),
        new_id=asked.maybe("id"),
        title=asked.maybe("title"),
        description=asked.maybe("description"),
    )


def _set_init(document: Document, asked: _Asked) -> Document:
    group_id = asked.text("group")
    (text,) = _there(document, [asked.text("text")], group_id)
    return edit.set_init(document, group_id, text)


def _lock_group(document: Document, asked: _Asked) -> Document:
    return edit.lock(document, str(group_of(document, asked.text("group"))["id"]), asked.on())


def _lock(document: Document, asked: _Asked) -> Document:
    for text in _there(document, asked.texts("texts")):
        document = edit.lock(document, text, asked.on())
    return document


def _annotate(document: Document, asked: _Asked) -> Document:
    (text,) = _there(document, [asked.text("text")])
    return edit.annotate(document, text, (asked.maybe("note") or "").strip() or None)


def _review(document: Document, asked: _Asked) -> Document:
    texts = _there(document, asked.texts("texts"))
    if asked.on():
        return mark_seen(document, texts)
    holding = [group for group in document["groups"] if set(texts) & set(texts_of(group))]
    return replaced(document, {group["id"]: with_seen(group, seen(group) - set(texts)) for group in holding})


_OPERATIONS: dict[str, Callable[[Document, _Asked], Document]] = {
    "move": _move,
    "move-to-new": _move_to_new,
    "add": _add,  # what was excluded is restored by it, too
    "add-group": _add_group,
    "reword": _reword,
    "exclude": _exclude,
    "exclude-group": _exclude_group,
    "merge": _merge,
    "split": _split,
    "split-into": _split_into,
    "rename": _rename,
    "set-init": _set_init,
    "lock-group": _lock_group,
    "lock": _lock,
    "annotate": _annotate,
    "review": _review,
}
