"""Reading and writing group files; no other module does.

A group file is JSON edited by hand: groups of templates, one expert per group. `load_groups` returns the file or
raises one error with every problem in it, each with line, column, rule code and a fix. `check` only lists the
findings. The document is kept as it was read, including unknown `x-` keys and key order, so that tools can change it
and write it back.

The rules are in `findings.py` (their table), `schema.py`, `templatetext.py` and `rules.py`. No torch here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mocoop import files
from mocoop.errors import GroupFileError, UsageError
from mocoop.groupfile import tokens
from mocoop.groupfile.findings import ERROR, RULES, Finding, Problem
from mocoop.groupfile.rules import Surroundings, content_hash, rule_problems
from mocoop.groupfile.schema import SCHEMA_VERSION, schema, schema_bytes, shape_problems
from mocoop.strictjson import Lines, Parsed, Place, locate, parse, pointer

__all__ = [
    "RULES",
    "SCHEMA_VERSION",
    "Finding",
    "Group",
    "GroupFile",
    "Template",
    "check",
    "dump_groups",
    "load_groups",
    "parse_groups",
    "read_groups",
    "save_groups",
    "schema",
    "schema_bytes",
    "with_problems",
]

MAX_BYTES = 4 * 1024 * 1024  # 64 groups of 200 templates with notes are well below
MOST_LISTED = 20  # findings in one error message; all are in its `findings`

_FAULT_CODES = {
    "size": "G002",
    "encoding": "G003",
    "syntax": "G004",
    "depth": "G005",
    "number": "G006",
    "surrogate": "G007",
    "duplicate": "G105",
}


@dataclass(frozen=True)
class Template:
    """One sentence with one {} for the class name, and its notes."""

    text: str
    origin: str | None = None
    source: str | None = None
    locked: bool = False
    note: str | None = None


@dataclass(frozen=True)
class Group:
    """The templates of one expert; its ctx is initialised from `init` (the first template by default)."""

    id: str
    templates: tuple[Template, ...]
    init: str
    title: str | None = None
    description: str | None = None
    rationale: str | None = None
    locked: bool = False
    reviewed: bool = False

    @property
    def texts(self) -> tuple[str, ...]:
        """The templates' sentences, in order."""
        return tuple(template.text for template in self.templates)


@dataclass(frozen=True)
class GroupFile:
    """A valid group file. `document` is the JSON as read; `findings` are its warnings and notes."""

    domain: str
    groups: tuple[Group, ...]
    class_kind: str = "object"
    name: str | None = None
    document: dict[str, Any] = field(default_factory=dict, hash=False, repr=False)
    findings: tuple[Finding, ...] = field(default=(), compare=False, repr=False)

    @property
    def ids(self) -> tuple[str, ...]:
        """The groups' ids, in order; also those of the experts."""
        return tuple(group.id for group in self.groups)

    @property
    def sha256(self) -> str:
        """Hash of what training uses: ids, inits and templates, in order, without titles and notes."""
        return content_hash([[group.id, group.init, group.texts] for group in self.groups])

    @property
    def templates_sha256(self) -> str:
        """Hash of the templates in their groups, in order; metrics with another hash are stale."""
        return content_hash([group.texts for group in self.groups])


def load_groups(
    path: str | os.PathLike[str],
    *,
    class_names: Sequence[str] | None = None,
    context_length: int = 77,
    count_tokens: Callable[[str], int] | None = None,
) -> GroupFile:
    """Read a group file. Raises GroupFileError with all its problems.

    `class_names` are checked too and make token counts exact; `context_length` is the text tower's, with start and
    end token; `count_tokens` counts a text without those two (CLIP's own by default).
    """
    source = os.fspath(path)
    return parse_groups(
        read_groups(path),
        source=source,
        class_names=class_names,
        context_length=context_length,
        count_tokens=count_tokens,
    )


PAPER = "paper"  # in place of a group file: the paper's own groups for the data set


def paper_groups(dataset: str) -> Path:
    """The group file with the paper's groups for a data set, by name. Raises UsageError if the paper has none."""
    from importlib import resources

    folder = Path(str(resources.files("mocoop.templates").joinpath("paper")))
    known = sorted(path.stem for path in folder.glob("*.json"))
    if dataset not in known:
        raise UsageError(
            f"the paper has no groups for {dataset}",
            f"give a group file with --groups FILE; the paper has groups for {', '.join(known)}",
        )
    return folder / f"{dataset}.json"


def parse_groups(
    data: bytes,
    *,
    source: str = "groups.json",
    class_names: Sequence[str] | None = None,
    context_length: int = 77,
    count_tokens: Callable[[str], int] | None = None,
) -> GroupFile:
    """Parse a group file from bytes; `source` names it in messages. The rest is as in `load_groups`."""
    document, findings = _examine(data, source, _surroundings(class_names, context_length, count_tokens))
    errors = [finding for finding in findings if finding.severity == ERROR]
    if errors:
        raise _refusal(source, errors, findings)
    return GroupFile(
        domain=document["domain"],
        groups=tuple(_group(item) for item in document["groups"]),
        class_kind=document.get("class_kind", "object"),
        name=document.get("name"),
        document=document,
        findings=tuple(findings),
    )


def check(
    data: bytes,
    *,
    source: str = "groups.json",
    class_names: Sequence[str] | None = None,
    context_length: int = 77,
    count_tokens: Callable[[str], int] | None = None,
) -> list[Finding]:
    """All findings about a group file, in the order of its text; never raises for its content."""
    return _examine(data, source, _surroundings(class_names, context_length, count_tokens))[1]


