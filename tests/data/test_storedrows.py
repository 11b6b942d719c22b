"""Rows that stay in their file: the same numbers as when all was read at once, and a file that changes under them."""

from __future__ import annotations

import os
import pickle
import resource
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from mocoop.data import npz, storedrows
from mocoop.data.arrays import read_features
from mocoop.data.sources import open_dataset
from mocoop.errors import DataError, StorageError

N, D = 50, 7
KINDS = {
    "stored": np.savez,
    "compressed": np.savez_compressed,
    "safetensors": lambda path, features, **_: save_file({"features": np.ascontiguousarray(features)}, path),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """A few rows a block, so that a file has many."""
    for module in (storedrows, npz):
        monkeypatch.setattr(module, "BLOCK_BYTES", 100)


def matrix(dtype: type = np.float32, order: str = "C") -> np.ndarray:
    return np.asarray(np.random.default_rng(0).normal(size=(N, D)), dtype=dtype, order=order)


def write(folder: Path, kind: str, features: np.ndarray) -> Path:
    path = folder / ("f.safetensors" if kind == "safetensors" else "f.npz")
    KINDS[kind](path, features=features)
    return path


def whole(path: Path) -> np.ndarray:
    """The old way: everything at once."""
    if path.suffix == ".npz":
        return np.load(path)["features"].astype(np.float32)
    from safetensors.numpy import load_file

    return load_file(path)["features"].astype(np.float32)


ASKED = {
    "a row": 3,
    "a row from the end": -1,
    "a numpy number": np.int64(4),
    "a slice": slice(5, 31),
    "all": slice(None),
    "backwards": slice(None, None, -3),
    "nothing": slice(4, 4),
    "numbers": [9, 3, 3, 4, 5, -2, 49, 0],
    "no numbers": [],
    "an array": np.array([[1, 2], [3, 49]])[1],
    "a mask": np.arange(N) % 3 == 1,
}


@every_kind
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
def test_every_way_of_asking_gives_what_reading_all_gave(tmp_path, kind, order, dtype):
    path = write(tmp_path, kind, matrix(dtype, order) if kind != "safetensors" or dtype != ">f4" else matrix())
    rows, _ = read_features(path)
    expected = whole(path)
    assert (rows.shape, len(rows), rows.dtype) == (expected.shape, N, np.float32)
    for asked in ASKED.values():
        found = rows[asked]
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, expected[asked])
    np.testing.assert_array_equal(np.asarray(rows), expected)
    np.testing.assert_array_equal(np.concatenate(list(rows.blocks())), expected)
    assert max(map(len, rows.blocks())) < N // 4


def test_a_row_that_is_not_there_is_an_index_error(tmp_path):
    rows, _ = read_features(write(tmp_path, "stored", matrix()))
    for asked in (N, -N - 1, [0, N]):
        with pytest.raises(IndexError):
            rows[asked]


@every_kind
def test_a_file_that_is_cut_or_written_to_is_refused_and_one_replaced_stays_what_it_was(tmp_path, kind):
    path = write(tmp_path, kind, matrix())
    before, (rows, _) = path.read_bytes(), read_features(path)
    other = write(tmp_path / "..", kind, matrix() + 1)
    os.replace(other, path)
    np.testing.assert_array_equal(rows[:], matrix())
    if kind == "compressed":  # what is used is a copy
        return
    path.write_bytes(before)
    rows, _ = read_features(path)
    os.truncate(path, len(before) // 2)
    with pytest.raises(DataError, match=r"changed while it was in use \(run again when it is complete\)"):
        rows[N - 1]
    path.write_bytes(before)
    rows, _ = read_features(path)
    with path.open("r+b") as file:
        file.write(before[:1])
    os.utime(path, ns=(0, 0))
    with pytest.raises(DataError, match="changed while it was in use"):
        rows[0]


@pytest.mark.parametrize("kind", ["stored", "compressed"])
def test_a_changed_byte_of_any_block_is_found_before_a_row_is_used(tmp_path, kind):
    path = write(tmp_path, kind, matrix())
    data = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        size = archive.getinfo("features.npy").compress_size
    for at in range(size - 64 * (kind == "stored"), 150, -97):  # after the headers, in the numbers
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises(DataError, match=r"damaged or no \.npz file|NaN|does not fit"):
            read_features(path)


@every_kind
def test_faults_of_all_blocks_are_counted(tmp_path, kind):
    features = matrix()
    features[0], features[[1, 4, 20, 21, 33, 40, 49], 2] = 0, np.nan
    with pytest.raises(DataError, match=r"NaN or infinity in row 1, 4, 20, 21, 33 and 2 more \("):
        read_features(write(tmp_path, kind, features))
    features = matrix()
    features[[48, 49]] = 0
    with pytest.raises(DataError, match=r"nothing but zeros in row 48, 49 \("):
        read_features(write(tmp_path, kind, features))


def test_no_room_to_unpack_is_told_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("MOCOOP_CACHE", str(tmp_path / "cache"))
    path = write(tmp_path, "compressed", matrix())
    most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, most[1]))
    try:
        with pytest.raises(StorageError, match=r"cannot unpack .*f\.npz below .*cache: File too large .*MOCOOP_CACHE"):
            read_features(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, most)
    rows, _ = read_features(path)
    assert (rows[:] == matrix()).all()
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_cache_that_cannot_be_made_is_no_obstacle(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("MOCOOP_CACHE", str(tmp_path / "file" / "cache"))
    rows, _ = read_features(write(tmp_path, "compressed", matrix()))
    assert (rows[:] == matrix()).all()


def test_a_handle_is_closed_with_its_rows_and_they_are_not_sent_elsewhere(tmp_path):
    path = write(tmp_path, "stored", matrix())
    before = len(os.listdir("/proc/self/fd"))
    rows, _ = read_features(path)
    assert len(os.listdir("/proc/self/fd")) == before + 1
    with pytest.raises(TypeError, match="send its path"):
        pickle.dumps(rows)
    del rows
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_text_that_is_none_is_refused(tmp_path):
    names = np.array(["aa", "bb"])
    bad = np.frombuffer(names.tobytes().replace(b"a\0\0\0", b"a\0\0\xff"), dtype="<U2")
    np.savez(tmp_path / "f.npz", features=matrix(), labels=np.arange(N) % 2, classnames=bad)
    with pytest.raises(DataError, match=r"classnames\.npy holds what is no character"):
        open_dataset(tmp_path / "f.npz")
