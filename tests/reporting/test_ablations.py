"""An ablation shows all its variants, though those that equal another cell were trained under its name."""

from __future__ import annotations

import json

import pytest
from result_rows import GROUPS, drawn_rows

from mocoop.bench.protocols import ABLATIONS
from mocoop.reporting import paper
from mocoop.reporting.ablations import SHOWN, ablation_lines, main_lines


def cells(lines):
    return {name for found in lines.values() for name in found}


ALL = {(dataset, seed) for dataset in ("dtd", "eurosat") for seed in (1, 2, 3)}


def test_every_ablation_of_the_bench_is_shown():
    assert {one.name for one in SHOWN} == set(ABLATIONS)


@pytest.mark.parametrize("one", [one for one in SHOWN if one.paper], ids=lambda one: one.name)
def test_the_papers_labels_are_found(one):
    """Each row of a table of the paper is a variant here, under the name that the paper has for it."""
    found = {one.paper_label(variant.setting) for variant in ABLATIONS[one.name](len(GROUPS))}
    table = paper._tables()[one.paper]
    labels = set(table) if "CoOp baseline" in table else {label for rows in table.values() for label in rows}
    assert labels <= found


@pytest.mark.parametrize("name", list(ABLATIONS))
@pytest.mark.parametrize("main", [True, False])
def test_all_variants_are_there_whoever_was_trained_first(name, main):
    """After the main table, or before anything else; and after every other ablation."""
    for others in ((), tuple(other for other in ABLATIONS if other != name)):
        rows = drawn_rows(protocols=("base-to-new",) if main else (), ablations=(*others, name))
        found = ablation_lines(rows, name)
        expected = [variant.setting for variant in ABLATIONS[name](len(GROUPS))]
        if not any(row["ablation"] == name for row in rows):
            assert found == {}
            continue
        assert list(found) == expected
        assert all(cells(lines) == ALL for lines in found.values())
        assert all(len(lines) == 1 for lines in found.values())


def test_variants_have_the_rows_they_should():
    rows = drawn_rows(ablations=tuple(ABLATIONS))
    by_key = {row["key"]: row for row in rows}
    top_k = ablation_lines(rows, "top-k")
    for setting, lines in top_k.items():
        for row in next(iter(lines.values())).values():
            top_k = by_key[row["key"]]["config"]["top_k"]
            assert f"K = {len(GROUPS) if top_k == 'all' else top_k}" == setting
            assert (row["method"], row["groups"]["kind"], row["config"]["lambda_text"]) == ("mocoop", "own", 1.0)
    random = next(iter(ablation_lines(rows, "grouping")["random groups"].values()))
    assert {row["groups"]["kind"] for row in random.values()} == {"random"}


def test_the_main_table_has_the_default_even_where_an_ablation_trained_it():
    main = main_lines(drawn_rows(methods=("mocoop",)))
    alone = main_lines(drawn_rows(protocols=(), ablations=("top-k",)))
    assert list(alone) == list(main)
    assert [line.name for line in main] == ["MoCoOp"]
    for line, found in main.items():
        assert {cell: row["key"] for cell, row in alone[line].items()} == {c: row["key"] for c, row in found.items()}


def test_variants_that_change_something_are_not_in_the_main_table():
    rows = drawn_rows(ablations=tuple(ABLATIONS))
    assert {line.setting for line in main_lines(rows)} == {""}


def test_changes_of_the_whole_comparison_stay_with_every_variant():
    rows = drawn_rows(methods=("mocoop",), ablations=("top-k",), changes={"lr": 0.5})
    found = ablation_lines(rows, "top-k")
    assert all(cells(lines) == ALL for lines in found.values())
    assert {line.setting for line in found["K = 1"]} == {"K = 1; lr=0.5"}
    assert [line.setting for line in main_lines(rows)] == ["lr=0.5"]
    plain = drawn_rows(methods=("mocoop",))
    both = ablation_lines([*rows, *plain], "top-k")
    assert [line.setting for line in both["K = 8"]] == ["K = 8", "K = 8; lr=0.5"]  # never one average of both


@pytest.mark.parametrize("tuned", [{}, {"coop": {"lr": 0.5}}, {"coop": {"lr": 0.5}, "mocoop": {"lr": 0.1}}])
def test_tuned_rows_stand_in_an_ablation_that_was_tuned_and_in_no_other(tuned):
    other = {"coop": {"lr": 0.5}, "mocoop": {"lr": 0.1}} if not tuned else {}
    rows = [*drawn_rows(tuned=other), *drawn_rows(protocols=(), ablations=("components",), tuned=tuned)]
    found = ablation_lines(rows, "components")
    assert [len(lines) for lines in found.values()] == [1, 1, 1, 1, 1]
    chosen = [next(iter(lines)).tuned for lines in found.values()]
    assert chosen == ["lr=0.5" if "coop" in tuned else "", *["lr=0.1" if "mocoop" in tuned else ""] * 4]
    assert all(cells(lines) == ALL for lines in found.values())


def test_a_variants_own_setting_wins_over_a_search():
    rows = drawn_rows(protocols=(), ablations=("top-k",), tuned={"mocoop": {"top_k": 1, "lr": 0.1}})
    assert {row["changes"]["top_k"] for row in rows if row["setting"] == "K = 4"} == {4}
    assert {json.dumps(row["tuned"]) for row in rows if row["setting"] == "K = 4"} == {'{"lr": 0.1}'}


def test_rows_of_settings_that_this_version_does_not_know_stand_where_they_say():
    rows = drawn_rows(methods=("mocoop",), ablations=("top-k",))
    for row in rows:
        row["preset"] = "a preset of a later version"
    found = ablation_lines(rows, "top-k")
    assert list(found) == ["K = 1", "K = 2", "K = 3", "K = 4"]
    assert [line.name for line in main_lines(rows)] == ["MoCoOp"]


def test_an_ablation_that_was_not_run_is_empty():
    assert ablation_lines(drawn_rows(), "top-k") == {}
