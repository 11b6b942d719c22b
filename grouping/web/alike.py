"""What lies near a template: others of the file, groups it might belong to, and templates of the bank like it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mocoop.errors import UsageError
from mocoop.groupfile.templatetext import folded
from mocoop.grouping.bank import load_bank
from mocoop.grouping.editing.lookup import Document, home
from mocoop.grouping.keep import texts_of
from mocoop.grouping.web.checking import Checking
from mocoop.grouping.web.session import Session

if TYPE_CHECKING:
    from mocoop.grouping.clustering.embed import EmbedderChoice
    from mocoop.grouping.measuring.measures import Array

MOST_NEAR = 5
MOST_GROUPS = 3
MOST_LIKE = 8

Told = dict[str, Any]


class Alike:
    """Answers about the templates of a session, in the space in which it is checked."""

    def __init__(self, session: Session, checking: Checking, choice: EmbedderChoice | None) -> None:
        self._session, self._checking, self._choice = session, checking, choice
        self._lock = threading.Lock()
        self._bank: Array | None = None  # (B, D), of length 1

    def near(self, text: str) -> Told:
        """The templates nearest to one, and the groups nearest to it, its own among them. Raises UsageError."""
        import numpy as np

        from mocoop.grouping.measuring.measures import fit, letter_rows

        document = self._session.document
        texts = [one for group in document["groups"] for one in texts_of(group)]
        if text not in texts:
            raise UsageError("that template is no longer there", "choose another one")
        if not self._checking.compares(texts):
            return {"nearest": [], "groups": []}
        embedding, _ = self._checking.embedding(tuple(texts))
        place = texts.index(text)
        rows = embedding.vectors if embedding else letter_rows(texts)
        alike = rows @ rows[place]
        order = [int(one) for one in (-alike.round(6)).argsort(kind="stable") if one != place][:MOST_NEAR]
        nearest = [{"text": texts[o], "group": home(document, texts[o]), "value": _two(alike[o])} for o in order]
        if embedding is None or len(document["groups"]) < 2:
            return {"nearest": nearest, "groups": []}
        labels = np.repeat(np.arange(len(document["groups"])), [len(g["templates"]) for g in document["groups"]])
        own, others = fit(embedding.space, labels)
        values = others[place].copy()
        values[labels[place]] = own[place]  # NaN in a group of one
        ranked = [int(one) for one in (-np.nan_to_num(values, nan=-2)).argsort(kind="stable")][:MOST_GROUPS]
        ids = [group["id"] for group in document["groups"]]
        return {
            "nearest": nearest,
            "groups": [{"id": ids[one], "value": _two(values[one])} for one in ranked if not np.isnan(values[one])],
        }

    def more(self, texts: Sequence[str]) -> list[Told]:
        """Templates of the bank like these, the likest first: none that is in the file, or was taken out of it."""
        listed = [(text, aspect.title) for aspect in load_bank().aspects for text in aspect.templates]
        bank = [text for text, _ in listed]
        rows, wanted = self._spaces(bank, texts)
        alike = rows @ wanted.sum(axis=0)
        known = _known(self._session.document)
        order = (int(one) for one in (-alike.round(6)).argsort(kind="stable"))
        found: list[Told] = []
        for one in order:
            if folded(bank[one]) not in known:
                found.append({"text": bank[one], "aspect": listed[one][1]})
                known.add(folded(bank[one]))
            if len(found) == MOST_LIKE:
                break
        return found

    def _spaces(self, bank: Sequence[str], texts: Sequence[str]) -> tuple[Array, Array]:
        """The bank's rows and those of the texts in one space: by meaning if a model is at hand, else by letters."""
        from mocoop.grouping.clustering.embed import embed, resolve
        from mocoop.grouping.measuring.measures import letter_rows

        way = "letters"
        if self._choice is not None:
            try:
                way = resolve(self._choice)
            except UsageError:  # no model is at hand
                way = "letters"
        if way not in ("sentence", "backbone"):
            rows = letter_rows([*bank, *texts])
            return rows[: len(bank)], rows[len(bank) :]
        with self._lock:
            if self._bank is None:
                self._bank = embed(bank, self._choice).vectors
            return self._bank, embed(list(texts), self._choice).vectors


def _known(document: Document) -> set[str]:
    there = {folded(text) for group in document["groups"] for text in texts_of(group)}
    return there | {folded(entry["text"]) for entry in document.get("excluded", [])}


def _two(value: Any) -> float:
    return round(float(value), 2)
