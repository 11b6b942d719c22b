"""The strict JSON reader: as the standard one on good JSON, places every value, names every fault."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mocoop.strictjson import MAX_DEPTH, MAX_FAULTS, Lines, Path, locate, parse, places, pointer

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


def faults(data: bytes) -> list[tuple[str, int, int]]:
    return [(fault.kind, fault.line, fault.column) for fault in parse(data, max_bytes=10**6).faults]


def walk(value: Any, path: Path = ()) -> list[tuple[Path, Any]]:
    """Every path of a value in the order written: the naive, recursive way."""
    members: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [(path, value), *(pair for key, child in members for pair in walk(child, (*path, key)))]


@given(VALUES, st.sampled_from([None, 1, 4]), st.booleans())
def test_agrees_with_the_standard_reader(value: Any, indent: int | None, ascii_only: bool) -> None:
    parsed = parse(json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode(), max_bytes=10**6)
    assert parsed.readable
    assert parsed.faults == ()
    assert parsed.value == value


@given(VALUES, st.sampled_from([None, 2]), st.booleans())
def test_every_value_is_found_where_it_stands(value: Any, indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    found = list(places(text))
    assert [place.path for place in found] == [path for path, _ in walk(value)]
    for place, (path, expected) in zip(found, walk(value), strict=True):
        assert json.JSONDecoder().raw_decode(text, place.value)[0] == expected
        if place.key is not None:
            assert json.JSONDecoder().raw_decode(text, place.key)[0] == path[-1]
    wanted = {place.path for place in found[::2]}
    assert locate(text, wanted) == locate(text, wanted, unique=True)
    assert set(locate(text, wanted)) == wanted


@settings(max_examples=300)
@given(
    st.binary(max_size=60)
    | st.text('[]{}",:\\tfn0-.eE \n\ud83d\u201c', max_size=30).map(lambda text: text.encode("utf-8", "surrogatepass"))
)
def test_any_bytes(data: bytes) -> None:
    parsed = parse(data, max_bytes=50)
    assert parsed.readable or parsed.faults
    for fault in parsed.faults:
        assert fault.message
        assert fault.hint
        assert fault.line >= 1
        assert fault.column >= 1


@given(st.text("a\n\r\u2028é😀", max_size=30))
def test_lines(text: str) -> None:
    lines = Lines(text)
    for offset in range(len(text) + 1):
        before = text[:offset]
        assert lines.at(offset) == (before.count("\n") + 1, len(before.rpartition("\n")[2]) + 1)


def test_pointer_escapes() -> None:
    assert pointer(("a/b", 0, "~")) == "/a~1b/0/~0"
    assert pointer(()) == ""


@pytest.mark.parametrize(
    ("text", "kind", "line", "column", "words"),
    [
        ("", "syntax", 1, 1, "empty"),
        (" \n ", "syntax", 1, 1, "empty"),
        ("[1,]", "syntax", 1, 3, "trailing comma?"),
        ('{"a": 1,\n\n}', "syntax", 1, 8, "trailing comma?"),
        ('{"a": 1', "syntax", 1, 8, "closing bracket"),
        ('{"a":', "syntax", 1, 6, "ends too early"),
        ('{"a": "b', "syntax", 1, 7, "never closed"),
        ('{"a": "b\n"}', "syntax", 1, 9, "control character"),
        ('{"a": "\\x"}', "syntax", 1, 8, "backslash"),
        ("{'a': 1}", "syntax", 1, 2, "double quotes"),
        ("{“a”: 1}", "syntax", 1, 2, "double quotes"),
        ("{a: 1}", "syntax", 1, 2, "key"),
        ('{"a" 1}', "syntax", 1, 6, "colon"),
        ('["a" "b"]', "syntax", 1, 6, "missing comma"),
        ("[] []", "syntax", 1, 4, "after the end"),
        ("{} // done", "syntax", 1, 4, "comment"),
        ("[True]", "syntax", 1, 2, "true, false or null"),
        ('{"a": 1,\n "b": {"a": 1},\n "a": 2}', "duplicate", 3, 2, "first at 1:2"),
        ('{"a\\u0062": 1, "ab": 2}', "duplicate", 1, 16, "twice"),
        ("[-Infinity]", "number", 1, 2, "-Infinity"),
        ("[1e400]", "number", 1, 2, "too large"),
        ("[1" + "0" * 400 + "]", "number", 1, 2, "401 digits"),
        ('[1, "x\\uD800"]', "surrogate", 1, 5, "half a character"),
        ('{"\\udfff": 1}', "surrogate", 1, 2, "half a character"),
    ],
)
def test_fault(text: str, kind: str, line: int, column: int, words: str) -> None:
    (fault,) = parse(text.encode(), max_bytes=10**4).faults
    assert (fault.kind, fault.line, fault.column) == (kind, line, column)
    assert words in f"{fault.message} {fault.hint}"


def test_all_faults_of_a_readable_text_are_reported() -> None:
    assert faults(b'{"a": NaN,\n "a": "\\ud800",\n "b": 1e999}') == [
        ("number", 1, 7),
        ("duplicate", 2, 2),
        ("surrogate", 2, 7),
        ("number", 3, 7),
    ]


def test_encodings() -> None:
    for name in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"):
        (fault,) = parse('{"a": 1}'.encode(name), max_bytes=100).faults
        assert fault.kind == "encoding"
        assert name[:6].upper() in fault.message
    assert faults('["é", "\n'.encode() + b"\xff") == [("encoding", 2, 1)]
    assert parse(b"\xef\xbb\xbf[]", max_bytes=100).value == []


def test_caps() -> None:
    assert faults(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH) == []
    assert faults(b"\n[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1)) == [("depth", MAX_DEPTH + 2, 1)]
    assert faults(b"[" * 200_000) == [("depth", 1, MAX_DEPTH + 1)]
    assert len(faults(b"[" + b"NaN, " * 1000 + b"1]")) == MAX_FAULTS
    assert parse(b"[1, 2]", max_bytes=5).faults[0].kind == "size"
