"""A group file's templates as vectors, and its groups' means as used by the router.

They are used in `audit`, `stats`, `compare` and `plot`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mocoop.grouping.clustering.embed import class_means, embed
from mocoop.grouping.measuring.audit import template_texts

if TYPE_CHECKING:
    from mocoop.groupfile.groups import GroupFile
    from mocoop.grouping.clustering.embed import EmbedderChoice, Embedding
    from mocoop.grouping.measuring.measures import Array


@dataclass(frozen=True)
class Meaning:
    """The templates' vectors in file order and, for a backbone, each group's mean for each class."""

    embedding: Embedding
    by_class: Array | None = None  # (G, C, D)

    @property
    def means(self) -> Array | None:
        """The groups' means of Eq. 5 (G, D)."""
        return None if self.by_class is None else self.by_class.mean(axis=1)


def vectors_of(file: GroupFile, choice: EmbedderChoice) -> Meaning:
    """Compute the vectors and means. Raises UsageError, BackboneError or DataError as `embed` does."""
    embedding = embed(template_texts(file), choice)
    if embedding.kind != "backbone":
        return Meaning(embedding)
    return Meaning(embedding, class_means([group.texts for group in file.groups], choice))
