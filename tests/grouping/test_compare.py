"""Two group files compared: against scikit-learn, against values worked out by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest
from group_strategies import group_documents
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from mocoop.groupfile.groups import GroupFile, parse_groups
from mocoop.grouping.measuring.compare import adjusted_rand, compare, mutual_information

LABELS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=30)


def file_of(**groups: list[str]) -> GroupFile:
    listed = [{"id": group_id, "templates": texts} for group_id, texts in groups.items()]
    return parse_groups(json.dumps({"schema_version": 1, "domain": "birds", "groups": listed}).encode())


@given(LABELS)
def test_the_indices_are_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    one, other = zip(*pairs, strict=True)
    assert adjusted_rand(one, other) == pytest.approx(adjusted_rand_score(one, other))
    assert mutual_information(one, other) == pytest.approx(normalized_mutual_info_score(one, other), abs=1e-9)


def test_the_adjusted_rand_index_by_hand() -> None:
    # of 6 pairs 2 are together in the first file and 1 in the second: 2 * 1 / 6 by chance, and 1 is found of 1.5
    assert adjusted_rand("aabb", "aabc") == pytest.approx((1 - 2 * 1 / 6) / (1.5 - 2 * 1 / 6))
    assert adjusted_rand("aabb", "abab") == pytest.approx((0 - 2 * 2 / 6) / (2 - 2 * 2 / 6))


def test_what_is_shared_and_who_belongs_to_whom() -> None:
    first = file_of(
        plain=["a photo of {}.", "an image of {}."], night=["{} at night.", "a dark {}."], fog=["{} in fog."]
    )
    second = file_of(dark=["a dark {}.", "{} at night.", "a black {}."], usual=["a Photo of {}", "an image of {}."])
    found = compare(first, second)
    assert (found.shared, found.respelt, found.only_first, found.only_second) == (4, 1, 1, 1)
    assert found.ari == 1
    assert found.nmi == pytest.approx(1)
    told = [(m.first, m.second, m.first_size, m.second_size, m.shared, m.jaccard) for m in found.matches]
    assert told == [
        ("plain", "usual", 2, 2, 2, 1.0),
        ("night", "dark", 2, 3, 2, 0.666667),
        ("fog", None, 1, 0, 0, 0.0),
    ]


def test_an_ambiguous_spelling_is_not_guessed() -> None:
    first = file_of(plain=["a photo of {}", "the photo of {}"], other=["{} in fog."])
    second = file_of(plain=["photo of {}."], other=["{} in fog."])
    assert (compare(first, second).shared, compare(first, second).only_first) == (1, 2)
    assert compare(first, second).ari is None


@settings(max_examples=40)
@given(group_documents(), group_documents())
def test_order_of_files_turns_the_result_and_nothing_is_lost(one: dict[str, Any], other: dict[str, Any]) -> None:
    first, second = (parse_groups(json.dumps(document).encode()) for document in (one, other))
    found, turned = compare(first, second), compare(second, first)
    assert (found.shared, found.ari, found.only_first) == (turned.shared, turned.ari, turned.only_second)
    assert sum(match.shared for match in found.matches) <= found.shared
    assert sorted(m.first for m in found.matches if m.first) == sorted(g.id for g in first.groups)
    assert sorted(m.second for m in found.matches if m.second) == sorted(g.id for g in second.groups)
    alone = compare(first, first)
    assert (alone.only_first, alone.only_second, alone.respelt) == (0, 0, 0)
    assert alone.ari in (1, None)
