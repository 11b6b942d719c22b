"""Data sets of a comparison: found by name, opened once, each image encoded once, told apart by what they hold."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from datafiles import put_classes, put_image

from mocoop.bench.data import SCENES, SCENES_TEMPLATE, _identity, find_data, open_bench_data
from mocoop.data.sources import DataSettings
from mocoop.data.splits import choose_classes
from mocoop.data.views import Preprocess
from mocoop.errors import DataError


@dataclass
class Means:
    """An image tower that gives the mean colour, and counts what it sees."""

    fingerprint: str = "means"
    embed_dim: int = 3
    seen: int = 0

    @property
    def preprocess(self):
        return Preprocess(size=(4, 4), mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))

    def encode_images(self, pixels):
        self.seen += len(pixels)
        return pixels.mean((2, 3))


@pytest.fixture
def photos(tmp_path):
    return put_classes(tmp_path / "photos", {f"{part}/{name}": 3 for part in ("train", "test") for name in "abcd"})


def test_features_that_name_images_which_are_elsewhere_are_opened(tmp_path):
    """They were an internal error: only the name of a row was known, and its file was asked for its size."""
    labels, split = np.arange(8) % 2, np.array(["train", "test"] * 4)
    x = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    table = {"features": x, "labels": labels, "classnames": np.array(["a", "b"]), "split": np.sort(split)[::-1]}
    np.savez(tmp_path / "x.npz", **table, paths=np.array([f"nowhere/{row}.jpg" for row in range(8)]))
    np.savez(tmp_path / "y.npz", **table)
    with_paths, without = (open_bench_data(name, tmp_path / f"{name}.npz") for name in "xy")
    assert with_paths.identity == without.identity
    assert with_paths.features(Means(), with_paths.dataset.test, None).shape == (4, 3)


def test_an_image_that_a_list_names_and_is_not_there_is_named(tmp_path):
    table = tmp_path / "table.csv"
    rows = [f"{name}{n}.png,{name},{split}" for name in "ab" for n, split in enumerate(("train", "val", "test"))]
    for row in rows:
        put_image(tmp_path / row.split(",")[0])
    table.write_text("\n".join(["path,label,split", *rows]) + "\n")
    data = open_bench_data("table", table)
    (tmp_path / "b2.png").unlink()
    with pytest.raises(DataError, match=r"cannot read .*b2\.png: No such file"):
        _identity(data.dataset, table)


def test_an_image_is_encoded_once_whatever_is_asked_for(photos):
    data, tower = open_bench_data("photos", photos), Means()
    everything = [*data.dataset.train, *data.dataset.val, *data.dataset.test]
    some = data.features(tower, data.dataset.test[:5], None)
    whole = data.features(tower, everything, None)
    assert tower.seen == len(everything) == 24
    assert torch.equal(whole, open_bench_data("photos", photos).features(Means(), everything, None))  # asked at once
    assert torch.equal(data.features(tower, data.dataset.test[:5], None), some)
    new = choose_classes(data.dataset, "new")  # labels are counted anew there
    at = [everything.index(example._replace(label=example.label + 2)) for example in new.test]
    assert torch.equal(data.features(tower, new.test, None), whole[at])
    assert tower.seen == 24
    doubled = data.features(tower, [everything[3], everything[0], everything[3]], None)
    assert torch.equal(doubled, whole[[3, 0, 3]])


def test_the_identity_is_that_of_the_content_and_not_of_the_place(photos, tmp_path):
    identity = open_bench_data("photos", photos).identity
    moved = shutil.copytree(photos, tmp_path / "moved" / "here")
    assert open_bench_data("photos", moved).identity == identity
    changes = {
        "another image": lambda root: put_image(root / "test" / "a" / "99.png"),
        "one less": lambda root: (root / "train" / "a" / "00.png").unlink(),
        "another split": lambda root: (root / "train" / "a" / "00.png").rename(root / "test" / "a" / "77.png"),
        "another class": lambda root: (root / "train" / "d").rename(root / "train" / "e"),
        "another size": lambda root: (root / "train" / "a" / "00.png").open("ab").write(b" "),
    }
    for number, change in enumerate(changes.values()):
        copy = shutil.copytree(photos, tmp_path / str(number))
        change(copy)
        assert open_bench_data("photos", copy).identity != identity
    names = tmp_path / "names.json"
    names.write_text('{"a": "apple", "b": "b", "c": "c", "d": "d"}')
    assert open_bench_data("photos", photos, DataSettings(class_names=names)).identity != identity


def test_stored_features_are_told_apart_by_their_numbers(tmp_path):
    def write(name, value):
        features = np.full((8, 3), value, np.float32)
        labels, split = np.arange(8) % 2, np.array(["train", "test"] * 4)
        np.savez(tmp_path / name, features=features, labels=labels, split=split, classnames=np.array(["a", "b"]))
        return open_bench_data("x", tmp_path / name).identity

    assert write("a.npz", 1) == write("b.npz", 1) != write("c.npz", 2)


def test_scenes_are_the_default_and_are_drawn_once(monkeypatch, tmp_path):
    assert find_data(None, [], []) == {SCENES: None}
    monkeypatch.setenv("MOCOOP_CACHE", str(tmp_path))
    data = open_bench_data(SCENES, None)
    assert data.template == SCENES_TEMPLATE
    assert {len(data.dataset.split(part)) for part in ("train", "val", "test")} == {4 * 256, 256, 6 * 256}
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    assert open_bench_data(SCENES, None).identity == data.identity
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")} == times


def test_data_sets_are_found_by_name(photos, tmp_path):
    (tmp_path / "root" / "eurosat").mkdir(parents=True)
    (tmp_path / "root" / "food-101").mkdir()
    root = tmp_path / "root"
    assert find_data(root, [photos], ["all"]) == {
        "food101": root / "food-101", "eurosat": root / "eurosat", "photos": photos
    }  # fmt: skip
    assert find_data(root, [photos], ["scenes", "photos"]) == {"scenes": None, "photos": photos}
    with pytest.raises(DataError, match="no data set 'dtd' here"):
        find_data(root, [], ["dtd"])
    with pytest.raises(DataError, match="has none of CoOp's data sets"):
        find_data(photos, [], [])
