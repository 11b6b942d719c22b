"""The rules of one template's text: one slot, only visible characters, no special tokens.

A template is filled by `fill` and never by str.format, so braces in a class name are harmless and a template cannot
access attributes. Rules about several templates are in `mocoop.groupfile.rules`.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator

from mocoop.groupfile.findings import Problem, quote
from mocoop.strictjson import Path

SLOT = "{}"

_LINE_BREAKS = re.compile(r"[\t\n]")
_CONTROL = re.compile("[\u0000-\u001f\u007f-\u009f\u2028\u2029]")
_UNSEEN = re.compile(  # soft hyphen, direction marks, zero width, byte order mark, annotations, tags
    "[\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_SPECIAL = re.compile(r"<\|?(?:start|end)_?of_?text\|?>")
_ARTICLE = re.compile(r"\b(?:a|an|the)\b")
_OTHER_SLOTS = re.compile(r"\{[^{}]+\}|\[class(?: ?name)?\]|<class(?: ?name)?>|%s|\bCLASS\b", re.IGNORECASE)


def fill(text: str, class_name: str) -> str:
    """Fill a template with a class name."""
    return text.replace(SLOT, class_name, 1)


def folded(text: str) -> str:
    """A template normalised for comparison: case, wide forms, articles, spaces and the full stop are ignored."""
    bare = _ARTICLE.sub(" ", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(bare.split()).rstrip(". ")


def special_token(text: str) -> str | None:
    """The start or end token that a tokenizer may find in a text, also through entities and wide forms."""
    seen = text
    for _ in range(4):
        seen = _CONTROL.sub("", _UNSEEN.sub("", unicodedata.normalize("NFKC", html.unescape(seen))))
    match = _SPECIAL.search(seen.casefold())
    return match.group() if match else None


def template_problems(text: str, path: Path, name: str) -> Iterator[Problem]:
    """Problems with a template that the schema's patterns refuse, each by its rule."""
    if text.count("{") != 1 or text.count("}") != 1 or SLOT not in text:
        yield Problem("G030", path, *_slot_words(text, name))
    if not text.replace("{", "").replace("}", "").strip():
        message = f"{name} has nothing beside the slot: {quote(text)}"
        yield Problem("G034", path, message, 'say something about the picture, as in "a photo of a {}."')
    yield from character_problems(text, path, name)


def character_problems(text: str, path: Path, name: str, *, line_breaks: bool = False) -> Iterator[Problem]:
    """Control, invisible and direction-changing characters; `line_breaks` allows tab and newline."""
    control = _CONTROL.search(_LINE_BREAKS.sub(" ", text) if line_breaks else text)
    if control:
        message = f"{name} holds {_code_point(control.group())}: {quote(text)}"
        hint = "keep it on one line, without tabs or other control characters"
        yield Problem("G031", path, message, hint if not line_breaks else "take the character out")
    unseen = _UNSEEN.search(text)
    if unseen:
        message = f"{name} holds the invisible {_code_point(unseen.group())}: {quote(text)}"
        yield Problem("G032", path, message, "take it out; it is easily pasted from a web page")


def special_problem(text: str, path: Path, name: str) -> Problem | None:
    """A literal start or end token of the tokenizer: it would end the sentence early."""
    spelling = special_token(text)
    if spelling is None:
        return None
    message = f"{name} spells the token {spelling}: {quote(text)}"
    return Problem("G033", path, message, "tokenizers read it as the start or end of the text; word it otherwise")


def oddities(text: str) -> list[str]:
    """What looks like a typo in a template."""
    found = []
    if text != text.strip():
        found.append("a space at its start or end")
    if re.search(r"\s\s", text.strip()):
        found.append("two spaces in a row")
    if re.search(r"[^\S\x00-\x20\x7f-\x9f]", text):
        found.append("a space that is no plain space")
    if re.search(r"\s[.,;:!?]", text):
        found.append("a space before punctuation")
    found.extend(f"{char} ({_code_point(char)})" for char in sorted(set(re.findall("[\u2018-\u201f\u2026]", text))))
    return found


def _slot_words(text: str, name: str) -> tuple[str, str]:
    shown = quote(text)
    if text.count(SLOT) > 1:
        return f"{name} has {text.count(SLOT)} slots {{}}: {shown}", "keep the one where the class name goes"
    other = _OTHER_SLOTS.search(text)
    if other and SLOT not in text:
        found = quote(other.group())[1:-1]
        return f"{name} has no slot {{}} but {found}: {shown}", f"write {{}} in place of {found}"
    if SLOT not in text and not set("{}") & set(text):
        return f"{name} has no slot {{}}: {shown}", 'write {} for the class name, as in "a photo of a {}."'
    return (
        f"{name} has a brace too many: {shown}",
        "braces stand only in the one slot {}; take the others out",
    )


def _code_point(char: str) -> str:
    name = unicodedata.name(char, "control character").lower()
    return f"U+{ord(char):04X} {name}"
