"""Clustering vectors: k-means or agglomerative, how stable a number of groups is, and which number to take.

Everything is a function of the vectors, the number and the seed. The order of the rows does not depend on that of the
pool (`cluster.py` sorts), so the same templates give the same groups. T templates, N groups, D dimensions.

Clustering uses the leading principal directions of the space, which separate the N groups; the others hold what is
specific to single sentences. K-means is run many times in 2 N directions, where each run ends elsewhere, and the
groups are the consensus of the runs: the similarity of two templates is the share of runs that put them together
(evidence accumulation; Fred and Jain 2005), and k-means clusters the N leading directions of that matrix. Chosen by
measurement; see benchmarks/grouping.py.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mocoop.grouping.clustering.kmeans import kmeans_runs, tightest
from mocoop.grouping.clustering.vectors import unit
from mocoop.grouping.measuring.compare import adjusted_rand

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Labels = NDArray[np.int64]

METHODS = ("kmeans", "agglomerative")
ALGORITHMS = {"kmeans": "k-means, agreement of runs", "agglomerative": "agglomerative, average linkage"}
SAMPLE = 0.8  # share of the templates in each run that stability compares
STABLE_STARTS = 3  # k-means starts in each of these runs
RUNS = 400  # k-means runs that form the consensus
FEWEST, MOST = 4, 12  # groups that auto tries: the paper's own files have 4 to 6, and few data sets gain beyond 8
LARGE, SMALL = 15, 9  # templates per group in large pools: at least one group per 15 templates, up to one per 9
RESTARTS = 20  # default number of k-means restarts
NUMBERS = 9  # how many numbers of groups auto tries


@dataclass(frozen=True)
class Tried:
    """The figures for one number of groups, locked ones included."""

    groups: int
    silhouette: float | None  # None if there is one group
    stability: float | None  # mean agreement of repeated runs (adjusted Rand index); None if nothing was grouped
    error: float  # standard error of the stability
    smallest: int
    largest: int


def partition(space: Array, count: int, method: str, *, seed: int = 0, restarts: int = RESTARTS) -> Labels:
    """Labels 0 .. N-1 of the rows, with N at most `count`: identical rows are never separated."""
    import numpy as np

    rows = _looked_at(space, count, method)
    count = min(count, distinct(rows))
    if count <= 1:
        return np.zeros(len(rows), dtype=np.int64)
    random = np.random.default_rng(seed)
    if method == "kmeans":
        rows = leading(together(rows, count, random), count)
    return numbered(_parted(rows, count, method, restarts, random))


def _looked_at(space: Array, count: int, method: str) -> Array:
    return leading(space, 2 * count if method == "kmeans" else count)


def leading(space: Array, count: int) -> Array:
    """The rows projected on the `count` leading principal directions, normalised to length 1."""
    import numpy as np

    if count >= min(space.shape):
        return space
    left, scale, _ = np.linalg.svd(space - space.mean(axis=0), full_matrices=False)
    return unit((left * scale)[:, :count])


def together(rows: Array, count: int, random: np.random.Generator) -> Array:
    """The share of k-means runs that put two rows together (T, T)."""
    import numpy as np

    found, _ = kmeans_runs(rows, count, RUNS, random)
    member = (found[:, None] == np.arange(count)[:, None]).astype(np.float64).reshape(-1, len(rows))  # (S N, T)
    return np.asarray(member.T @ member / RUNS)


def distinct(space: Array) -> int:
    """How many rows differ by more than rounding."""
    import numpy as np

    return len(np.unique(space.round(9), axis=0))


def numbered(labels: Labels) -> Labels:
    """The same groups, numbered consecutively from 0 in the order of their first row."""
    import numpy as np

    _, first, places = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))
    return np.asarray(rank[places.ravel()], dtype=np.int64)


def stability(space: Array, count: int, method: str, *, seed: int = 0, runs: int = 20) -> tuple[float, float]:
    """The agreement of repeated runs (mean adjusted Rand index over pairs of runs), and its standard error.

    Each run clusters a sample of 80 % of the rows from its own start, and assigns every row to the nearest group. 1
    means that every run gives the same groups.
    """
    import numpy as np

    if runs < 2:
        return 1.0, 0.0
    rows = _looked_at(space, count, method)
    drawn = [_sampled(rows, count, method, np.random.default_rng([seed, run])).tolist() for run in range(runs)]
    sums = np.zeros(runs)
    for one, other in itertools.combinations(range(runs), 2):
        sums[[one, other]] += adjusted_rand(drawn[one], drawn[other])
    means = sums / (runs - 1)
    return float(means.mean()), float(means.std() / np.sqrt(runs))


def choose(tried: Sequence[Tried]) -> int:
    """The number of groups that auto takes: the most stable one.

    Among numbers within one standard error of the best, the largest is taken: a superfluous expert costs little, and
    training cannot separate two aspects that share a group. The silhouette is reported but not used, as it mostly
    grows with the number of groups.
    """
    best = max(tried, key=lambda one: (one.stability or 0.0, one.groups))
    least = (best.stability or 0.0) - best.error
    return max(one.groups for one in tried if (one.stability or 0.0) >= least)


def numbers_to_try(templates: int, asked: int | None) -> list[int]:
    """Numbers of groups for the table: for auto 4 to 12, more for large pools; else the requested one and those near.

    A large pool holds more aspects than a small one, and the fewest groups are mostly the most stable, so the range
    grows with the pool from 61 templates on.
    """
    if asked is not None:
        return [count for count in range(asked - 2, asked + 3) if 2 <= count <= templates or count == asked]
    lowest = min(max(FEWEST, templates // LARGE), templates)
    highest = max(lowest, min(max(MOST, templates // SMALL), templates // 2))
    return list(range(lowest, highest + 1, -(-(highest - lowest + 1) // NUMBERS)))


def merged_small(space: Array, labels: Labels, least: int) -> Labels:
    """Dissolve groups with fewer than `least` rows: each of their rows goes to the nearest other group."""
    import numpy as np

    labels = numbered(labels)
    while True:
        sizes = np.bincount(labels)
        if len(sizes) == 1 or sizes.min() >= least:
            return labels
        smallest = int(sizes.argmin())
        near = space @ _means(space, labels).T
        near[:, smallest] = -np.inf
        labels = numbered(np.where(labels == smallest, near.round(9).argmax(axis=1), labels))


def _means(space: Array, labels: Labels) -> Array:
    import numpy as np

    return np.stack([space[labels == label].mean(axis=0) for label in range(int(labels.max()) + 1)])


def _parted(rows: Array, count: int, method: str, starts: int, random: np.random.Generator) -> Labels:
    import numpy as np

    if method == "kmeans":
        return tightest(rows, count, starts, random)
    from sklearn.cluster import AgglomerativeClustering

    return np.asarray(AgglomerativeClustering(count, metric="cosine", linkage="average").fit_predict(rows))


def _sampled(rows: Array, count: int, method: str, random: np.random.Generator) -> Labels:
    """Labels of all rows, from clustering a sample of them."""
    import numpy as np

    size = min(len(rows), max(count, round(SAMPLE * len(rows))))
    chosen = np.sort(random.choice(len(rows), size, replace=False))
    sample = rows[chosen]
    fitting = min(count, distinct(sample))
    if fitting <= 1:
        return np.zeros(len(rows), dtype=np.int64)
    labels = _parted(sample, fitting, method, STABLE_STARTS, random)
    distances = ((rows[:, None, :] - _means(sample, numbered(labels))[None]) ** 2).sum(axis=2)  # (T, N)
    return np.asarray(distances.argmin(axis=1), dtype=np.int64)
