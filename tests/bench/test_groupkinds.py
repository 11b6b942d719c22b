"""The groups of a cell, held to the control that `mocoop-groups` makes."""

from __future__ import annotations

import json

import pytest
from group_strategies import group_documents
from hypothesis import assume, given
from hypothesis import strategies as st
from worlds import GROUPS

from mocoop.bench.groupkinds import EARLY, FIRST, LATE, OWN, RANDOM, groups_of_kind
from mocoop.errors import UsageError
from mocoop.groupfile.groups import dump_groups, parse_groups
from mocoop.grouping.control import control_of

GIVEN = parse_groups(dump_groups(GROUPS))


def plain(file):
    return [(group.id, group.init, list(group.texts)) for group in file.groups]


@given(group_documents(), st.integers(0, 2**31))
def test_random_groups_are_those_of_the_control(document, seed):
    given_file = parse_groups(dump_groups(document))
    assume(len(given_file.groups) > 1 and any(len(group.texts) > 1 for group in given_file.groups))
    control = parse_groups(dump_groups(control_of(given_file, "random", seed).document))
    assert plain(groups_of_kind(given_file, RANDOM, seed)) == plain(control)


def test_each_seed_deals_its_own_and_never_the_given_ones():
    dealt = [plain(groups_of_kind(GIVEN, RANDOM, seed)) for seed in range(8)]
    assert len({json.dumps(one) for one in dealt}) > 1
    own = {frozenset(texts) for _, _, texts in plain(GIVEN)}
    assert all({frozenset(texts) for _, _, texts in one} != own for one in dealt)


def test_the_first_groups_are_kept_as_they_are():
    assert plain(groups_of_kind(GIVEN, f"{FIRST}2", 1)) == plain(GIVEN)[:2]
    assert groups_of_kind(GIVEN, OWN, 1) is GIVEN


@pytest.mark.parametrize("sizes", [[3], [1, 1]])
def test_what_cannot_be_dealt_anew_is_refused(sizes):
    texts = iter(["a b {}.", "c d {}.", "e f {}."])
    groups = [{"id": f"g{n}", "templates": [next(texts) for _ in range(size)]} for n, size in enumerate(sizes)]
    given_file = parse_groups(dump_groups({"schema_version": 1, "domain": "things", "groups": groups}))
    with pytest.raises(UsageError, match="no other grouping"):
        groups_of_kind(given_file, RANDOM, 1)


def test_a_group_can_start_where_the_class_stands_first_or_last():
    groups = [
        {
            "id": "sky",
            "init": "a sky view of {} now.",
            "templates": ["a sky view of {} now.", "{} from above.", "a {}."],
        },
        {"id": "one", "templates": ["{} texture."]},
    ]
    given_file = parse_groups(dump_groups({"schema_version": 1, "domain": "things", "groups": groups}))
    early, late = (groups_of_kind(given_file, kind, 1) for kind in (EARLY, LATE))
    assert [group.init for group in early.groups] == ["{} from above.", "{} texture."]
    assert [group.init for group in late.groups] == ["a {}.", "{} texture."]
    assert [group.texts for group in early.groups] == [group.texts for group in given_file.groups]
