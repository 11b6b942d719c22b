"""Corrected labels: beside the data, whole at any time, by several at once, and a data set in their own right."""

from __future__ import annotations

import csv
import multiprocessing
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from datafiles import put_classes

from mocoop.data.sources import open_dataset
from mocoop.errors import DataError, StorageError
from mocoop.looking.corrections import COLUMNS, Corrections


@pytest.fixture
def photos(tmp_path):
    counts = {f"{part}/{name}": n for part, n in (("train", 3), ("test", 4)) for name in ("cat", "dog", "sea_snake")}
    return put_classes(tmp_path / "photos", counts)


def opened(photos):
    return Corrections(open_dataset(photos), photos)


def lines(path):
    with path.open(newline="") as file:
        return list(csv.reader(file))


def files_in(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_corrected_label_is_written_beside_the_data(photos):
    before = files_in(photos)
    corrections = opened(photos)
    image = photos / "test" / "cat" / "01.png"
    assert corrections.correct(image, 1) == {image: 1}
    head, line = lines(photos.parent / "photos-corrections.csv")
    assert tuple(head) == COLUMNS
    assert line[:3] == ["photos/test/cat/01.png", "cat", "dog"]
    assert line[3].endswith("+00:00")
    assert files_in(photos) == before


def test_the_whole_table_is_the_data_set_with_the_corrected_labels(photos):
    own = open_dataset(photos)
    corrections = opened(photos)
    corrections.correct(photos / "test" / "cat" / "01.png", 2)
    corrections.correct(photos / "train" / "dog" / "00.png", 0)
    again = open_dataset(corrections.table)
    assert again.classnames == own.classnames == ("cat", "dog", "sea snake")
    for split in ("train", "val", "test"):
        expected = {Path(os.path.abspath(path)): label for path, label, _ in own.split(split)}
        for path, label in ((photos / "test" / "cat" / "01.png", 2), (photos / "train" / "dog" / "00.png", 0)):
            if path in expected:
                expected[path] = label
        assert {Path(os.path.abspath(path)): label for path, label, _ in again.split(split)} == expected


def test_its_own_label_takes_a_correction_back(photos):
    corrections = opened(photos)
    image = photos / "test" / "cat" / "01.png"
    corrections.correct(image, 1)
    corrections.correct(image, 2)
    assert len(lines(corrections.path)) == 2
    assert corrections.correct(image, 0) == {}
    assert lines(corrections.path) == [list(COLUMNS)]


def test_another_start_finds_them(photos):
    image = photos / "test" / "cat" / "01.png"
    opened(photos).correct(image, 2)
    assert opened(photos).labels() == {image: 2}


def test_lines_that_no_longer_fit_are_kept_and_not_used(photos):
    corrections = opened(photos)
    corrections.correct(photos / "test" / "cat" / "01.png", 2)
    with corrections.path.open("a") as file:
        file.write(
            "photos/test/cat/99.png,cat,dog,2026\nphotos/test/dog/00.png,wolf,cat,2026\nphotos/test/dog/01.png,dog,elk,2026\n"
        )
    assert set(corrections.labels().values()) == {2}
    corrections.correct(photos / "test" / "cat" / "02.png", 1)
    assert len(lines(corrections.path)) == 6


@pytest.mark.parametrize("label", [-1, 3])
def test_labels_and_images_of_no_data_set_are_refused(photos, label):
    corrections = opened(photos)
    with pytest.raises(DataError, match="no such image or class"):
        corrections.correct(photos / "test" / "cat" / "01.png", label)
    with pytest.raises(DataError, match="no such image or class"):
        corrections.correct(photos / ".." / ".." / "etc" / "passwd", 1)
    assert not corrections.path.exists()


def test_tables_of_somebody_else_are_not_touched(photos):
    corrections = opened(photos)
    corrections.table.write_text("mine")
    with pytest.raises(DataError, match=r"photos-corrected\.csv is there, and no photos-corrections\.csv"):
        opened(photos)
    corrections.path.write_text("path,label\na,b\n")
    with pytest.raises(DataError, match="no table of corrections"):
        opened(photos)
    assert (corrections.table.read_text(), corrections.path.read_text()) == ("mine", "path,label\na,b\n")


@pytest.mark.parametrize("name", ["a\nb.png", "a\\b.png", b"\xff.png".decode("utf-8", "surrogateescape")])
def test_names_that_no_table_gives_back_are_said_at_once(photos, name):
    os.rename(photos / "test" / "cat" / "01.png", photos / "test" / "cat" / name)
    with pytest.raises(DataError, match=r"cannot be written in a table|is not UTF-8"):
        opened(photos)


def test_a_class_that_no_table_gives_back_is_said(photos):
    for part in ("train", "test"):
        os.rename(photos / part / "cat", photos / part / " cat")
    with pytest.raises(DataError, match="the name ' cat' cannot be written in a table"):
        opened(photos)


@pytest.mark.parametrize("name", ["a,b.png", 'a"b.png', "=1+1.png", "ünï.png", "{}.png"])
def test_odd_names_come_back_as_they_are(photos, name):
    image = photos / "test" / "cat" / name
    os.rename(photos / "test" / "cat" / "01.png", image)
    corrections = opened(photos)
    corrections.correct(image, 2)
    assert {path.name: label for path, label, _ in open_dataset(corrections.table).test}[name] == 2


def test_features_have_no_labels_to_correct(tmp_path):
    from worlds import write_features

    data = write_features(tmp_path / "features.npz")
    with pytest.raises(DataError, match="no files of their own"):
        Corrections(open_dataset(data), data)


def test_a_table_is_corrected_beside_itself(photos):
    table = photos.parent / "list.csv"
    rows = [f"photos/{path.relative_to(photos)},{path.parent.name}" for path in sorted(photos.rglob("*.png"))]
    table.write_text("\n".join(["path,label", *rows]))
    corrections = Corrections(open_dataset(table), table)
    corrections.correct(photos / "test" / "cat" / "01.png", 1)
    assert corrections.path == photos.parent / "list-corrections.csv"
    found = {path.relative_to(photos): label for path, label, _ in _all(open_dataset(corrections.table))}
    assert found[Path("test/cat/01.png")] == 1
    assert len(found) == len(rows)


def _all(dataset):
    return (*dataset.train, *dataset.val, *dataset.test)


def test_a_folder_reached_through_a_link_is_read_with_links(photos, tmp_path):
    """The tables lie beside the link, whose owner need not own the data."""
    link = tmp_path / "mine" / "linked"
    link.parent.mkdir()
    link.symlink_to(photos)
    corrections = Corrections(open_dataset(link), link)
    assert corrections.through_link
    assert not opened(photos).through_link
    corrections.correct(link / "test" / "cat" / "01.png", 1)
    assert corrections.table == link.parent / "linked-corrected.csv"
    with pytest.raises(DataError, match="follow-links"):
        open_dataset(corrections.table)
    again = open_dataset(corrections.table, follow_links=True)
    assert {path: label for path, label, _ in again.test}[link / "test" / "cat" / "01.png"] == 1


def test_a_folder_that_cannot_be_written_is_said(photos):
    corrections = opened(photos)
    corrections.path.mkdir()
    with pytest.raises((StorageError, DataError)):
        corrections.correct(photos / "test" / "cat" / "01.png", 1)


def test_a_correction_of_which_one_table_cannot_be_written_is_none(photos):
    corrections = opened(photos)
    corrections.correct(photos / "test" / "cat" / "00.png", 1)
    before = corrections.path.read_bytes()
    corrections.table.unlink()
    corrections.table.mkdir()
    with pytest.raises(StorageError):
        corrections.correct(photos / "test" / "cat" / "01.png", 1)
    assert corrections.path.read_bytes() == before


def _correct_some(photos, cats):
    corrections = opened(photos)
    for cat in cats:
        corrections.correct(photos / "test" / "cat" / f"{cat:02d}.png", 2)


def test_several_at_once_lose_none(photos):
    """Two processes, each with images of its own."""
    context = multiprocessing.get_context("fork")
    several = [context.Process(target=_correct_some, args=(photos, cats)) for cats in ((0, 1), (2, 3))]
    for one in several:
        one.start()
    for one in several:
        one.join()
        assert one.exitcode == 0
    assert len(opened(photos).labels()) == 4


def test_a_kill_while_writing_leaves_the_old_table_or_the_new_one(photos):
    """The process ends between writing the temporary file and its renaming, and between the two tables."""
    image = photos / "test" / "cat" / "01.png"
    opened(photos).correct(photos / "test" / "cat" / "00.png", 1)
    script = textwrap.dedent(
        f"""
        import os, pathlib
        from mocoop import files
        from mocoop.data.sources import open_dataset
        from mocoop.looking.corrections import Corrections
        photos = pathlib.Path({str(photos)!r})
        corrections, replace, left = Corrections(open_dataset(photos), photos), os.replace, [LEFT]
        def ended(*paths):
            left[0] -= 1
            if left[0] < 0:
                os._exit(9)
            replace(*paths)
        os.replace = ended
        corrections.correct(photos / "test" / "cat" / "01.png", 2)
        """
    )
    for left, expected in ((0, 1), (1, 2)):
        done = subprocess.run([sys.executable, "-c", script.replace("LEFT", str(left))], check=False)
        assert done.returncode == 9
        corrections = opened(photos)
        assert len(corrections.labels()) == expected
        open_dataset(corrections.table)
    corrections.correct(image, 1)
    assert {path: label for path, label, _ in open_dataset(corrections.table).test if path == image} == {image: 1}


def test_a_copy_of_the_data_takes_its_corrections_along(photos, tmp_path):
    """Paths are relative: a folder moved with its tables is corrected there."""
    opened(photos).correct(photos / "test" / "cat" / "01.png", 2)
    moved = tmp_path / "elsewhere"
    shutil.copytree(photos, moved / "photos")
    for name in ("photos-corrections.csv", "photos-corrected.csv"):
        shutil.copy(photos.parent / name, moved)
    assert opened(moved / "photos").labels() == {moved / "photos" / "test" / "cat" / "01.png": 2}
