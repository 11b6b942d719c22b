"""Group files from the bank: a pure function of the domain text, the options and the bank's version.

The result is byte-identical on every machine: no time, no seed, no hash-dependent order. Grouping is by construction,
one group per aspect; only groups that a person wrote as such are called semantic. Generation by a language model is a
separate backend.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from mocoop import __version__
from mocoop.errors import UsageError
from mocoop.groupfile.groups import check, dump_groups
from mocoop.groupfile.rules import MANY_GROUPS, PLAIN_WORDS
from mocoop.groupfile.schema import MAX_GROUPS, MAX_TEMPLATES
from mocoop.groupfile.templatetext import character_problems, folded
from mocoop.grouping.bank import Aspect, Bank, load_bank
from mocoop.grouping.domainmeaning import match_by_meaning
from mocoop.grouping.domains import GENERAL, Match, match_domain, match_profiles, nearest_word
from mocoop.grouping.fields import FieldAspect, contains, load_fields
from mocoop.grouping.keep import Kept, texts_of
from mocoop.grouping.llm.sift import class_words, names_a_class, words_of
from mocoop.grouping.subject import Subject, read_subject

MAX_DOMAIN = 200  # characters
PER_GROUP = 6
KINDS = ("object", "scene", "activity", "texture", "finding", "mixed")
_TAKE_ARTICLES = ("object", "mixed")
_PARTICULAR = frozenset({"activity", "texture"})  # wording for these ("doing {}", "a {} surface") fits no other kind
_GENERAL = ("plain_photo", "plain_scene", "plain_picture")
_PLAIN = ("satellite_view", "aerial_view", *_GENERAL)  # aspects whose first template implies no style
_ANY_FIELD = ("own_words", "near_and_far", "lighting", "signal", "angle", "placement", "sharpness")  # no profile
_ANY_FIELD_GROUPS = 6
_LEAST_SUITED = 2  # templates of an aspect; one that keeps fewer for a domain is left out
_ARTICLE = re.compile(r"\b(?:an?|the|one) \{\}")
_JOINERS = "\u200c\u200d"  # meaningful in Persian or in emoji, but invisible on their own


@dataclass(frozen=True)
class Generated:
    """A group file's document, and notices for the user about how it was made."""

    document: dict[str, Any]
    notices: tuple[str, ...]


