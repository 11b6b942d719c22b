"""From a checked listing to a group file: ids, titles, a default group if the file has none, and provenance.

Nothing is decided about meaning here: templates that came without groups are put in one group "all" until they are
clustered. The order is that of the file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

from mocoop.files import sha256_bytes
from mocoop.groupfile.findings import quote
from mocoop.groupfile.schema import MAX_GROUPS, MAX_TEMPLATES
from mocoop.groupfile.templatetext import SLOT, character_problems
from mocoop.grouping.convert.checks import Checked
from mocoop.grouping.convert.listing import Listing, Section, refuse
from mocoop.grouping.generate import clean_domain, slug
from mocoop.grouping.provenance import with_step

MAX_ID, MAX_TITLE, MAX_DESCRIPTION = 64, 80, 400  # as in the schema
_ID = re.compile("[a-z0-9][a-z0-9_-]*")
_SMALL_WORDS = frozenset(["a", "an", "the", "of"])


@dataclass(frozen=True)
class Imported:
    """A group file's document, and notices for the user about how it was made."""

    document: dict[str, Any]
    notices: tuple[str, ...]
    grouped: bool


def assemble(
    listing: Listing, found: Checked, data: bytes, source: str, *, domain: str | None = None, kind: str | None = None
) -> Imported:
    """Make a group file from the templates found in a file.

    Args:
        listing: the list as read; `grouped` and `domain` are used.
        found: its templates.
        data: the file's bytes, hashed for the provenance.
        source: the file's name.
        domain: overrides the file's own domain and its name.
        kind: what the classes are, for `class_kind`.

    Raises:
        GroupFileError: more groups, or more templates in one group, than a group file can hold.
        UsageError: an empty domain.
    """
    sections = found.sections if listing.grouped else _chunks(found.sections)
    _check_sizes(sections, source)
    made = list(_groups(sections))
    groups = [group for group, _ in made]
    notices = [notice for _, dropped in made for notice in dropped]
    about = clean_domain(domain) if domain is not None else domain_of(listing, source)
    document = {
        "schema_version": 1,
        "name": slug(about),
        "domain": about,
        **({"class_kind": kind} if kind else {}),
        "groups": groups,
    }
    facts = {
        "backend": "imported",
        "source": _printable(PurePath(source).name),
        "source_sha256": sha256_bytes(data),
        "list": _printable(listing.name) or None,
        "n_groups": len(groups),
    }
    notices = [*listing.notices, *respelt_notice(found), *_repeats_notice(found), *notices]
    return Imported(with_step(document, "import", **facts), tuple(notices), listing.grouped)


def joined(listings: Iterable[Listing]) -> Listing:
    """Join several lists of a file into one listing with a group per list, named after it."""
    listed = list(listings)
    sections = tuple(replace(section, name=one.name or "list") for one in listed for section in one.sections)
    notices = tuple(dict.fromkeys(notice for one in listed for notice in one.notices))
    return Listing(sections, "", notices, domain=next((one.domain for one in listed if one.domain), None))


def domain_of(listing: Listing, source: str) -> str:
    """The domain of a file's images: as stated in the file, else from its name ("satellite_images.txt")."""
    named = re.sub(r"[_\-\s]+", " ", PurePath(source).name.partition(".")[0])
    for words in (listing.domain or "", "" if source == "<stdin>" else named):
        if any(char.isalnum() for char in words):
            return clean_domain(words)
    return "templates"


def respelt_notice(found: Checked) -> tuple[str, ...]:
    """A notice about slots that were rewritten from another spelling, if any."""
    return (f"the slot of {_count(found.respelt)} was written anew as {{}}",) if found.respelt else ()


def _repeats_notice(found: Checked) -> tuple[str, ...]:
    if not found.repeated:
        return ()
    first = found.repeated[0]
    where = f"the first in line {first.line}: {quote(first.text)}"
    return (f"left out, as the same text stands there before: {_count(len(found.repeated))}, {where}",)


def _count(number: int) -> str:
    return f"{number:,} template{'s' if number != 1 else ''}"


def _chunks(sections: tuple[Section, ...]) -> tuple[Section, ...]:
    """Ungrouped templates as one group, or as several of equal size if one cannot hold them all."""
    sentences = [sentence for section in sections for sentence in section.sentences]
    parts = math.ceil(len(sentences) / MAX_TEMPLATES)
    size = math.ceil(len(sentences) / parts)
    starts = range(0, len(sentences), size)
    names = ["all"] if parts == 1 else [f"all_{number}" for number in range(1, len(starts) + 1)]
    return tuple(Section(tuple(sentences[s : s + size]), name) for s, name in zip(starts, names, strict=True))


def _check_sizes(sections: tuple[Section, ...], source: str) -> None:
    if len(sections) > MAX_GROUPS:
        raise refuse("G024", f"{len(sections):,} groups", f"at most {MAX_GROUPS} groups here", source)
    for section in sections:
        if len(section.sentences) > MAX_TEMPLATES:
            message = f"the group {quote(section.name or '')} holds {len(section.sentences):,} templates"
            hint = f"at most {MAX_TEMPLATES} templates in a group"
            raise refuse("G024", message, hint, source, section.sentences[0].line)


def _groups(sections: Iterable[Section]) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """Each group as JSON, and notices about titles and descriptions that were left out."""
    taken: set[str] = set()
    for section in sections:
        texts = [sentence.text for sentence in section.sentences]
        name = section.name or name_from(texts[0])
        id_ = _free(_as_id(name), taken)
        taken.add(id_)
        words = {"title": section.title or (name if name != id_ else None), "description": section.description}
        limits = {"title": MAX_TITLE, "description": MAX_DESCRIPTION}
        kept = {key: text for key, text in words.items() if text and _fits(text, limits[key])}
        dropped = [f"group {id_}: its {key} is left out, too long or with characters that no line holds"
                   for key, text in words.items() if text and key not in kept]  # fmt: skip
        init = next((sentence.text for sentence in section.sentences if sentence.init), texts[0])
        yield {"id": id_, **kept, "init": init, "templates": texts}, dropped


def name_from(template: str) -> str:
    """A name for a group from its first template: "a photo of the large {}." gives "photo of the large"."""
    before, _, after = template.partition(SLOT)
    for part in (before, after):
        words = re.findall(r"\w+", part.lower())
        while words and words[0] in _SMALL_WORDS:
            words.pop(0)
        while words and words[-1] in _SMALL_WORDS:
            words.pop()
        if words:
            return " ".join(words)
    return "group"


def _as_id(name: str) -> str:
    return name if _ID.fullmatch(name) and len(name) <= MAX_ID else slug(name).replace("-", "_")


def _free(id_: str, taken: set[str]) -> str:
    number, free = 2, id_
    while free in taken:
        free = f"{id_[: MAX_ID - 4]}_{number}"
        number += 1
    return free


def _fits(text: str, limit: int) -> bool:
    return len(text) <= limit and next(character_problems(text, (), ""), None) is None and _encodes(text)


def _encodes(text: str) -> bool:
    return not re.search("[\ud800-\udfff]", text)


def _printable(text: str) -> str:
    """The name of a file or list, shortened and with non-printable characters replaced."""
    return "".join(char if char.isprintable() else "?" for char in text)[:200]
