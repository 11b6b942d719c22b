"""Policies for choosing the template that starts a group's expert (its init).

No evidence ranks them. `first` follows the paper's released lists; the medoid represents the whole group best; the
shortest leaves the fewest words to learn; the plainest says the least beyond the kind of picture.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from mocoop.groupfile.rules import PLAIN_WORDS

if TYPE_CHECKING:
    from mocoop.grouping.clustering.embed import EmbedderChoice

POLICIES = ("first", "medoid", "shortest", "plainest")


def chosen_inits(
    groups: Mapping[str, Sequence[str]], policy: str, choice: EmbedderChoice | None = None
) -> dict[str, str]:
    """The init of each group of texts, by group id; ties go to the first.

    `choice` sets the embedding space in which the medoid is nearest to its group's mean. Raises UsageError if there is
    none.
    """
    if policy == "medoid":
        return _medoids(groups, choice)
    if policy == "first":
        return {id_: texts[0] for id_, texts in groups.items()}
    weigh: dict[str, Callable[[str], tuple[int, ...]]] = {
        "shortest": lambda text: (_length(text),),
        "plainest": lambda text: (len(_telling_words(text)), _length(text)),
    }
    return {id_: min(texts, key=weigh[policy]) for id_, texts in groups.items()}


def _medoids(groups: Mapping[str, Sequence[str]], choice: EmbedderChoice | None) -> dict[str, str]:
    from mocoop.grouping.clustering.embed import embed

    texts = [text for group in groups.values() for text in group]
    vectors = embed(texts, choice).vectors
    places = {text: place for place, text in enumerate(texts)}
    found = {}
    for id_, group in groups.items():
        rows = vectors[[places[text] for text in group]]
        near = (rows @ rows.mean(axis=0)).round(9)  # rounded, so that ties go to the first
        found[id_] = group[int(near.argmax())]
    return found


def _length(text: str) -> int:
    """The number of CLIP tokens, or of words if the tokenizer's table is not available."""
    from mocoop.groupfile.tokens import available, count_tokens

    bare = text.replace("{}", " ")
    return count_tokens(bare) if available() else len(bare.split())


def _telling_words(text: str) -> list[str]:
    return [word for word in re.findall(r"\w+", text.casefold()) if word not in PLAIN_WORDS]
