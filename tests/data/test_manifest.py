"""CSV and JSON-lines manifests: what they give, and errors that name the line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from datafiles import put_image

from mocoop.data.sources import open_dataset
from mocoop.errors import DataError

IMAGES = [f"img/{name}{number}.png" for name in "ab" for number in range(6)]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for seed, name in enumerate(IMAGES):
        put_image(tmp_path / "set" / name, seed)
    return tmp_path / "set"


def write(home: Path, lines: list[str], name: str = "m.csv") -> Path:
    path = home / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def rows(split: bool = True) -> list[str]:
    parts = ["train", "train", "train", "valid", "test", "test"] * 2
    return [
        f"{image},class_{image[4]}" + (f",{part}" if split else "") for image, part in zip(IMAGES, parts, strict=True)
    ]


def test_csv_with_splits(home):
    dataset = open_dataset(write(home, ["path,label,split", *rows()]))
    assert dataset.name == "m"
    assert dataset.classnames == ("class a", "class b")
    assert [dataset.counts(split) for split in ("train", "val", "test")] == [(3, 3), (1, 1), (2, 2)]
    assert dataset.train[0].path == home / "img/a0.png"
    assert dataset.notes == ()


def test_csv_without_splits_is_split_here(home):
    dataset = open_dataset(write(home, ["path,label", *rows(split=False)]))
    assert [dataset.counts(split) for split in ("train", "val", "test")] == [(3, 3), (1, 1), (2, 2)]
    assert any("50/20/30" in note for note in dataset.notes)


def test_json_lines_give_the_same(home):
    table = open_dataset(write(home, ["path,label,split", *rows()]))
    keys = ("path", "label", "split")
    lines = [json.dumps(dict(zip(keys, row.split(","), strict=True))) for row in rows()]
    assert open_dataset(write(home, lines, "m.jsonl")) == table


def test_a_missing_val_is_taken_from_train(home):
    dataset = open_dataset(write(home, ["path,label,split", *(row.replace("valid", "train") for row in rows())]))
    assert dataset.counts("val") == (1, 1)
    assert dataset.counts("train") == (3, 3)


def test_mark_quotes_blank_lines_and_line_ends(home):
    put_image(home / "img/a, b.png", 50)
    text = "\ufeffpath,label\r\n\r\n" + "\r\n".join(rows(split=False)) + '\r\n"img/a, b.png",class_a\r\n'
    (home / "m.csv").write_bytes(text.encode())
    dataset = open_dataset(home / "m.csv")
    assert sum(map(len, (dataset.train, dataset.val, dataset.test))) == 13


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "no images are listed"),
        (["path,label"], "no images are listed"),
        (["pfad,label", "img/a0.png,x"], r'm.csv:1: no column "path"'),
        (
            ["path,label,splt", "img/a0.png,x,train"],
            r'm.csv:1: unknown column "splt" \(did you mean "split"\?\)',
        ),
        (["path", "img/a0.png"], 'm.csv:1: no column "label"'),
        (["path,label,path", "img/a0.png,x,y"], "m.csv:1: a column is given twice"),
        (["path|label", "img/a0.png|x"], 'm.csv:1: no column "path"'),
        (["path,label", "img/a0.png,x", "img/a1.png"], "m.csv:3: 1 cells under 2 columns"),
        (["path,label", "img/a0.png,x", "img/a1.png,"], "m.csv:3: an empty label"),
        (["path,label,split", "img/a0.png,x,trian"], r'm.csv:2: split "trian" \(did you mean "train"\?\)'),
        (["path,label,split", "img/a0.png,x,train", "img/a1.png,x,"], "m.csv:3: an empty split"),
        (["path,label", 'img/a0.png,"x'], "m.csv:2: "),
        (["path,label", "../secret.png,x"], r"m.csv:2: the path '../secret.png' climbs out"),
        (["path,label", "/etc/passwd,x"], "m.csv:2: the path '/etc/passwd' is absolute"),
        (["path,label", "..\\a0.png,x"], r"m.csv:2: the path .* climbs out"),
        (["path,label", "C:\\img\\a0.png,x"], r"m.csv:2: the path .* is absolute"),
        (["path,label", "C:img/a0.png,x"], "m.csv:2: the path .* is absolute"),
        (["path,label", "img/a0.png,x", "img/a1.png,x"], "one class only"),
        (["path,label", "img/a0.png,x", "./img//a0.png,y"], "listed under two classes"),
        (
            ["path,label,split", "img/a0.png,x,train", "img/a0.png,x,test", "img/b0.png,y,test"],
            "is in train and in test",
        ),
        (["path,label", "no/1.png,x", "no/2.png,y"], "2 of 2 listed images are missing"),
    ],
)
def test_bad_csv(home, lines, message):
    with pytest.raises(DataError, match=message):
        open_dataset(write(home, lines))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"m.jsonl:2:\d+: "),
        ("[1]", "m.jsonl:2: not an object"),
        ('{"path": "img/a0.png"}', 'm.jsonl:2: no column "label"'),
        ('{"path": "img/a0.png", "label": 3.5}', "m.jsonl:2: label is no string"),
        ('{"path": "img/a0.png", "label": null}', "m.jsonl:2: an empty label"),
        ('{"path": "img/a0.png", "label": ["a", "b"]}', "m.jsonl:2: label is a list"),
        ('{"path": "img/a0.png", "label": true}', "m.jsonl:2: label is no string"),
        ('{"path": "img/a0.png", "label": "x", "label": "y"}', "m.jsonl:2:.*twice"),
        ('{"path": "img/a\\u00000.png", "label": "x"}', "m.jsonl:2: .*NUL"),
        ('{"path": "img/a0.png", "label": "x", "split": "train"}', "m.jsonl:2: some lines have a split"),
        ('{"path": "img/a0.png", "label": "x\\u0001y"}', "control characters"),
    ],
)
def test_bad_json_lines(home, line, message):
    good = '{"path": "img/a1.png", "label": "a"}'
    with pytest.raises(DataError, match=message):
        open_dataset(write(home, [good, line, '{"path": "img/b1.png", "label": "b"}'], "m.jsonl"))


def test_a_manifest_that_is_not_utf8_names_the_line(home):
    (home / "m.csv").write_bytes(b"path,label\nimg/a0.png,for\xeat\n")
    with pytest.raises(DataError, match=r"m\.csv:2: not UTF-8"):
        open_dataset(home / "m.csv")


def test_some_missing_images_are_noted_with_the_other_case(home):
    lines = ["path,label", *rows(split=False), "img/A0.png,class_a", "img/gone.png,class_b"]
    note = next(note for note in open_dataset(write(home, lines)).notes if "missing" in note)
    assert note.startswith("2 of 14 listed images are missing")
    assert "(img/a0.png is there, in other case)" in note


def test_an_image_listed_twice_in_one_split_is_noted(home):
    dataset = open_dataset(write(home, ["path,label,split", *rows(), rows()[0]]))
    assert any(note.startswith("listed more than once") for note in dataset.notes)


def test_a_link_in_a_manifest_may_not_leave(home, tmp_path):
    (home / "img" / "out.png").symlink_to(put_image(tmp_path / "secret.png", 9))
    path = write(home, ["path,label", *rows(split=False), "img/out.png,class_a"])
    with pytest.raises(DataError, match=r"m.csv:14: .*out.png is a link that leaves"):
        open_dataset(path)
    assert open_dataset(path, follow_links=True)
