"""Layout of the pictures of a grouping: points of a map, rows of a heat map, the tree of a dendrogram.

Numbers in, numbers out, deterministic. They are drawn in `plot` and `plot_page`. T templates, G groups.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mocoop.grouping.measuring import measures

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mocoop.grouping.measuring.measures import Array, Labels

MOST_CELLS = 800  # rows of a heat map; with more templates, those of one group share rows
_EXACT = 1000  # up to this size the full decomposition is as fast as a partial one


def plane(space: Array) -> tuple[Array, tuple[float, float]]:
    """Each template's position on the first two principal axes (T, 2), and each axis' share of the variance.

    The sign of an axis is chosen so that the farthest template is at the positive end.
    """
    import numpy as np

    moved = space - space.mean(axis=0)
    total = float((moved * moved).sum())
    if total < 1e-12:
        return np.zeros((len(space), 2)), (0.0, 0.0)
    left, values = _main_axes(moved)
    places = np.zeros((len(space), 2))
    places[:, : len(values)] = left * values
    farthest = np.abs(np.round(places, 9)).argmax(axis=0)  # rounded: a tie must not depend on the last digit
    places *= np.where(places[farthest, [0, 1]] < 0, -1.0, 1.0)
    shares = np.zeros(2)
    shares[: len(values)] = values**2 / total
    return places, (float(shares[0]), float(shares[1]))


def _main_axes(moved: Array) -> tuple[Array, Array]:
    """The two largest singular values, the larger first, and their left vectors; fewer where the rank is 1."""
    import numpy as np

    if min(moved.shape) <= _EXACT:
        left, values, _ = np.linalg.svd(moved, full_matrices=False)
        return left[:, :2], values[:2]
    from scipy.sparse.linalg import svds

    left, values, _ = svds(moved, k=2, v0=np.ones(min(moved.shape)))
    return left[:, ::-1], values[::-1]


@dataclass(frozen=True)
class Heat:
    """A heat map: mean cosines between rows (R, R), each the mean of up to `per_row` templates of one group."""

    cosines: Array
    edges: tuple[int, ...]  # the first row of each group, and the end: G + 1 numbers from 0 to R
    per_row: int


def heat(space: Array, labels: Labels) -> Heat:
    """The heat map of templates in group order; labels must be non-decreasing."""
    import numpy as np

    sizes = np.bincount(labels)
    per_row = 1
    while sum(-(-int(size) // per_row) for size in sizes) > MOST_CELLS:
        per_row += 1
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    pieces = [
        np.arange(start, start + size, per_row) for start, size in zip(starts.tolist(), sizes.tolist(), strict=True)
    ]
    firsts = np.concatenate(pieces)
    counts = np.diff(np.append(firsts, len(space)))
    rows = np.add.reduceat(space, firsts, axis=0) / counts[:, None]
    edges = np.concatenate([[0], np.cumsum([len(piece) for piece in pieces])])
    return Heat(rows @ rows.T, tuple(map(int, edges)), per_row)


@dataclass(frozen=True)
class Tree:
    """A dendrogram on its side: the groups from top to bottom, and each join as four corners (x, y)."""

    order: tuple[int, ...]
    joins: tuple[tuple[tuple[float, float], ...], ...]


def tree(space: Array, labels: Labels) -> Tree:
    """How groups would merge: average linkage over 1 minus the cosine of their means. For two groups or more."""
    import numpy as np
    from scipy.cluster.hierarchy import dendrogram, linkage
    from scipy.spatial.distance import squareform

    distances = np.clip(1 - measures.mean_cosines(space, labels), 0, 2)
    np.fill_diagonal(distances, 0)
    joined: NDArray[np.float64] = linkage(squareform((distances + distances.T) / 2, checks=False), "average")
    drawn = dendrogram(joined, no_plot=True, count_sort="descending")
    joins = [
        tuple((float(x), (float(y) - 5) / 10) for x, y in zip(xs, ys, strict=True))
        for xs, ys in zip(drawn["dcoord"], drawn["icoord"], strict=True)
    ]
    return Tree(tuple(map(int, drawn["leaves"])), tuple(joins))