@dataclass(frozen=True)
class Wanted:
    """A request for a group file, for either backend; what is not given defaults to the domain's profile.

    Raises UsageError on construction (an empty domain, impossible numbers, an unknown kind) and on first access to a
    property that depends on the profile (an unknown profile, a supertype that fits no sentence).
    """

    domain: str  # plain words ("satellite imagery"); control characters are removed, 200 characters kept
    groups: int | None = None  # how many; None takes the profile's suggestion
    per_group: int = PER_GROUP  # maximum number of templates per group
    class_kind: str | None = None  # what the classes are; None takes the profile's
    profiles: Sequence[str] = ()  # profile names; override the match by the domain's words
    supertype: str | None = None  # what every class is a kind of: "a photo of a {}, a kind of ..." starts an expert
    class_names: Sequence[str] = ()  # templates that contain one of them are left out
    include_general: bool = True  # keep one group of plain wording
    kept: Kept = field(default_factory=Kept)  # what must stay of an earlier file, and what must not come back
    seed: int = 0  # samples the class names sent to a model; the bank draws nothing at random
    by_meaning: bool = False  # ask the sentence model, if it is installed, where no word of the domain is known

    def __post_init__(self) -> None:
        object.__setattr__(self, "domain", clean_domain(self.domain))
        if self.groups is not None and not 1 <= self.groups <= MAX_GROUPS:
            hint = f"ask for 1 to {MAX_GROUPS}; 5 to 8 suit most data sets"
            raise UsageError(f"{self.groups} groups cannot be", hint)
        if not 1 <= self.per_group <= MAX_TEMPLATES:
            raise UsageError(f"{self.per_group} templates a group cannot be", f"ask for 1 to {MAX_TEMPLATES}")
        if self.class_kind is not None and self.class_kind not in KINDS:
            raise UsageError(f"no class kind is called {self.class_kind!r}", f"choose {', '.join(KINDS)}")

    @cached_property
    def match(self) -> Match:
        """The named profiles, or those that match the domain's words, or its meaning if that is asked for."""
        if self.profiles:
            return match_profiles(self.profiles)
        return match_by_meaning(self.domain) if self.by_meaning else match_domain(self.domain)

    @cached_property
    def subject(self) -> Subject:
        """What the domain's text says of its pictures; what it leaves open is filled in from the profile."""
        subject, match = read_subject(self.domain), self.match
        if match.medium and not subject.said:
            own = next(medium for medium in load_fields().media if medium.name == match.medium)
            subject = replace(subject, medium=own)
        unsure = self.kind != "finding" and match.found and not match.names(subject.noun)
        if match.noun and (unsure or not subject.noun):
            subject = replace(subject, noun=match.noun, head=match.noun.rpartition(" ")[2])
        return subject

    @property
    def kind(self) -> str:
        """What the classes are."""
        return self.class_kind or self.match.class_kind

    @property
    def count(self) -> int:
        """The maximum number of groups."""
        return self.groups or (self.match.suggested_groups if self.match.found else _ANY_FIELD_GROUPS)

    @property
    def aspects(self) -> tuple[str, ...]:
        """The names of the aspects, the most useful first; where no profile matches, careful ones come first."""
        if self.match.found:
            return self.match.aspects
        return (*_ANY_FIELD, *self.match.aspects) if self.groups else _ANY_FIELD

    @cached_property
    def opening(self) -> str | None:
        """The sentence that says what every class is a kind of, if a supertype was given."""
        if self.supertype is None:
            return None
        if self.include_general and self.per_group == 1:
            raise UsageError("one template a group leaves no room for the supertype", "ask for --per-group 2 or more")
        return _supertype_sentence(self.supertype, self.kind, self.class_names)


def generate_from_bank(wanted: Wanted) -> Generated:
    """Make groups for a domain from the bank. Raises UsageError as `Wanted` does, and if class names leave nothing."""
    kept = wanted.kept
    bank, wording = load_bank(), _Wording(wanted)
    served = [aspect for aspect in map(_aspect_named, wanted.aspects) if wording.serves(aspect)]
    plain_too = wanted.include_general
    aspects = _with_plain(served, bank, wording) if plain_too else [a for a in served if a.name not in _GENERAL]
    fresh = list(_groups(aspects, wording, wanted.per_group, wanted.opening))
    built = kept.weave(fresh, count=wanted.count, per_group=wanted.per_group)
    if not built:
        raise UsageError("each template contains a class name", "check the class names; they should be no plain words")
    notices = [
        *_match_notices(wanted),
        *number_notices(wanted.groups, len(built)),
        *_kind_notices(wanted, served),
        *_class_notices(served, wording, built, plain_too),
        *([notice] if (notice := kept.notice()) else []),
    ]
    return Generated(kept.carry(_document(wanted, built, bank)), tuple(notices))


def clean_domain(text: str) -> str:
    """A domain text as one line of at most 200 visible characters. Raises UsageError if none is left."""
    return _cleaned(text, "domain", 'say what the images are of: --domain "satellite imagery"')


def slug(text: str) -> str:
    """The text as a slug of lower-case letters, digits and dashes."""
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", ascii_text.lower()).strip("-")[:64].strip("-") or "groups"


def _cleaned(text: str, what: str, hint: str) -> str:
    spaced = text.translate({ord(char): _seen(char) for char in set(text)})
    cleaned = " ".join(spaced.split())[:MAX_DOMAIN].strip()
    if not cleaned.strip(_JOINERS + " "):
        raise UsageError(f"the {what} is empty", hint)
    return cleaned


def _seen(char: str) -> str:
    """What replaces a character on a line of a group file: itself, a space, or nothing."""
    problem = next(character_problems(char, (), ""), None)
    if problem is None:
        return " " if unicodedata.category(char) == "Cs" else char
    return "" if problem.code == "G032" else " "


