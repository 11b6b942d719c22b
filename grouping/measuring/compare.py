"""The agreement of two group files on which templates belong together, whatever the groups are called.

The indices are computed on the templates in both files, whose number `Comparison` gives: matched by text, and the rest
ignoring case, spaces, article and full stop. Individual changes from one file to the other are in `diff`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from mocoop.groupfile.templatetext import folded
from mocoop.grouping.editing.assignment import best_pairs

if TYPE_CHECKING:
    from mocoop.groupfile.groups import GroupFile
    from mocoop.grouping.clustering.embed import EmbedderChoice


@dataclass(frozen=True)
class Match:
    """A matched pair of groups, or a group without a counterpart (the other is None)."""

    first: str | None
    second: str | None
    first_size: int = 0
    second_size: int = 0
    shared: int = 0
    jaccard: float = 0.0  # templates in both over templates in either


@dataclass(frozen=True)
class Comparison:
    """The comparison of two files. The indices are None if fewer than two templates are shared."""

    shared: int
    respelt: int  # shared templates that the files spell differently
    only_first: int
    only_second: int
    ari: float | None  # adjusted Rand index: 1 for the same grouping, about 0 by chance
    nmi: float | None  # normalised mutual information: 1 for the same grouping, 0 for nothing in common
    matches: tuple[Match, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


def compare(first: GroupFile, second: GroupFile) -> Comparison:
    """Compare two files."""
    homes, others = _homes(first), _homes(second)
    twins = _twins(list(homes), list(others))
    labels = [homes[text] for text in twins]
    other_labels = [others[text] for text in twins.values()]
    enough = len(twins) > 1
    return Comparison(
        shared=len(twins),
        respelt=sum(one != other for one, other in twins.items()),
        only_first=len(homes) - len(twins),
        only_second=len(others) - len(twins),
        ari=adjusted_rand(labels, other_labels) if enough else None,
        nmi=mutual_information(labels, other_labels) if enough else None,
        matches=tuple(_matches(first, second, twins)),
    )


def silhouettes_in_one_space(files: Sequence[GroupFile], choice: EmbedderChoice) -> list[float | None]:
    """The mean silhouette of each file, in one space centred on the templates of all files; None for a single group.

    Raises as `embed` does.
    """
    import numpy as np

    from mocoop.grouping.clustering.embed import embed
    from mocoop.grouping.measuring.audit import group_labels, template_texts
    from mocoop.grouping.measuring.measures import silhouettes

    texts = list(dict.fromkeys(text for file in files for text in template_texts(file)))
    space = dict(zip(texts, embed(texts, choice).space, strict=True))
    found: list[float | None] = []
    for file in files:
        rows = np.array([space[text] for text in template_texts(file)])
        parted = 1 < len(file.groups) < len(rows)
        found.append(round(float(silhouettes(rows, group_labels(file)).mean()), 6) if parted else None)
    return found


def adjusted_rand(labels: Sequence[Hashable], others: Sequence[Hashable]) -> float:
    """The adjusted Rand index of two labellings: agreement on pairs, corrected for chance (Hubert and Arabie)."""
    together = _pairs(Counter(zip(labels, others, strict=True)).values())
    in_first, in_second = _pairs(Counter(labels).values()), _pairs(Counter(others).values())
    expected = in_first * in_second / max(_pairs([len(labels)]), 1)
    most = (in_first + in_second) / 2
    return 1.0 if most == expected else (together - expected) / (most - expected)


def mutual_information(labels: Sequence[Hashable], others: Sequence[Hashable]) -> float:
    """Mutual information over the mean of both entropies; 1 if both labellings have a single group."""
    one, other = _entropy(Counter(labels).values()), _entropy(Counter(others).values())
    both = _entropy(Counter(zip(labels, others, strict=True)).values())
    mean = (one + other) / 2
    return 1.0 if mean == 0 else max(0.0, one + other - both) / mean


def _pairs(counts: Iterable[int]) -> int:
    return sum(count * (count - 1) // 2 for count in counts)


def _entropy(counts: Iterable[int]) -> float:
    listed = list(counts)
    total = sum(listed)
    return math.log(total) - math.fsum(count * math.log(count) for count in listed) / total


def _homes(file: GroupFile) -> dict[str, str]:
    return {text: group.id for group in file.groups for text in group.texts}


def _twins(texts: Sequence[str], others: Sequence[str]) -> dict[str, str]:
    """Map texts of the first file to the second: the same text, else the only remaining one that folds alike."""
    exact = set(texts) & set(others)
    left, right = _by_fold(texts, exact), _by_fold(others, exact)
    alone = {forms[0]: right[name][0] for name, forms in left.items() if len(forms) == len(right.get(name, ())) == 1}
    return {text: alone.get(text, text) for text in texts if text in exact or text in alone}


def _by_fold(texts: Sequence[str], without: set[str]) -> dict[str, list[str]]:
    forms: dict[str, list[str]] = {}
    for text in texts:
        if text not in without:
            forms.setdefault(folded(text), []).append(text)
    return forms


def _matches(first: GroupFile, second: GroupFile, twins: dict[str, str]) -> Iterable[Match]:
    """Groups paired to maximise the total overlap, in the first file's order; then unmatched ones of the second."""
    others = [set(group.texts) for group in second.groups]
    renamed = [{twins.get(text, text) for text in group.texts} for group in first.groups]
    overlaps = [[len(one & other) / len(one | other) for other in others] for one in renamed]
    partners = dict(best_pairs(overlaps))
    for row, group in enumerate(first.groups):
        size = len(group.texts)
        if row not in partners:
            yield Match(group.id, None, size)
            continue
        column = partners[row]
        shared = len(renamed[row] & others[column])
        found = second.groups[column]
        yield Match(group.id, found.id, size, len(found.texts), shared, round(overlaps[row][column], 6))
    for column, group in enumerate(second.groups):
        if column not in partners.values():
            yield Match(None, group.id, 0, len(group.texts))
