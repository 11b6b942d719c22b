"""Findings of a group file check: the table of rules, and one finding of one rule at one place.

`RULES` is the single source of codes, severities and meanings; messages, documentation and tests use it. Errors make
a file unusable, warnings should be reviewed, notes (info) only inform. G107 to G109 need template embeddings; only the
curator checks them, on request.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from mocoop.strictjson import Path

ERROR, WARNING, INFO = "error", "warning", "info"


class Rule(NamedTuple):
    """A rule's severity and the meaning of breaking it."""

    severity: str
    meaning: str


RULES = {
    # reading
    "G001": Rule(ERROR, "the file cannot be read"),
    "G002": Rule(ERROR, "the file is larger than any group file"),
    "G003": Rule(ERROR, "the text is not UTF-8"),
    "G004": Rule(ERROR, "the JSON is not well formed"),
    "G005": Rule(ERROR, "brackets are nested too deep"),
    "G006": Rule(ERROR, "a number that JSON does not have, or too large a one"),
    "G007": Rule(ERROR, "half a character (a lone surrogate)"),
    "G008": Rule(ERROR, "written for a newer version of this software"),
    # shape
    "G020": Rule(ERROR, "a required key is missing"),
    "G021": Rule(ERROR, "a key that the format does not know"),
    "G022": Rule(ERROR, "a value of the wrong type"),
    "G023": Rule(ERROR, "a value that is not one of those allowed"),
    "G024": Rule(ERROR, "too long, too short, too many or too few"),
    "G025": Rule(ERROR, "a name, hash or language tag that is not written as one"),
    # one template
    "G030": Rule(ERROR, "not exactly one {} where the class name goes"),
    "G031": Rule(ERROR, "a line break or control character in a text"),
    "G032": Rule(ERROR, "an invisible or direction-changing character in a text"),
    "G033": Rule(ERROR, "the spelling of a tokenizer's start or end token"),
    "G034": Rule(ERROR, "nothing beside the {}"),
    # the groups together
    "G101": Rule(ERROR, "init is not one of the group's templates"),
    "G102": Rule(ERROR, "two groups have the same id"),
    "G103": Rule(ERROR, "the same template twice, in two groups or in one"),
    "G104": Rule(WARNING, "two templates that differ only in case, spaces, article or full stop"),
    "G105": Rule(ERROR, "a key given twice in one object"),
    "G106": Rule(ERROR, "more tokens than the text tower takes"),
    "G107": Rule(WARNING, "two templates that say nearly the same"),
    "G108": Rule(WARNING, "a template that is nearer to another group than to its own"),
    "G109": Rule(WARNING, "two groups that mean nearly the same to the router"),
    "G110": Rule(INFO, "one group holds most templates, or groups hold a single one"),
    "G111": Rule(WARNING, "no group with a plain template"),
    "G112": Rule(WARNING, "an unusual number of groups"),
    "G113": Rule(WARNING, "the wording does not suit the kind of classes"),
    "G114": Rule(WARNING, "odd characters or spaces, or a full stop only here and there"),
    "G115": Rule(WARNING, "an article that does not suit a class name"),
    "G116": Rule(WARNING, "a class name inside a template"),
    "G117": Rule(WARNING, "little room left for a class name"),
    "G118": Rule(WARNING, "more words than the backbones read well"),
    "G119": Rule(WARNING, "a template that is also listed as excluded"),
    "G120": Rule(INFO, "the metrics were measured on other templates"),
    "G121": Rule(INFO, "tokens were not counted"),
    "G122": Rule(ERROR, "a class name that cannot stand in a prompt"),
}

MOST_QUOTED = 60  # characters of a file's text quoted in a message


class Problem(NamedTuple):
    """A finding before it is located in the text. `at_key`: it is about the key, not the value."""

    code: str
    path: Path
    message: str
    hint: str
    at_key: bool = False


@dataclass(frozen=True)
class Finding:
    """One rule broken at one place. `pointer` is a JSON pointer; lines and columns count from 1."""

    code: str
    severity: str
    message: str
    hint: str
    pointer: str
    line: int
    column: int
    source: str = "groups.json"

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}: {self.code} {self.message} ({self.hint})"

    def as_dict(self) -> dict[str, str | int]:
        """The finding as one JSON object, for `--json`."""
        return {
            "source": self.source,
            "line": self.line,
            "column": self.column,
            "pointer": self.pointer,
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            "hint": self.hint,
        }


def place_name(path: Path) -> str:
    """The name of a place in messages: `groups[0].templates[2]`, or "the file" for its root."""
    named = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")
    return f"`{quote(named)[1:-1]}`" if named else "the file"


def quote(text: str, most: int = MOST_QUOTED) -> str:
    """A file's text as quoted in a message: in quotes, truncated if long, without unprintable characters."""
    shown = text if len(text) <= most else text[: most - 3] + "..."
    safe = "".join(
        char if char.isprintable() and char not in '\\"' else char.encode("unicode_escape").decode("ascii")
        for char in shown
    )
    return '"' + safe.replace('"', '\\"') + '"'
