"""`mocoop scenes`, as it is typed."""

from __future__ import annotations

from command_line import call


def test_tiles_are_drawn_into_class_folders(tmp_path):
    code, out, err = call("scenes", "-o", tmp_path / "tiles", "--train", 1, "--val", 0, "--test", 1)
    assert (code, out) == (0, f"{tmp_path / 'tiles'}\n")
    assert {path.name for path in (tmp_path / "tiles").iterdir()} == {"train", "test"}
    assert len(list((tmp_path / "tiles" / "train").iterdir())) == 32
    assert f"mocoop train --groups groups.json --data {tmp_path / 'tiles'}" in err


def test_a_folder_with_files_in_it_is_refused(tmp_path):
    (tmp_path / "mine.txt").touch()
    code, out, err = call("scenes", "-o", tmp_path)
    assert (code, out) == (2, "")
    assert err == f"mocoop: {tmp_path} is not empty\n  hint: choose a new folder\n"
