"""Labels that cannot be right, too few images, and the same image on both sides of a split."""

from __future__ import annotations

import json
import shutil

import pytest
from datafiles import put_classes, put_image
from worlds import plan_for, write_world

from mocoop.config import preset
from mocoop.data.leaks import leaks
from mocoop.data.sources import open_dataset
from mocoop.data.splits import choose_classes
from mocoop.errors import DataError
from mocoop.runs.train import train


def put_split_json(home, label: str) -> None:
    """Two good classes, and one more image with a label as it is written."""
    for path in ("a/1.png", "b/1.png", "c/1.png"):
        put_image(home / "2750" / path, seed=ord(path[0]))
    items = f'["a/1.png", 0, "A"], ["b/1.png", 1, "B"], ["c/1.png", {label}, "C"]'
    (home / "split_zhou_EuroSAT.json").write_text(f'{{"train": [{items}], "val": [], "test": []}}')


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("-1", "label -1 is no whole number"),
        ("-0.0", "label -0.0 is no whole number"),
        ("3", "label 2 has no image, label 3 has"),
        ("2e0", "label 2.0 is no whole number"),
        ("true", "label True is no whole number"),
        ("null", "label None is no whole number"),
        ('"2"', "label '2' is no whole number"),
        ("[2]", r"label \[2\] is no whole number"),
        ("NaN", "NaN is no JSON number"),
        ("9" * 5000, "an integer of 5,000 digits"),
        ("0", 'label 0 is "C" here and "A" before'),
    ],
)
def test_labels_of_a_split_file_that_cannot_be(tmp_path, label, words):
    put_split_json(tmp_path / "eurosat", label)
    with pytest.raises(DataError, match=words) as caught:
        open_dataset(tmp_path / "eurosat")
    assert "split_zhou_EuroSAT.json" in caught.value.message
    assert caught.value.exit_code == 4


def test_names_given_twice_by_a_file_of_names_are_refused(tmp_path):
    put_classes(tmp_path / "data", {"a": 5, "b": 5})
    for text in ('{"a": "sea", "b": "Sea "}', '{"a": "sea", "a": "lake"}'):
        (tmp_path / "names.json").write_text(text)
        with pytest.raises(DataError, match=r"one and the same name|twice"):
            open_dataset(tmp_path / "data", class_names=tmp_path / "names.json")


def test_a_single_class_is_refused_whole_or_as_a_half(tmp_path):
    (tmp_path / "m.csv").write_text("path,label\nx.png,a\ny.png,a\n")
    put_image(tmp_path / "x.png", 1), put_image(tmp_path / "y.png", 2)
    with pytest.raises(DataError, match="one class only, 'a'"):
        open_dataset(tmp_path / "m.csv")
    three = open_dataset(put_classes(tmp_path / "three", {"a": 5, "b": 5, "c": 5}))
    with pytest.raises(DataError, match="3 classes leave 1 for new"):
        choose_classes(three, "new")


def test_a_class_without_training_images_is_refused_before_training(tmp_path):
    data = put_classes(tmp_path / "data", {"train/a": 3, "train/b": 3, "train/c": 0, "test/a": 1, "test/c": 2})
    world = {**write_world(tmp_path), "data": data}
    with pytest.raises(DataError, match="no training image of c"):
        train(plan_for(world, tmp_path / "run"))
    assert not (tmp_path / "run" / "run.json").exists()


def test_fewer_images_than_shots_are_recorded_with_the_run(tmp_path):
    run = train(plan_for(write_world(tmp_path), tmp_path / "run", preset("recommended", epochs=1), shots=50))
    record = json.loads((run.path / "run.json").read_text())
    assert any(note.startswith("fewer than 50 training images: dog (8)") for note in record["data"]["notes"])


@pytest.mark.parametrize("how", ["copy", "link", "hard link"])
def test_one_picture_in_train_and_test_is_told_whatever_it_is_called(tmp_path, how):
    data = put_classes(tmp_path / "data", {f"{split}/{name}": 4 for split in ("train", "val", "test") for name in "ab"})
    here, there = data / "train/a/00.png", data / "test/b/again.png"
    if how == "copy":
        shutil.copy(here, there)
    elif how == "link":
        there.symlink_to(here)
    else:
        there.hardlink_to(here)
    (note,) = leaks(open_dataset(data))
    assert note.startswith("1 of 9 pictures of test are in train too")


def test_the_same_file_listed_in_train_and_test_is_refused(tmp_path):
    for name in ("a", "b"):
        put_image(tmp_path / f"{name}.png", ord(name))
    for again in ("a.png", "./a.png", "x/../a.png", ".//a.png"):
        (tmp_path / "m.csv").write_text(f"path,label,split\na.png,a,train\nb.png,b,train\n{again},a,test\n")
        with pytest.raises(DataError, match=r"is in train and in test|climbs out"):
            open_dataset(tmp_path / "m.csv")


@pytest.mark.parametrize("split", ["", ",train"])
def test_a_picture_listed_more_than_once_is_on_one_side_of_our_split(tmp_path, split):
    for name in "ab":
        (tmp_path / name).mkdir()
        for number in range(10):
            (tmp_path / name / f"{number}.png").write_bytes(b"\x89PNG")
    once = [f"{name}/{number}.png,{name}{split}" for name in "ab" for number in range(10)]
    again = [f"./{line}" for line in once] + once[:5]
    heading = "path,label,split" if split else "path,label"
    (tmp_path / "once.csv").write_text("\n".join([heading, *once]))
    (tmp_path / "again.csv").write_text("\n".join([heading, *once, *again]))
    alone, dataset = open_dataset(tmp_path / "once.csv"), open_dataset(tmp_path / "again.csv")
    assert (dataset.train, dataset.val, dataset.test) == (alone.train, alone.val, alone.test)
    assert any(note.startswith("listed more than once, and taken once: ") for note in dataset.notes)
