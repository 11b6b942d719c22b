"""The assignment of rows to columns, against every permutation and against scipy."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mocoop.grouping.editing.assignment import best_pairs

sizes = st.integers(1, 5)
tables = st.tuples(sizes, sizes).flatmap(
    lambda size: st.lists(
        st.lists(st.sampled_from([0, 0, 1, 2, 0.5, 7]), min_size=size[1], max_size=size[1]),
        min_size=size[0],
        max_size=size[0],
    )
)


@given(tables)
def test_no_other_pairs_share_more(shared):
    pairs = best_pairs(shared)
    rows, columns = [row for row, _ in pairs], [column for _, column in pairs]
    assert rows == sorted(set(rows))
    assert len(set(columns)) == len(columns)
    assert all(shared[row][column] > 0 for row, column in pairs)
    wide = shared if len(shared) <= len(shared[0]) else list(zip(*shared, strict=True))
    best = max(
        sum(wide[row][column] for row, column in enumerate(order))
        for order in permutations(range(len(wide[0])), len(wide))
    )
    assert sum(shared[row][column] for row, column in pairs) == pytest.approx(best)


def test_a_large_table_agrees_with_scipy():
    optimize = pytest.importorskip("scipy.optimize")
    shared = [[(row * 37 + column * 91 + row * column) % 23 for column in range(60)] for row in range(50)]
    rows, columns = optimize.linear_sum_assignment(shared, maximize=True)
    most = sum(shared[row][column] for row, column in zip(rows, columns, strict=True))
    assert sum(shared[row][column] for row, column in best_pairs(shared)) == most


def test_nothing_shares_nothing():
    assert best_pairs([]) == []
    assert best_pairs([[]]) == []
    assert best_pairs([[0, 0], [0, 0]]) == []
