"""An example: a file kept as text, a label and a row, which never change."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from mocoop.data.dataset import Example


def test_an_example_gives_its_file_as_a_path_and_is_equal_to_its_like():
    one = Example(Path("a/1.jpg"), 2)
    assert (one.path, one.label, one.row, str(one)) == (Path("a/1.jpg"), 2, None, "a/1.jpg")
    assert one == Example("a/1.jpg", 2) != Example("a/1.jpg", 3)
    assert len({one, Example("a/1.jpg", 2), one._replace(label=2)}) == 1
    assert pickle.loads(pickle.dumps(one)) == one
    assert tuple(one) == (Path("a/1.jpg"), 2, None)
    assert sorted([Example("b", 0), Example("a", 1), Example("a", 0)])[0] == Example("a", 0)
    assert (Example(None, 0, 7).path, str(Example(None, 0, 7))) == (None, "row 7")


def test_an_example_is_changed_only_as_a_copy():
    one = Example("a/1.jpg", 2)
    assert one._replace(label=0) == Example("a/1.jpg", 0)
    assert one._replace(path=Path("b.jpg"), row=3) == Example("b.jpg", 2, 3)
    with pytest.raises(TypeError):
        one._replace(colour=1)
    with pytest.raises(FrozenInstanceError):
        one.label = 1