def _supertype_sentence(supertype: str, kind: str, class_names: Sequence[str]) -> str:
    """The sentence that says what every class is a kind of. Raises UsageError if it is not a valid template."""
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
    """Adapts templates to one file: the kind of its classes, its domain, class names and templates to leave out."""

    wanted: Wanted

    @property
    def kind(self) -> str:
        """What the classes are."""
        return self.wanted.kind

    @cached_property
    def class_names(self) -> frozenset[tuple[str, ...]]:
        """The class names as words."""
        return class_words(self.wanted.class_names)

    @cached_property
    def filters(self) -> bool:
        """Whether templates for other domains are left out; a profile asked for by name gives all it has."""
        names = [profile.name for profile in self.wanted.match.profiles]
        return not self.wanted.profiles and names != [GENERAL]

    @property
    def asked(self) -> str:
        """The domain's text, and the description that is near it in meaning."""
        return f"{self.wanted.domain} {self.wanted.match.phrase}"

    def templates(self, aspect: Aspect) -> list[str]:
        """The aspect's templates as worded for this file, without those that it may not hold."""
        suited = list(dict.fromkeys(self._suited(aspect)))  # two marks may be filled alike: domain "images"
        if len(suited) < _LEAST_SUITED:
            return []
        texts = [text for text in suited if self.wanted.kept.allows(text)]
        return [text for text in texts if not names_a_class(text, self.class_names)]

    def left_out(self, aspect: Aspect) -> int:
        """How many of an aspect's templates contain a class name."""
        return sum(names_a_class(text, self.class_names) for text in self._suited(aspect))

    def is_plain(self, text: str) -> bool:
        """Whether a template only says what kind of picture it is."""
        return set(words_of(text)) <= PLAIN_WORDS | set(words_of(self.wanted.domain))

    def serves(self, aspect: Aspect) -> bool:
        """Whether an aspect suits the kind of the classes, and a field aspect also the pictures and the domain."""
        mixed = self.kind == "mixed"
        if not isinstance(aspect, FieldAspect):
            of_places = self.filters and self.kind == "object" and aspect.class_kinds == ("scene",)
            particular = of_places or _PARTICULAR.issuperset(aspect.class_kinds)
            return mixed or self.kind in aspect.class_kinds or not particular
        optical = self.wanted.subject.medium.optical
        seen = aspect.media == "any" or (aspect.media == "optical") == optical
        called_for = not aspect.only_for or not self.filters or contains(self.asked, aspect.only_for)
        return seen and called_for and (mixed or self.kind in aspect.class_kinds)

    def _suited(self, aspect: Aspect) -> Iterator[str]:
        """Fill the marks, and drop the article before the slot where these classes take none."""
        in_field = isinstance(aspect, FieldAspect)
        takes_article = self.kind in _TAKE_ARTICLES or (self.kind in aspect.class_kinds and not in_field)
        for text in aspect.templates:
            if self.filters and not load_fields().suits(text, self.asked):
                continue
            filled = self.wanted.subject.fill(text) if in_field else text
            if filled is not None:
                yield filled if takes_article else _ARTICLE.sub("{}", filled)


def _aspect_named(name: str) -> Aspect:
    fields = load_fields().aspects
    return fields[name] if name in fields else load_bank().aspect(name)


def _with_plain(aspects: Sequence[Aspect], bank: Bank, wording: _Wording) -> list[Aspect]:
    """The aspects, with a plain one first, which every mixture needs; the general one is chosen by class kind."""
    general = _general_aspect(bank, wording)
    wanted = list(dict.fromkeys(general if aspect.name in _GENERAL else aspect for aspect in aspects))
    plain = next((a for a in wanted if a.name in _PLAIN and any(map(wording.is_plain, wording.templates(a)))), general)
    return [plain, *(aspect for aspect in wanted if aspect is not plain)]


