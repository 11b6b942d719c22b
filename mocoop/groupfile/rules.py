"""The rules across groups, and on class names and token counts; none needs embeddings.

They work on a document that may violate the schema (`mocoop.groupfile.schema` reports that; here such parts are
skipped), so that one run reports everything. Each check is a generator of problems; `rule_problems` runs them all.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from mocoop.files import sha256_bytes
from mocoop.groupfile.findings import Problem, quote
from mocoop.groupfile.schema import MAX_GROUPS, MAX_TEMPLATE_LENGTH, MAX_TEMPLATES, nearest
from mocoop.groupfile.templatetext import (
    SLOT,
    character_problems,
    fill,
    folded,
    oddities,
    special_problem,
    special_token,
)
from mocoop.strictjson import Path

ASSUMED_CLASS_TOKENS = 20  # tokens assumed for a class name if the class names are not known
MANY_TOKENS = 40  # CLIP's training captions are short; longer sentences are encoded poorly
MANY_GROUPS = 20  # the largest number of groups in the paper
PLAIN_WORDS = frozenset(
    [
        "a",
        "an",
        "the",
        "this",
        "is",
        "of",
        "photo",
        "photograph",
        "picture",
        "image",
        "photos",
        "pictures",
        "images",
    ]
)


@dataclass(frozen=True)
class Surroundings:
    """What a group file is checked against: class names if known, and the text tower's context length.

    `context_length` includes the start and end tokens, `count_tokens` does not; without it nothing is counted.
    """

    class_names: tuple[str, ...] | None = None
    context_length: int = 77
    count_tokens: Callable[[str], int] | None = None


class Entry(NamedTuple):
    """One template with its location: its group and its path in the document."""

    group: int
    text: str
    path: Path


def rule_problems(document: dict[str, Any], around: Surroundings) -> list[Problem]:
    """Every violation of the rules beyond the schema."""
    groups = _groups(document)
    members = list(_entries(groups))
    entries = [entry for entry in members if len(entry.text) <= MAX_TEMPLATE_LENGTH]
    checks: list[Iterator[Problem]] = [
        _ids(groups),
        _inits(groups, members),
        _special_tokens(entries),
        _twins(groups, entries),
        _counts(groups, entries),
        _plain(document, entries),
        _wording(document, entries),
        _style(entries),
        _excluded(document, entries),
        _stale(document, groups, entries),
        _class_names(around),
        _articles(entries, around),
        _leaked_names(entries, around),
        _lengths(entries, around),
    ]
    return [problem for check in checks for problem in check]


def content_hash(content: Any) -> str:
    """Hex SHA-256 of lists of texts; all hashes of groups are made here."""
    return sha256_bytes(json.dumps(content, separators=(",", ":")).encode("ascii"))


def template_text(item: Any) -> str | None:
    """The text of a template written as a string or as an object."""
    text = item.get("text") if isinstance(item, dict) else item
    return text if isinstance(text, str) else None


def _groups(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The groups by index; a non-object becomes an empty one, so that indices stay correct."""
    groups = document.get("groups")
    listed = groups[:MAX_GROUPS] if isinstance(groups, list) else []
    return [group if isinstance(group, dict) else {} for group in listed]


def _entries(groups: list[dict[str, Any]]) -> Iterator[Entry]:
    for index, group in enumerate(groups):
        templates = group.get("templates")
        for number, item in enumerate(templates[:MAX_TEMPLATES] if isinstance(templates, list) else []):
            text = template_text(item)
            if text is not None:
                path: Path = ("groups", index, "templates", number)
                yield Entry(index, text, (*path, "text") if isinstance(item, dict) else path)


def _label(groups: list[dict[str, Any]], index: int) -> str:
    name = groups[index].get("id")
    return f"group {quote(name)}" if isinstance(name, str) else f"group {index}"


def _ids(groups: list[dict[str, Any]]) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for index, group in enumerate(groups):
        name = group.get("id")
        if isinstance(name, str) and first.setdefault(name, index) != index:
            message = f"the id {quote(name)} is already that of groups[{first[name]}]"
            yield Problem("G102", ("groups", index, "id"), message, "give each group an id of its own")


def _inits(groups: list[dict[str, Any]], entries: list[Entry]) -> Iterator[Problem]:
    texts: dict[int, list[str]] = {}
    for entry in entries:
        texts.setdefault(entry.group, []).append(entry.text)
    for index, group in enumerate(groups):
        init, members = group.get("init"), texts.get(index, [])
        if not isinstance(init, str) or init in members or "templates" not in group:  # the schema names what lacks
            continue
        near = nearest(init, members)
        hint = f"did you mean {quote(near)}?" if near else "copy one of them, or leave init out to take the first"
        message = f"init is not one of the templates of {_label(groups, index)}: {quote(init)}"
        yield Problem("G101", ("groups", index, "init"), message, hint)


