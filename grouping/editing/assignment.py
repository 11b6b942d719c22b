"""Pairing rows with columns so that their total overlap is largest (the assignment problem)."""

from __future__ import annotations

from collections.abc import Sequence


def best_pairs(shared: Sequence[Sequence[float]]) -> list[tuple[int, int]]:
    """One-to-one pairs (row, column) with the largest sum; pairs that share nothing are left out.

    `shared` is the matrix of overlaps, all 0 or larger.
    """
    if not shared or not shared[0]:
        return []
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(shared, maximize=True)
    return [(row, column) for row, column in zip(rows.tolist(), columns.tolist(), strict=True) if shared[row][column]]
