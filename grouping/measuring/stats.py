"""The figures of one group file: sizes, token lengths and, given vectors, how well its groups are separated.

`statistics` computes plain values, which a command shows, prints as JSON, or stores through `with_metrics`. Files are
compared in `compare`. All cosines except those of the router are in the centred space, where what all templates share
has no effect.

The router's figures: `separation_class_averaged` is 1 minus the mean cosine between the groups' means (Eq. 5);
`separation_class_conditional` is the same per class, averaged, as in the released code. Ambiguity is how flat Eq. 6 is
for an image whose feature equals a group's mean: the entropy of the softmax over the cosines of group means, divided
by the temperature, as a share of the entropy of equal weights. 1 means that all experts have equal weight, 0 that one
has all of it. Real images are farther from all means, so their ambiguity tends to be higher.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from mocoop.grouping.clustering.vectors import unit
from mocoop.grouping.measuring import measures
from mocoop.grouping.measuring.audit import TWINS, group_labels, template_texts

if TYPE_CHECKING:
    from mocoop.groupfile.groups import Group, GroupFile
    from mocoop.grouping.measuring.meaning import Meaning
    from mocoop.grouping.measuring.measures import Array, Labels

DIGITS = 6  # decimals of stored figures and of JSON output: more would differ between machines
TAUS = (1.0, 0.01)  # the paper's temperature, and that of most backbones, which the recommended preset uses


@dataclass(frozen=True)
class GroupStats:
    """Figures of one group. Those of meaning are None without vectors, and if undefined for a group of one."""

    id: str
    templates: int
    tokens_min: int | None = None
    tokens_median: float | None = None
    tokens_max: int | None = None
    cohesion: float | None = None
    silhouette: float | None = None
    nearest_group: str | None = None
    nearest_similarity: float | None = None
    redundancy: float | None = None  # the share of templates with an earlier near twin in the group


@dataclass(frozen=True)
class FileStats:
    """Figures of a file and of its groups."""

    groups: tuple[GroupStats, ...]
    templates: int
    embedder: str | None = None
    silhouette: float | None = None
    separation_class_averaged: float | None = None
    separation_class_conditional: float | None = None
    closest_groups: tuple[str, str, float] | None = None  # by the cosine of the means that the router sees
    ambiguity: float | None = None
    ambiguity_sharp: float | None = None  # at the temperature 0.01
    stored: dict[str, Any] | None = None  # the metrics stored in the file
    stale: bool = False  # whether the stored metrics were measured on other templates

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


def statistics(
    file: GroupFile, meaning: Meaning | None = None, count_tokens: Callable[[str], int] | None = None
) -> FileStats:
    """Compute a file's figures: those of meaning only with vectors, those of length only if tokens can be counted."""
    stored = file.document.get("metrics")
    measured_on = stored.get("templates_sha256") if stored else None
    return FileStats(
        groups=tuple(_group_stats(file, meaning, count_tokens)),
        templates=len(template_texts(file)),
        stored=stored,
        stale=measured_on is not None and measured_on != file.templates_sha256,
        **(_file_figures(file, meaning) if meaning else {}),
    )


def with_metrics(document: dict[str, Any], stats: FileStats, templates_sha256: str) -> dict[str, Any]:
    """A copy of the document with the figures in its metrics and a step in its provenance.

    Other metrics of the file are kept only if they were measured with the same templates and embedder; notes always.
    """
    from mocoop.grouping.provenance import with_step

    earlier = document.get("metrics", {})
    same = earlier.get("templates_sha256") == templates_sha256 and earlier.get("embedder") == stats.embedder
    stay = {key: value for key, value in earlier.items() if same or key.startswith(("x-", "_comment"))}
    figures = {"embedder": stats.embedder, "templates_sha256": templates_sha256, "silhouette": stats.silhouette}
    groups = [
        {**group, "metrics": {**group.get("metrics", {}), **_stored(figures_of)}}
        for group, figures_of in zip(document["groups"], stats.groups, strict=True)
    ]
    changed = {**document, "groups": groups, "metrics": {**stay, **figures}}
    return with_step(changed, "measure", embedder=stats.embedder)


def _stored(stats: GroupStats) -> dict[str, Any]:
    nearest = {} if stats.nearest_group is None else {"nearest_group": stats.nearest_group}
    return {
        "cohesion": stats.cohesion,
        "silhouette": stats.silhouette,
        **nearest,
        "nearest_similarity": stats.nearest_similarity,
    }


