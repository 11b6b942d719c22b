"""Group files from the bank: a pure function of the domain text, the options and the bank's version.

The result is the same to the byte on every machine: no time, no seed, no order that depends on a hash. Grouping is
by construction, one aspect a group; nothing is called semantic that a person did not write so. A language model as
the author is another backend beside this one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mocoop import __version__
from mocoop.errors import UsageError
from mocoop.grouping.bank import Aspect, Bank, load_bank
from mocoop.grouping.domains import Match, match_domain, match_profiles, nearest_word
from mocoop.grouping.keep import Kept, texts_of
from mocoop.grouping.llm.sift import class_words, names_a_class, words_of
from mocoop.grouprules import MANY_GROUPS, PLAIN_WORDS
from mocoop.groups import check, dump_groups
from mocoop.groupschema import MAX_GROUPS, MAX_TEMPLATES
from mocoop.templatetext import character_problems, folded

MAX_DOMAIN = 200  # characters
PER_GROUP = 6
KINDS = ("object", "scene", "activity", "texture", "finding", "mixed")
_TAKE_ARTICLES = ("object", "mixed")
_PARTICULAR = frozenset({"activity", "texture"})  # wording for these ("doing {}", "a {} surface") suits nothing else
_GENERAL = ("plain_photo", "plain_scene")
_PLAIN = ("satellite_view", "aerial_view", *_GENERAL)  # aspects that lead with wording that claims no style
_ARTICLE = re.compile(r"\b(?:an?|the|one) \{\}")
_JOINERS = "\u200c\u200d"  # they have a meaning in Persian or in emoji, but show nothing by themselves


@dataclass(frozen=True)
class Generated:
    """A group file's document, and what a person should know of how it came about."""

    document: dict[str, Any]
    notices: tuple[str, ...]


def generate_from_bank(
    domain: str,
    *,
    groups: int | None = None,
    per_group: int = PER_GROUP,
    class_kind: str | None = None,
    profiles: Sequence[str] = (),
    supertype: str | None = None,
    class_names: Sequence[str] = (),
    include_general: bool = True,
    kept: Kept | None = None,
) -> Generated:
    """Groups for a domain from the bank.

    Args:
        domain: plain words ("satellite imagery"); control characters go, 200 characters stay.
        groups: how many; None takes the profile's suggestion.
        per_group: templates a group, at most.
        class_kind: what the classes are; None takes the profile's.
        profiles: names that overrule what the domain text would match.
        supertype: what every class is a kind of; "a photo of a {}, a kind of ..." then starts the first expert.
        class_names: templates that contain one of them are left out.
        include_general: keep one group of plain wording.
        kept: what must stay of an earlier file, and what must not come back.

    Raises:
        UsageError: an empty domain, impossible numbers, an unknown profile or kind, a supertype that fits no sentence.
    """
    domain, kept = clean_domain(domain), kept or Kept()
    check_numbers(groups, per_group, class_kind)
    match = match_profiles(profiles) if profiles else match_domain(domain)
    kind = class_kind or match.class_kind
    opening = None if supertype is None else supertype_sentence(supertype, kind, class_names)
    if opening and include_general and per_group == 1:
        raise UsageError("one template a group leaves no room for the supertype", "ask for --per-group 2 or more")
    bank, wording = load_bank(), _Wording(kind, domain, class_words(class_names), kept)
    served = [aspect for aspect in map(bank.aspect, match.aspects) if _serves(aspect, kind)]
    aspects = _with_plain(served, bank, wording) if include_general else [a for a in served if a.name not in _GENERAL]
    fresh = list(_groups(aspects, wording, per_group, opening))
    built = kept.weave(fresh, count=groups or match.suggested_groups, per_group=per_group)
    if not built:
        raise UsageError("each template contains a class name", "check the class names; they should be no plain words")
    notices = [
        *_match_notices(match, domain, bool(profiles)),
        *number_notices(groups, len(built)),
        *_kind_notices(match, served, kind),
        *_class_notices(served, wording, built, include_general),
        *([notice] if (notice := kept.notice()) else []),
    ]
    return Generated(kept.carry(_document(domain, kind, built, match, bank)), tuple(notices))


