"""What the review page is told of a document: plain values, and only those groups that changed since it last asked."""

from __future__ import annotations

from typing import Any

from mocoop.groupfile import tokens
from mocoop.groupfile.templatetext import fill
from mocoop.grouping.editing.lookup import Document, Group, init_of
from mocoop.grouping.editing.reviewed import seen
from mocoop.grouping.keep import text_of


def whole(document: Document) -> dict[str, Any]:
    """All of a document."""
    groups = document["groups"]
    return {
        "whole": True,
        "domain": document["domain"],
        "name": document.get("name"),
        "class_kind": document.get("class_kind", "object"),
        "order": [group["id"] for group in groups],
        "groups": {group["id"]: group_view(group) for group in groups},
        "excluded": _excluded(document),
    }


def delta(before: Document, after: Document) -> dict[str, Any]:
    """What differs: documents share the groups that an operation did not touch."""
    known = {id(group) for group in before["groups"]}
    told: dict[str, Any] = {
        "whole": False,
        "order": [group["id"] for group in after["groups"]],
        "groups": {group["id"]: group_view(group) for group in after["groups"] if id(group) not in known},
    }
    if before.get("excluded") is not after.get("excluded"):
        told["excluded"] = _excluded(after)
    return told


def group_view(group: Group) -> dict[str, Any]:
    """One group with its templates, each with its tokens (start and end included, no class name)."""
    reviewed, init, counted = seen(group), init_of(group), tokens.available()
    return {
        "id": group["id"],
        "title": group.get("title", ""),
        "description": group.get("description", ""),
        "locked": bool(group.get("locked")),
        "templates": [_template_view(item, reviewed, init, counted) for item in group["templates"]],
    }


def _template_view(item: Any, reviewed: set[str], init: str, counted: bool) -> dict[str, Any]:
    """A template; what does not apply is left out, since there may be thousands."""
    text, facts = text_of(item), item if isinstance(item, dict) else {}
    told = {
        "text": text,
        "tokens": token_count(text) if counted else None,
        "init": text == init,
        "reviewed": text in reviewed,
        "locked": bool(facts.get("locked")),
        "note": facts.get("note"),
        "origin": facts.get("origin"),
    }
    return {key: value for key, value in told.items() if value}


def token_count(text: str) -> int:
    """CLIP tokens of a template without a class name, start and end included."""
    return tokens.count_tokens(fill(text, "")) + 2


def _excluded(document: Document) -> list[dict[str, Any]]:
    return [{"text": entry["text"], "reason": entry.get("reason")} for entry in document.get("excluded", [])]
