"""What a cell is: its settings, its key, and what a budget does to them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import GROUPS

from mocoop.bench.cell import BUDGETS, Cell, key_of
from mocoop.config import METHODS, PRESETS
from mocoop.groupfile.groups import dump_groups, parse_groups
from mocoop.methods import method_named

CELL = Cell("base-to-new", "dtd", "mocoop", 16, 1)
OWN = parse_groups(dump_groups(GROUPS))
OTHER = parse_groups(dump_groups({**GROUPS, "groups": GROUPS["groups"][:2]}))


def key(cell=CELL, groups=OWN, data=None, backbone="b", images=400):
    return key_of(cell, cell.config(cell.dataset), groups, data or {"dtd": "one"}, backbone, images)


@pytest.mark.parametrize(
    "other",
    [
        {"cell": replace(CELL, protocol="few-shot")},
        {"cell": replace(CELL, seed=2)},
        {"cell": replace(CELL, shots=8)},
        {"cell": replace(CELL, method="gated-zero-shot")},
        {"cell": replace(CELL, changes={"top_k": 1})},
        {"cell": replace(CELL, preset="paper")},
        {"cell": replace(CELL, classes="base-halves")},
        {"cell": replace(CELL, val_shots=16)},
        {"groups": OTHER},
        {"data": {"dtd": "two"}},
        {"data": {"dtd": "one", "eurosat": "one"}},
        {"backbone": "c"},
    ],
    ids=lambda other: next(iter(other)),
)
def test_a_key_changes_with_all_that_the_numbers_depend_on(other):
    assert key(**other) != key()


@pytest.mark.parametrize(
    "changes",
    [
        {"ablation": "top-k"},
        {"setting": "K = 2"},
        {"changes": {"top_k": "all"}},  # what it is anyway
        {"budget": "small"},  # the recommended settings are within it
        {"group_kind": "own"},
    ],
    ids=str,
)
def test_a_key_does_not_change_with_what_a_table_calls_it(changes):
    assert key(replace(CELL, **changes)) == key()


@given(st.sampled_from(METHODS), st.sampled_from(sorted(PRESETS)), st.sampled_from(sorted(BUDGETS)))
def test_a_budget_gives_every_trained_method_the_same_image_passes(method, preset, budget):
    if method not in PRESETS[preset]:
        return
    config = Cell("few-shot", "dtd", method, 16, 1, preset=preset, budget=budget).config("dtd")
    as_is = Cell("few-shot", "dtd", method, 16, 1, preset=preset).config("dtd")
    limits = BUDGETS[budget] if method_named(method).learns else {}
    assert {name: getattr(config, name) for name in limits} == limits
    changed = (*BUDGETS[budget], "min_steps")  # a budget's epochs are kept to
    assert config.replace(**{name: getattr(as_is, name) for name in changed}) == as_is


def test_keys_of_rows_that_were_written_before_templates_had_a_share_stay_what_they_are():
    assert key(replace(CELL, method="coop")) == "e7bcf2d00aedaabeed5be376"
    alone = replace(CELL, changes={"routing": "uniform", "template_share": 0.0})
    assert key(alone) == "c9e8fb9a70620c67f14586e5"
    assert key(replace(CELL, changes={"routing": "uniform"})) != key(alone)


def test_a_budget_says_what_it_changed_and_gives_way_to_the_cell():
    cell = Cell("base-to-new", "dtd", "cocoop", 16, 1, preset="paper", budget="small")
    said = "budget small: epochs 30 (preset: 10), batch_size 32 (preset: 1), views 0 (preset: epochs)"
    assert cell.budget_note(cell.config("dtd")) == said
    coop = replace(cell, method="coop")
    assert "epochs 30 (preset: by shots)" in coop.budget_note(coop.config("dtd"))
    longer = replace(cell, changes={"epochs": 50, "batch_size": 1})
    assert longer.config("dtd").epochs == 50
    assert longer.budget_note(longer.config("dtd")) == "budget small: views 0 (preset: epochs)"
    for unchanged in (replace(cell, budget=None), replace(cell, method="zero-shot"), replace(CELL, budget="small")):
        assert unchanged.budget_note(unchanged.config("dtd")) is None


def test_what_is_trained_on():
    assert [replace(CELL, protocol=name).train_on for name in ("base-to-new", "few-shot", "cross-dataset")] == [
        "base", "all", "all"
    ]  # fmt: skip
    assert replace(CELL, protocol="tune", classes="base").train_on == "base"
