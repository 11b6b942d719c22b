"""Lossless fixes to a group file: spaces, curly quotes, full stops, exact duplicates within a group.

Tokenizers read the text the same before and after (except for a full stop, added only if most templates have one).
Locked groups and templates are not touched, and a fix that would make two templates identical is skipped. The document
may be malformed: anything that is not a group or a template is left alone.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from mocoop.groupfile.findings import quote
from mocoop.groupfile.rules import template_text

Document = dict[str, Any]

# Python counts some control characters as whitespace; they are errors, not typos, and are left for the user to see.
_SPACES = re.compile(r"[^\S\x0b\x0c\x1c-\x1f\x85\u2028\u2029]+")
_QUOTES = {**dict.fromkeys(map(ord, "\u2018\u2019\u201a\u201b"), "'"), **dict.fromkeys(map(ord, "“”„‟"), '"')}
_STOPS = (".", "!", "?")
_MAY_STOP = re.compile(r"[\w}\])\"']\Z")


def tidied(document: Document) -> tuple[Document, list[str]]:
    """The document with fixes applied, and one line per fix; the given document is not modified."""
    groups = document.get("groups")
    if not isinstance(groups, list):
        return document, []
    found = (template_text(item) for group in groups for item in _items(group))
    texts = list(dict.fromkeys(text for text in found if text is not None))
    stopped = sum(text.rstrip().endswith(_STOPS) for text in texts)
    new_texts = _renamings(groups, texts, stop=2 * stopped > len(texts))
    done: list[str] = [f"{quote(old)} -> {quote(new)}" for old, new in new_texts.items()]
    mended = [_mended(group, new_texts, done) if isinstance(group, dict) else group for group in groups]
    return ({**document, "groups": mended} if done else document), done


def tidy_text(text: str, *, stop: bool = False) -> str:
    """One template with single plain spaces, straight quotes and, if `stop`, a full stop at the end."""
    plain = _SPACES.sub(" ", text).strip(" ").translate(_QUOTES)
    return f"{plain}." if stop and not plain.endswith(_STOPS) and _MAY_STOP.search(plain) else plain


def _renamings(groups: list[Any], texts: list[str], *, stop: bool) -> dict[str, str]:
    """The new text of each template that changes; skips locked ones and new texts that would not be unique."""
    locked = {template_text(item) for group in groups for item in _items(group) if _locked(group) or _locked(item)}
    wanted = {text: text if text in locked else tidy_text(text, stop=stop) for text in texts}
    claims = Counter(wanted.values())
    return {old: new for old, new in wanted.items() if new != old and claims[new] == 1}


def _mended(group: Document, new_texts: dict[str, str], done: list[str]) -> Document:
    if not isinstance(group.get("templates"), list):
        return group
    kept = group["templates"] if _locked(group) else _without_twins(group["templates"], done)
    templates = [_renamed(item, new_texts) for item in kept]
    changed = {**group, "templates": templates}
    init = group.get("init")
    if isinstance(init, str):
        changed["init"] = new_texts.get(init, init)
    return changed


def _without_twins(items: list[Any], done: list[str]) -> list[Any]:
    """Each text once, at its first position and in its fullest form; two with different notes are both kept."""
    kept: list[Any] = []
    places: dict[str, int] = {}
    for item in items:
        text = template_text(item)
        if text is None or text not in places:
            places.update({text: len(kept)} if text is not None else {})
            kept.append(item)
            continue
        first = kept[places[text]]
        bare, full = (first, item) if isinstance(first, str) else (item, first)
        if isinstance(bare, str) or bare == full:
            kept[places[text]] = full
            done.append(f"{quote(text)} stood twice in a group: once now")
        else:
            kept.append(item)
    return kept


def _renamed(item: Any, new_texts: dict[str, str]) -> Any:
    text = template_text(item)
    if text is None or text not in new_texts:
        return item
    return {**item, "text": new_texts[text]} if isinstance(item, dict) else new_texts[text]


def _items(group: Any) -> list[Any]:
    items = group.get("templates") if isinstance(group, dict) else None
    return items if isinstance(items, list) else []


def _locked(thing: Any) -> bool:
    return isinstance(thing, dict) and thing.get("locked") is True
