"""Which row goes with which column, so that what they share is largest in all (the assignment problem).

Shortest augmenting paths over potentials; a few dozen rows take milliseconds. scipy has the same, but every command
that changes a group file shows the difference, and importing scipy would take longer than all the rest of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def best_pairs(shared: Sequence[Sequence[float]]) -> list[tuple[int, int]]:
    """Pairs (row, column), each once, of the largest sum; pairs that share nothing are left out.

    `shared` holds a row of numbers from 0 up for each row.
    """
    if not shared or not shared[0]:
        return []
    if len(shared) > len(shared[0]):
        turned = best_pairs([list(column) for column in zip(*shared, strict=True)])
        return sorted((row, column) for column, row in turned)
    cost = [[-value for value in row] for row in shared]
    owner = _assign(cost)
    pairs = [(row, column) for column, row in enumerate(owner) if row is not None and shared[row][column] > 0]
    return sorted(pairs)


def _assign(cost: Sequence[Sequence[float]]) -> list[int | None]:
    """The row of each column in the cheapest assignment of all rows; there are no more rows than columns."""
    columns = range(len(cost[0]))
    row_price, column_price = [0.0] * len(cost), [0.0] * len(columns)
    owner: list[int | None] = [None] * len(columns)
    for start in range(len(cost)):
        reach, came_from = [math.inf] * len(columns), [-1] * len(columns)
        settled: set[int] = set()
        row, column, travelled = start, -1, 0.0
        while True:
            for other in columns:
                step = travelled + cost[row][other] - row_price[row] - column_price[other]
                if other not in settled and step < reach[other]:
                    reach[other], came_from[other] = step, column
            column = min((other for other in columns if other not in settled), key=reach.__getitem__)
            travelled = reach[column]
            settled.add(column)
            holder = owner[column]
            if holder is None:
                break
            row = holder
        _reprice(start, settled, travelled, reach, owner, row_price, column_price)
        _pass_on(start, column, came_from, owner)
    return owner


def _reprice(
    start: int,
    settled: set[int],
    travelled: float,
    reach: list[float],
    owner: list[int | None],
    row_price: list[float],
    column_price: list[float],
) -> None:
    """New potentials, under which every pair on the path costs nothing."""
    row_price[start] += travelled
    for column in settled:
        slack = travelled - reach[column]
        column_price[column] -= slack
        holder = owner[column]
        if holder is not None:
            row_price[holder] += slack


def _pass_on(start: int, column: int, came_from: list[int], owner: list[int | None]) -> None:
    """Hand each column on the path to the row before it."""
    while column != -1:
        earlier = came_from[column]
        owner[column] = start if earlier == -1 else owner[earlier]
        column = earlier
