"""Strict JSON: parses bytes into a value and a list of all faults, each with its line and column.

Python's own parser is too lenient for hand-written files: it keeps the last of two equal keys, accepts NaN and
infinity, and stops at the first error with a terse message. Here duplicate keys, numbers that are not JSON, lone
surrogates, deep nesting and wrong encodings are faults with a location and a fix.

Everything is linear in the size of the file. Reading files and raising errors is in `mocoop.files`.
"""

from __future__ import annotations

import bisect
import codecs
import itertools
import json
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

MAX_DEPTH = 64
MAX_DIGITS = 400  # of an integer; a float's exponent ends at 308
MAX_FAULTS = 100  # reported per file; the first are enough to see what is wrong

Path = tuple[str | int, ...]

_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]|[^\s\[\]{},:"]+')
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Fault:
    """One error in the bytes as JSON; lines and columns count from 1, columns in characters.

    `kind` is one of: size, encoding, syntax, depth, duplicate, number, surrogate.
    """

    kind: str
    message: str
    hint: str
    line: int = 1
    column: int = 1
    path: Path = ()


@dataclass(frozen=True)
class Parsed:
    """`value` is meaningful only if `readable`; there may still be `faults` (such as a duplicate key)."""

    value: Any
    text: str
    readable: bool
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True)
class Place:
    """The location of one value: offsets into the text of the value and of its key (list items and roots have none).

    `twin` is the offset of an earlier equal key in the same object.
    """

    path: Path
    value: int
    key: int | None = None
    twin: int | None = None


class Lines:
    """Converts an offset into a text to (line, column), both from 1."""

    def __init__(self, text: str) -> None:
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def at(self, offset: int) -> tuple[int, int]:
        """Line and column of an offset."""
        line = bisect.bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1


