"""Folders of class folders, with and without splits on top."""

from __future__ import annotations

from pathlib import Path

import pytest
from datafiles import put_classes, put_image

from mocoop.data.images import open_image
from mocoop.data.leaks import leaks
from mocoop.data.sources import open_dataset
from mocoop.data.splits import choose_classes, few_shot
from mocoop.errors import DataError


def names(examples) -> list[str]:
    return [f"{path.parent.name}/{path.name}:{label}" for path, label, _row in examples]


def test_train_val_and_test_folders(tmp_path):
    counts = {"train/b_c": 2, "train/a": 1, "val/a": 1, "val/b_c": 1, "test/a": 1, "test/b_c": 2}
    dataset = open_dataset(put_classes(tmp_path / "set", counts))
    assert dataset.name == "set"
    assert dataset.classnames == ("a", "b c")
    assert names(dataset.train) == ["a/00.png:0", "b_c/00.png:1", "b_c/01.png:1"]
    assert dataset.counts("test") == (1, 2)
    assert dataset.notes == ()
    assert dataset.train[0].path.is_file()


SPLIT_FOLDERS = [
    ("training", "testing"),
    ("train_set", "test_set"),
    ("trainset", "testset"),
    ("seg_train/seg_train", "seg_test/seg_test"),
    ("seg_train/seg_train", "seg_test"),
    ("TRAIN", "Test"),
    ("Training Data", "test-images"),
    ("archive/train", "archive/test"),
    ("archive/training_set", "archive/test_set"),
]


@pytest.mark.parametrize(("first", "second"), SPLIT_FOLDERS)
def test_split_folders_under_other_names(tmp_path, first, second):
    counts = {f"{first}/bus": 5, f"{first}/car": 5, f"{second}/bus": 2, f"{second}/car": 3, "__MACOSX/x": 1}
    dataset = open_dataset(put_classes(tmp_path / "set", counts))
    assert dataset.classnames == ("bus", "car")
    assert [dataset.counts(split) for split in ("train", "val", "test")] == [(4, 4), (1, 1), (2, 3)]
    assert {path.parent.parent.name for path, _, _ in dataset.test} == {second.split("/")[-1]}


def test_flat_pictures_beside_the_splits_are_not_a_split(tmp_path):
    counts = {f"seg_{part}/seg_{part}/{name}": 5 for part in ("train", "test") for name in "ab"} | {
        "seg_pred/seg_pred": 3
    }
    dataset = open_dataset(put_classes(tmp_path, counts))
    assert dataset.counts("test") == (5, 5)
    assert "not used, beside the splits: seg_pred" in dataset.notes


def test_class_folders_in_one_wrapper(tmp_path):
    dataset = open_dataset(put_classes(tmp_path / "set", {"photos/bus": 4, "photos/car": 4}))
    assert dataset.classnames == ("bus", "car")
    assert f"read from the only folder in {tmp_path / 'set'}: photos" in dataset.notes


@pytest.mark.parametrize(
    "counts",
    [
        {"bus": 4, "car": 4, "train": 4},
        {"bus": 4, "car": 4, "train": 3, "train/more": 1},
        {"bus/2019": 4, "car/2019": 4, "train/2019": 4},
        {f"{split}/{name}": 4 for split in ("train", "val", "test") for name in ("bus", "car", "train")},
    ],
)
def test_a_class_named_like_a_split_is_a_class(tmp_path, counts):
    dataset = open_dataset(put_classes(tmp_path, counts))
    assert dataset.classnames == ("bus", "car", "train")
    assert sum(dataset.counts(split)[2] for split in ("train", "val", "test")) in (4, 12)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({f"{name}/{part}": 2 for name in ("bus", "car") for part in ("train", "test")},
         "every folder holds the splits test, train, so they stand below the classes bus, car"),
        ({f"{part}/{name}": 2 for name in ("bus", "car") for part in ("lernen", "pruefen")},
         "lernen, pruefen all hold the same folders, bus, car, which look like the classes"),
        ({"train": 3, "test": 3}, "test, train hold images but no class folders"),
    ],
)  # fmt: skip
def test_classes_and_splits_the_other_way_round_are_refused(tmp_path, counts, message):
    with pytest.raises(DataError, match=message):
        open_dataset(put_classes(tmp_path, counts))


