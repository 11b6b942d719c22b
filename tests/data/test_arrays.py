"""Feature files: what both formats give, and every way in which an array can be wrong or hostile."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from mocoop.data.sources import open_dataset
from mocoop.data.splits import choose_classes, few_shot
from mocoop.errors import DataError

N, D = 12, 5


def content() -> dict[str, Any]:
    return {
        "features": np.random.default_rng(0).normal(size=(N, D)).astype(np.float32) * 3,
        "labels": np.arange(N) % 3,
        "classnames": ["forest", "parking_lot", "river"],
        "split": (["train"] * 6 + ["validation"] * 3 + ["test"] * 3),
        "paths": [f"a/{row}.jpg" for row in range(N)],
    }


def write(folder: Path, kind: str, values: dict[str, Any]) -> Path:
    path = folder / f"features.{kind}"
    if kind == "npz":
        arrays = {key: np.array(value) if isinstance(value, list) else value for key, value in values.items()}
        np.savez(path, **arrays)
    else:
        tensors = {key: value for key, value in values.items() if isinstance(value, np.ndarray)}
        texts = {key: json.dumps(value) for key, value in values.items() if isinstance(value, list)}
        save_file(tensors, path, metadata=texts)
    return path


both = pytest.mark.parametrize("kind", ["npz", "safetensors"])


@both
def test_a_file_of_features(tmp_path, kind):
    values = content()
    dataset = open_dataset(write(tmp_path, kind, values))
    assert dataset.name == "features"
    assert dataset.classnames == ("forest", "parking lot", "river")
    assert dataset.features.dtype == np.float32
    assert (dataset.features == values["features"]).all()
    assert [len(dataset.split(split)) for split in ("train", "val", "test")] == [6, 3, 3]
    example = dataset.val[1]
    assert (example.row, example.label, example.path) == (7, 1, Path("a/7.jpg"))
    assert dataset.notes == ()
    assert choose_classes(few_shot(dataset, 1, 1), "base").train[0].row is not None


@both
def test_the_least_that_a_file_holds(tmp_path, kind):
    values = {key: value for key, value in content().items() if key in ("features", "labels", "classnames")}
    dataset = open_dataset(write(tmp_path, kind, values), class_names={"forest": "F", "parking_lot": "P", "river": "R"})
    assert [dataset.counts(split) for split in ("train", "val", "test")] == [(2, 2, 2), (1, 1, 1), (1, 1, 1)]
    assert dataset.train[0].path is None
    assert dataset.classnames == ("F", "P", "R")
    assert any("split_seed 0" in note for note in dataset.notes)


@both
def test_both_formats_say_the_same(tmp_path, kind):
    dataset = open_dataset(write(tmp_path, kind, content()))
    other = open_dataset(write(tmp_path, "npz", content()))
    assert dataset == other


@both
@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_floats_become_single(tmp_path, kind, dtype):
    values = content() | {"features": content()["features"].astype(dtype)}
    assert open_dataset(write(tmp_path, kind, values)).features.dtype == np.float32


def test_compressed_and_fortran_order(tmp_path):
    values = content()
    arrays = {key: np.array(value) for key, value in values.items()}
    np.savez_compressed(tmp_path / "f.npz", **(arrays | {"features": np.asfortranarray(arrays["features"])}))
    assert (open_dataset(tmp_path / "f.npz").features == values["features"]).all()


def changed(key: str, value: Any) -> dict[str, Any]:
    return content() | {key: value}


def spoilt(row: int, value: float, dtype: type = np.float32) -> np.ndarray:
    features = content()["features"].astype(dtype)
    features[row] = value
    return features


@both
@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("features", np.ones((N, D), np.int64), "features are int64"),
        ("features", np.ones(N, np.float32), r"of shape \(12,\)"),
        ("features", np.ones((N, 0), np.float32), r"of shape \(12, 0\)"),
        ("features", spoilt(3, np.nan), "NaN or infinity in row 3"),
        ("features", spoilt(4, np.inf), "NaN or infinity in row 4"),
        ("features", spoilt(5, 1e300, np.float64), "NaN or infinity in row 5"),
        ("features", spoilt(6, 0), "nothing but zeros in row 6"),
        ("labels", np.arange(N + 1) % 3, "13 labels for 12 rows"),
        ("labels", np.zeros(N, bool), "labels are bool"),
        ("labels", np.zeros(N, np.float32), "labels are float32"),
        ("labels", np.zeros((N, 1), np.int64), r"labels are int64 of shape \(12, 1\)"),
        ("labels", np.arange(N) - 1, "label -1 in row 0"),
        ("labels", np.arange(N) % 4, "label 3 in row 3, with 3 class names"),
        ("labels", np.arange(N) % 2, "no image of the class river"),
        ("classnames", ["a", "A", "b"], "one and the same name"),
        ("classnames", ["a", " ", "b"], "empty name"),
        ("split", ["train"] * 11, "11 split for 12 rows"),
        ("split", ["train"] * 11 + ["devel"], 'row 11 has the split "devel"'),
        ("paths", ["a"] * 3, "3 paths for 12 rows"),
    ],
)
def test_bad_values(tmp_path, kind, key, value, message):
    with pytest.raises(DataError, match=message):
        open_dataset(write(tmp_path, kind, changed(key, value)))


@both
def test_missing_and_unknown_keys(tmp_path, kind):
    values = content()
    values["feature"] = values.pop("features")
    with pytest.raises(DataError, match=r'no features \(did you mean "feature"\?\)'):
        open_dataset(write(tmp_path, kind, values))
    assert "not used in" in open_dataset(write(tmp_path, kind, changed("extra", np.ones(3)))).notes[0]


@both
def test_unit_length_is_noted(tmp_path, kind):
    features = content()["features"]
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    assert any("length 1" in note for note in open_dataset(write(tmp_path, kind, changed("features", unit))).notes)


class Bomb:
    def __init__(self, trap: Path) -> None:
        self.trap = trap

    def __reduce__(self) -> Any:
        return (Path.touch, (self.trap,))


def test_objects_are_refused_and_never_run(tmp_path):
    trap = tmp_path / "sprung"
    for key in ("features", "labels", "classnames"):
        write(tmp_path, "npz", changed(key, np.array([Bomb(trap)] * N, dtype=object)))
        with pytest.raises(DataError, match="array of Python objects"):
            open_dataset(tmp_path / "features.npz")
    for kind in ("npz", "safetensors"):
        (tmp_path / f"x.{kind}").write_bytes(pickle.dumps(Bomb(trap)))
        with pytest.raises(DataError):
            open_dataset(tmp_path / f"x.{kind}")
    assert not trap.exists()


def test_strings_of_bytes_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"classnames are \|S"):
        open_dataset(write(tmp_path, "npz", changed("classnames", np.array([b"a", b"b", b"c"]))))


def test_metadata_that_is_no_list_of_strings(tmp_path):
    values = content()
    tensors = {"features": values["features"], "labels": values["labels"]}
    for text in ("forest, river", '["a", 3]', "{}", '{"a": NaN}'):
        save_file(tensors, tmp_path / "f.safetensors", metadata={"classnames": text})
        with pytest.raises(DataError, match='"classnames" in the metadata is no JSON list'):
            open_dataset(tmp_path / "f.safetensors")


def lying_npz(path: Path, shape: tuple[int, ...], payload: bytes) -> Path:
    """A .npz whose header promises more than it holds."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f4", "fortran_order": False, "shape": shape})
    write(path.parent, "npz", content())
    with zipfile.ZipFile(path.parent / "features.npz") as good, zipfile.ZipFile(path, "w", 8) as bad:
        for name in good.namelist():
            bad.writestr(name, buffer.getvalue() + payload if name == "features.npy" else good.read(name))
    return path


def test_a_header_that_promises_too_much_allocates_nothing(tmp_path):
    for shape in ((10**9, 10**6), (N, D + 1), (2**62, 4)):
        with pytest.raises(DataError, match="does not fit its shape"):
            open_dataset(lying_npz(tmp_path / "lie.npz", shape, bytes(4 * N * D)))
    with pytest.raises(DataError, match="bytes when unpacked"):
        open_dataset(lying_npz(tmp_path / "bomb.npz", (N, 10**6), bytes(4 * N * 10**6)))


@both
def test_a_file_cut_anywhere_is_refused(tmp_path, kind):
    whole = write(tmp_path, kind, content()).read_bytes()
    for left in range(0, len(whole), len(whole) // 16):
        path = tmp_path / f"cut.{kind}"
        path.write_bytes(whole[:left])
        with pytest.raises(DataError):
            open_dataset(path)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(data=st.data(), kind=st.sampled_from(["npz", "safetensors"]))
def test_damaged_bytes_give_a_data_set_or_a_data_error(tmp_path_factory, data, kind):
    folder = tmp_path_factory.mktemp("damaged")
    path = write(folder, kind, content())
    damaged = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(damaged)
    try:
        open_dataset(path)
    except DataError:
        return