def clean_domain(text: str) -> str:
    """A domain text as one line of characters that can be seen, at most 200. Raises UsageError if none is left."""
    return _cleaned(text, "domain", 'say what the images are of: --domain "satellite imagery"')


def slug(text: str) -> str:
    """A text as a name of letters, digits and dashes."""
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", ascii_text.lower()).strip("-")[:64].strip("-") or "groups"


def _cleaned(text: str, what: str, hint: str) -> str:
    spaced = text.translate({ord(char): _seen(char) for char in set(text)})
    cleaned = " ".join(spaced.split())[:MAX_DOMAIN].strip()
    if not cleaned.strip(_JOINERS + " "):
        raise UsageError(f"the {what} is empty", hint)
    return cleaned


def _seen(char: str) -> str:
    """A character as a line of a group file may hold it: itself, a space, or nothing."""
    problem = next(character_problems(char, (), ""), None)
    if problem is None:
        return " " if unicodedata.category(char) == "Cs" else char
    return "" if problem.code == "G032" else " "


def check_numbers(groups: int | None, per_group: int, class_kind: str | None) -> None:
    """Raises UsageError for numbers or a kind of classes that cannot be."""
    if groups is not None and not 1 <= groups <= MAX_GROUPS:
        raise UsageError(f"{groups} groups cannot be", f"ask for 1 to {MAX_GROUPS}; 5 to 8 suit most data sets")
    if not 1 <= per_group <= MAX_TEMPLATES:
        raise UsageError(f"{per_group} templates a group cannot be", f"ask for 1 to {MAX_TEMPLATES}")
    if class_kind is not None and class_kind not in KINDS:
        raise UsageError(f"no class kind is called {class_kind!r}", f"choose {', '.join(KINDS)}")


def supertype_sentence(supertype: str, kind: str, class_names: Sequence[str]) -> str:
    """The sentence that says what every class is a kind of. Raises UsageError where no file could hold it."""
    noun = _cleaned(supertype, "supertype", 'say what every class is: --supertype "land cover"').rstrip(". ")
    sentence = f"a photo of {'a {}' if kind in _TAKE_ARTICLES else '{}'}, a kind of {noun}."
    groups = [{"id": "plain", "templates": ["a photo of a {}."]}, {"id": "supertype", "templates": [sentence]}]
    trial = dump_groups({"schema_version": 1, "domain": "trial", "groups": groups})
    for finding in check(trial, class_names=list(class_names) or None):
        if finding.pointer.startswith("/groups/1/templates"):
            raise UsageError(f"the supertype does not suit a template: {finding.message}", finding.hint)
    return sentence


@dataclass(frozen=True)
class _Wording:
    """How templates suit one file: the kind of its classes, its domain, class names and templates to keep out."""

    kind: str
    domain: str
    class_names: frozenset[tuple[str, ...]]
    kept: Kept

    def templates(self, aspect: Aspect) -> list[str]:
        """An aspect's templates as this file may hold them."""
        suited = (text for text in self._suited(aspect) if self.kept.allows(text))
        return [text for text in suited if not names_a_class(text, self.class_names)]

    def left_out(self, aspect: Aspect) -> int:
        """How many of an aspect's templates contain a class name."""
        return sum(names_a_class(text, self.class_names) for text in self._suited(aspect))

    def is_plain(self, text: str) -> bool:
        """Whether a template says no more than what kind of picture it is."""
        return set(words_of(text)) <= PLAIN_WORDS | set(words_of(self.domain))

    def _suited(self, aspect: Aspect) -> Iterator[str]:
        """Drop the article before the slot where an aspect written for objects serves classes that take none."""
        takes_article = self.kind in _TAKE_ARTICLES or self.kind in aspect.class_kinds
        return (text if takes_article else _ARTICLE.sub("{}", text) for text in aspect.templates)


def _serves(aspect: Aspect, kind: str) -> bool:
    return kind == "mixed" or kind in aspect.class_kinds or not _PARTICULAR.issuperset(aspect.class_kinds)


