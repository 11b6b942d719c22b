"""Kept answers: found again, listed, shown, removed; damaged ones count as absent; the key of a server is in none."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from grouping_cli import Typed
from hypothesis import given
from hypothesis import strategies as st

from mocoop.errors import UsageError
from mocoop.grouping.llm.cache import AnswerCache, Entry, key_of
from mocoop.grouping.llm.prompts import Context, aspects_prompt
from mocoop.grouping.llm.settings import Settings

PROMPT = aspects_prompt(Context("cats", "object"), 3)
ENTRY = Entry({"aspects": [{"title": "Käse"}]}, "served", 10, 20, 0, None)
ABOUT = {"prompt": PROMPT.id, "title": PROMPT.title, "model": "m", "host": "h"}


def kept(root: Path, *keys: str) -> AnswerCache:
    cache = AnswerCache(root)
    for key in keys:
        cache.write(key, ENTRY, ABOUT)
    return cache


def test_what_was_kept_is_found(tmp_path: Path) -> None:
    key = key_of(PROMPT, Settings(), 0)
    assert kept(tmp_path, key).read(key) == ENTRY
    assert AnswerCache(tmp_path).read("0" * 64) is None


def test_the_key_depends_on_all_that_is_asked_and_on_nothing_else() -> None:
    base = key_of(PROMPT, Settings(), 0)
    other = [
        key_of(aspects_prompt(Context("dogs", "object"), 3), Settings(), 0),
        key_of(PROMPT, Settings(), 1),
        key_of(PROMPT, Settings(model="x"), 0),
        key_of(PROMPT, Settings(base_url="http://h/v1"), 0),
        key_of(PROMPT, Settings(temperature=0), 0),
    ]
    assert len({base, *other}) == 6
    same = Settings(structured="text", key_env="K", timeout=1, total_timeout=2, max_tokens=3, max_answer_tokens=4)
    assert key_of(PROMPT, same, 0) == base


@given(
    data=st.binary(max_size=300) | st.recursive(st.none() | st.text(), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_any_bytes_in_place_of_an_answer_count_as_none(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.getbasetemp() / "answers-of-any-bytes"
    cache = kept(root, "a" * 64)
    (cache.folder / f"{'a' * 64}.json").write_bytes(data)
    assert cache.read("a" * 64) is None


@pytest.mark.parametrize(
    "change", [{"sha256": "0" * 64}, {"format": 2}, {"key": "b" * 64}, {"entry": {}}, {"entry": {"answer": [], "x": 1}}]
)
def test_a_changed_file_counts_as_none(change: dict[str, object], tmp_path: Path) -> None:
    cache = kept(tmp_path, "a" * 64)
    path = cache.folder / f"{'a' * 64}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    assert cache.read("a" * 64) is None
    assert cache.listed() == []


def test_answers_are_listed_shown_and_removed(typed: Typed) -> None:
    cache = kept(AnswerCache().folder.parent, "a" * 64, "b" * 64)
    os.utime(cache.folder / f"{'a' * 64}.json", (0, 0))
    (cache.folder / "mine.txt").write_text("not an answer")
    (row, _) = typed("cache").table[1:]
    assert row[1:5] == ["aspects/1", "the aspects", "m", "h"]
    assert json.loads(typed("cache", "--show", "aa").out)["entry"]["answer"] == ENTRY.answer
    listed = json.loads(typed("cache", "--json").out)
    assert (listed["format"], [one["key"] for one in listed["answers"]]) == (
        1,
        ["b" * 64, "a" * 64],
    )  # the newest first
    assert typed("cache", "--show", "c").code == 2
    assert typed("cache", "--show", "a", "--clear").code == 2
    assert "2 answers removed" in typed("cache", "--clear").err
    assert [path.name for path in cache.folder.iterdir()] == ["mine.txt"]
    assert typed("cache").table[1:] == []


def test_a_start_that_two_keys_share_is_refused(tmp_path: Path) -> None:
    cache = kept(tmp_path, "a" * 64, "a" * 63 + "b")
    with pytest.raises(UsageError, match="2 kept answers begin with 'aa'"):
        cache.content("aa")
