"""Which template of a group starts its expert: the ways to choose one.

No evidence ranks them. `first` is what the paper's released lists mean; the medoid says best what the whole group
says; the shortest leaves fewest words to learn; the plainest says least beside what kind of picture it is.
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
    """The init of each group of texts, by its id; of equals the first.

    `choice` says in which space a medoid is nearest its group's mean. Raises UsageError where there is none.
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
        near = (rows @ rows.mean(axis=0)).round(9)  # equal but for rounding: the first
        found[id_] = group[int(near.argmax())]
    return found


def _length(text: str) -> int:
    """CLIP tokens, or words where the tokenizer's table is not at hand."""
    from mocoop.groupfile.tokens import available, count_tokens

    bare = text.replace("{}", " ")
    return count_tokens(bare) if available() else len(bare.split())


def _telling_words(text: str) -> list[str]:
    return [word for word in re.findall(r"\w+", text.casefold()) if word not in PLAIN_WORDS]