def _with_plain(aspects: Sequence[Aspect], bank: Bank, wording: _Wording) -> list[Aspect]:
    """The aspects with a plain one first, which every mixture needs; of the two general ones the kind's own."""
    general = bank.aspect("plain_scene" if wording.kind == "scene" else "plain_photo")
    wanted = list(dict.fromkeys(general if aspect.name in _GENERAL else aspect for aspect in aspects))
    plain = next((a for a in wanted if a.name in _PLAIN and any(map(wording.is_plain, wording.templates(a)))), general)
    return [plain, *(aspect for aspect in wanted if aspect is not plain)]


def _groups(
    aspects: Sequence[Aspect], wording: _Wording, per_group: int, opening: str | None
) -> Iterator[dict[str, Any]]:
    """One group an aspect, none without templates, no two templates alike; `opening` starts the first."""
    seen: set[str] = set()
    for aspect in aspects:
        texts = wording.templates(aspect)
        plain = next(filter(wording.is_plain, texts), None)
        texts.sort(key=lambda text: text != plain)
        texts = [opening, *texts] if opening and not seen else texts
        kept = [text for text in texts if folded(text) not in seen][:per_group]
        seen.update(map(folded, kept))
        if kept:
            yield _group(aspect, kept)


def _group(aspect: Aspect, templates: list[str]) -> dict[str, Any]:
    return {
        "id": aspect.name,
        "title": aspect.title,
        "description": aspect.description,
        "init": templates[0],
        "templates": templates,
    }


def _match_notices(match: Match, domain: str, named: bool) -> Iterator[str]:
    names = " and ".join(profile.name for profile in match.profiles)
    words = " and ".join(repr(word) for word in match.words)
    if named:
        yield f"using the profile {names}, as asked"
    elif not match.words:
        near = nearest_word(domain)
        meant = f"did you mean {near!r}? " if near else "domains are read as English words; "
        yield f"no profile matches {domain!r}: these are general templates ({meant}see `mocoop-groups domains`)"
    elif len(match.profiles) > 1:
        yield f"{words} call for two profiles, {names}: their aspects in turn"
    else:
        yield f"{words} calls for the profile {names}"


def number_notices(asked: int | None, made: int) -> Iterator[str]:
    """What is worth saying of a number of groups."""
    if asked and made < asked:
        yield f"the bank has templates for {made} groups in this domain, fewer than the {asked} asked for"
    if made == 1:
        yield "one group is one expert, and leaves the router nothing to choose"
    if made > MANY_GROUPS:
        yield f"{made} groups are more than the {MANY_GROUPS} that have been tried"


def _kind_notices(match: Match, served: Sequence[Aspect], kind: str) -> Iterator[str]:
    unfit = sorted(set(match.aspects) - {aspect.name for aspect in served})
    if unfit:
        yield f"left out, being worded for other kinds of classes than {kind}: {', '.join(unfit)}"


def _class_notices(
    served: Sequence[Aspect], wording: _Wording, built: Sequence[dict[str, Any]], include_general: bool
) -> Iterator[str]:
    named = sum(map(wording.left_out, served))
    if named:
        yield f"left out, as they contain a class name: {named} template{'s' if named > 1 else ''}"
    if include_general and not any(wording.is_plain(text) for group in built for text in texts_of(group)):
        yield "no group has a plain template: each contains a class name"


def _document(domain: str, kind: str, groups: Sequence[dict[str, Any]], match: Match, bank: Bank) -> dict[str, Any]:
    unmatched = {} if match.words else {"description": "No profile matched the domain: these are general templates."}
    step = {
        "step": "generate",
        "backend": "bank",
        "bank": bank.name,
        "bank_version": bank.version,
        "profiles": [profile.name for profile in match.profiles],
        "matched": list(match.words),
        "n_groups": len(groups),
    }
    return {
        "schema_version": 1,
        "name": slug(domain),
        "domain": domain,
        **unmatched,
        "class_kind": kind,
        "groups": list(groups),
        "provenance": {"tool": f"mocoop-groups {__version__}", "steps": [step]},
    }
