"""The YAML of the paper's released code: one flat list of templates, and a list with the size of each group.

TRAINER.MoCoOp.GROUPS [1, 2] and .LASP_PROMPTS (or PROMPTS) [a, b, c] mean the groups [a] and [b, c], and each expert
starts from the first template of its group. The two lists must agree: a line commented out in one of them would shift
every later group, so a mismatch is an error here. Files written by `export` name their groups in comments, which are
read back. Lists under other keys are read as lists without groups.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from mocoop.groupfile.findings import Finding
from mocoop.groupfile.groups import Group, GroupFile
from mocoop.grouping.convert.checks import has_slot
from mocoop.grouping.convert.listing import Listing, Section, Sentence, finding, flat, refusal, refuse
from mocoop.grouping.convert.yamltree import Node, read_tree

COUNTS = "GROUPS"
PROMPTS = ("LASP_PROMPTS", "PROMPTS")
GROUP_COMMENT = "# group: "
_GROUP_COMMENT = re.compile(r"\s*# group: ([a-z0-9][a-z0-9_-]*)(?: \((.*)\))?\s*")


def read_yaml(text: str, source: str) -> list[Listing]:
    """Read the lists of a YAML file. Raises GroupFileError for bad YAML, and if counts and templates disagree."""
    tree, lines = read_tree(text, source), text.split("\n")
    found = [(path, node, counts) for path, node, counts in _lists(tree) if counts or _holds_slot(node)]
    findings = [one for _, node, counts in found for one in _problems(node, counts, source)]
    if findings:
        raise refusal(source, findings)
    if not found:
        hint = "the released code has TRAINER.MoCoOp.LASP_PROMPTS and GROUPS"
        raise refuse("G022", "there is no list of templates in it", hint, source)
    return [_listing(path, node, counts, lines, _domain(tree)) for path, node, counts in found]


def _lists(tree: Node) -> Iterator[tuple[str, Node, Node | None]]:
    """The dotted path and node of each list, and the counts beside it."""
    waiting = [("", tree)]
    while waiting:
        path, node = waiting.pop(0)
        if node.items is not None:
            yield path, node, None
        members = node.members or {}
        counts = members.get(COUNTS)
        for key, child in members.items():
            here = f"{path}.{key}" if path else key
            if key in PROMPTS and child.items is not None:
                yield here, child, counts
            elif key != COUNTS:
                waiting.append((here, child))


def _holds_slot(node: Node) -> bool:
    return any(item.text is not None and has_slot(item.text) for item in node.items or ())


def _problems(node: Node, counts: Node | None, source: str) -> Iterator[Finding]:
    """Findings for items that are not texts, invalid counts, and counts that do not add up to the templates."""
    items = node.items or []
    for item in items:
        if item.text is None:
            hint = 'a template stands in double quotes: "a photo of a {}."'
            yield finding("G022", "an item that is no text", hint, source, item.line, item.column)
    if counts is None:
        return
    sizes = [_count(item) for item in counts.items or ()]
    place = (counts.line, counts.column)
    if not sizes or None in sizes:
        hint = f"write {COUNTS}: [1, 2, 4], the number of templates in each group, in order"
        yield finding("G022", f"{COUNTS} is no list of numbers from 1 on", hint, source, *place)
    elif (total := sum(size for size in sizes if size)) != len(items):
        message = f"{COUNTS} counts {total:,} templates, the list holds {len(items):,}"
        hint = "a line taken out or put in shifts every later group: correct the count of its group"
        yield finding("G024", message, hint, source, *place)


def _count(node: Node) -> int | None:
    """A count of 1 to 9999."""
    return int(node.text) if node.text and re.fullmatch("[1-9][0-9]{0,3}", node.text) else None


def _listing(path: str, node: Node, counts: Node | None, lines: list[str], domain: str | None) -> Listing:
    sentences = [Sentence(item.text or "", item.line, item.column) for item in node.items or ()]
    if counts is None:
        return flat(sentences, path, domain=domain)
    sizes = [_count(item) or 0 for item in counts.items or ()]
    ends = list(itertools.accumulate(sizes))
    parts = [tuple(sentences[end - size : end]) for size, end in zip(sizes, ends, strict=True)]
    return Listing(tuple(_section(part, lines) for part in parts), path, domain=domain)


def _section(sentences: tuple[Sentence, ...], lines: list[str]) -> Section:
    """A group, with the id and title from a comment right above its first template, if any."""
    above = lines[sentences[0].line - 2] if sentences[0].line > 1 else ""
    match = _GROUP_COMMENT.fullmatch(above)
    return Section(sentences, match[1], match[2]) if match else Section(sentences)


def _domain(tree: Node) -> str | None:
    """The data set's name, DATASET.NAME."""
    dataset = (tree.members or {}).get("DATASET")
    name = (dataset.members or {}).get("NAME") if dataset else None
    return name.text if name else None


def write_yaml(file: GroupFile) -> str:
    """Write a group file in this layout, each group's init first, with the groups' names in comments."""
    sizes = ", ".join(str(len(group.templates)) for group in file.groups)
    head = ["DATASET:", f"  NAME: {quoted(file.domain)}", "TRAINER:", "  MoCoOp:", f"    {COUNTS}: [{sizes}]"]
    lists = [line for group in file.groups for line in _group_lines(group)]
    return "\n".join([*head, f"    {PROMPTS[0]}: [", *lists, "    ]", ""])


def _group_lines(group: Group) -> list[str]:
    title = f" ({group.title})" if group.title and group.title.isprintable() else ""
    texts = sorted(group.texts, key=lambda text: text != group.init)
    return [f"      {GROUP_COMMENT}{group.id}{title}", *(f"      {quoted(text)}," for text in texts)]


def quoted(text: str) -> str:
    """A text as a double-quoted YAML scalar; characters not allowed in a YAML stream are escaped."""
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    if char.isprintable():
        return char
    return f"\\u{ord(char):04X}" if ord(char) < 0x10000 else f"\\U{ord(char):08X}"
