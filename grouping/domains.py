"""Domain profiles: which aspects suit a text such as "satellite imagery", and how many groups.

A profile is matched by whole words (plurals included; stems are marked with *), the longest match first: "car"
matches "sports cars" but neither "carcinoma" nor "scar". A hyphen or an underscore counts as a space. A text that
names two domains ("thermal drone images") gets the aspects of both, alternating; one that says what is looked for
on a thing ("fabric defects") is first of all about that. Words that only qualify the thing, or say where it is, do not
count. Where no word matches, `domainmeaning.match_by_meaning` asks the sentence model.
"""

from __future__ import annotations

import difflib
import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import chain, zip_longest
from typing import Any

from mocoop.errors import UsageError
from mocoop.grouping.fields import contains, spans
from mocoop.grouping.subject import Subject, read_subject, singular

GENERAL = "general"


@dataclass(frozen=True)
class Profile:
    """A domain: its keywords, the kind of its classes, and its aspects, the most useful first."""

    name: str
    match: tuple[str, ...]
    class_kind: str
    suggested_groups: int
    aspects: tuple[str, ...]
    about: tuple[str, ...] = ()  # phrases that say what it is about, for the sentence model
    covers: tuple[str, ...] = ()  # more general profiles that add nothing where both match
    noun: str = ""  # what the classes are, or are found on, where the text does not say
    setting: bool = False  # about how or where pictures are made: its keywords count also where they qualify a thing
    flawed: str = ""  # the profile that serves instead where the text names damage or disease
    medium: str = ""  # its kind of picture, where the text does not say


@dataclass(frozen=True)
class Match:
    """The profiles that match a text, with the word that matched each; if `words` is empty, none matched by words."""

    profiles: tuple[Profile, ...]
    words: tuple[str, ...]
    phrase: str = ""  # the description whose meaning is near the text's, where no word matched
    likeness: float = 0.0  # their cosine
    model: str = ""  # the sentence model that found it

    @property
    def found(self) -> bool:
        """Whether a profile matches."""
        return bool(self.words or self.phrase)

    def names(self, noun: str) -> bool:
        """Whether a noun is surely what the profiles are about: its last word is one of their keywords."""
        last = len(noun) - len(noun.rpartition(" ")[2])
        keywords = (keyword for profile in self.profiles for keyword in profile.match)
        return bool(self.phrase) or any(start <= last < end for word in keywords for start, end in spans(word, noun))

    @property
    def noun(self) -> str:
        """What the classes are, or are found on, by the first profile that says it."""
        return next((profile.noun for profile in self.profiles if profile.noun), "")

    @property
    def medium(self) -> str:
        """The kind of picture, by the first profile that says it."""
        return next((profile.medium for profile in self.profiles if profile.medium), "")

    @property
    def class_kind(self) -> str:
        """The class kind of the first profile."""
        return self.profiles[0].class_kind

    @property
    def suggested_groups(self) -> int:
        """The largest number of groups that any of the profiles suggests."""
        return max(profile.suggested_groups for profile in self.profiles)

    @property
    def aspects(self) -> tuple[str, ...]:
        """The profiles' aspects, alternating, each once."""
        in_turn = chain.from_iterable(zip_longest(*(profile.aspects for profile in self.profiles)))
        return tuple(dict.fromkeys(name for name in in_turn if name is not None))


@functools.cache
def load_profiles() -> tuple[Profile, ...]:
    """The profiles that ship with the package."""
    return tuple(
        Profile(
            name=item["name"],
            match=tuple(item["match"]),
            class_kind=item["class_kind"],
            suggested_groups=item["suggested_groups"],
            aspects=tuple(item["aspects"]),
            about=tuple(item.get("about", ())),
            covers=tuple(item.get("covers", ())),
            noun=item.get("noun", ""),
            setting=item.get("setting", False),
            flawed=item.get("flawed", ""),
            medium=item.get("medium", ""),
        )
        for item in _document()["profiles"]
    )


@functools.cache
def _document() -> dict[str, Any]:
    text = files("mocoop.templates").joinpath("domain_profiles.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


def match_domain(domain: str) -> Match:
    """The profiles that match a domain text, at most two; the general one if none matches."""
    subject = read_subject(domain)
    hits = [
        (start, end, profile)
        for profile in load_profiles()
        for keyword in profile.match
        for start, end in spans(keyword, domain)
        if profile.setting or not _is_aside(domain[start:end], subject)
    ]
    # A longer match wins over a shorter one inside it: "camera trap" is not also "camera".
    hits.sort(key=lambda hit: (hit[0] - hit[1], hit[0]))
    taken: list[tuple[int, int, Profile]] = []
    for start, end, profile in hits:
        inside = any(a <= start and end <= b for a, b, _ in taken)
        if not inside and profile not in [p for _, _, p in taken]:
            taken.append((start, end, profile))
    covered = {name for _, _, profile in taken for name in profile.covers}
    taken = [hit for hit in taken if hit[2].name not in covered][:2]
    if contains(domain, _document()["findings"]):
        taken = _flawed(taken)
    taken.sort(key=lambda hit: hit[2].class_kind != "finding")
    if not taken:
        return Match((profile_named(GENERAL),), ())
    return Match(tuple(p for _, _, p in taken), tuple(domain[a:b] for a, b, _ in taken))


def _is_aside(hit: str, subject: Subject) -> bool:
    """Whether a keyword is not about the thing: it qualifies it ("bakery pastries") or says where ("on a boat")."""
    noun = [singular(word) for word in subject.noun.split()]
    words = {singular(word) for word in hit.casefold().replace("_", " ").split()}
    aside = {singular(word) for word in subject.aside.split()}
    qualifies = words <= set(noun[:-1]) and noun[-1] not in words
    return qualifies or bool(noun and words <= aside)


def _flawed(taken: Sequence[tuple[int, int, Profile]]) -> list[tuple[int, int, Profile]]:
    """The hits, with the profile for damage or disease in the place of one for sound things; each once."""
    swapped = {name: hit for hit in taken if (name := hit[2].flawed or hit[2].name)}
    return [(start, end, profile_named(name)) for name, (start, end, _) in swapped.items()]


def nearest_word(domain: str) -> str | None:
    """The profile keyword closest to a word of the domain, to catch spelling mistakes; None if none is close."""
    known = [word.removesuffix("*") for profile in load_profiles() for word in profile.match]
    for word in domain.lower().split():
        near = [] if contains(word, known) else difflib.get_close_matches(word, known, n=1, cutoff=0.84)
        if near:
            return near[0]
    return None


def match_profiles(names: Sequence[str]) -> Match:
    """The profiles with the given names, as if a text had matched them."""
    return Match(tuple(profile_named(name) for name in names), tuple(names))


def profile_named(name: str) -> Profile:
    """The profile with the given name. Raises UsageError that lists the names."""
    for profile in load_profiles():
        if profile.name == name:
            return profile
    raise UsageError(f"no profile is called {name!r}", f"choose {', '.join(p.name for p in load_profiles())}")
