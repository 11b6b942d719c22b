"""Figures of a grouping, from vectors alone: silhouettes, cohesion, means, twins (near-duplicates).

Exact and without a T x T table: rows have length 1, so sums over groups give every mean distance. The figures are
interpreted in `audit` and `stats`; vectors come from `embed`. T templates, G groups, D dimensions.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from mocoop.groupfile.templatetext import folded
from mocoop.grouping.clustering.vectors import unit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Labels = NDArray[np.int64]

_ROWS = 512  # rows of the T x T table held in memory at a time


class Twin(NamedTuple):
    """A template and the earlier one most similar to it."""

    later: int
    earlier: int
    value: float


def group_sums(vectors: Array, labels: Labels) -> Array:
    """The sum of each group's rows (G, D); labels are consecutive from 0."""
    import numpy as np

    sums = np.zeros((int(labels.max()) + 1, vectors.shape[1]))
    np.add.at(sums, labels, vectors)
    return sums


def silhouettes(space: Array, labels: Labels) -> Array:
    """Each template's silhouette in cosine distance (T,); 0 in a group of one, NaN if there is only one group."""
    import numpy as np

    sizes = np.bincount(labels)
    if len(sizes) < 2:
        return np.full(len(labels), np.nan)
    products = space @ group_sums(space, labels).T  # (T, G)
    rows = np.arange(len(labels))
    own_size = sizes[labels]
    # a template's distance to itself is 0, even for a zero row, where 1 minus its product with itself is not 0
    own = (own_size - 1 - (products[rows, labels] - (space * space).sum(axis=1))) / np.maximum(own_size - 1, 1)
    others = 1 - products / sizes
    others[rows, labels] = np.inf
    nearest = others.min(axis=1)
    widest = np.maximum(own, nearest)
    found = np.where(widest > 1e-12, (nearest - own) / np.where(widest > 1e-12, widest, 1.0), 0.0)
    return np.where(own_size > 1, found, 0.0)


def cohesion(space: Array, labels: Labels) -> Array:
    """The mean cosine between each group's templates and the group's mean (G,)."""
    import numpy as np

    means = unit(group_sums(space, labels))
    to_own = (space * means[labels]).sum(axis=1)
    return np.bincount(labels, weights=to_own) / np.bincount(labels)


def mean_cosines(vectors: Array, labels: Labels) -> Array:
    """Cosines between the groups' means (G, G)."""
    means = unit(group_sums(vectors, labels))
    cosines: Array = means @ means.T
    return cosines


def fit(space: Array, labels: Labels) -> tuple[Array, Array]:
    """The cosine of each template to the rest of its group (T,), and to every group's mean (T, G).

    The first is NaN in a group of one, which has no other members; the second is -inf for the template's own group.
    """
    import numpy as np

    sums = group_sums(space, labels)
    rest = unit(sums[labels] - space)
    own = np.where(np.bincount(labels)[labels] > 1, (rest * space).sum(axis=1), np.nan)
    others = space @ unit(sums).T
    others[np.arange(len(labels)), labels] = -np.inf
    return own, others


def twins(rows: Array, texts: Sequence[str], least: float) -> list[Twin]:
    """Templates whose similarity (product of rows) to an earlier one is at least `least`, with the most similar one.

    Pairs that differ only in case, spaces, article or full stop are not counted: they are found without vectors.
    """
    import numpy as np

    names = {name: place for place, name in enumerate(dict.fromkeys(map(folded, texts)))}
    same = np.array([names[folded(text)] for text in texts])
    found = []
    for start in range(0, len(rows), _ROWS):
        block = rows[start : start + _ROWS] @ rows[: start + _ROWS].T
        places = np.arange(start, start + len(block))
        block[same[places][:, None] == same[: block.shape[1]][None, :]] = -np.inf
        block[places[:, None] < np.arange(block.shape[1])[None, :]] = -np.inf
        best = block.argmax(axis=1)
        values = block[np.arange(len(block)), best]
        found += [Twin(start + int(i), int(best[i]), float(values[i])) for i in np.flatnonzero(values >= least)]
    return found


def letter_rows(texts: Sequence[str]) -> Array:
    """Rows whose product is the share of letter pairs that two texts have in common, normalised by length.

    A pair that occurs twice in a text takes two columns, so that the product counts repeats; each row is divided by
    the square root of its count, so the product is the number of shared pairs over the geometric mean of both counts.
    """
    import numpy as np

    columns: dict[tuple[str, int], int] = {}
    listed = []
    for text in texts:
        bare = f" {folded(text)} "
        counted = Counter(bare[place : place + 2] for place in range(len(bare) - 1))
        keys = [(pair, n) for pair, count in counted.items() for n in range(count)]
        listed.append([columns.setdefault(key, len(columns)) for key in keys])
    rows = np.zeros((len(texts), len(columns)))
    for row, held in enumerate(listed):
        rows[row, held] = 1 / math.sqrt(len(held))
    return rows


def flatness(cosines: Array, tau: float = 1.0) -> float:
    """The normalised entropy of softmax(cosines / tau), averaged over the rows: 1 for equal shares, 0 for one-hot."""
    import numpy as np

    logits = cosines / tau
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    entropy = -(shares * np.log(np.maximum(shares, 1e-300))).sum(axis=1)
    return float(entropy.mean() / math.log(len(cosines))) if len(cosines) > 1 else 0.0
