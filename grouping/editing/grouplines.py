"""One group as plain lines for a text editor: one template per line, `*` before the one that starts the expert.

`lines_of` writes them and `with_lines` reads them back into the document: a new line adds a template, a deleted line
removes it, and a slightly changed line rewords it and keeps its notes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from mocoop.errors import GroupFileError
from mocoop.groupfile.findings import RULES, Finding
from mocoop.groupfile.templatetext import special_problem, template_problems
from mocoop.grouping.editing import edit
from mocoop.grouping.editing.diff import rewordings
from mocoop.grouping.editing.lookup import Document, Group, group_of, init_of, is_locked
from mocoop.grouping.keep import text_of, texts_of

_HELP = """\
# {heading}
#
# One template a line, {{}} where the class name goes; * marks the one whose words start the expert.
# A line you delete takes the template out for good (it is listed as excluded); lines with # are not read.
"""


class Line(NamedTuple):
    """A template as typed, its line number, and whether it is marked as init."""

    number: int
    text: str
    starred: bool


def lines_of(group: Group) -> bytes:
    """The group as text, with locked templates listed in comments."""
    title = f": {group['title']}" if group.get("title") else ""
    shown = [_HELP.format(heading=f"Group {group['id']}{title}")]
    locked = [text_of(item) for item in group["templates"] if is_locked(item)]
    shown += [f"# locked: {text}\n" for text in locked]
    init = init_of(group)
    shown += [f"{'* ' if text == init else '  '}{text}\n" for text in texts_of(group)]
    return "".join(shown).encode("utf-8")


def with_lines(document: Document, group_id: str, data: bytes, source: str) -> Document:
    """The document with the group replaced by the lines.

    Raises GroupFileError with every invalid line, UsageError for locks.
    """
    group = group_of(document, group_id)
    lines = _read(data, set(texts_of(group)), source)
    _check(lines, document, group_id, source)
    texts = [line.text for line in lines]
    gone, came = _apart(texts_of(group), texts), _apart(texts, texts_of(group))
    reworded = rewordings(gone, came)
    old = {text_of(item): item for item in group["templates"]}
    new = {now: edit.worded(old[was], now) for was, now in reworded.items()}
    items = [old.get(text, new.get(text, text)) for text in texts]
    init = next((line.text for line in lines if line.starred), None)
    changed = edit.replace_members(document, group_id, items, init)
    return edit.exclude(changed, [text for text in gone if text not in reworded])


def _apart(texts: Sequence[str], others: Sequence[str]) -> list[str]:
    return [text for text in texts if text not in others]


def _read(data: bytes, known: set[str], source: str) -> list[Line]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise _refusal([_finding("G003", "the text is not UTF-8", "save it as UTF-8", line, source)]) from None
    rows = enumerate(text.replace("\r\n", "\n").split("\n"), start=1)
    return [_line(number, row, known) for number, row in rows if row.strip() and not row.startswith("#")]


def _line(number: int, row: str, known: set[str]) -> Line:
    starred = row.startswith("*")
    rest = row[2:] if row[:2] in ("* ", "  ") else row.removeprefix("*")
    return Line(number, rest if rest in known else rest.strip(), starred)


def _check(lines: list[Line], document: Document, group_id: str, source: str) -> None:
    """Raise one GroupFileError for all invalid lines."""
    homes = {text: g["id"] for g in document["groups"] for text in texts_of(g) if g["id"] != group_id}
    findings: list[Finding] = []
    first: dict[str, int] = {}
    for line in lines:
        special = special_problem(line.text, (), "the template")
        for problem in [*template_problems(line.text, (), "the template"), *([special] if special else [])]:
            findings.append(_finding(problem.code, problem.message, problem.hint, line.number, source))
        if line.text in homes:
            message = f"this template stands already in the group {homes[line.text]}"
            findings.append(_finding("G103", message, "delete the line, or word it otherwise", line.number, source))
        elif first.setdefault(line.text, line.number) != line.number:
            message = f"this template stands already in line {first[line.text]}"
            findings.append(_finding("G103", message, "delete one of the two", line.number, source))
    stars = [line.number for line in lines if line.starred]
    if len(stars) > 1:
        message = f"{len(stars)} lines are marked with *: {', '.join(map(str, stars))}"
        findings.append(_finding("G101", message, "one template starts the expert; mark one", stars[1], source))
    if not lines:
        message = "no template is left"
        findings.append(_finding("G024", message, "keep at least one, or: mocoop-groups remove --group", 1, source))
    if findings:
        raise _refusal(findings)


def _finding(code: str, message: str, hint: str, line: int, source: str) -> Finding:
    return Finding(code, RULES[code].severity, message, hint, "", line, 1, source)


def _refusal(findings: list[Finding]) -> GroupFileError:
    ordered = sorted(findings, key=lambda finding: finding.line)
    return GroupFileError("\n".join(map(str, ordered)), None, ordered)