def pointer(path: Path) -> str:
    """A path as a JSON pointer (RFC 6901): ("groups", 0, "id") -> "/groups/0/id"."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


def parse(data: bytes, *, max_bytes: int) -> Parsed:
    """Parse JSON from bytes; never raises for their content. A UTF-8 byte order mark is dropped."""
    if len(data) > max_bytes:
        message = f"larger than {max_bytes:,} bytes"
        return _unreadable(Fault("size", message, "this is not a file of the kind expected here"))
    text, fault = decode(data)
    if fault is not None:
        return _unreadable(fault)
    suspects = _Suspects()
    try:
        value = json.loads(
            text,
            parse_constant=suspects.constant,
            parse_int=suspects.integer,
            parse_float=suspects.real,
            object_pairs_hook=suspects.pairs,
        )
    except json.JSONDecodeError as error:
        return _unreadable(_syntax_fault(text, error), text)
    except RecursionError:
        return _unreadable(_depth_fault(text), text)
    if "\\ud" in text or "\\uD" in text:
        suspects.found = True
    if _deeper_than(value, MAX_DEPTH):
        return _unreadable(_depth_fault(text), text)
    return Parsed(
        value, text, True, tuple(itertools.islice(_locate_faults(text), MAX_FAULTS)) if suspects.found else ()
    )


def places(text: str) -> Iterator[Place]:
    """The place of every value of a *valid* JSON text, in order, without recursion."""
    stack: list[_Frame] = []
    for match in _TOKEN.finditer(text):
        token, offset = match.group(), match.start()
        if token in "]}":
            stack.pop()
            continue
        frame = stack[-1] if stack else None
        if frame is None:
            place = Place((), offset)
        elif frame.awaits_key:
            frame.start_member(token, offset)
            continue
        else:
            place = frame.next_place(offset)
        yield place
        if token in "[{":
            stack.append(_Frame(place.path, token == "{"))


def locate(text: str, wanted: Iterable[Path], *, unique: bool = False) -> dict[Path, Place]:
    """The places of some paths of a valid JSON text; of two equal keys the last, which a parser keeps.

    With `unique` (no object has equal keys) the text is read no further than needed.
    """
    paths = set(wanted)
    found: dict[Path, Place] = {}
    for place in places(text):
        if place.path in paths:
            found[place.path] = place
        if unique and len(found) == len(paths):
            break
    return found


@dataclass
class _Frame:
    """An object or list that is open at the current position."""

    path: Path
    is_object: bool
    index: int = 0
    key: str | None = None
    key_offset: int = 0
    twin: int | None = None
    seen: dict[str, int] = field(default_factory=dict)

    @property
    def awaits_key(self) -> bool:
        return self.is_object and self.key is None

    def start_member(self, token: str, offset: int) -> None:
        self.key = str(json.loads(token)) if "\\" in token else token[1:-1]
        self.key_offset = offset
        self.twin = self.seen.get(self.key)
        self.seen.setdefault(self.key, offset)

    def next_place(self, offset: int) -> Place:
        if self.key is None:
            self.index += 1
            return Place((*self.path, self.index - 1), offset)
        place = Place((*self.path, self.key), offset, self.key_offset, self.twin)
        self.key = None
        return place


class _Suspects:
    """Hooks of json.loads: they only record that something is wrong; a second pass locates it."""

    def __init__(self) -> None:
        self.found = False

    def constant(self, _name: str) -> None:
        self.found = True

    def integer(self, digits: str) -> int:
        if len(digits) > MAX_DIGITS:
            self.found = True
            return 0
        return int(digits)

    def real(self, digits: str) -> float:
        number = float(digits)
        self.found = self.found or math.isinf(number)
        return number

    def pairs(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        self.found = self.found or len(members) < len(pairs)
        return members


def _unreadable(fault: Fault, text: str = "") -> Parsed:
    return Parsed(None, text, False, (fault,))


def decode(data: bytes) -> tuple[str, Fault | None]:
    """Decode UTF-8 bytes, or return the encoding fault. A byte order mark is dropped."""
    other = _other_encoding(data)
    if other:
        return "", Fault("encoding", f"the text is {other}, not UTF-8", "save it again as UTF-8")
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        return data.decode("utf-8"), None
    except UnicodeDecodeError as error:
        line, column = Lines(before := data[: error.start].decode("utf-8")).at(len(before))
        message = f"byte 0x{data[error.start]:02X} is not valid UTF-8"
        return "", Fault("encoding", message, "save the file again as UTF-8", line, column)


def _other_encoding(data: bytes) -> str | None:
    """Detect UTF-16 and UTF-32 by byte order mark, or by the zero bytes in ASCII characters."""
    if data.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "UTF-32"
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "UTF-16"
    zeros = [byte == 0 for byte in data[:4]]
    if zeros in ([False, True, True, True], [True, True, True, False]):
        return "UTF-32"
    if zeros in ([False, True, False, True], [True, False, True, False]):
        return "UTF-16"
    return None


def _deeper_than(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit + 1):
        containers = [item for item in level if isinstance(item, (dict, list))]
        if not containers:
            return False
        level = [child for item in containers for child in (item.values() if isinstance(item, dict) else item)]
    return True


def _depth_fault(text: str) -> Fault:
    depth, offset = 0, 0
    for match in _TOKEN.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(match.group(), 0)
        if depth > MAX_DEPTH:
            offset = match.start()
            break
    return Fault(
        "depth",
        f"brackets nested more than {MAX_DEPTH} deep",
        "no file read here needs that",
        *Lines(text).at(offset),
    )


def _locate_faults(text: str) -> Iterator[Fault]:
    lines = Lines(text)
    for place in places(text):
        if place.twin is not None and place.key is not None:
            yield _duplicate_fault(lines, place)
        if place.key is not None and (broken := _lone_surrogate(text, place.key)):
            yield Fault("surrogate", broken, _SURROGATE_HINT, *lines.at(place.key), place.path)
        if text[place.value] == '"':
            if broken := _lone_surrogate(text, place.value):
                yield Fault("surrogate", broken, _SURROGATE_HINT, *lines.at(place.value), place.path)
        elif trouble := _number_trouble(_token(text, place.value)):
            yield Fault("number", *trouble, *lines.at(place.value), place.path)


_SURROGATE_HINT = r"write the character itself, or both halves of its \u pair"


def _duplicate_fault(lines: Lines, place: Place) -> Fault:
    assert place.key is not None
    assert place.twin is not None
    name = json.dumps(place.path[-1])
    first_line, first_column = lines.at(place.twin)
    message = f"the key {name} is given twice in one object, first at {first_line}:{first_column}"
    return Fault("duplicate", message, "keep one of the two", *lines.at(place.key), place.path)


def _token(text: str, offset: int) -> str:
    match = _TOKEN.match(text, offset)
    return match.group() if match else ""


def _lone_surrogate(text: str, offset: int) -> str | None:
    token = _token(text, offset)
    if "\\u" not in token:
        return None
    half = _SURROGATE.search(json.loads(token))
    return f"\\u{ord(half.group()):04x} is half a character (a lone surrogate)" if half else None


def _number_trouble(token: str) -> tuple[str, str] | None:
    if token in ("NaN", "Infinity", "-Infinity"):
        return f"{token} is no JSON number", "use null for a value that is missing"
    if token[0] not in "-0123456789":
        return None
    if token.lstrip("-").isdigit():
        if len(token) <= MAX_DIGITS:
            return None
        return f"an integer of {len(token):,} digits", f"at most {MAX_DIGITS} are read"
    return (f"the number {token[:40]} is too large", "write a smaller one") if math.isinf(float(token)) else None


_FOREIGN_QUOTES = "'`\u2018\u2019\u201c\u201d\u201e\u00ab\u00bb"


def _syntax_fault(text: str, error: json.JSONDecodeError) -> Fault:
    offset = min(error.pos, len(text))
    before = text[:offset].rstrip()
    here = text[offset : offset + 1]
    if not text.strip():
        return Fault("syntax", "the file is empty", "the smallest valid content is an object: { ... }")
    if error.msg.startswith("Illegal trailing comma"):  # Python 3.13: it points at the comma itself
        before, here = text[: offset + 1], "}"
    if here in ("]", "}") and before.endswith(","):
        offset = len(before) - 1
        fault = (f"a comma before `{here}`", "trailing comma? JSON allows none after the last item")
    else:
        fault = _syntax_words(text, offset, error.msg)
    return Fault("syntax", *fault, *Lines(text).at(offset))


def _syntax_words(text: str, offset: int, reason: str) -> tuple[str, str]:
    here = text[offset : offset + 1]
    shown = ascii(text[offset : offset + 12])
    if not text[offset:].strip() and "string" not in reason:
        return "the file ends too early", "a closing bracket or brace is missing"
    if reason.startswith("Unterminated string"):
        return "a string is never closed", 'add the closing double quote "'
    if reason.startswith("Invalid control character"):
        return "a line break or control character inside a string", 'close the string with " on the same line'
    if reason.startswith("Invalid \\"):
        return f"an unknown escape {shown}", "a backslash itself is written \\\\"
    if text.startswith(("//", "/*", "#"), offset):
        return "a comment", 'JSON has none; use a key that starts with "_comment" or "x-"'
    if here and here in _FOREIGN_QUOTES:
        return f"{shown} where a value should be", 'strings stand between plain double quotes: "..."'
    if reason.startswith("Extra data"):
        return f"{shown} after the end of the document", "a file holds one JSON value; take out what follows"
    if reason.startswith("Expecting ',' delimiter"):
        return f"{shown} where a comma or a closing bracket should be", (
            'missing comma before it? a double quote inside a string is written \\"'
        )
    if reason.startswith("Expecting ':' delimiter"):
        return f"{shown} where a colon should be", 'members are written "key": value'
    if reason.startswith("Expecting property name"):
        return f"{shown} where a key should be", 'keys stand between double quotes: "key": value'
    return (
        f"{shown} where a value should be",
        "a value is a string, number, list, object, true, false or null",
    )
