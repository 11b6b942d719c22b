"""Names for groups that have none: the words that distinguish a group from the others.

The id is a slug and the title a few words; both are made from the templates alone, so that the same groups get the
same names. Which images a group is for must be described by a person or a language model.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence

from mocoop.groupfile.rules import PLAIN_WORDS
from mocoop.grouping.generate import slug

WORDS = 3  # words in a name
MAX_WORD = 24  # longest word in a name, in characters
# Function words; in phrases such as "from behind" or "in the rain" the other words give the name.
_GRAMMAR = (
    "and", "are", "as", "at", "be", "been", "but", "by", "can", "for", "from", "had", "has", "have", "he", "her", "his",
    "i", "in", "into", "is", "it", "its", "like", "looks", "more", "most", "my", "no", "not", "of", "off", "on", "one",
    "onto", "or", "our", "out", "own", "s", "she", "so", "some", "such", "than", "that", "their", "them", "there",
    "these", "they", "this", "those", "through", "to", "too", "up", "very", "was", "we", "were", "what", "when",
    "where", "which", "who", "whose", "will", "with", "you", "your",
)  # fmt: skip
_DULL = PLAIN_WORDS | {*_GRAMMAR, "showing", "shows", "shown", "seen", "view", "taken", "shot"}


def distinctive_words(groups: Sequence[Sequence[str]]) -> list[list[str]]:
    """For each group of templates, the words that are frequent in it and rare in the others.

    Best first; ties go to the word that comes first in the group.
    """
    found = []
    listed = [[word for text in group for word in dict.fromkeys(words(text))] for group in groups]
    total = Counter(word for group in listed for word in group)
    for group, said in zip(groups, listed, strict=True):
        # how many of its templates have the word, times how much of the word is here
        weight = {word: (n / len(group)) * (n / total[word]) for word, n in Counter(said).items()}
        found.append(sorted(weight, key=weight.__getitem__, reverse=True)[:WORDS])
    return found


def words(text: str) -> list[str]:
    """The content words of a template, in lower case."""
    found = re.findall(r"[^\W_]+(?:[-'’][^\W_]+)*", text.replace("{}", " ").casefold())
    return [word for word in found if word not in _DULL and len(word) <= MAX_WORD]


def names_of(groups: Sequence[Sequence[str]], taken: Collection[str]) -> list[tuple[str, str]]:
    """An id and a title for each group; ids are distinct and not in `taken`."""
    used = set(taken)
    named = []
    for found in distinctive_words(groups):
        title = ", ".join(found).capitalize() or "Plain"
        id_ = _free(slug("-".join(found)) if found else "plain", used)
        used.add(id_)
        named.append((id_, title))
    return named


def _free(wanted: str, used: Collection[str]) -> str:
    """The id, with the first number appended that makes it unique, if needed."""
    number, name = 1, wanted
    while name in used:
        number += 1
        name = f"{wanted[:58].rstrip('-')}-{number}"
    return name
