"""K-means, many runs at once, as grouping some tens of templates needs hundreds of them.

A step of all runs is one matrix product, which for so few rows is some ten times as fast as a run after another. S
runs, T rows, N groups, D dimensions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Labels = NDArray[np.int64]

STEPS = 100  # of a run, at most; on tens of rows it stands still after about ten
CELLS = 500_000  # of the table runs x rows x groups that are there at a time


def kmeans_runs(rows: Array, count: int, runs: int, random: np.random.Generator) -> tuple[Labels, Array]:
    """The labels (S, T) of runs from starts of their own, and the sum of squared distances of each (S,).

    `count` is at most the number of rows that differ; then no group is empty.
    """
    import numpy as np

    found = [_run(rows, _starts(rows, count, some, random)) for some in _parcels(runs, CELLS // (len(rows) * count))]
    return np.vstack([labels for labels, _ in found]), np.concatenate([spread for _, spread in found])


def tightest(rows: Array, count: int, runs: int, random: np.random.Generator) -> Labels:
    """The labels (T,) of the run with the smallest sum of squared distances."""
    labels, spread = kmeans_runs(rows, count, runs, random)
    best = int(spread.round(9).argmin())  # rounded, so that equal ones do not depend on the machine
    return labels[best]  # type: ignore[no-any-return]


def _parcels(runs: int, most: int) -> Iterator[int]:
    while runs > 0:
        yield min(runs, max(most, 1))
        runs -= max(most, 1)


def _starts(rows: Array, count: int, runs: int, random: np.random.Generator) -> Array:
    """Centres (S, N, D), each drawn from the rows in proportion to the squared distance to those before (k-means++)."""
    import numpy as np

    chosen = [random.integers(len(rows), size=runs)]
    far = _squares(rows, rows[chosen[0]])  # (S, T)
    for _ in range(1, count):
        far[far < 1e-12] = 0.0  # what is equal but for rounding is never drawn again
        reached = far.cumsum(axis=1)
        drawn = random.random(runs) * reached[:, -1]
        chosen.append((reached <= drawn[:, None]).sum(axis=1).clip(max=len(rows) - 1))
        far = np.minimum(far, _squares(rows, rows[chosen[-1]]))
    return rows[np.stack(chosen, axis=1)]


def _run(rows: Array, centres: Array) -> tuple[Labels, Array]:
    import numpy as np

    groups = np.arange(centres.shape[1])[:, None]
    labels = np.full((len(centres), len(rows)), -1)
    for _ in range(STEPS):
        near = rows @ centres.swapaxes(1, 2) - (centres**2).sum(axis=2)[:, None] / 2  # (S, T, N)
        before, labels = labels, near.argmax(axis=2)
        member = labels[:, None] == groups  # (S, N, T)
        for run in np.flatnonzero(~member.any(axis=2).all(axis=1)):
            _fill_empty(labels[run], ((rows - centres[run, labels[run]]) ** 2).sum(axis=1), len(groups))
            member[run] = labels[run] == groups
        if (labels == before).all():
            break
        centres = member.astype(np.float64) @ rows / member.sum(axis=2)[:, :, None]
    own = np.take_along_axis(centres, labels[:, :, None], axis=1)  # (S, T, D)
    return labels.astype(np.int64), ((rows - own) ** 2).sum(axis=(1, 2))


def _fill_empty(labels: Labels, far: Array, count: int) -> None:
    """Give each empty group the row that is farthest from its centre (T,), out of a group that has others."""
    import numpy as np

    sizes = np.bincount(labels, minlength=count)
    for group in np.flatnonzero(sizes == 0):
        row = np.where(sizes[labels] > 1, far, -1.0).argmax()
        sizes[labels[row]] -= 1
        sizes[group] = 1
        labels[row] = group


def _squares(rows: Array, points: Array) -> Array:
    """Squared distances of every row from each run's point (S, T)."""
    return ((rows[None] - points[:, None]) ** 2).sum(axis=2)  # type: ignore[no-any-return]
