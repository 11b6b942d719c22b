"""Problems of a grouping that vectors show: twins, templates in the wrong group, similar groups (G107 to G109).

All findings are warnings, never errors, and nothing is fixed automatically: a model's similarity is not a person's.
The figures come from `measures` and the vectors from `embed`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from mocoop.groupfile.findings import Problem, quote
from mocoop.groupfile.templatetext import folded
from mocoop.grouping.clustering.vectors import unit
from mocoop.grouping.measuring import measures

if TYPE_CHECKING:
    from mocoop.groupfile.groups import Group, GroupFile
    from mocoop.grouping.clustering.embed import Embedding
    from mocoop.grouping.measuring.measures import Array, Labels, Twin
    from mocoop.strictjson import Path

TWINS = {"backbone": 0.97, "sentence": 0.92, "tfidf": 0.95, "vectors": 0.97}  # cosine from which two count as twins
SAME_LETTERS = 0.90  # share of letter pairs; typos are above, "at sunset" and "at sunrise" below
NEARER = 0.15  # margin by which another group must be nearer: smaller margins are wrong as often as right
MOST = 0.5  # share of templates with a twin above which a model distinguishes too little to judge individual templates
SAME_MEANS = 0.98


def embedding_problems(file: GroupFile, embedding: Embedding, means: Array | None = None) -> list[Problem]:
    """The findings G107 to G109 of a file. `embedding` holds its templates in the order of `template_texts`.

    `means` (G, D) are the groups' means as used by the router, if a backbone computed the vectors; None takes the means
    of the vectors.
    """
    labels = group_labels(file)
    if means is None:
        means = measures.group_sums(embedding.vectors, labels)
    twins = meaning_twins(embedding, template_texts(file))
    if twins is None:
        return [_blurred(file, embedding), *_twins(file, embedding.name, []), *_alike(file, embedding, unit(means))]
    return [
        *_twins(file, embedding.name, twins),
        *_misfits(file, embedding, labels),
        *_alike(file, embedding, unit(means)),
    ]


def spelling_problems(file: GroupFile) -> list[Problem]:
    """The findings G107 of a file by letters alone, where nothing knows what its templates mean."""
    return list(_twins(file, "", []))


def meaning_twins(embedding: Embedding, texts: Sequence[str]) -> list[Twin] | None:
    """Templates that a model considers near-duplicates; None if most are, since the model is then uninformative."""
    found = measures.twins(embedding.vectors, texts, TWINS[embedding.kind])
    return None if len(found) > MOST * len(texts) else found


def as_many_words(one: str, other: str) -> bool:
    """Whether two texts have equally many words: an additional word ("hazy") is not a typo."""
    return len(folded(one).split()) == len(folded(other).split())


def template_texts(file: GroupFile) -> list[str]:
    """All templates of a file, in order."""
    return [text for group in file.groups for text in group.texts]


def group_labels(file: GroupFile) -> Labels:
    """The index of the group of each template (T,)."""
    import numpy as np

    return np.repeat(np.arange(len(file.groups)), [len(group.templates) for group in file.groups])


def template_paths(file: GroupFile) -> list[Path]:
    """The path of each template's text in the document."""
    return [
        ("groups", index, "templates", number, *(("text",) if isinstance(item, dict) else ()))
        for index, group in enumerate(file.document["groups"])
        for number, item in enumerate(group["templates"])
    ]


def _blurred(file: GroupFile, embedding: Embedding) -> Problem:
    """One finding for the whole file, if individual ones would name most of its templates."""
    texts = template_texts(file)
    count = len(measures.twins(embedding.vectors, texts, TWINS[embedding.kind]))
    message = (
        f"{count} of {len(texts)} templates are nearly the same as an earlier one by {embedding.name}: it hardly tells "
        "these templates apart, so nothing is said of single ones"
    )
    return Problem("G107", ("groups",), message, "compare by another model; a router that sees by this one is as blind")


def _twins(file: GroupFile, model: str, by_meaning: Sequence[Twin]) -> Iterator[Problem]:
    """Twins by meaning, and by letters for typos, which a model sees as another word."""
    texts, paths, homes = template_texts(file), template_paths(file), _homes(file)
    seen = {twin.later for twin in by_meaning}
    by_letters = [
        twin
        for twin in measures.twins(measures.letter_rows(texts), texts, SAME_LETTERS)
        if twin.later not in seen and as_many_words(texts[twin.later], texts[twin.earlier])
    ]
    how = ((by_meaning, f"cosine {{:.3f}} by {model}"), (by_letters, "{:.0%} of their letter pairs shared"))
    for twins, words in how:
        for later, earlier, value in twins:
            same = homes[later] is homes[earlier]
            where = "this group" if same else f"group {quote(homes[earlier].id)}"
            message = f"{quote(texts[later])} is nearly {quote(texts[earlier])} in {where}: {words.format(value)}"
            hint = "keep one, or leave both: the meaning then counts twice"
            yield Problem("G107", paths[later], message, hint if same else "keep both in one group, or reword one")


def _misfits(file: GroupFile, embedding: Embedding, labels: Labels) -> Iterator[Problem]:
    """Templates nearer to another group. Locked templates and groups are skipped: the user has placed them."""
    texts, paths, homes = template_texts(file), template_paths(file), _homes(file)
    locked = [group.locked or template.locked for group in file.groups for template in group.templates]
    own, others = measures.fit(embedding.space, labels)
    for place, text in enumerate(texts):
        nearest = int(others[place].argmax())
        value = others[place, nearest]
        if value > own[place] + NEARER and not locked[place]:  # never true in a group of one, where `own` is NaN
            message = (
                f"{quote(text)} is nearer to group {quote(file.groups[nearest].id)} ({value:.2f}) than to the rest of "
                f"its own, {quote(homes[place].id)} ({own[place]:.2f})"
            )
            yield Problem("G108", paths[place], message, "move it there, or lock it where it belongs")


def _alike(file: GroupFile, embedding: Embedding, means: Array) -> Iterator[Problem]:
    """Groups that are too similar to an earlier one, each with the most similar one."""
    cosines = means @ means.T
    for later in range(1, len(means)):
        earlier = int(cosines[later, :later].argmax())
        value = cosines[later, earlier]
        if value > SAME_MEANS:
            names = f"groups {quote(file.groups[earlier].id)} and {quote(file.groups[later].id)}"
            sees = "the router can hardly tell them apart"
            if embedding.kind != "backbone":
                sees = f"they say nearly the same to {embedding.name}"
            more = int((cosines[later, :later] > SAME_MEANS).sum()) - 1
            others = f", as well as from {more} more" if more and embedding.kind == "backbone" else ""
            message = f"the means of {names} have cosine {value:.3f}: {sees}{others}"
            yield Problem("G109", ("groups", later, "id"), message, "merge them, or make their wording differ more")


def _homes(file: GroupFile) -> Sequence[Group]:
    return [group for group in file.groups for _ in group.templates]
