"""Lists of class names go by key: by name, by an id or number in the line; by position only if that is allowed."""

from __future__ import annotations

import json

import pytest

from mocoop.data.classnames import final_names
from mocoop.data.namelists import PositionNeeded
from mocoop.errors import DataError

WORDS = ("beach", "forest", "harbor")
TWELVE = tuple(sorted(map(str, range(12))))  # 0, 1, 10, 11, 2, ...


def given(tmp_path, keys, lines, file="n.txt", **options):
    path = tmp_path / file
    path.write_text(lines if isinstance(lines, str) else "\n".join(lines), encoding="utf-8")
    return final_names(keys, given=path, **options)


def named(tmp_path, keys, lines, file="n.txt", **options):
    return given(tmp_path, keys, lines, file, **options)[0]


@pytest.mark.parametrize(
    ("keys", "lines", "names"),
    [
        (WORDS, ["harbor", "beach", "forest"], WORDS),
        (WORDS, ["Harbor", "Forest", "BEACH"], ("BEACH", "Forest", "Harbor")),
        (("SeaLake", "parking_lot"), ["parking lot", "sea lake"], ("sea lake", "parking lot")),
        (("dense_residential", "river"), ["river", "Dense-Residential"], ("Dense-Residential", "river")),
        (("001.Black_Albatross", "002.Laysan"), ["Laysan", "Black Albatross"], ("Black Albatross", "Laysan")),
        (("mediumresidential", "parkinglot", "river"), ["river", "parking lot", "medium residential area"],
         ("medium residential area", "parking lot", "river")),
        (("n01440764", "n01443537"), ["n01443537 goldfish", "n01440764 tench, Tinca tinca"],
         ("tench, Tinca tinca", "goldfish")),
        (("n01440764", "n01443537"), ["tench\tn01440764", "goldfish\tn01443537"], ("tench", "goldfish")),
        (("0", "1", "2"), ["2: harbor", "0: beach", "1: forest"], WORDS),
        (("0", "1", "2"), ["harbor 2", "beach 0", "forest 1"], WORDS),
        (("0", "1", "2"), ["2,harbor", "0,beach", "1,forest"], WORDS),
        (("00", "01", "02"), ["2) harbor", "0) beach", "1) forest"], WORDS),
        (("07", "11", "8"), ["8 harbor", "7 beach", "11 forest"], ("beach", "forest", "harbor")),
        (("b", "f", "h"), ["h = harbor", "b = beach", "f = forest"], WORDS),
        (WORDS, ["0 harbor", "1 beach", "2 forest"], WORDS),
        (("crop", "sea"), ["sea lake", "crop field"], ("crop field", "sea lake")),  # names, not keys and names
        (("crop", "sea"), ["sea sea lake", "crop crop field"], ("crop field", "sea lake")),
        (TWELVE, [chr(97 + i) for i in range(12)], tuple("abklcdefghij")),  # number i is line i
        (tuple(str(i) for i in range(1, 4)), ["beach", "forest", "harbor"], WORDS),
    ],
)  # fmt: skip
def test_a_list_goes_by_key(tmp_path, keys, lines, names):
    assert named(tmp_path, keys, lines) == names
    assert named(tmp_path, keys, json.dumps(lines), "n.json") == names


def test_a_note_says_the_first_pairs(tmp_path):
    keys = tuple(str(number) for number in range(10, 31))
    notes = given(tmp_path, keys, [f"{key}: place {chr(87 + int(key))}" for key in reversed(keys)])[1]
    assert notes == ["class names: 10 -> place a, 11 -> place b, 12 -> place c, ... (21), by key"]


def test_names_by_position_need_leave(tmp_path):
    keys, lines = ("10", "11", "21"), list(WORDS)
    with pytest.raises(PositionNeeded, match="only go by position: 10 -> beach, 11 -> forest, 21 -> harbor"):
        named(tmp_path, keys, lines)
    names, notes = given(tmp_path, keys, lines, by_position=True)
    assert names == WORDS
    assert notes == ["class names: 10 -> beach, 11 -> forest, 21 -> harbor, by position"]
    assert named(tmp_path, ("10", "9"), ["nine", "ten"], by_position=True) == ("ten", "nine")  # by value


