"""One group parted into several by what its templates mean.

Ward's linkage over the group's own centred vectors: no seed, and the same parts whatever the templates' order. Making
groups of a whole pool, with its choice of a number, is `mocoop.grouping.cluster`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mocoop.errors import UsageError

if TYPE_CHECKING:
    from mocoop.grouping.embed import EmbedderChoice


def parts_by_meaning(texts: Sequence[str], count: int, choice: EmbedderChoice | None = None) -> list[list[str]]:
    """The texts in `count` parts, in the order they came in, the part of the first text first.

    Raises UsageError for more parts than texts, and where no way to compare meanings is at hand.
    """
    from scipy.cluster.hierarchy import cut_tree, linkage

    from mocoop.grouping.embed import embed

    if count > len(texts):
        raise UsageError(f"{len(texts)} templates do not make {count} groups", "ask for fewer")
    ordered = sorted(texts)
    space = embed(ordered, choice).space
    labels = cut_tree(linkage(space, "ward"), n_clusters=count).ravel()
    part_of = dict(zip(ordered, map(int, labels), strict=True))
    names = dict.fromkeys(part_of[text] for text in texts)
    return [[text for text in texts if part_of[text] == name] for name in names]