def test_a_folder_of_pictures_in_every_class_is_fine(tmp_path):
    assert open_dataset(put_classes(tmp_path, {"n1/images": 4, "n2/images": 4})).classnames == ("n1", "n2")


def test_litter_is_left_out_with_a_note(tmp_path):
    counts = {"bus": 4, "car": 4, "annotations": 4, "__MACOSX/bus": 1, "empty": 0, ".ipynb_checkpoints": 1}
    dataset = open_dataset(put_classes(tmp_path, counts))
    assert dataset.classnames == ("bus", "car")
    assert any(note.endswith("no image that is read: __MACOSX, annotations, empty") for note in dataset.notes)


@pytest.mark.parametrize("word", ["val", "valid", "validation", "Valid", "dev", "val2017"])
def test_words_for_val(tmp_path, word):
    counts = {f"{split}/{name}": 1 for split in ("train", word, "test") for name in "ab"}
    assert open_dataset(put_classes(tmp_path, counts)).counts("val") == (1, 1)


def test_two_words_for_val_are_refused(tmp_path):
    counts = {f"{split}/{name}": 1 for split in ("train", "val", "valid", "test") for name in "ab"}
    with pytest.raises(DataError, match="both val and valid"):
        open_dataset(put_classes(tmp_path, counts))


def test_no_splits_are_made_by_split_seed_and_said(tmp_path):
    put_classes(tmp_path, {"river": 10, "forest": 20})
    dataset = open_dataset(tmp_path, split_seed=5)
    assert [dataset.counts(split) for split in ("train", "val", "test")] == [(10, 5), (4, 2), (6, 3)]
    assert any("50/20/30 by split_seed 5" in note for note in dataset.notes)
    assert open_dataset(tmp_path, split_seed=5) == dataset
    assert open_dataset(tmp_path, split_seed=6).test != dataset.test


def test_a_missing_val_is_taken_from_train_before_the_shots(tmp_path):
    put_classes(tmp_path, {"train/a": 10, "train/b": 10, "test/a": 3, "test/b": 3})
    dataset = open_dataset(tmp_path)
    assert dataset.counts("train") == (8, 8)
    assert dataset.counts("val") == (2, 2)
    assert any("a fifth of train" in note and "split_seed 0" in note for note in dataset.notes)
    for seed in range(5):
        drawn = few_shot(dataset, 8, seed)
        assert not set(drawn.train) & set(dataset.val)
        assert set(drawn.val) <= set(dataset.val)


def test_a_test_set_alone_can_be_opened(tmp_path):
    dataset = open_dataset(put_classes(tmp_path, {"test/a": 1, "test/b": 1}))
    assert (dataset.train, dataset.val) == ((), ())
    assert dataset.counts("test") == (1, 1)


def test_classes_of_one_split_only_and_misspelt_ones_are_noted(tmp_path):
    counts = {
        "train/forest": 2,
        "train/river": 2,
        "val/forest": 1,
        "val/river": 1,
        "test/forset": 1,
        "test/river": 1,
    }
    notes = " | ".join(open_dataset(put_classes(tmp_path, counts)).notes)
    assert 'test/forset is not in train (did you mean "forest"?)' in notes
    assert "no image in train of 1 class: forset" in notes
    assert "no image in test of 1 class: forest" in notes


def test_an_empty_class_folder_is_noted(tmp_path):
    put_classes(tmp_path, {"train/a": 5, "train/b": 5, "test/a": 1, "test/b": 0})
    assert any("test/b holds no image" in note for note in open_dataset(tmp_path).notes)
    (tmp_path / "train" / "c").mkdir()
    dataset = open_dataset(tmp_path)
    assert dataset.classnames == ("a", "b")
    assert any(note.startswith("left out") and note.endswith(": c") for note in dataset.notes)


def test_formats_that_are_not_read_are_named(tmp_path):
    put_classes(tmp_path, {"a": 4, "b": 4})
    (tmp_path / "b" / "old.gif").touch()
    (tmp_path / "b" / "notes.txt").touch()
    note = next(note for note in open_dataset(tmp_path).notes if "not read" in note)
    assert "old.gif" in note
    assert "notes.txt" not in note


