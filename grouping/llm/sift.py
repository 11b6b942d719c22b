"""Sifting untrusted templates: repair what can be repaired without loss, drop the rest with a reason.

The order is fixed: normalised spelling, one slot, length, forbidden content, then repeats; `diverse` then picks the
most dissimilar ones by their words. Pure functions; embeddings are not used here.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from mocoop.groupfile import tokens
from mocoop.groupfile.schema import MAX_TEMPLATE_LENGTH
from mocoop.groupfile.templatetext import SLOT, character_problems, fill, folded, special_token

MAX_WORDS = 20
CONTEXT_LENGTH = 77  # tokens that a text tower reads, start and end included
UNLIKE = 0.7  # weight of dissimilarity to the templates already picked, against the writer's order

_THING = r"(?:class|object|name|label|category)(?:[ _]?name)?"
_SLOTS = re.compile(
    rf"\{{\{{\s*\}}\}}|\{{\s+\}}|\{{\{{?\s*(?:[a-z_ ]{{1,20}}|0)\s*\}}?\}}|\[\s*{_THING}\s*\]|<\s*{_THING}\s*>"
    r"|%s|\$\{?(?:class|name|label)\}?|\bCLASS(?:_?NAME)?\b|_{3,}",
    re.IGNORECASE,
)
_CASED = re.compile(r"\bCLASS(?:_?NAME)?\b|[^A-Za-z]")  # the bare word is a slot only in capitals
_QUOTES = {ord(char): "'" for char in "\u2018\u2019\u201b"} | {ord(char): '"' for char in "\u201c\u201d\u201e\u201f"}
_MARKS = re.compile(r"^(?:[-*\u2022]|\d{1,3}[.)])\s+")
_ADDRESS = re.compile(r"https?:|www\.|\S@\S|\b[a-z0-9-]+\.(?:com|org|net|io)\b", re.IGNORECASE)
_UNSEEN = re.compile(
    r"\b(?:smell(?:s|ing)?|scent(?:s|ed)?|odou?rs?|fragran\w+|tast(?:es?|ing|y)|delicious|sounds? (?:of|like)|"
    r"loud|silent|whisper\w*|expensive|cheap|price[sd]?|famous)\b",
    re.IGNORECASE,
)
_SPEAKER = re.compile(r"\b(?:I|I'm|I'll|we|as an ai|language model|sorry|template|prompt|please|note that)\b")
_ANY_CASE = re.compile(r"\b(?:as an ai|language model|sorry|template|prompt|please|note that)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Sifted:
    """The remaining texts, in order; how many were dropped for each reason, and how many had their slot repaired."""

    texts: tuple[str, ...]
    dropped: Counter[str] = field(default_factory=Counter)
    repaired: int = 0


def sift(texts: Iterable[str], class_names: Sequence[str] = ()) -> Sifted:
    """The texts that are valid templates for all classes, each once."""
    kept: list[str] = []
    seen_exact, seen = set[str](), set[str]()
    dropped, repaired = Counter[str](), 0
    longest = max(class_names, key=len, default="")
    names = class_words(class_names)
    for given in texts:
        text, mended = _slotted(_written(given))
        reason = _fault(given, text, names, longest)
        if reason is None and folded(text) in seen:
            reason = "repeated" if text in seen_exact else "repeated but for case, article or full stop"
        if reason:
            dropped[reason] += 1
            continue
        kept.append(text)
        repaired += mended
        seen_exact.add(text)
        seen.add(folded(text))
    return Sifted(tuple(kept), dropped, repaired)


def diverse(texts: Sequence[str], count: int) -> tuple[str, ...]:
    """At most `count` texts: the first one and others that are dissimilar, in the given order.

    Maximal marginal relevance (Carbonell and Goldstein 1998): the relevance is the writer's order, the similarity the
    share of common words.
    """
    left, picked = list(range(len(texts))), list[int]()
    words = [frozenset(words_of(text)) for text in texts]
    while left and len(picked) < count:

        def worth(index: int) -> float:
            alike = max((_likeness(words[index], words[other]) for other in picked), default=0.0)
            return (1 - UNLIKE) * (1 - index / len(texts)) - UNLIKE * alike

        best = max(left, key=lambda index: (worth(index), -index))
        picked.append(best)
        left.remove(best)
    return tuple(texts[index] for index in sorted(picked))


def words_of(text: str) -> tuple[str, ...]:
    """The words of a text, case-folded."""
    return tuple(re.findall(r"\w+", text.casefold()))


def class_words(class_names: Iterable[str]) -> frozenset[tuple[str, ...]]:
    """Class names as tuples of words; very short ones ("a", "7") are ignored, since they occur in many sentences."""
    return frozenset(name for name in map(words_of, class_names) if len(" ".join(name)) > 2)


def names_a_class(text: str, names: frozenset[tuple[str, ...]]) -> bool:
    """Whether a text contains one of the names, each given as its words."""
    words = words_of(text)
    return any(words[at : at + len(name)] == name for name in names for at in range(len(words) - len(name) + 1))


def _written(text: str) -> str:
    """One line in the bank's style: plain quotes and spaces, no list mark, lower case at the start, a full stop."""
    line = unicodedata.normalize("NFC", text).translate(_QUOTES).replace("\u2026", "...").strip()
    line = _MARKS.sub("", line)
    for quote in "\"'`":
        if len(line) > 1 and line.startswith(quote) and line.endswith(quote):
            line = line[1:-1].strip()
    line = re.sub(r"[^\S\r\n]+", " ", line)
    line = re.sub(r" +([.,;:!?])", r"\1", line)
    if re.match(r"[A-Z][a-z]* ", line) and not line.startswith("I "):
        line = line[0].lower() + line[1:]
    return line if line.endswith((".", "!", "?")) or not line else line + "."


def _slotted(text: str) -> tuple[str, bool]:
    """The text with {} for its only slot, and whether the slot was in another spelling."""
    if text.count(SLOT) == 1 and text.count("{") == 1 == text.count("}"):
        return text, False
    found = [match for match in _SLOTS.finditer(text) if _CASED.search(match.group())]
    if len(found) != 1 or SLOT in text.replace(found[0].group(), "", 1):
        return text, False
    return text[: found[0].start()] + SLOT + text[found[0].end() :], True


def _fault(given: str, text: str, names: frozenset[tuple[str, ...]], longest: str) -> str | None:
    """Why a text is rejected as a template, or None."""
    bare = text.replace(SLOT, "", 1)
    if SLOT not in text:
        return "no slot"
    if "{" in bare or "}" in bare:
        return "more than one slot"
    if not re.search(r"\w", bare):
        return "nothing but the slot"
    if len(text) > MAX_TEMPLATE_LENGTH or len(bare.split()) > MAX_WORDS or _too_many_tokens(text, longest):
        return "too long"
    if "\ufffd" in text or special_token(text) or any(character_problems(given.strip() + text, (), "")):
        return "control or unreadable characters"
    if _ADDRESS.search(bare):
        return "an address"
    if names_a_class(bare, names):
        return "a class name"
    if _UNSEEN.search(bare):
        return "not visible in a picture"
    if _SPEAKER.search(bare) or _ANY_CASE.search(bare):
        return "talk about the task"
    return None


def _too_many_tokens(text: str, longest: str) -> bool:
    return tokens.available() and tokens.count_tokens(fill(text, longest)) + 2 > CONTEXT_LENGTH


def _likeness(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / (len(one | other) or 1)
