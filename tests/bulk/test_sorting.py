"""Images in a folder a class: names of strangers stay inside, nothing is lost, and a kill changes nothing."""

from __future__ import annotations

import os

import pytest
from datafiles import put_image

from mocoop.bulk import sorting
from mocoop.bulk.sorting import MAX_NAME_BYTES, folder_names, safe_name, sort_images
from mocoop.errors import StorageError

HOSTILE = (
    "..", ".", "", " ", "../../etc/passwd", "/etc/passwd", "a/b", "a\\b", "C:\\x", "con", "NUL.txt", "com1", "a\0b",
    "a\nb", "\u202egnp.exe", ".hidden", "trailing. . ", "<b>", "a:b|c?d*", "\udcff",
    "x" * 999, "é" * 300, "a." + "b" * 300,
)  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_any_text_becomes_one_name_that_every_system_takes(text, tmp_path):
    name = safe_name(text)
    assert 0 < len(name.encode()) <= MAX_NAME_BYTES
    assert name.isprintable()
    assert not set(name) & set('<>:"/\\|?*')
    assert not name.startswith((".", " "))
    assert not name.endswith((".", " "))
    assert name.partition(".")[0].casefold() not in {"con", "nul", "com1"}
    (tmp_path / name).mkdir()
    assert [one.name for one in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    "text", ["harbor", "sea snake", "St. Mary", "Brücke", "猫", "IMG_0001.JPG", "a (1).png", "conifer"]
)
def test_usual_names_stay_as_they_are(text):
    assert safe_name(text) == text


def test_no_two_classes_share_a_folder():
    classes = ["a/b", "a\\b", "a_b", "A_B", "ﬁn", "fin", "not sure", "_job.json", "St. Mary", "st. mary", "x" * 998]
    classes += [text for text in HOSTILE if text not in classes]
    names = folder_names(classes, unsure=True)
    assert list(names) == classes
    folded = {name.casefold() for name in names.values()}
    assert len(folded) == len(classes)
    assert not folded & {"not sure", "_job.json"}
    assert names["a/b"] == "a_b"
    assert names["st. mary"] == "st. mary-2"
    assert folder_names(["not sure"], unsure=False) == {"not sure": "not sure"}


@pytest.fixture
def rows(tmp_path):
    """Five images, two of them of one name; one is not sure and one could not be read."""
    said = {
        "a/1.png": {"class": "dog"},
        "b/1.png": {"class": "dog"},
        "b/2.png": {"class": "../cat"},
        "b/3.png": {"class": "dog", "unsure": True},
        "b/4.png": {"error": "the file is empty"},
    }
    return [(put_image(tmp_path / "in" / name, n), {"path": name, **row}) for n, (name, row) in enumerate(said.items())]


def tree(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("link", [False, True])
def test_each_image_is_in_the_folder_of_its_class(rows, tmp_path, link):
    out = tmp_path / "out"
    out.mkdir()
    found = sort_images(rows, out, ["dog", "../cat"], unsure=True, link=link)
    whence = {"dog/1.png": 0, "dog/1-2.png": 1, "_._cat/2.png": 2, "not sure/3.png": 3}
    assert tree(out) == {name: rows[place][0].read_bytes() for name, place in whence.items()}
    assert all((out / name).is_symlink() is link for name in whence)
    assert (found.folders, found.gone) == ({"dog": 2, "_._cat": 1, "not sure": 1}, 0)
    before = {name: (out / name).lstat().st_ino for name in whence}
    sort_images(rows, out, ["dog", "../cat"], unsure=True, link=link)
    assert {name: (out / name).lstat().st_ino for name in whence} == before  # nothing was made again


def test_without_the_option_there_is_no_folder_for_the_unsure(rows, tmp_path):
    (tmp_path / "out").mkdir()
    sort_images([(path, {**row, "unsure": None}) for path, row in rows], tmp_path / "out", ["dog", "../cat"])
    assert sorted(os.listdir(tmp_path / "out")) == ["_._cat", "dog"]


def test_an_image_that_has_gone_loses_no_other(rows, tmp_path):
    (tmp_path / "out").mkdir()
    rows[0][0].unlink()
    found = sort_images(rows, tmp_path / "out", ["dog", "../cat"], unsure=True)
    assert (found.gone, found.folders["dog"]) == (1, 1)
    assert found.first_gone[0].endswith("1.png: cannot be read any more: No such file or directory")


class TestLinksThatSomeoneElseMade:
    def test_a_folder_that_is_one_is_refused(self, rows, tmp_path):
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "dog").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(StorageError, match="dog is a link"):
            sort_images(rows, tmp_path / "out", ["dog", "../cat"])
        assert not list((tmp_path / "elsewhere").iterdir())

    @pytest.mark.parametrize("link", [False, True])
    def test_a_file_that_is_one_is_replaced_and_not_written_through(self, rows, tmp_path, link):
        (tmp_path / "precious").write_text("mine")
        (tmp_path / "out" / "dog").mkdir(parents=True)
        (tmp_path / "out" / "dog" / "1.png").symlink_to(tmp_path / "precious")
        sort_images(rows, tmp_path / "out", ["dog", "../cat"], link=link)
        assert (tmp_path / "precious").read_text() == "mine"
        assert (tmp_path / "out" / "dog" / "1.png").read_bytes() == rows[0][0].read_bytes()


def test_a_copy_that_was_broken_off_is_made_whole(rows, tmp_path, monkeypatch):
    out = tmp_path / "out"
    out.mkdir()
    places = iter(range(9))

    def broken(_name, _place):
        if next(places) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(sorting, "crash_point", broken)
    with pytest.raises(KeyboardInterrupt):
        sort_images(rows, out, ["dog", "../cat"], unsure=True)
    monkeypatch.undo()
    (out / "dog" / "1.png").write_bytes(b"half")
    sort_images(rows, out, ["dog", "../cat"], unsure=True)
    assert len(tree(out)) == 4
    assert (out / "dog" / "1.png").read_bytes() == rows[0][0].read_bytes()
