"""K-means, many runs at once: grouping a few dozen templates needs hundreds of runs.

One step of all runs is a single matrix product, which for so few rows is about ten times as fast as one run after
another. S runs, T rows, N groups, D dimensions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Labels = NDArray[np.int64]

STEPS = 100  # maximum per run; with a few dozen rows, a run converges in about ten
CELLS = 500_000  # cells of the table runs x rows x groups held in memory at a time


def kmeans_runs(rows: Array, count: int, runs: int, random: np.random.Generator) -> tuple[Labels, Array]:
    """The labels (S, T) of independent runs, and the sum of squared distances of each (S,).

    `count` must be at most the number of distinct rows; then no group is empty.
    """
    import numpy as np

    found = [_run(rows, _starts(rows, count, some, random)) for some in _parcels(runs, CELLS // (len(rows) * count))]
    return np.vstack([labels for labels, _ in found]), np.concatenate([spread for _, spread in found])


def tightest(rows: Array, count: int, runs: int, random: np.random.Generator) -> Labels:
    """The labels (T,) of the run with the smallest sum of squared distances."""
    labels, spread = kmeans_runs(rows, count, runs, random)
    best = int(spread.round(9).argmin())  # rounded, so that ties do not depend on the machine
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
        far[far < 1e-12] = 0.0  # rows equal up to rounding are never drawn again
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
    """Give each empty group the row farthest from its centre (`far`, (T,)), from a group with more than one row."""
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