def with_problems(
    data: bytes, findings: Sequence[Finding], problems: Sequence[Problem], source: str = "groups.json"
) -> list[Finding]:
    """A file's findings merged with problems found elsewhere, all in the order of its text.

    `data` must be valid JSON; a problem whose path is not in it is placed at the nearest enclosing one.
    """
    placed = _placed(list(problems), parse(data, max_bytes=MAX_BYTES), source)
    return sorted([*findings, *placed], key=_place)


def dump_groups(document: dict[str, Any]) -> bytes:
    """Serialise a document: given key order, two-space indent, LF, final newline, UTF-8.

    Raises GroupFileError for what JSON cannot represent (NaN, lone surrogates, a list that contains itself).
    """
    try:
        return files.json_bytes(document)
    except UnicodeEncodeError as error:
        raise GroupFileError(
            f"a text is not UTF-8: {error.object[max(error.start - 40, 0) : error.end]!a}",
            "type it again in a terminal that is set to UTF-8",
        ) from error
    except (ValueError, RecursionError) as error:
        raise GroupFileError(f"the groups cannot be written as JSON: {error}") from error


def save_groups(path: str | os.PathLike[str], document: dict[str, Any], *, overwrite: bool = False) -> GroupFile:
    """Check a document and write it atomically; an invalid one is never written.

    Raises GroupFileError with all problems, UsageError if the file exists (unless `overwrite`), StorageError.
    """
    data = dump_groups(document)
    saved = parse_groups(data, source=os.fspath(path))
    if not overwrite and os.path.lexists(path):
        raise UsageError(f"{os.fspath(path)} exists already", "choose another name, or ask to overwrite it")
    files.sweep_stale(os.path.dirname(os.path.realpath(path)))
    files.atomic_write(path, data)
    return saved


def _surroundings(
    class_names: Sequence[str] | None, context_length: int, count_tokens: Callable[[str], int] | None
) -> Surroundings:
    if count_tokens is None and tokens.available():
        count_tokens = tokens.count_tokens
    return Surroundings(None if class_names is None else tuple(class_names), context_length, count_tokens)


def read_groups(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a group file, unparsed. Raises GroupFileError with one finding."""
    try:
        return files.read_bytes(path, max_bytes=MAX_BYTES, what="group file", error=GroupFileError)
    except GroupFileError as error:
        finding = Finding("G001", ERROR, error.message, error.hint or "", "", 1, 1, os.fspath(path))
        raise GroupFileError(error.message, error.hint, [finding]) from error


def _examine(data: bytes, source: str, around: Surroundings) -> tuple[Any, list[Finding]]:
    parsed = parse(data, max_bytes=MAX_BYTES)
    findings = [
        _finding(
            _FAULT_CODES[fault.kind],
            fault.message,
            fault.hint,
            pointer(fault.path),
            fault.line,
            fault.column,
            source,
        )
        for fault in parsed.faults
    ]
    if parsed.readable:
        problems = shape_problems(parsed.value)
        if isinstance(parsed.value, dict) and not any(problem.code == "G008" for problem in problems):
            problems += rule_problems(parsed.value, around)
        findings += _placed(problems, parsed, source)
    return parsed.value, sorted(findings, key=_place)


def _place(finding: Finding) -> tuple[int, int, str]:
    return (finding.line, finding.column, finding.code)


def _placed(problems: list[Problem], parsed: Parsed, source: str) -> list[Finding]:
    lines = Lines(parsed.text)
    unique = all(fault.kind != "duplicate" for fault in parsed.faults)
    found = locate(parsed.text, {problem.path for problem in problems}, unique=unique)
    return [
        _finding(
            problem.code,
            problem.message,
            problem.hint,
            pointer(problem.path),
            *lines.at(_offset(problem, found[problem.path])),
            source,
        )
        for problem in problems
    ]


def _offset(problem: Problem, place: Place) -> int:
    return place.key if problem.at_key and place.key is not None else place.value


def _finding(code: str, message: str, hint: str, where: str, line: int, column: int, source: str) -> Finding:
    return Finding(code, RULES[code].severity, message, hint, where, line, column, source)


def _refusal(source: str, errors: list[Finding], findings: list[Finding]) -> GroupFileError:
    if len(errors) == 1:
        only = errors[0]
        message = f"{only.source}:{only.line}:{only.column}: {only.code} {only.message}"
        return GroupFileError(message, only.hint, findings)
    listed = [str(error) for error in errors[:MOST_LISTED]]
    if len(errors) > MOST_LISTED:
        listed.append(f"and {len(errors) - MOST_LISTED:,} more")
    return GroupFileError("\n".join([f"{source} has {len(errors):,} errors:", *listed]), None, findings)


def _group(item: dict[str, Any]) -> Group:
    templates = tuple(_template(entry) for entry in item["templates"])
    return Group(
        id=item["id"],
        templates=templates,
        init=item.get("init", templates[0].text),
        title=item.get("title"),
        description=item.get("description"),
        rationale=item.get("rationale"),
        locked=item.get("locked", False),
        reviewed=item.get("reviewed", False),
    )


def _template(item: str | dict[str, Any]) -> Template:
    if isinstance(item, str):
        return Template(item)
    return Template(
        text=item["text"],
        origin=item.get("origin"),
        source=item.get("source"),
        locked=item.get("locked", False),
        note=item.get("note"),
    )
