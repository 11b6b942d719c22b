"""Text with one template per line, and JSON lists: the two simplest formats for templates.

In text, blank lines and lines that start with # are skipped, and list marks ("- ", "1. ", "2) ") are removed: a number
counts as a mark only with a dot or bracket and a space after it, so "3d" and "1 {}" are kept. A line in double quotes
is parsed as a JSON string, so that a template may also start with # or a mark. JSON is a list of texts, an object of
such lists (CLIP_benchmark's format), or an object of texts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from mocoop import strictjson
from mocoop.groupfile.groups import MAX_BYTES
from mocoop.grouping.convert.checks import has_slot
from mocoop.grouping.convert.listing import Listing, Sentence, finding, flat, refusal, refuse
from mocoop.strictjson import Lines, Path, pointer

_NUMBER = re.compile(r"(?:\d{1,4}(?:\.\)|[.)])|\(\d{1,3}\))[ \t]+")  # a year in brackets is not a mark
_BULLET = re.compile(r"[-*+\u2022\u2023\u25e6\u25aa\u25cf\u00b7\u2013\u2014][ \t]+")
_QUOTED = re.compile(r'("(?:[^"\\]|\\.)*"),?')
_FAULT_CODES = {"size": "G002", "encoding": "G003", "syntax": "G004", "depth": "G005", "number": "G006",
                "surrogate": "G007", "duplicate": "G105"}  # fmt: skip


def read_text(text: str, _source: str = "") -> list[Listing]:
    """Read the single list of a text, one template per line. Raises nothing: lines are validated later."""
    numbered = bulleted = 0
    sentences = []
    for place, line in enumerate(text.split("\n"), start=1):
        bare = line.strip(" \t\r")
        if not bare or bare.startswith("#"):
            continue
        number, bullet = _NUMBER.match(bare), _BULLET.match(bare)
        numbered += number is not None
        bulleted += bullet is not None
        mark = number or bullet
        said = bare[mark.end() :] if mark else bare
        sentences.append(Sentence(_unquoted(said), place, line.index(bare) + len(bare) - len(said) + 1))
    return [flat(sentences, "", tuple(_marks_notice(numbered, bulleted)))]


def _marks_notice(numbered: int, bulleted: int) -> Iterator[str]:
    """A notice about list marks that were removed, if any."""
    told = [
        f"{count} line{'s' if count != 1 else ''} {how}"
        for count, how in ((numbered, "numbered"), (bulleted, "with a bullet"))
        if count
    ]
    if told:
        yield f"list marks were taken off: {', '.join(told)}"


def text_line(text: str) -> str:
    """A template as a line of such a text: unchanged, or quoted if it would be read differently."""
    read = read_text(text)[0].sentences
    return text if [sentence.text for sentence in read] == [text] else json.dumps(text, ensure_ascii=False)


def read_json(text: str, source: str) -> list[Listing]:
    """Read the lists of a JSON file. Raises GroupFileError with every JSON fault and every item that is not a text."""
    parsed = strictjson.parse(text.encode(), max_bytes=2 * MAX_BYTES)
    if parsed.faults:
        raise refusal(
            source,
            [finding(_FAULT_CODES[f.kind], f.message, f.hint, source, f.line, f.column) for f in parsed.faults],
        )
    places = _places(parsed.text)
    lists = list(_lists(parsed.value))
    wrong = [path for _, items in lists for path, item in items if not isinstance(item, str)]
    if wrong:
        hint = 'a list of templates is written ["a photo of a {}.", ...]'
        raise refusal(source, [finding("G022", f"{pointer(at)} is no text", hint, source, *places[at]) for at in wrong])
    if not lists:
        hint = 'write ["a photo of a {}.", ...], or {"name": [...]}'
        raise refuse("G022", "there is no list of templates in it", hint, source)
    if len(lists) > 1 and not any(has_slot(text) for _, items in lists for _, text in items):
        hint = "templates have {} for the class name; texts about single classes are read by no expert"
        raise refuse("G030", "no text in it has a slot for a class name", hint, source)
    return [
        flat([Sentence(text, *places[path]) for path, text in items], name, domain=name or None)
        for name, items in lists
    ]


def _unquoted(line: str) -> str:
    """The value of a line that is a JSON string; any other line unchanged."""
    match = _QUOTED.fullmatch(line)
    if match is None:
        return line
    try:
        return str(json.loads(match[1]))
    except ValueError:  # a backslash that is not an escape
        return line


def _lists(value: Any) -> Iterator[tuple[str, list[tuple[Path, Any]]]]:
    """The name and items (with paths) of each list; an object of single texts, as in CoOp, is one list."""
    if isinstance(value, list):
        yield "", [((index,), item) for index, item in enumerate(value)]
    elif isinstance(value, dict):
        single: list[tuple[Path, Any]] = [((key,), item) for key, item in value.items() if isinstance(item, str)]
        if any(has_slot(text) for _, text in single):
            yield "", single
        for key, held in value.items():
            if isinstance(held, list):
                yield key, [((key, index), item) for index, item in enumerate(held)]


def _places(text: str) -> dict[Path, tuple[int, int]]:
    lines = Lines(text)
    return {place.path: lines.at(place.value) for place in strictjson.places(text)}
