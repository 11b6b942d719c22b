"""Templates in Markdown: one heading per group, one bullet per template.

A heading may end in the group's id as code, "## Low detail `low_detail`"; otherwise the id is made from its words. A
bullet is plain text, or code to preserve every character, and "(init)" after the code marks the template that starts
the expert. A paragraph under a heading describes the group. Everything else is ignored; if it contains a slot, that is
reported.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from mocoop.groupfile.groups import Group, GroupFile
from mocoop.grouping.convert.checks import has_slot
from mocoop.grouping.convert.listing import Listing, Section, Sentence

MAX_DESCRIPTION = 400  # as in the schema

_HEADING = re.compile(r"#{1,6}[ \t]+")
_ID = re.compile(r"`([a-z0-9][a-z0-9_-]{0,63})`$")
_BULLET = re.compile(r"[ \t]*(?:[-*+]|\d{1,3}[.)])[ \t]+")
_CODE = re.compile(r"(`+)(?!`)(.+?)(?<!`)\1(?!`)[ \t]*(\(init\))?[ \t]*")
_ESCAPE = re.compile(r"\\([!-/:-@\[-`{-~])")  # a backslash before ASCII punctuation


@dataclass
class _Part:
    """A heading and its content; the first part has no heading."""

    heading: str = ""
    sentences: list[Sentence] = field(default_factory=list)
    prose: list[str] = field(default_factory=list)


def read_markdown(text: str, _source: str = "") -> list[Listing]:
    """Read the single list of a Markdown text. Raises nothing: bullets are validated later."""
    parts, missed = _parts(text)
    used = [part for part in parts if part.sentences]
    notices = [f"line {line}: no bullet, and is not read though it has a slot" for line in missed]
    notices += [f"the text under {part.heading!r} is too long for a description" for part in used if _too_long(part)]
    grouped = any(part.heading for part in used)
    title = parts[1].heading if len(parts) > 1 and not parts[1].sentences else None
    sections = tuple(_section(part, grouped) for part in used)
    return [Listing(sections or (Section(()),), "", tuple(notices), grouped, _ESCAPE.sub(r"\1", title or "") or None)]


def write_markdown(file: GroupFile) -> str:
    """Write a group file's groups as Markdown."""
    return "\n".join([f"# {_escaped(file.domain)}", "", *(_group(group) for group in file.groups)])


def _parts(text: str) -> tuple[list[_Part], list[int]]:
    """The headings with their bullets, and the numbers of lines that have a slot but are neither."""
    parts, missed = [_Part()], []
    for number, line in enumerate(text.split("\n"), start=1):
        heading, bullet = _HEADING.match(line), _BULLET.match(line)
        if heading:
            parts.append(_Part(_unclosed(line[heading.end() :])))
        elif bullet and line[bullet.end() :].strip():
            parts[-1].sentences.append(_sentence(line[bullet.end() :].rstrip(" \t"), number, bullet.end() + 1))
        elif has_slot(line):
            missed.append(number)
        elif line.strip() and not parts[-1].sentences:
            parts[-1].prose.append(line.strip())
    return parts, missed


def _unclosed(heading: str) -> str:
    """A heading's text without optional closing #s."""
    bare = heading.strip(" \t")
    opened = bare.rstrip("#")
    return opened.strip(" \t") if not opened or opened[-1] in " \t" else bare


def _sentence(text: str, line: int, column: int) -> Sentence:
    code = _CODE.fullmatch(text)
    if code is None:
        return Sentence(_ESCAPE.sub(r"\1", text), line, column)
    inner = code[2]
    padded = len(inner) > 2 and inner[0] == inner[-1] == " " and inner.strip()
    return Sentence(inner[1:-1] if padded else inner, line, column + len(code[1]), code[3] is not None)


def _section(part: _Part, grouped: bool) -> Section:
    named = _ID.search(part.heading)
    title = _ESCAPE.sub(r"\1", part.heading[: named.start()].strip(" \t") if named else part.heading)
    name = named[1] if named else title
    description = None if _too_long(part) else _ESCAPE.sub(r"\1", " ".join(part.prose))
    return Section(
        tuple(part.sentences), (name or "ungrouped") if grouped else None, title or None, description or None
    )


def _too_long(part: _Part) -> bool:
    return len(" ".join(part.prose)) > MAX_DESCRIPTION


def _group(group: Group) -> str:
    heading = f"## {_escaped(group.title)} `{group.id}`" if group.title else f"## `{group.id}`"
    about = [_escaped(group.description), ""] if group.description else []
    bullets = [f"- {_code(text)}{' (init)' if text == group.init else ''}" for text in group.texts]
    return "\n".join([heading, "", *about, *bullets, ""])


def _code(text: str) -> str:
    """A text as a code span, with a fence longer than any run of backticks in it."""
    fence = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    edges = text[0] + text[-1]
    pad = " " if "`" in edges or edges == "  " else ""
    return fence + pad + text + pad + fence


def _escaped(text: str) -> str:
    """Prose with Markdown's special characters escaped."""
    return re.sub(r"([\\`*_\[\]<>#])", r"\\\1", text)
