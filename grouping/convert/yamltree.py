"""YAML as a plain tree of texts with their positions, safe for untrusted files.

Only mappings, lists and scalars are read, each scalar as its text; nothing is ever constructed from a tag. Aliases and
anchors (with which a small file can expand to any size), tags, multiple documents, duplicate keys and deep nesting are
rejected.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from mocoop.errors import UsageError
from mocoop.groupfile.findings import quote
from mocoop.grouping.convert.listing import refuse

MAX_CHARACTERS = 1024 * 1024  # the largest of the released files has 2,000
MAX_DEPTH = 20
_STRING_TAG = "tag:yaml.org,2002:str"


@dataclass
class Node:
    """A scalar (`text`), a list (`items`) or a mapping (`members`), and where it starts."""

    line: int
    column: int
    text: str | None = None
    items: list[Node] | None = None
    members: dict[str, Node] | None = None


@dataclass
class _Open:
    """A list or mapping that is being read; `key` waits for its value."""

    node: Node
    key: Node | None = field(default=None)

    def add(self, child: Node, source: str) -> None:
        if self.node.items is not None:
            self.node.items.append(child)
        elif self.key is None:
            self.key = child
        else:
            self._add_member(self.key, child, source)
            self.key = None

    def _add_member(self, key: Node, child: Node, source: str) -> None:
        members = self.node.members
        if key.text is None or members is None:
            raise refuse("G022", "a key that is no text", "write name: value", source, key.line, key.column)
        if key.text in members:
            message = f"the key {quote(key.text)} is given twice"
            raise refuse("G105", message, "keep one of the two", source, key.line, key.column)
        members[key.text] = child


def read_tree(text: str, source: str) -> Node:
    """Parse a YAML text and return its root.

    Raises GroupFileError with the position of anything invalid or rejected, UsageError if PyYAML is not installed.
    """
    try:
        import yaml
    except ImportError:
        raise UsageError("YAML is read with PyYAML, which is not installed", "pip install PyYAML") from None
    if len(text) > MAX_CHARACTERS:
        raise refuse("G002", f"longer than {MAX_CHARACTERS:,} characters", "this is no list of templates", source)
    root = _Open(Node(1, 1, items=[]))
    try:
        _build(root, yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)), source)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        hint = 'a template stands in double quotes: - "{} texture."'
        raise refuse("G004", f"the YAML is not well formed: {error.problem}", hint, source, *place) from error
    except yaml.YAMLError as error:
        message = " ".join(str(error).split())
        raise refuse("G004", f"the YAML is not well formed: {message}", "take the character out", source) from error
    if len(root.node.items or ()) != 1:
        raise refuse("G022", "not one YAML document", "keep one, with the lists in it", source)
    return (root.node.items or [])[0]


def _build(root: _Open, events: Iterator[Any], source: str) -> None:
    """Build the tree from the parser's events, without recursion."""
    import yaml

    stack = [root]
    for event in events:
        line, column = event.start_mark.line + 1, event.start_mark.column + 1
        _refuse_event(event, len(stack), source, line, column)
        if isinstance(event, yaml.ScalarEvent):
            stack[-1].add(Node(line, column, text=event.value), source)
        elif isinstance(event, yaml.SequenceStartEvent):
            stack.append(_Open(Node(line, column, items=[])))
        elif isinstance(event, yaml.MappingStartEvent):
            stack.append(_Open(Node(line, column, members={})))
        elif isinstance(event, (yaml.SequenceEndEvent, yaml.MappingEndEvent)):
            done = stack.pop()
            stack[-1].add(done.node, source)


def _refuse_event(event: Any, depth: int, source: str, line: int, column: int) -> None:
    import yaml

    if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
        raise refuse("G022", "an alias or anchor (& and *)", "write the text out", source, line, column)
    tag = getattr(event, "tag", None)
    if tag not in (None, "!", _STRING_TAG):
        raise refuse("G022", f"the tag {quote(str(tag))}", "leave it out; only text is read", source, line, column)
    if depth > MAX_DEPTH:
        raise refuse("G005", f"nested more than {MAX_DEPTH} deep", "no list needs that", source, line, column)
