"""Paths in split files and manifests that would leave their folder, or name a file in another case."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from datafiles import put_image
from tinyencoder import TinyEncoder

from mocoop.data.dataset import Dataset
from mocoop.data.features import image_features
from mocoop.data.sources import open_dataset
from mocoop.errors import DataError

LISTED = [("a/1.png", 0), ("a/2.png", 0), ("b/1.png", 1), ("b/2.png", 1)]
ESCAPES = {
    "climbing": "../../etc/passwd",
    "climbing from inside": "a/../../../etc/passwd",
    "climbing in the middle of a good path": "a/./../..//2750x/1.png",
    "absolute": "/etc/passwd",
    "absolute after a second slash": "//etc/passwd",
    "NUL": "a/1.png\0.jpg",
    "Windows drive": "C:/Windows/win.ini",
    "Windows drive without a slash": "c:win.ini",
    "Windows path": "C:\\Windows\\win.ini",
    "Windows share": "\\\\server\\share\\1.png",
    "a backslash that climbs": "..\\..\\etc\\passwd",
    "a folder above": "..",
    "blank": " ",
}


def put_split_json(home: Path, extra: str | None) -> Path:
    items = [[path, label, "AB"[label]] for path, label in LISTED]
    items += [] if extra is None else [[extra, 0, "A"]]
    (home / "split_zhou_EuroSAT.json").write_text(json.dumps({"train": items, "val": [], "test": []}))
    return home


def put_csv(home: Path, extra: str | None) -> Path:
    paths = [path for path, _ in LISTED] + ([] if extra is None else [extra])
    rows = [f"2750/{path},{path[0]}" for path in paths[:4]] + [f'"{path}",a' for path in paths[4:]]
    (home / "m.csv").write_bytes("\n".join(["path,label", *rows]).encode())
    return home / "m.csv"


def put_jsonl(home: Path, extra: str | None) -> Path:
    rows = [{"path": f"2750/{path}", "label": path[0]} for path, _ in LISTED]
    rows += [] if extra is None else [{"path": extra, "label": "a"}]
    (home / "m.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return home / "m.jsonl"


SOURCES = {"split JSON": put_split_json, "CSV": put_csv, "JSON lines": put_jsonl}
every_source = pytest.mark.parametrize("source", SOURCES)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for seed, (path, _) in enumerate(LISTED):
        put_image(tmp_path / "eurosat" / "2750" / path, seed)
    return tmp_path / "eurosat"


def listed(dataset: Dataset) -> int:
    return len(dataset.train) + len(dataset.val) + len(dataset.test)


def below(source: str, path: str) -> str:
    """A path below the images, as each source writes it: a split file counts from their root."""
    return path if source == "split JSON" else f"2750/{path}"


@every_source
@pytest.mark.parametrize("escape", ESCAPES)
def test_paths_that_would_leave_are_refused_where_they_stand(home, source, escape):
    where = {"split JSON": "/train/4: ", "CSV": r"m\.csv:6: ", "JSON lines": r"m\.jsonl:5: "}[source]
    said = "(path|line contains NUL)" if (escape, source) == ("NUL", "CSV") else "path"  # by csv before Python 3.11
    with pytest.raises(DataError, match=f"{where}.*{said}") as caught:
        open_dataset(SOURCES[source](home, ESCAPES[escape]), follow_links=True)
    assert caught.value.hint
    assert str(caught.value).isprintable()


@every_source
@pytest.mark.parametrize("target", ["file", "folder", "chain"])
def test_links_that_leave_need_follow_links(home, tmp_path, source, target):
    put_image(tmp_path / "outside" / "1.png", 9)
    if target == "file":
        (home / "2750" / "out.png").symlink_to(tmp_path / "outside" / "1.png")
        path = "out.png"
    else:
        (home / "2750" / "step").symlink_to(tmp_path / "outside", target_is_directory=True)
        (home / "2750" / "again").symlink_to(home / "2750" / "step", target_is_directory=True)
        path = "step/1.png" if target == "folder" else "again/1.png"
    path = below(source, path)
    if source != "split JSON":  # a manifest may name what lies anywhere below its own folder
        assert (home / path).exists()
    with pytest.raises(DataError, match=r"leaves .*--follow-links"):
        open_dataset(SOURCES[source](home, path))
    assert listed(open_dataset(SOURCES[source](home, path), follow_links=True)) == 5


@every_source
@pytest.mark.parametrize("clash", ["a/3.PNG", "A/3.png", "A/3.PNG"])
def test_a_path_in_another_case_is_missing_and_its_twin_named(home, source, clash):
    if (home / "2750" / "A").exists():
        pytest.skip("this file system does not tell cases apart")
    put_image(home / "2750" / "a" / "3.png", 7)
    dataset = open_dataset(SOURCES[source](home, below(source, clash)))
    (note,) = [note for note in dataset.notes if "missing" in note]
    assert note.startswith("1 of 5 listed images are missing")
    assert f"({below(source, 'a/3.png')} is there, in other case)" in note
    with pytest.raises(DataError, match=rf"{clash}: .*No such file"):
        image_features(TinyEncoder(), [*dataset.train, *dataset.val, *dataset.test], cache=None)


@every_source
def test_two_files_that_differ_in_case_alone_are_two_images(home, source):
    put_image(home / "2750" / "a" / "X.png", 7)
    if (home / "2750" / "a" / "x.png").exists():
        pytest.skip("this file system does not tell cases apart")
    put_image(home / "2750" / "a" / "x.png", 8)
    dataset = open_dataset(SOURCES[source](home, below(source, "a/X.png")))
    assert not any("missing" in note for note in dataset.notes)


@every_source
@pytest.mark.parametrize("name", ["x" * 300 + ".png", "x" * 300 + "/1.png", "y/" * 3000 + "1.png"])
def test_names_that_no_file_system_takes_are_missing_files(home, source, name):
    dataset = open_dataset(SOURCES[source](home, below(source, name)))
    assert any(note.startswith("1 of 5 listed images are missing") for note in dataset.notes)


@every_source
def test_a_loop_of_links_is_a_missing_file(home, source):
    (home / "2750" / "loop").symlink_to(home / "2750" / "loop")
    dataset = open_dataset(SOURCES[source](home, below(source, "loop/1.png")))
    assert any(note.startswith("1 of 5 listed images are missing") for note in dataset.notes)


def test_a_path_to_a_data_set_that_is_too_long_is_a_data_error():
    with pytest.raises(DataError, match="there is no data at"):
        open_dataset("x" * 5000)


@pytest.mark.parametrize("line", ["../../etc/passwd A", "/etc/passwd A", "C:/x A", "x\0y A"])
def test_aircrafts_own_lists_stay_inside_too(tmp_path, line):
    home = tmp_path / "fgvc_aircraft"
    put_image(home / "images" / "1.jpg")
    (home / "variants.txt").write_text("A\nB\n")
    for split in ("train", "val", "test"):
        (home / f"images_variant_{split}.txt").write_text("1 A\n")
    (home / "images_variant_val.txt").write_text(f"1 A\n{line}\n")
    with pytest.raises(DataError, match=r"images_variant_val\.txt:2: the path"):
        open_dataset(home)


def test_opening_a_data_set_reads_nothing_outside(home, tmp_path):
    """A split file that points out is refused before any file is touched, even one that would block."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="climbs out"):
        open_dataset(put_split_json(home, "../../pipe"))