def _group_stats(
    file: GroupFile, meaning: Meaning | None, count_tokens: Callable[[str], int] | None
) -> list[GroupStats]:
    lengths = [_lengths(group, count_tokens) if count_tokens else {} for group in file.groups]
    figures = _group_figures(file, meaning) if meaning else [{} for _ in file.groups]
    return [
        GroupStats(group.id, len(group.templates), **length, **figure)
        for group, length, figure in zip(file.groups, lengths, figures, strict=True)
    ]


def _lengths(group: Group, count_tokens: Callable[[str], int]) -> dict[str, Any]:
    """Token counts of the templates without class name, start and end, as the trainer counts a prompt's own words."""
    counts = [sum(map(count_tokens, text.split("{}"))) for text in group.texts]
    return {"tokens_min": min(counts), "tokens_median": float(median(counts)), "tokens_max": max(counts)}


def _group_figures(file: GroupFile, meaning: Meaning) -> list[dict[str, Any]]:
    import numpy as np

    labels, embedding = group_labels(file), meaning.embedding
    sizes = np.bincount(labels)
    means = np.bincount(labels, weights=measures.silhouettes(embedding.space, labels)) / sizes
    cosines = measures.mean_cosines(embedding.space, labels)
    np.fill_diagonal(cosines, -np.inf)
    cohesion = measures.cohesion(embedding.space, labels)
    shares = _redundancy(file, meaning, labels)
    figures = []
    for index, size in enumerate(sizes):
        nearest = int(cosines[index].argmax()) if len(sizes) > 1 else None
        figures.append(
            {
                "cohesion": rounded(cohesion[index]) if size > 1 else None,
                "silhouette": rounded(means[index]) if size > 1 and nearest is not None else None,
                "nearest_group": None if nearest is None else file.groups[nearest].id,
                "nearest_similarity": None if nearest is None else rounded(cosines[index, nearest]),
                "redundancy": rounded(shares[index]),
            }
        )
    return figures


def _redundancy(file: GroupFile, meaning: Meaning, labels: Labels) -> list[float]:
    embedding, least = meaning.embedding, TWINS[meaning.embedding.kind]
    shares = []
    for index, group in enumerate(file.groups):
        found = measures.twins(embedding.vectors[labels == index], group.texts, least)
        shares.append(len(found) / len(group.texts))
    return shares


def _file_figures(file: GroupFile, meaning: Meaning) -> dict[str, Any]:
    labels, embedding = group_labels(file), meaning.embedding
    count = len(file.groups)
    means = meaning.means if meaning.means is not None else measures.group_sums(embedding.vectors, labels)
    cosines = _cosines(means)
    parted = 1 < count < len(labels)  # with one group, or one template in each, there is nothing to compare
    by_class = meaning.by_class
    figures = {
        "embedder": embedding.name,
        "silhouette": rounded(measures.silhouettes(embedding.space, labels).mean()) if parted else None,
        "closest_groups": _closest(file, cosines),
    }
    if by_class is not None and count > 1:
        figures["separation_class_averaged"] = rounded(separation(cosines))
        per_class = [separation(_cosines(by_class[:, c])) for c in range(by_class.shape[1])]
        figures["separation_class_conditional"] = rounded(sum(per_class) / len(per_class))
        figures["ambiguity"], figures["ambiguity_sharp"] = (rounded(measures.flatness(cosines, tau)) for tau in TAUS)
    return figures


def separation(cosines: Array) -> float:
    """1 minus the mean cosine between two different groups, from the table of all cosines (G, G)."""
    count = len(cosines)
    return float(1 - (cosines.sum() - cosines.trace()) / (count * (count - 1)))


def _cosines(means: Array) -> Array:
    rows = unit(means)
    table: Array = rows @ rows.T
    return table


def _closest(file: GroupFile, cosines: Array) -> tuple[str, str, float] | None:
    import numpy as np

    if len(cosines) < 2:
        return None
    pairs = np.where(np.tri(len(cosines), k=-1, dtype=bool).T, cosines, -np.inf)
    one, other = map(int, np.unravel_index(int(pairs.argmax()), pairs.shape))
    return file.groups[one].id, file.groups[other].id, rounded(cosines[one, other])


def rounded(value: float) -> float:
    """A figure rounded for storage; -0.0 becomes 0.0."""
    return round(float(value), DIGITS) + 0.0