def _general_aspect(bank: Bank, wording: _Wording) -> Aspect:
    """Plain wording: for places, for things in photographs, or for whatever picture the domain names."""
    if wording.kind == "scene":
        return bank.aspect("plain_scene")
    photo = wording.wanted.subject.medium.name == "photo" and wording.kind in (*_TAKE_ARTICLES, "activity")
    return bank.aspect("plain_photo") if photo else load_fields().aspects["plain_picture"]


def _groups(
    aspects: Sequence[Aspect], wording: _Wording, per_group: int, opening: str | None
) -> Iterator[dict[str, Any]]:
    """One group per aspect, skipping empty ones, without near-identical templates; `opening` comes first of all."""
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


def _match_notices(wanted: Wanted) -> Iterator[str]:
    match, domain = wanted.match, wanted.domain
    names = " and ".join(profile.name for profile in match.profiles)
    words = " and ".join(repr(word) for word in match.words)
    if wanted.profiles:
        yield f"using the profile {names}, as asked"
    elif match.phrase:
        how = f"by meaning: {match.phrase!r}, cosine {match.likeness:.2f}, {match.model}"
        yield f"no word of {domain!r} names a profile; {names} is nearest ({how})"
    elif not match.words:
        near = nearest_word(domain)
        meant = f"did you mean {near!r}? " if near else "domains are read as English words; "
        yield f"no profile matches {domain!r}: these are general templates ({meant}see `mocoop-groups domains`)"
    elif len(match.profiles) > 1:
        yield f"{words} call for two profiles, {names}: their aspects in turn"
    else:
        yield f"{words} calls for the profile {names}"
    if _takes_up_words(wanted) and (told := wanted.subject.told()):
        yield f"taken up in templates: {told}"


def _takes_up_words(wanted: Wanted) -> bool:
    """Whether any aspect has room for the domain's own words."""
    return any(name in load_fields().aspects for name in wanted.aspects)


def number_notices(asked: int | None, made: int) -> Iterator[str]:
    """Notices about the number of groups."""
    if asked and made < asked:
        yield f"the bank has templates for {made} groups in this domain, fewer than the {asked} asked for"
    if made == 1:
        yield "one group is one expert, and leaves the router nothing to choose"
    if made > MANY_GROUPS:
        yield f"{made} groups are more than the {MANY_GROUPS} that have been tried"


def _kind_notices(wanted: Wanted, served: Sequence[Aspect]) -> Iterator[str]:
    """Field aspects are written in parallel for several kinds, and of those nothing is missing."""
    unfit = set(wanted.aspects) - {aspect.name for aspect in served} - load_fields().aspects.keys()
    if unfit:
        yield f"left out, being worded for other kinds of classes than {wanted.kind}: {', '.join(sorted(unfit))}"


def _class_notices(
    served: Sequence[Aspect], wording: _Wording, built: Sequence[dict[str, Any]], include_general: bool
) -> Iterator[str]:
    named = sum(map(wording.left_out, served))
    if named:
        yield f"left out, as they contain a class name: {named} template{'s' if named > 1 else ''}"
    if include_general and not any(wording.is_plain(text) for group in built for text in texts_of(group)):
        yield "no group has a plain template: each contains a class name"


def _document(wanted: Wanted, groups: Sequence[dict[str, Any]], bank: Bank) -> dict[str, Any]:
    match = wanted.match
    unmatched = {} if match.found else {"description": "No profile matched the domain: these are general templates."}
    step = {
        "step": "generate",
        "backend": "bank",
        "bank": bank.name,
        "bank_version": bank.version,
        "profiles": [profile.name for profile in match.profiles],
        "matched": list(match.words),
        **({"matched_by_meaning": match.phrase, "sentence_model": match.model} if match.phrase else {}),
        **({"field_bank_version": load_fields().version} if _takes_up_words(wanted) else {}),
        "n_groups": len(groups),
    }
    return {
        "schema_version": 1,
        "name": slug(wanted.domain),
        "domain": wanted.domain,
        **unmatched,
        "class_kind": wanted.kind,
        "groups": list(groups),
        "provenance": {"tool": f"mocoop-groups {__version__}", "steps": [step]},
    }
