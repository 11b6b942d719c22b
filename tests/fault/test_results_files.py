"""A results file never loses a row: whatever a kill or an editor left at its end, the next row goes after it."""

from __future__ import annotations

import json
import os

import pytest
from result_rows import drawn_rows

from mocoop.bench.claims import Done
from mocoop.bench.rows import append_row, read_rows
from mocoop.errors import DataError, StorageError


@pytest.fixture
def results(tmp_path):
    return tmp_path / "r.jsonl"


def test_cut_anywhere_it_loses_no_row_but_the_one_that_is_cut(results):
    first, second, third = drawn_rows(methods=("coop",))[:3]
    append_row(results, first)
    whole = len(results.read_bytes())
    append_row(results, second)
    content = results.read_bytes()
    for size in (whole, whole + 1, whole + 99, len(content) - 2, len(content) - 1, len(content)):
        results.write_bytes(content[:size])
        there = [first, second] if size >= len(content) - 1 else [first]  # the last byte is the line end
        assert read_rows(results) == there
        done = Done(results)
        assert done() == {row["key"] for row in there}
        append_row(results, third)
        assert read_rows(results) == [*there, third]
        assert done() == {row["key"] for row in (*there, third)}
        assert len(results.read_bytes().splitlines()) == len(there) + 1


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n", "  "])
def test_however_a_file_ends_the_next_row_is_a_line_of_its_own(results, end):
    first, second = drawn_rows(methods=("coop",))[:2]
    results.write_text(json.dumps(first) + end, newline="")
    append_row(results, second)
    assert read_rows(results) == [first, second]


def test_what_was_never_a_row_is_refused_and_not_cut_off(results):
    (row, *_) = drawn_rows(methods=("coop",))
    for text in ("notes of mine", '{"key": 1}', '{"shots": NaN}'):
        results.write_text(text)
        with pytest.raises(DataError, match=r"r\.jsonl:1: this is not a result"):
            read_rows(results)
        append_row(results, row)
        assert results.read_text().startswith(f"{text}\n")


def test_a_pipe_is_no_results_file(results):
    os.mkfifo(results)
    with pytest.raises(DataError, match="it is a pipe"):
        read_rows(results)


def test_a_folder_that_cannot_be_made_is_named(results):
    results.write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        append_row(results / "below" / "r.jsonl", drawn_rows(methods=("coop",))[0])
