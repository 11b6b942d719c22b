"""Rows from files: each once, the newer of two, and the line of a table they belong to."""

from __future__ import annotations

import itertools
import json

import pytest
from result_rows import drawn_rows, plain_cell, row_of, write_rows

from mocoop.errors import DataError
from mocoop.reporting.results import (
    by_shots,
    datasets_of,
    impossible,
    line_of,
    lines_of,
    measured_twice,
    numbers,
    read_extra_names,
    read_results,
)


def test_files_are_put_together_and_a_key_counts_once(tmp_path):
    rows = drawn_rows(datasets=("eurosat",))
    first, second = write_rows(tmp_path / "a.jsonl", rows[:7]), write_rows(tmp_path / "b.jsonl", rows[5:])
    both = read_results([first, second])
    assert both == read_results([second, first])
    assert sorted(row["key"] for row in both) == sorted(row["key"] for row in rows)


def test_of_one_key_in_two_files_the_newer_counts(tmp_path):
    old = row_of(plain_cell())
    new = {**old, "finished": "2026-02-01T00:00:00Z", "threads": 8}
    files = [write_rows(tmp_path / "new.jsonl", [new]), write_rows(tmp_path / "old.jsonl", [old])]
    assert [read_results(order) for order in itertools.permutations(files)] == [[new], [new]]


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "there is no result"), ("\n\n", "there is no result"), ('{"format": 1}\n', r":1: this is not a result")],
)
def test_files_without_results_are_refused(written, text, message):
    with pytest.raises(DataError, match=message) as caught:
        read_results([written("results.jsonl", text)])
    assert caught.value.exit_code == 4


@pytest.mark.parametrize(
    "damage",
    [
        lambda row: "{not json",
        lambda row: json.dumps([row]),
        lambda row: json.dumps({**row, "accuracy": {"base": "high"}}),
        lambda row: json.dumps({**row, "accuracy": {"base": float("nan")}}),
        lambda row: json.dumps({key: value for key, value in row.items() if key != "seed"}),
        lambda row: json.dumps({**row, "seed": 10**400}),
        lambda row: json.dumps({**row, "seconds_per_100": 77}).replace("77", "1e999"),
    ],
)
def test_a_bad_line_is_named_by_its_number(tmp_path, damage):
    rows = drawn_rows(datasets=("eurosat",), methods=("coop",))
    lines = [json.dumps(rows[0]), damage(rows[1]), json.dumps(rows[2])]
    path = tmp_path / "results.jsonl"
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match=rf"{path}:2: this is not a result"):
        read_results([path])


def test_the_newer_result_stands_in_a_cell_in_whatever_order():
    old = row_of(plain_cell())
    new = {**old, "key": "0" * 24, "finished": "2026-02-01T00:00:00Z"}
    same_time = {**old, "key": "1" * 24}
    for order in itertools.permutations([old, new, same_time]):
        assert list(lines_of(order).values()) == [{("eurosat", 1): new}]
    assert measured_twice([old, new, same_time]) == 2
    assert list(lines_of([old, same_time]).values()) == list(lines_of([same_time, old]).values())


def test_what_was_trained_otherwise_is_another_line():
    plain = row_of(plain_cell())
    others = [
        row_of(plain_cell(preset="paper")),
        row_of(plain_cell(budget="small")),
        row_of(plain_cell(changes={"lr": 0.1})),
        row_of(plain_cell(shots=4)),
        {**plain, "backbone": {**plain["backbone"], "name": "ViT-B-16", "pretrained": "openai"}},
        {**plain, "groups": {**plain["groups"], "file": "other.json"}},
        {**plain, "config": {**plain["config"], "extra_class_names": ["dam"], "text_classes": "all"}},
    ]
    assert len(lines_of([plain, *others])) == 8
    assert line_of(others[2]).name == "MoCoOp (lr=0.1)"
    assert line_of(plain).name == "MoCoOp"


def test_extra_names_count_only_where_they_are_read():
    row = row_of(plain_cell())
    named = {**row, "config": {**row["config"], "extra_class_names": ["dam"], "text_classes": "all"}}
    assert read_extra_names(named)
    assert not read_extra_names(row)
    assert not read_extra_names({**named, "config": {**named["config"], "lambda_text": 0.0}})
    assert not read_extra_names({**named, "method": "coop"})
    assert read_extra_names({**named, "method": "a method of a later version"})


def test_a_file_of_each_data_set_is_one_way_of_grouping():
    rows = drawn_rows(methods=("mocoop",))
    for row in rows:
        row["groups"]["file"] = f"{row['dataset']}.json"
    assert [line.groups for line in lines_of(rows)] == ["each data set's own"]


def test_a_part_that_a_method_cannot_do_is_no_missing_part():
    row = row_of(plain_cell())
    cells = {("eurosat", 1): {**row, "accuracy": {"base": 50.0, "new": None, "H": None}}}
    assert numbers(cells, "new") == {}
    assert impossible(cells, "new")
    assert not impossible(cells, "base")
    assert not impossible(cells, "all")
    assert not impossible({}, "new")


def test_shots_of_one_line_come_together():
    lines = lines_of(drawn_rows(protocols=("few-shot",), methods=("coop", "mocoop"), shots=(16, 2)))
    found = by_shots(lines)
    assert [list(cells) for cells in found.values()] == [[2, 16], [2, 16]]
    assert datasets_of(lines) == ["dtd", "eurosat"]
