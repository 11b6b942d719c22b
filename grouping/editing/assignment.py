"""Which row goes with which column, so that what they share is largest in all (the assignment problem)."""

from __future__ import annotations

from collections.abc import Sequence


def best_pairs(shared: Sequence[Sequence[float]]) -> list[tuple[int, int]]:
    """Pairs (row, column), each once, of the largest sum; pairs that share nothing are left out.

    `shared` holds a row of numbers from 0 up for each row.
    """
    if not shared or not shared[0]:
        return []
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(shared, maximize=True)
    return [(row, column) for row, column in zip(rows.tolist(), columns.tolist(), strict=True) if shared[row][column]]
