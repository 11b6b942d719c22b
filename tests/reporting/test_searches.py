"""What a search tried: a table for each data set and choice of classes, gains paired by seed."""

from __future__ import annotations

import statistics

import pytest
from result_rows import plain_cell, row_of

from mocoop.reporting.comparison import comparison
from mocoop.reporting.document import Number
from mocoop.reporting.searches import search_section

PRESET, HIGHER = {}, {"lr": 0.1}


def tried(changes, seed, **cell):
    return row_of(plain_cell(protocol="tune", seed=seed, changes=changes, **{"classes": "base-halves", **cell}))


def table(rows, number=0):
    found = search_section(rows).blocks[1 + number]
    return found, [dict(zip(found.columns, row, strict=True)) for row in found.rows]


def test_each_candidate_has_its_mean_and_its_gain_over_the_preset_paired_by_seed():
    rows = [tried(changes, seed) for seed in (1, 2, 3) for changes in (PRESET, HIGHER)]
    rows.append(tried(PRESET, 4))  # a seed that only the preset had
    by_seed = {(row["seed"], "lr" in row["changes"]): row["accuracy"]["H"] for row in rows}
    found, lines = table(rows)
    assert "H of both halves" in found.caption
    told = {line["method"]: line for line in lines}
    higher, preset = told["MoCoOp (lr=0.1)"], told["MoCoOp"]
    assert (higher["seeds"], preset["seeds"]) == ("3", "4")
    assert higher["on val"].value == pytest.approx(statistics.fmean(by_seed[seed, True] for seed in (1, 2, 3)))
    gains = [by_seed[seed, True] - by_seed[seed, False] for seed in (1, 2, 3)]
    assert higher["gain"].value == pytest.approx(statistics.fmean(gains))
    assert higher["95 % from"].value < higher["gain"].value < higher["95 % to"].value
    assert preset["gain"] is preset["95 % from"] is None


def test_the_best_of_a_method_comes_first_and_methods_keep_their_order():
    rows = [tried({"lr": rate}, 1, method=method) for method in ("mocoop", "coop") for rate in (0.01, 0.1, 1.0)]
    _, lines = table(rows)
    assert [line["method"].split()[0] for line in lines] == ["CoOp"] * 3 + ["MoCoOp"] * 3
    for some in (lines[:3], lines[3:]):
        values = [line["on val"].value for line in some]
        assert values == sorted(values, reverse=True)


def test_other_classes_and_other_data_are_other_tables():
    rows = [tried(PRESET, 1), tried(PRESET, 1, classes="all"), tried(PRESET, 1, dataset="dtd")]
    captions = [block.caption for block in search_section(rows).blocks[1:]]
    assert captions == [
        "dtd. Trained on the first half of the base classes; H of both halves of them, percent.",
        "eurosat. Accuracy on all classes, percent.",
        "eurosat. Trained on the first half of the base classes; H of both halves of them, percent.",
    ]
    _, lines = table(rows, 1)
    assert lines[0]["on val"] == Number(rows[1]["accuracy"]["val"])


def test_a_report_of_searches_alone_shows_them_and_nothing_that_looks_like_a_test():
    sections = [section.title for section in comparison([tried(PRESET, 1), tried(HIGHER, 1)]).sections]
    assert sections == ["What this is", "Settings tried on validation images"]
    assert not search_section([row_of(plain_cell())]).blocks
