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
from mocoop.grouping.domains import Match, match_domain, match_profiles

MAX_DOMAIN = 200  # characters
PER_GROUP = 6
KINDS = ("object", "scene", "activity", "texture", "finding", "mixed")
_PLAIN = ("satellite_view", "plain_photo", "plain_scene")  # aspects whose wording claims no style
_ARTICLE = re.compile(r"\b(?:an?|the|one) \{\}")


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
) -> Generated:
    """Groups for a domain from the bank.

    Args:
        domain: plain words ("satellite imagery"); control characters go, 200 characters stay.
        groups: how many; None takes the profile's suggestion.
        per_group: templates a group, at most.
        class_kind: what the classes are; None takes the profile's.
        profiles: names that overrule what the domain text would match.
        supertype: what every class is a kind of; adds "a photo of a {}, a kind of ...".
        class_names: templates that contain one of them are left out.
        include_general: keep one group of plain wording.

    Raises:
        UsageError: an empty domain, impossible numbers, an unknown profile or kind.
    """
    domain = clean_domain(domain)
    _check_numbers(groups, per_group, class_kind)
    match = match_profiles(profiles) if profiles else match_domain(domain)
    kind = class_kind or match.class_kind
    notices = list(_match_notices(match, domain, bool(profiles)))
    names = _with_plain(match.aspects, kind) if include_general else match.aspects
    wanted = groups or match.suggested_groups
    if wanted > len(names):
        notices.append(f"the bank has {len(names)} aspects for this domain, so there are {len(names)} groups")
    bank = load_bank()
    chosen = [bank.aspect(name) for name in names[:wanted]]
    built = list(_groups(chosen, kind, per_group, supertype, class_names))
    return Generated(_document(domain, kind, built, match, bank), tuple(notices))


def clean_domain(text: str) -> str:
    """A domain text as one line without control characters, at most 200 characters. Raises UsageError if empty."""
    visible = "".join(" " if unicodedata.category(char)[0] in "CZ" else char for char in text)
    cleaned = " ".join(visible.split())[:MAX_DOMAIN].strip()
    if not cleaned:
        raise UsageError("the domain is empty", 'say what the images are of: --domain "satellite imagery"')
    return cleaned


def slug(text: str) -> str:
    """A text as a name of letters, digits and dashes."""
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", ascii_text.lower()).strip("-")[:64].strip("-") or "groups"


def _check_numbers(groups: int | None, per_group: int, class_kind: str | None) -> None:
    if groups is not None and not 1 <= groups <= 64:
        raise UsageError(f"{groups} groups cannot be", "ask for 1 to 64; 5 to 8 suit most data sets")
    if not 1 <= per_group <= 200:
        raise UsageError(f"{per_group} templates a group cannot be", "ask for 1 to 200")
    if class_kind is not None and class_kind not in KINDS:
        raise UsageError(f"no class kind is called {class_kind!r}", f"choose {', '.join(KINDS)}")


def _match_notices(match: Match, domain: str, named: bool) -> Iterator[str]:
    names = " and ".join(profile.name for profile in match.profiles)
    if named:
        yield f"using the profile {names}, as asked"
    elif not match.words:
        yield f"no profile matches {domain!r}: these are general templates (see `mocoop-groups domains`)"
    elif len(match.profiles) > 1:
        yield f"{' and '.join(repr(word) for word in match.words)} call for two profiles, {names}: their aspects in turn"
    else:
        yield f"{match.words[0]!r} calls for the profile {names}"


def _with_plain(names: Sequence[str], kind: str) -> tuple[str, ...]:
    """The aspects with the plain one first, which every mixture needs."""
    plain = next((name for name in names if name in _PLAIN), None)
    plain = plain or ("plain_photo" if kind in ("object", "mixed") else "plain_scene")
    return (plain, *(name for name in names if name != plain))


def _groups(
    aspects: Sequence[Aspect], kind: str, per_group: int, supertype: str | None, class_names: Sequence[str]
) -> Iterator[dict[str, Any]]:
    seen: set[str] = set()
    for place, aspect in enumerate(aspects):
        texts = [_suit(text, aspect, kind) for text in aspect.templates]
        if place == 0 and supertype:
            article = "a {}" if kind in ("object", "mixed") else "{}"
            texts.insert(0, f"a photo of {article}, a kind of {clean_domain(supertype)}.")
        fresh = [text for text in dict.fromkeys(texts) if text not in seen and not _names_a_class(text, class_names)]
        kept = fresh[:per_group]
        seen.update(kept)
        if kept:
            yield {
                "id": aspect.name,
                "title": aspect.title,
                "description": aspect.description,
                "init": kept[0],
                "templates": kept,
            }


def _suit(text: str, aspect: Aspect, kind: str) -> str:
    """Drop the article before the slot where an aspect written for objects serves classes that take none."""
    takes_article = kind in ("object", "mixed") or kind in aspect.class_kinds
    return text if takes_article else _ARTICLE.sub("{}", text)


def _names_a_class(text: str, class_names: Sequence[str]) -> bool:
    return any(re.search(rf"\b{re.escape(name.lower())}\b", text) for name in class_names)


def _document(domain: str, kind: str, groups: Sequence[dict[str, Any]], match: Match, bank: Bank) -> dict[str, Any]:
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
        "class_kind": kind,
        "groups": list(groups),
        "provenance": {"tool": f"mocoop-groups {__version__}", "steps": [step]},
    }