def _special_tokens(entries: list[Entry]) -> Iterator[Problem]:
    for entry in entries:
        problem = special_problem(entry.text, entry.path, "the template")
        if problem:
            yield problem


def _twins(groups: list[dict[str, Any]], entries: list[Entry]) -> Iterator[Problem]:
    exact: dict[str, Entry] = {}
    alike: dict[str, Entry] = {}
    for entry in entries:
        same = exact.setdefault(entry.text, entry)
        near = alike.setdefault(folded(entry.text), entry)
        if same is not entry:
            where = _where(groups, same, entry)
            hint = "keep it in one group" if same.group != entry.group else "take one of the two out"
            yield Problem("G103", entry.path, f"{quote(entry.text)} stands already in {where}", hint)
        elif near is not entry:
            where = _where(groups, near, entry)
            message = f"{quote(entry.text)} differs from {quote(near.text)} in {where} only in case, spaces, "
            across = "keep both in one group, or reword one"
            hint = across if near.group != entry.group else "keep one, or leave both: then the wording counts twice"
            yield Problem("G104", entry.path, message + "article or full stop", hint)


def _where(groups: list[dict[str, Any]], earlier: Entry, later: Entry) -> str:
    return "this group" if earlier.group == later.group else _label(groups, earlier.group)


def _counts(groups: list[dict[str, Any]], entries: list[Entry]) -> Iterator[Problem]:
    if len(groups) == 1:
        message = "there is one group only: one expert, and nothing for the router to choose"
        yield Problem("G112", ("groups",), message, "split it, unless one prompt is what you want; 5 to 8 are common")
    if len(groups) > MANY_GROUPS:
        message = f"{len(groups)} groups are more than the {MANY_GROUPS} that have been tried"
        yield Problem("G112", ("groups",), message, "merge some; 5 to 8 barely differ, 20 were used for ImageNet")
    sizes = Counter(entry.group for entry in entries)
    single = sum(size == 1 for size in sizes.values())
    if single:
        message = f"{single} of {len(groups)} groups hold a single template"
        yield Problem("G110", ("groups",), message, "that is normal; the paper's groups do too")
    largest, most = max(sizes.items(), key=lambda item: item[1], default=(0, 0))
    if len(groups) > 1 and 2 * most > len(entries):
        message = f"{_label(groups, largest)} holds {most} of {len(entries)} templates"
        yield Problem("G110", ("groups", largest), message, "nothing to mend if they belong together")


def _plain(document: dict[str, Any], entries: list[Entry]) -> Iterator[Problem]:
    domain = document.get("domain")
    allowed = PLAIN_WORDS | set(_words(domain if isinstance(domain, str) else ""))
    if entries and not any(set(_words(entry.text)) <= allowed for entry in entries):
        message = "no group has a plain template, one that only says what kind of picture it is"
        yield Problem("G111", ("groups",), message, 'add a group with "a photo of a {}." for ordinary pictures')


_KIND_WORDING = (
    (re.compile(r"\{\}[ -](?:texture|pattern|surface)s?\b"), ("texture", "mixed"), "names of textures"),
    (re.compile(r"\b(?:doing|performing|practi[cs]ing) \{\}"), ("activity", "mixed"), "names of activities"),
    (
        re.compile(r"\b(?:a|an|many|several|two) \{\}(?![ -]?\w)"),
        ("object", "scene", "finding", "mixed"),
        "things",
    ),
)


def _wording(document: dict[str, Any], entries: list[Entry]) -> Iterator[Problem]:
    """Only if the file states its kind: the default is a guess and causes no findings."""
    kind = document.get("class_kind")
    if not isinstance(kind, str):
        return
    for entry in entries:
        for pattern, kinds, suits in _KIND_WORDING:
            match = pattern.search(entry.text)
            if match and kind not in kinds:
                message = f'{quote(match.group())} suits {suits}, class_kind is "{kind}": {quote(entry.text)}'
                yield Problem("G113", entry.path, message, "reword it, or correct class_kind")


def _style(entries: list[Entry]) -> Iterator[Problem]:
    unstopped = [entry for entry in entries if not entry.text.rstrip().endswith((".", "!", "?"))]
    stopped_rule = len(unstopped) <= len(entries) - len(unstopped)
    mixed = 0 < len(unstopped) < len(entries)
    for entry in entries:
        odd = oddities(entry.text)
        if mixed and stopped_rule == (entry in unstopped):
            odd.append("no full stop though most have one" if stopped_rule else "a full stop though most have none")
        if odd:
            message = f"{quote(entry.text)} has {', '.join(odd)}"
            yield Problem("G114", entry.path, message, "harmless if meant; else write it as the others")