def test_folders_beside_the_splits_are_named(tmp_path):
    put_classes(tmp_path, {"train/a": 5, "train/b": 5, "test/a": 1, "test/b": 1, "raw/a": 1})
    assert "not used, beside the splits: raw" in open_dataset(tmp_path).notes


def test_hidden_files_and_nested_folders(tmp_path):
    put_classes(tmp_path, {"train/a": 5, "train/b": 5, "test/a": 1, "test/b": 1})
    put_image(tmp_path / "train" / "a" / "site 2" / "x.png", 77)
    put_image(tmp_path / "train" / "a" / ".thumb.png", 78)
    put_image(tmp_path / "train" / ".cache" / "x.png", 79)
    dataset = open_dataset(tmp_path)
    assert dataset.classnames == ("a", "b")
    assert len(dataset.train) + len(dataset.val) == 11


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({}, "holds no class folders"),
        ({"a": 3}, "one class only, 'a'"),
        ({"train/a": 3, "test/a": 3}, "one class only"),
        ({"a": 0, "b": 0}, "there is no image"),
        ({"a_b": 3, "a b": 3}, "one and the same name"),
        ({"Forest": 3, "forest": 3}, "one and the same name"),
    ],
)
def test_what_is_no_data_set(tmp_path, counts, message):
    with pytest.raises(DataError, match=message):
        open_dataset(put_classes(tmp_path, counts))


def test_class_folders_called_by_number_are_noted(tmp_path):
    notes = open_dataset(put_classes(tmp_path, {"0": 4, "1": 4})).notes
    assert any("numbers" in note and "--class-names" in note for note in notes)


def test_links_that_leave_need_leave(tmp_path):
    put_classes(tmp_path / "set", {"a": 4, "b": 4})
    secret = put_image(tmp_path / "elsewhere" / "x.png", 99)
    (tmp_path / "set" / "a" / "link.png").symlink_to(secret)
    with pytest.raises(DataError, match=r"link.png is a link that leaves .*--follow-links"):
        open_dataset(tmp_path / "set")
    assert len(open_dataset(tmp_path / "set", follow_links=True).train) > 0
    (tmp_path / "set" / "a" / "link.png").unlink()
    (tmp_path / "set" / "c").symlink_to(secret.parent, target_is_directory=True)
    with pytest.raises(DataError, match="leaves"):
        open_dataset(tmp_path / "set")
    assert "c" in open_dataset(tmp_path / "set", follow_links=True).classnames


def test_links_inside_and_a_linked_root_are_fine(tmp_path):
    put_classes(tmp_path / "set", {"a": 4, "b": 4})
    (tmp_path / "set" / "a" / "again.png").symlink_to(tmp_path / "set" / "a" / "00.png")
    (tmp_path / "short").symlink_to(tmp_path / "set", target_is_directory=True)
    assert open_dataset(tmp_path / "short").name == "set"


def test_a_split_folder_that_is_a_link_out_needs_leave_too(tmp_path):
    put_classes(tmp_path / "far", {"a": 4, "b": 4})
    put_classes(tmp_path / "set", {"test/a": 1, "test/b": 1})
    (tmp_path / "set" / "train").symlink_to(tmp_path / "far", target_is_directory=True)
    with pytest.raises(DataError, match="leaves"):
        open_dataset(tmp_path / "set")


def test_uc_merced(tmp_path: Path, test_data: Path):
    """Real satellite photographs: 21 classes, 80 for training and 20 for testing each."""
    root = test_data / "ucmerced"
    dataset = open_dataset(root)
    assert len(dataset.classnames) == 21
    assert set(dataset.counts("train")) == {64}
    assert set(dataset.counts("val")) == {16}
    assert set(dataset.counts("test")) == {20}
    drawn = few_shot(dataset, 16, 1)
    assert (len(drawn.train), len(drawn.val), len(drawn.test)) == (336, 84, 420)
    assert len(choose_classes(drawn, "new").classnames) == 10
    assert open_image(drawn.train[0].path).size == (256, 256)
    assert any("airplane" in note for note in leaks(dataset))  # it holds one photograph twice
    names_file = tmp_path / "names.csv"
    rows = ["folder,name", *(f"{name},{name}" for name in dataset.classnames if name != "mediumresidential")]
    names_file.write_text("\n".join([*rows, "mediumresidential,medium residential area"]))
    assert open_dataset(root, class_names=names_file).classnames[12] == "medium residential area"
