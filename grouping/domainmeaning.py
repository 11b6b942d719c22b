"""The profile whose description means most nearly what a domain says, by the sentence model where it is installed.

Asked only where no keyword matches. Nothing is downloaded: without the model there is no answer.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mocoop.errors import UsageError
from mocoop.grouping.domains import GENERAL, Match, Profile, load_profiles, match_domain
from mocoop.grouping.subject import read_subject, told_words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mocoop.grouping.clustering.vectors import Encode

LEAST_LIKENESS = 0.45  # cosine; of 40 domains without a known word, most below it were wrong, most above it right


@dataclass(frozen=True)
class Nearest:
    """A profile, the phrase of its description nearest to the domain, their cosine, and the model that says so."""

    profile: Profile
    phrase: str
    likeness: float
    model: str


def match_by_meaning(domain: str) -> Match:
    """As `match_domain`; where no word matches, the profile of nearest meaning if a sentence model is installed."""
    match = match_domain(domain)
    if match.found:
        return match
    near = nearest_profile(domain)
    return match if near is None else Match((near.profile,), (), near.phrase, near.likeness, near.model)


def nearest_profile(domain: str) -> Nearest | None:
    """The nearest profile; None if none is near or no sentence model is installed."""
    nearest = nearest_of_all(domain)
    if nearest is None or nearest.likeness < LEAST_LIKENESS or nearest.profile.name == GENERAL:
        return None
    return nearest


def nearest_of_all(domain: str) -> Nearest | None:
    """The nearest profile however far it is; None if no sentence model is installed."""
    subject = read_subject(domain)
    if not told_words(subject.modifier.split()):  # nothing said but "photos" or "things"
        return None
    made = _encoder()
    if made is None:
        return None
    name, encode = made
    phrases, profiles = _phrases()
    texts = sorted({subject.modifier, subject.noun} - {""})
    likeness = (_described(encode) @ encode(texts).T).max(axis=1)
    best = int(likeness.argmax())
    return Nearest(profiles[best], phrases[best], float(likeness[best]), name)


def _phrases() -> tuple[list[str], list[Profile]]:
    """Every phrase that describes a profile, and its profile."""
    pairs = [(phrase, profile) for profile in load_profiles() for phrase in profile.about]
    return [phrase for phrase, _ in pairs], [profile for _, profile in pairs]


@functools.cache
def _described(encode: Encode) -> NDArray[np.float64]:
    return encode(_phrases()[0])


@functools.cache
def _encoder() -> tuple[str, Encode] | None:
    from mocoop.grouping.clustering.embed import EmbedderChoice, sentence_encoder, sentence_folder

    if sentence_folder() is None:
        return None
    try:
        return sentence_encoder(EmbedderChoice(offline=True))
    except UsageError:  # the model's files are there, but not what runs them
        return None
