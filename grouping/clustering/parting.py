"""Splitting one group into several by the meaning of its templates, as `cluster` does with a whole pool.

The space is centred on the group itself. The parts do not depend on the order of the templates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mocoop.errors import UsageError

if TYPE_CHECKING:
    from mocoop.grouping.clustering.embed import EmbedderChoice


def parts_by_meaning(texts: Sequence[str], count: int, choice: EmbedderChoice | None = None) -> list[list[str]]:
    """Split the texts into `count` parts, keeping their order, the part of the first text first.

    Raises UsageError for more parts than distinct texts, and if no embedder is available.
    """
    from mocoop.grouping.clustering.embed import embed
    from mocoop.grouping.clustering.partition import partition

    if count > len(texts):
        raise UsageError(f"{len(texts)} templates do not make {count} groups", "ask for fewer")
    ordered = sorted(texts)
    labels = partition(embed(ordered, choice).space, count, "kmeans")
    part_of = dict(zip(ordered, map(int, labels), strict=True))
    names = list(dict.fromkeys(part_of[text] for text in texts))
    if len(names) < count:
        hint = "ask for fewer, or part it with --templates"
        raise UsageError(f"the templates fall in {len(names)} groups at most: the others mean the same", hint)
    return [[text for text in texts if part_of[text] == name] for name in names]
