"""Paths out of files stay below their root."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mocoop.data.fence import Fence
from mocoop.errors import DataError


def test_plain_paths_are_made_plain(tmp_path):
    fence = Fence(tmp_path)
    assert fence.path("./a//b.png") == tmp_path / "a/b.png"
    assert fence.path("a/..b.png") == tmp_path / "a/..b.png"


@pytest.mark.parametrize("bad", ["", " ", "..", "../x", "a/../../x", "a/..", "/x", "//x", "c:x", "a\\x", "a\0x"])
def test_paths_that_are_refused(tmp_path, bad):
    with pytest.raises(DataError, match="the path"):
        Fence(tmp_path, follow_links=True).path(bad)


@given(st.lists(st.sampled_from(["a", "..", ".", "", "b c", "~", "$HOME"]), max_size=6).map("/".join))
def test_nothing_leaves(text):
    root = Path("/srv/images")
    try:
        path = Fence(root).path(text)
    except DataError:
        return
    assert os.path.normpath(path).startswith(str(root))


def test_links(tmp_path):
    root = tmp_path / "root"
    (root / "in").mkdir(parents=True)
    (root / "in" / "x.png").touch()
    (tmp_path / "root2").mkdir()
    (tmp_path / "root2" / "x.png").touch()
    (root / "inner").symlink_to(root / "in", target_is_directory=True)
    (root / "outer").symlink_to(tmp_path / "root2", target_is_directory=True)
    (root / "loop").symlink_to(root / "loop")
    fence = Fence(root)
    assert fence.path("inner/x.png")
    with pytest.raises(DataError, match="leaves"):
        fence.path("outer/x.png")
    assert Fence(root, follow_links=True).path("outer/x.png")
    assert fence.path("loop")  # it leads nowhere: a missing image
