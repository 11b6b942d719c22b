"""The same picture in train and in what measures."""

from __future__ import annotations

import shutil

import numpy as np
from datafiles import put_classes

from mocoop.data.leaks import leaks
from mocoop.data.sources import open_dataset


def counts() -> dict[str, int]:
    return {f"{split}/{name}": 4 for split in ("train", "val", "test") for name in "ab"}


def test_no_leak(tmp_path):
    assert leaks(open_dataset(put_classes(tmp_path, counts()))) == ()


def test_copies_are_named(tmp_path):
    put_classes(tmp_path, counts())
    shutil.copy(tmp_path / "train/a/00.png", tmp_path / "test/b/copy.png")
    shutil.copy(tmp_path / "train/a/01.png", tmp_path / "val/a/copy.png")
    shutil.copy(tmp_path / "val/a/00.png", tmp_path / "test/a/copy.png")  # not from train: no leak
    val, test = leaks(open_dataset(tmp_path))
    assert val.startswith("1 of 9 pictures of val are in train too")
    assert test.startswith("1 of 10 pictures of test are in train too")
    assert f"{tmp_path}/test/b/copy.png = {tmp_path}/train/a/00.png" in test


def test_files_that_vanish_are_passed_over(tmp_path):
    dataset = open_dataset(put_classes(tmp_path, counts()))
    for path in ("train/a/00.png", "test/a/00.png"):
        (tmp_path / path).unlink()
    assert leaks(dataset) == ()


def test_rows_of_features(tmp_path):
    features = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
    features[10] = features[1]
    split = np.array(["train"] * 6 + ["val"] * 3 + ["test"] * 3)
    np.savez(
        tmp_path / "f.npz",
        features=features,
        labels=np.arange(12) % 2,
        classnames=np.array(["a", "b"]),
        split=split,
    )
    assert leaks(open_dataset(tmp_path / "f.npz")) == (
        "1 of 3 pictures of test are in train too, which flatters what is measured on test: row 10 = row 1",
    )