def test_numbers_are_only_an_order_if_the_keys_are_words(tmp_path):
    keys = ("plage", "port")
    for lines, file in ((["1 harbor", "0 beach"], "n.txt"), ('{"1": "harbor", "0": "beach"}', "n.json")):
        with pytest.raises(PositionNeeded, match="plage -> beach, port -> harbor"):
            named(tmp_path, keys, lines, file)
        assert named(tmp_path, keys, lines, file, by_position=True) == ("beach", "harbor")


def test_a_list_that_is_nearly_the_folders_is_a_mistake(tmp_path):
    with pytest.raises(
        PositionNeeded, match=r"most lines are classes of the data, but not harbour.*without a line: har"
    ):
        named(tmp_path, WORDS, ["harbour", "beach", "forest"])
    with pytest.raises(DataError, match="by position, classes would get the names of others: forest -> beach"):
        named(tmp_path, WORDS, ["harbour", "beach", "forest"], by_position=True)


def test_a_longer_list_by_key_serves_some_of_its_classes(tmp_path):
    names, notes = given(tmp_path, ("n2", "n5"), [f"n{number} thing {chr(97 + number)}" for number in range(9)])
    assert names == ("thing c", "thing f")
    assert notes[1].startswith("names of classes that are not here: n0 thing a, n1 thing b")
    with pytest.raises(DataError, match="3 names for 2 classes"):
        named(tmp_path, ("x1", "x2"), ["river", "lake", "sea"])


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("n.csv", "2,harbor\n0,beach\n1,forest\n"),
        ("n.csv", "name,id\nharbor,2\nbeach,0\nforest,1\n"),
        ("n.csv", "label,class\n2,harbor\n0,beach\n1,forest\n"),
        ("n.json", '{"00": "beach", "2": "harbor", "1": "forest"}'),
        ("n.json", '{"harbor": 2, "beach": 0, "forest": 1}'),
        ("n.json", '{"a": ["2", "harbor"], "b": ["0", "beach"], "c": ["1", "forest"]}'),
    ],
)
def test_tables_of_numbers(tmp_path, file, text):
    assert named(tmp_path, ("0", "1", "2"), text, file) == WORDS


def test_a_table_of_one_column_is_a_list(tmp_path):
    assert named(tmp_path, WORDS, "harbor\nbeach\nforest\n", "n.csv") == WORDS


def test_names_kept_with_a_run_serve_again(tmp_path):
    kept = {"10": "beach", "11": "forest", "21": "harbor"}
    assert final_names(("11", "21"), kept=kept)[0] == ("forest", "harbor")
    assert final_names(("11", "other_key"), kept=kept)[0] == ("forest", "other key")
    names, notes = given(tmp_path, tuple(kept), ["harbor", "beach", "forest"], kept=kept)  # the same, in any order
    assert names == WORDS
    assert notes[0].endswith("as in the training")
    with pytest.raises(PositionNeeded):
        given(tmp_path, tuple(kept), ["harbor", "beach", "meadow"], kept=kept)


def test_odd_names_are_noted_by_one_rule():
    names, notes = final_names(
        ("n01440764", "denseresidential", "sparseresidential", "001.Albatross", "SeaLake", "cow")
    )
    assert names[4:] == ("Sea Lake", "cow")
    assert notes == [
        "class names that say little to a text tower: n01440764 (an id), denseresidential (joined words), "
        "sparseresidential (joined words), 001.Albatross (a leading number): give readable ones with --class-names"
    ]
    fine = (
        "737-200",
        "C-130",
        "refrigerator",
        "strawberry",
        "raspberry",
        "butterfly",
        "black & white",
        "iPhone",
        "McX",
    )
    assert final_names(fine) == (fine, [])
    assert "3 harbor (a leading number)" in final_names(("3_harbor", "beach"))[1][0]


def test_combinations_are_noted():
    note = final_names(("beach", "beach,water", "tench, Tinca tinca", "red | blue", "blue"))[1][0]
    assert note.startswith('labels that are combinations: "beach,water", "red | blue": each is a class of its own')
