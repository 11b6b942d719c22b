"""Readable class names: from keys, from a mapping, from files."""

from __future__ import annotations

import pytest

from mocoop.data.classnames import final_names, readable
from mocoop.errors import DataError

KEYS = ("mediumresidential", "parking_lot", "river")
NAMES = ("medium residential area", "parking lot", "river")


def test_underscores_become_spaces_and_nothing_else_changes():
    assert readable("parking_lot") == "parking lot"
    assert readable("_Sea__or Lake ") == "Sea or Lake"
    assert readable("polka-dotted") == "polka-dotted"
    assert final_names(KEYS)[0] == ("mediumresidential", "parking lot", "river")


@pytest.mark.parametrize(
    ("file", "text"),
    [
        (
            "n.json",
            '{"river": "river", "mediumresidential": "medium residential area", "parking_lot": "parking lot"}',
        ),
        (
            "n.json",
            '\ufeff{"river": "river", "mediumresidential": "medium  residential area ", "parking lot": "parking lot"}',
        ),
        (
            "n.csv",
            "folder,name\nmediumresidential,medium residential area\nparking_lot,parking lot\nriver,river\n",
        ),
        ("n.csv", 'mediumresidential, "medium residential area"\n\nparking_lot,parking lot\nriver,river'),
        ("n.tsv", "river\triver\nmediumresidential\tmedium residential area\r\nparking_lot\tparking lot\n"),
        ("n.txt", "medium residential area\nparking lot\n\nriver\n"),
        ("names", "medium residential area\r\nparking lot\r\nriver"),
    ],
)
def test_files_of_names(tmp_path, file, text):
    path = tmp_path / file
    path.write_bytes(text.encode())
    assert final_names(KEYS, given=path)[0] == NAMES


def test_a_mapping_of_names():
    assert final_names(KEYS, given=dict(zip(KEYS, NAMES, strict=True)))[0] == NAMES


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("n.json", "[]", "not an object"),
        ("n.json", '{"river": 3}', 'the name of "river" is no string'),
        ("n.json", '{"river": "a", "river": "b"}', r"n.json:1:16: .*twice"),
        (
            "n.json",
            '{"river": "river", "parking_lots": "p"}',
            r'no such class: "parking_lots" \(did you mean "parking_lot"\?\)',
        ),
        ("n.json", '{"river": "river", "parking_lot": "p"}', "no name for mediumresidential"),
        ("n.json", '{"parking_lot": "p", "parking lot": "q"}', '"parking_lot" is named twice'),
        ("n.csv", "folder,name\nriver,river,big\n", "n.csv:2: 3 columns"),
        ("n.csv", "river,river\nriver,stream\n", 'n.csv:2: the class "river" is named twice'),
        ("n.csv", 'river,"river\n', "n.csv:1"),
        ("n.txt", "one\ntwo\n", "2 names for 3 classes"),
        ("n.txt", "river: one\nparking_lot: Two\nmediumresidential: two\n", "one and the same name"),
    ],
)
def test_bad_files_of_names(tmp_path, file, text, message):
    path = tmp_path / file
    path.write_bytes(text.encode())
    with pytest.raises(DataError, match=message):
        final_names(KEYS, given=path)


@pytest.mark.parametrize(
    "names",
    [("café", "cafe\u0301"), ("ｃａｔ", "cat"), ("john's", "john’s"), ("a & b", "a &amp; b"), ("River", "river ")],
    ids=["accents", "wide", "quotes", "entities", "case"],
)
def test_names_that_the_tokenizer_reads_alike_are_one_name(names):
    from open_clip import get_tokenizer

    read = get_tokenizer("ViT-B-32")(list(names))
    assert (read[0] == read[1]).all()
    with pytest.raises(DataError, match="one and the same name"):
        final_names(("a", "b"), names)
    assert "no text can tell" in final_names(("a", "b"), names, twins_allowed=True)[1][0]


def test_a_file_that_is_missing_or_not_utf8(tmp_path):
    with pytest.raises(DataError, match="cannot read the class names"):
        final_names(KEYS, given=tmp_path / "none.csv")
    (tmp_path / "n.txt").write_bytes(b"a\nb\n\xff\n")
    with pytest.raises(DataError, match=r"n\.txt:3: not UTF-8"):
        final_names(KEYS, given=tmp_path / "n.txt")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("  ", "empty name"),
        ("a\0b", "control characters"),
        ("\ud800", "control characters"),
        ("x" * 201, "201 characters"),
    ],
)
def test_names_that_no_text_tower_can_read(name, message):
    with pytest.raises(DataError, match=message):
        final_names(KEYS, given={**dict(zip(KEYS, NAMES, strict=True)), "river": name})


def test_twins_are_refused_or_noted():
    with pytest.raises(DataError, match=r'"n1" and "n2" \(Missile\)'):
        final_names(("n1", "n2"), names=("missile", "Missile"))
    names, notes = final_names(("n1", "n2"), names=("missile", "Missile"), twins_allowed=True)
    assert names == ("missile", "Missile")
    assert "no text can tell" in notes[0]