def _excluded(document: dict[str, Any], entries: list[Entry]) -> Iterator[Problem]:
    listed = document.get("excluded")
    excluded = {template_text(item) for item in listed} if isinstance(listed, list) else set()
    for entry in entries:
        if entry.text in excluded:
            message = f"{quote(entry.text)} is also listed as excluded"
            yield Problem("G119", entry.path, message, "take it out of one of the two")


def _stale(document: dict[str, Any], groups: list[dict[str, Any]], entries: list[Entry]) -> Iterator[Problem]:
    metrics = document.get("metrics")
    measured = metrics.get("templates_sha256") if isinstance(metrics, dict) else None
    texts = [[entry.text for entry in entries if entry.group == index] for index in range(len(groups))]
    if isinstance(measured, str) and measured != content_hash(texts):
        message = "the metrics are stale: they were measured before the templates changed"
        yield Problem("G120", ("metrics",), message, "measure again, or leave them")


def _class_names(around: Surroundings) -> Iterator[Problem]:
    for name in around.class_names or ():
        reason = None
        if not name.strip():
            reason = "is blank"
        elif special_token(name):
            reason = f"spells the token {special_token(name)}"
        elif any(character_problems(name, (), "")):
            reason = "holds a control or invisible character"
        if reason:
            yield Problem(
                "G122", (), f"the class name {quote(name)} {reason}", "correct it where the classes are named"
            )


def _articles(entries: list[Entry], around: Surroundings) -> Iterator[Problem]:
    names = [name for name in around.class_names or () if name[:1].isalpha()]
    for article, clashes in (
        ("a", [name for name in names if _sounds_like_vowel(name)]),
        ("an", [name for name in names if not _sounds_like_vowel(name)]),
    ):
        using = [entry for entry in entries if re.search(rf"\b{article} \{{\}}", entry.text, re.IGNORECASE)]
        if using and clashes:
            message = (
                f'{len(using)} templates read "{article} {{}}", which does not suit {len(clashes)} of '
                f"{len(names)} class names: {quote(f'{article} {clashes[0]}')}"
            )
            yield Problem("G115", using[0].path, message, "CLIP minds little; a wording without an article avoids it")


def _sounds_like_vowel(name: str) -> bool:
    word = name.lower()
    if word.startswith(("hour", "honest", "heir")):
        return True
    return word[0] in "aeiou" and not word.startswith(("uni", "use", "usu", "uti", "eu", "one", "once"))


def _leaked_names(entries: list[Entry], around: Surroundings) -> Iterator[Problem]:
    names = {tuple(_words(name)): name for name in around.class_names or () if len(name) > 2}
    longest = max((len(words) for words in names), default=0)
    for entry in entries:
        words = _words(entry.text)
        spans = (
            tuple(words[start : start + size])
            for size in range(1, longest + 1)
            for start in range(len(words) - size + 1)
        )
        leaked = next((names[span] for span in spans if span in names), None)
        if leaked is not None:
            message = f"the class name {quote(leaked)} stands in {quote(entry.text)}"
            yield Problem("G116", entry.path, message, "templates are for all classes; word it without the name")


def _lengths(entries: list[Entry], around: Surroundings) -> Iterator[Problem]:
    count = around.count_tokens
    if count is None:
        message = "tokens were not counted: the table that open_clip installs was not found"
        yield Problem("G121", (), message, "pip install open_clip_torch; training checks the lengths in any case")
        return
    names = [name for name in around.class_names or () if name.strip()]
    longest = max(names, key=count, default=None)
    for entry in entries:
        if SLOT in entry.text:
            yield from _length(entry, longest, around.context_length, count)


def _length(entry: Entry, longest: str | None, reach: int, count: Callable[[str], int]) -> Iterator[Problem]:
    """Check the filled sentence against the context length; 2 is for the start and end tokens."""
    needed = count(fill(entry.text, longest or "")) + 2
    least = needed if longest is not None else needed + 1
    with_name = f"with the class name {quote(longest)}" if longest is not None else "without a class name"
    message = f"{quote(entry.text)} takes {needed} tokens {with_name}, start and end included"
    if least > reach:
        yield Problem("G106", entry.path, f"{message}; the text tower reads {reach}", "shorten it")
    elif longest is None and needed + ASSUMED_CLASS_TOKENS > reach:
        hint = f"shorten it, or check it with your class names; the text tower reads {reach}"
        yield Problem("G117", entry.path, message, hint)
    elif needed > MANY_TOKENS:
        yield Problem("G118", entry.path, message, f"shorten it; above {MANY_TOKENS} little is understood")


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())
