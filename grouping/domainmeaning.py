"""The profile whose description means most nearly what a domain says, by the sentence model where it is installed.

Asked only where no keyword matches. Nothing is downloaded: without the model there is no answer.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mocoop.errors import UsageError
from mocoop.grouping.domains import Profile, load_profiles

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mocoop.grouping.clustering.vectors import Encode

LEAST_LIKENESS = 0.40  # cosine; below it, on domains tried, as many profiles were wrong as right


@dataclass(frozen=True)
class Nearest:
    """A profile, the phrase of its description nearest to the domain, their cosine, and the model that says so."""

    profile: Profile
    phrase: str
    likeness: float
    model: str


def nearest_profile(domain: str) -> Nearest | None:
    """The nearest profile; None if none is near or no sentence model is installed."""
    nearest = nearest_of_all(domain)
    return nearest if nearest is not None and nearest.likeness >= LEAST_LIKENESS else None


def nearest_of_all(domain: str) -> Nearest | None:
    """The nearest profile however far it is; None if no sentence model is installed."""
    if not re.search(r"[^\W\d_]{3}", domain):  # no word to compare
        return None
    made = _encoder()
    if made is None:
        return None
    name, encode = made
    phrases, profiles = _phrases()
    likeness = _described(encode) @ encode([domain])[0]
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
