"""The one door: what a path may be, and that nothing heavy comes with it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from datafiles import put_classes

from mocoop.data import fence
from mocoop.data.sources import open_dataset
from mocoop.errors import DataError


def test_paths_that_are_no_data(tmp_path):
    (tmp_path / "x.feather").touch()
    (tmp_path / "empty").mkdir()
    for path, message in (
        (tmp_path / "none", "there is no data at"),
        ("a\0b", "there is no data at"),
        (tmp_path / "x.feather", r"is no data set .*\.csv, .*\.parquet, \.npz, \.safetensors"),
        (tmp_path / "empty", "holds no class folders"),
    ):
        with pytest.raises(DataError, match=message):
            open_dataset(path)


def test_class_names_do_not_change_the_splits(tmp_path):
    put_classes(tmp_path, {"a": 10, "b": 10})
    plain = open_dataset(tmp_path)
    named = open_dataset(tmp_path, class_names={"a": "airport", "b": "beach"})
    assert named.classnames == ("airport", "beach")
    assert (named.train, named.val, named.test) == (plain.train, plain.val, plain.test)


def test_a_slip_in_the_path_is_named(tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    with pytest.raises(DataError, match=r"no data at .*phtos' \(.*photos is there: is that meant\?\)"):
        open_dataset(tmp_path / "phtos")
    monkeypatch.chdir(tmp_path / "photos")
    with pytest.raises(DataError, match=r"no data at '../phtos' \(../photos is there: is that meant\?\)"):
        open_dataset("../phtos")


def test_among_very_many_names_none_is_looked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(fence, "_MANY", 2)
    for name in ("photos", "a", "b"):
        (tmp_path / name).mkdir()
    with pytest.raises(DataError, match=r"no data at .*phtos") as caught:
        open_dataset(tmp_path / "phtos")
    assert "is there" not in str(caught.value)


def test_a_relative_path_and_a_final_slash(tmp_path, monkeypatch):
    put_classes(tmp_path / "set", {"a": 4, "b": 4})
    monkeypatch.chdir(tmp_path)
    assert open_dataset("set/").name == "set"
    monkeypatch.chdir(tmp_path / "set")
    assert open_dataset(".").name == "set"


def test_opening_a_folder_imports_neither_torch_nor_numpy(tmp_path):
    put_classes(tmp_path, {"a": 4, "b": 4})
    code = (
        "import sys; from mocoop.data.sources import open_dataset; from mocoop.data.splits import few_shot; "
        "few_shot(open_dataset(sys.argv[1]), 1, 1); "
        "raise SystemExit(', '.join({'torch', 'numpy', 'PIL', 'safetensors'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""
