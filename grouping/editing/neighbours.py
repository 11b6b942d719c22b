"""Which templates of a file are most similar, and which look misplaced: what a review shows first.

Compared by meaning if a sentence model (or the requested embedder) is available, else by wording; the name says which.
Only meaning can show that a template is nearer to another group: the wording of a group says little about it.
T templates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from mocoop.errors import UsageError
from mocoop.groupfile.findings import RULES, WARNING, Finding
from mocoop.groupfile.groups import dump_groups, parse_groups
from mocoop.grouping.editing.lookup import Document, is_locked
from mocoop.grouping.keep import text_of, texts_of

if TYPE_CHECKING:
    from mocoop.grouping.clustering.embed import EmbedderChoice, Embedding

LEXICAL = "wording (not meaning)"
LETTERS = "letters"

_PER_TEMPLATE = {"G113", "G114", "G115", "G116", "G117", "G118", "G119"}  # G104 is found here by letter pairs


class Near(NamedTuple):
    """Another template and its similarity, at most 1."""

    text: str
    similarity: float


class Doubt(NamedTuple):
    """Why a template should be reviewed; larger weights come first."""

    reason: str
    weight: float
    other: str | None = None  # the template that it nearly repeats


@dataclass(frozen=True)
class Neighbours:
    """The templates of a file in an embedding space. Texts added later have no row until `joined` computes one."""

    name: str
    kind: str
    texts: tuple[str, ...]
    rows: Any  # (T, D), of length 1
    embedding: Embedding | None = None
    spelling: Neighbours | None = None  # the same by letters, for typos: an embedder sees a misspelling as another word
    choice: EmbedderChoice | None = None  # how the rows were made; None: by letters

    def nearest(self, text: str, among: set[str], most: int = 3) -> list[Near]:
        """The `most` texts of `among` most similar to `text`; ties go to the earlier one."""
        place = self._places.get(text)
        if place is None:
            return []
        similarities = self.rows @ self.rows[place]
        order = map(int, (-similarities.round(6)).argsort(kind="stable"))
        others = (other for other in order if other != place and self.texts[other] in among)
        return [Near(self.texts[other], float(similarities[other])) for other in islice(others, most)]

    def joined(self, texts: Sequence[str]) -> Neighbours:
        """A copy that includes new texts; user-supplied vectors cannot be extended and are returned unchanged.

        Raises as `neighbours_of` does. Doubts are not recomputed: `embedding` still covers only the original texts.
        """
        new = [text for text in texts if text not in self._places]
        if not new or self.kind == "vectors":
            return self
        every = (*self.texts, *new)
        spelling = self.spelling.joined(new) if self.spelling else None
        return replace(self, texts=every, rows=self._rows(every, new), spelling=spelling)

    def _rows(self, every: Sequence[str], new: Sequence[str]) -> Any:
        """Rows for all texts. With letters or wording a new text changes the columns; with a model it adds one row."""
        import numpy as np

        from mocoop.grouping.clustering.embed import embed
        from mocoop.grouping.measuring.measures import letter_rows

        if self.choice is None:
            return letter_rows(every)
        if self.kind == "tfidf":
            return embed(every, self.choice).vectors
        return np.concatenate([self.rows, embed(new, self.choice).vectors])

    @cached_property
    def _places(self) -> dict[str, int]:
        return {text: place for place, text in enumerate(self.texts)}


def neighbours_of(document: Document, choice: EmbedderChoice | None) -> Neighbours:
    """The space in which a file's templates are compared; by wording if `choice` is None.

    The embedder auto falls back to wording if nothing else is available. Raises UsageError, BackboneError, DataError
    if the requested embedder cannot be used.
    """
    from mocoop.grouping.measuring.measures import letter_rows

    texts = tuple(text for group in document["groups"] for text in texts_of(group))
    letters = Neighbours(LEXICAL, LETTERS, texts, letter_rows(texts))
    if choice is not None:
        from mocoop.grouping.clustering.embed import embed

        try:
            embedding = embed(texts, choice)
            return Neighbours(embedding.name, embedding.kind, texts, embedding.vectors, embedding, letters, choice)
        except UsageError:
            if choice.embedder != "auto" or choice.backbone or choice.sentence_model:
                raise
    return letters


def doubts_of(document: Document, neighbours: Neighbours) -> dict[str, list[Doubt]]:
    """The doubts about each template that has any: nearly a duplicate, misplaced, or with a warning."""
    found: dict[str, list[Doubt]] = {}
    homes = {text: group["id"] for group in document["groups"] for text in texts_of(group)}
    there, clear = set(homes), _tells_apart(neighbours)
    spaces = [space for space in (neighbours if clear else None, neighbours.spelling) if space]
    for text, group_id in homes.items():
        doubts = _almost_same(text, group_id, homes, there, spaces)
        if doubts:
            found[text] = doubts
    misplaced = _misplaced(document, homes, neighbours) if clear else []
    for text, doubt in [*misplaced, *_warned(document)]:
        found.setdefault(text, []).append(doubt)
    return found


def _tells_apart(neighbours: Neighbours) -> bool:
    """Whether most templates differ in this space; otherwise it cannot judge individual templates."""
    from mocoop.grouping.measuring.audit import meaning_twins

    embedding = neighbours.embedding
    return embedding is None or meaning_twins(embedding, neighbours.texts) is not None


def _almost_same(
    text: str, group_id: str, homes: dict[str, str], there: set[str], spaces: Sequence[Neighbours]
) -> list[Doubt]:
    from mocoop.grouping.measuring.audit import SAME_LETTERS, TWINS, as_many_words

    for space in spaces:
        by_letters = space.kind == LETTERS
        least = SAME_LETTERS if by_letters else TWINS[space.kind]
        for other, similarity in space.nearest(text, there):
            if similarity >= least and (as_many_words(text, other) or not by_letters):
                apart = homes[other] != group_id
                where = f" in {homes[other]}" if apart else ""
                return [Doubt(f'almost the same as "{other}"{where}', 3.0 if apart else 2.0, other)]
    return []


def _misplaced(document: Document, homes: dict[str, str], neighbours: Neighbours) -> list[tuple[str, Doubt]]:
    """Templates nearer to another group's mean than to the rest of their own group; locked ones are skipped."""
    if neighbours.embedding is None or neighbours.kind == "tfidf" or len(document["groups"]) < 2:
        return []
    import numpy as np

    from mocoop.grouping.measuring.audit import NEARER
    from mocoop.grouping.measuring.measures import fit

    ids = [group["id"] for group in document["groups"]]
    labels = np.array([ids.index(homes[text]) for text in neighbours.texts])
    own, others = fit(neighbours.embedding.space, labels)
    locked = {text_of(i) for g in document["groups"] for i in g["templates"] if g.get("locked") or is_locked(i)}
    found = []
    for place, text in enumerate(neighbours.texts):
        best = int(others[place].argmax())
        margin = float(others[place][best] - own[place])  # NaN in a group of one, which has no other members
        if margin > NEARER and text not in locked:
            found.append((text, Doubt(f"nearer to {ids[best]} than to the rest of its group", 1.0 + min(margin, 1.0))))
    return found


def _warned(document: Document) -> list[tuple[str, Doubt]]:
    """Templates for which a check gives a warning."""
    findings = parse_groups(dump_groups(document)).findings
    warned = [finding for finding in findings if finding.severity == WARNING and finding.code in _PER_TEMPLATE]
    return [(text, Doubt(f"{f.code}: {RULES[f.code].meaning}", 0.5)) for f in warned if (text := _text_at(document, f))]


def _text_at(document: Document, finding: Finding) -> str | None:
    steps: Sequence[str] = finding.pointer.split("/")[1:]
    if len(steps) < 4 or steps[0] != "groups" or steps[2] != "templates":
        return None
    return texts_of(document["groups"][int(steps[1])])[int(steps[3])]
