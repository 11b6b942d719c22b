"""What is found out about a document while a person works on it: the rules of `validate`, and of `validate --embed`.

In a thread of its own, for the newest document only, so that no operation waits for it. Meanings are compared by the
sentence model or the embedder that was asked for, if there is one, else wording alone; vectors are computed again only
if texts came or went.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mocoop.errors import GroupFileError, MoCoOpError
from mocoop.groupfile.findings import RULES
from mocoop.groupfile.groups import GroupFile, check, dump_groups, parse_groups
from mocoop.grouping.editing.lookup import Document
from mocoop.grouping.keep import texts_of
from mocoop.grouping.web.session import Session

if TYPE_CHECKING:
    from mocoop.grouping.clustering.embed import EmbedderChoice, Embedding
    from mocoop.grouping.measuring.measures import Array

MOST_COMPARED = 4000  # templates whose meanings are compared while a person works; `validate --embed` takes any number
END = 0.5  # seconds that the thread has to end
LARGE = 100_000  # bytes of a file whose rules are checked in a process of their own
NICE = 10  # of that process
PATIENCE = 0.25  # seconds without an operation before a document is checked

Told = dict[str, Any]


@dataclass(frozen=True)
class Findings:
    """What was found in the document of one version, by group and by template; `number` grows with each."""

    number: int = 0
    version: int = 0
    file: tuple[Told, ...] = ()
    groups: dict[str, list[Told]] = field(default_factory=dict)
    cards: dict[str, list[Told]] = field(default_factory=dict)
    compared: str = ""  # by what meanings were compared, or why not
    places: dict[str, tuple[float, float]] | None = None  # each template on the map, from -1 to 1
    map_number: int = 0

    def as_dict(self, known_map: int) -> Told:
        """As JSON; the map only if it is another than the page has."""
        told = {
            "number": self.number,
            "version": self.version,
            "file": self.file,
            "groups": self.groups,
            "cards": self.cards,
            "compared": self.compared,
            "map_number": self.map_number,
        }
        return told if known_map == self.map_number else {**told, "places": self.places or {}}


class Checking:
    """The thread that checks; `found` is what it found last."""

    def __init__(self, session: Session, choice: EmbedderChoice | None) -> None:
        """`choice` None compares wording only."""
        self._session, self._choice = session, choice
        self.found = Findings()
        self._news = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="checking", daemon=True)
        self._embedding_lock = threading.Lock()
        self._embedded: tuple[tuple[str, ...], Embedding | None, str] | None = None
        self._map: tuple[tuple[str, ...], dict[str, tuple[float, float]], int] | None = None

    def start(self) -> None:
        """Begin, and check again after every change of the session."""
        self._session.listeners.append(self._news.set)
        self._news.set()
        self._thread.start()

    def end(self) -> bool:
        """Check nothing more; whether the thread is at its end, since a model that computes cannot be stopped."""
        self._ended = True
        self._news.set()
        self._thread.join(END)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            self._news.wait()
            self._news.clear()
            if self._ended:
                return
            while self.found.number and self._news.wait(PATIENCE):  # somebody is working
                self._news.clear()
            if self._ended:
                return
            self.check_now()

    def compares(self, texts: Sequence[str]) -> bool:
        """Whether so many templates are compared."""
        return len(texts) <= MOST_COMPARED

    def check_now(self) -> None:
        """Check the document as it is now, first by the rules, then by meaning."""
        with self._session.lock:
            document, version = self._session.document, self._session.version
        try:
            data = dump_groups(document)
            listed = self._by_rules(data)
        except GroupFileError as error:
            listed = [({"code": "G007", "severity": "error", "message": error.message, "hint": error.hint}, ())]
        errors = any(told["severity"] == "error" for told, _ in listed)
        known = self.found
        if not errors:  # until meanings are compared again, what was said of them stays
            self._publish(document, version, listed, known.compared, kept=True)
        if errors or self._news.is_set():
            compared = "meanings are not compared while there are errors" if errors else known.compared
            self._publish(document, version, listed, compared)
            return
        file = parse_groups(data, class_names=self._session.names)
        more, compared = self._by_meaning(file)
        self._publish(document, version, [*listed, *more], compared)

    def _by_rules(self, data: bytes) -> list[tuple[Told, tuple[Any, ...]]]:
        """What `validate` says of a file. A large one is left to a process of its own: here operations would wait."""
        if len(data) < LARGE:
            found = [one.as_dict() for one in check(data, class_names=self._session.names)]
        else:
            found = self._by_process(data)
        return [
            _told(str(one["code"]), str(one["message"]), str(one["hint"]), _path(str(one["pointer"]))) for one in found
        ]

    def _by_process(self, data: bytes) -> list[dict[str, Any]]:
        command = [sys.executable, "-m", "mocoop.grouping.commands", "validate", "-", "--json"]
        with tempfile.TemporaryDirectory(prefix="mocoop-review-") as folder:
            if self._session.names is not None:
                names = Path(folder) / "names.txt"
                names.write_text("\n".join(self._session.names) + "\n", encoding="utf-8")
                command += ["--classes", str(names)]
            # in a session of its own, since Ctrl-C is meant for the page
            pipe = subprocess.PIPE
            process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True)
            if hasattr(os, "setpriority"):
                with suppress(OSError):  # operations go first
                    os.setpriority(os.PRIO_PROCESS, process.pid, NICE)
            told, why = process.communicate(data)
        if not told:
            message = f"the file could not be checked: {why.decode(errors='replace').strip()[:200]}"
            return [
                {"code": "G001", "message": message, "hint": "mocoop-groups validate FILE tells more", "pointer": ""}
            ]
        found: list[dict[str, Any]] = json.loads(told)["findings"]
        return found

    def _publish(
        self,
        document: Document,
        version: int,
        listed: list[tuple[Told, tuple[Any, ...]]],
        compared: str,
        kept: bool = False,
    ) -> None:
        file, groups, cards = _sorted(document, listed)
        if kept:
            for text, told in self.found.cards.items():
                cards.setdefault(text, []).extend(one for one in told if one["code"] in _BY_MEANING)
        self.found = Findings(
            number=self.found.number + 1,
            version=version,
            file=tuple(file),
            groups=groups,
            cards=cards,
            compared=compared,
            places=self._map[1] if self._map else None,
            map_number=self._map[2] if self._map else 0,
        )

    def _by_meaning(self, file: GroupFile) -> tuple[list[tuple[Told, tuple[Any, ...]]], str]:
        from mocoop.grouping.measuring.audit import embedding_problems, spelling_problems, template_texts

        texts = template_texts(file)
        if not self.compares(texts):
            return [], f"{len(texts):,} templates are too many to compare as you work; validate --embed does it"
        embedding, compared = self.embedding(tuple(texts))
        if embedding is None:
            problems = spelling_problems(file)
        else:
            problems = embedding_problems(file, embedding, self._means(file, embedding))
        self._place(tuple(texts), embedding)
        return [_told(one.code, one.message, one.hint, one.path) for one in problems], compared

    def _means(self, file: GroupFile, embedding: Embedding) -> Array | None:
        """The groups' means as the router sees them (G, D), if a backbone made the vectors."""
        if embedding.kind != "backbone" or self._choice is None:
            return None
        from mocoop.grouping.clustering.embed import class_means

        means: Array = class_means([group.texts for group in file.groups], self._choice).mean(axis=1)
        return means

    def embedding(self, texts: tuple[str, ...]) -> tuple[Embedding | None, str]:
        """The templates' vectors, in the order of the texts, and by what they were made; None without an embedder."""
        wanted = tuple(sorted(texts))
        with self._embedding_lock:
            if self._embedded is None or self._embedded[0] != wanted:
                self._embedded = (wanted, *self._embed(wanted))
            _, made, compared = self._embedded
        if made is None:
            return None, compared
        place = {text: row for row, text in enumerate(wanted)}
        rows = [place[text] for text in texts]
        return replace(made, vectors=made.vectors[rows], space=made.space[rows]), compared

    def _embed(self, texts: tuple[str, ...]) -> tuple[Embedding | None, str]:
        from mocoop.grouping.clustering.embed import embed

        if self._choice is None:
            return None, "compared by wording only"
        try:
            made = embed(texts, self._choice)
        except MoCoOpError as error:
            return None, f"compared by wording only: {error.message}"
        return made, f"compared by {made.name}"

    def _place(self, texts: tuple[str, ...], embedding: Embedding | None) -> None:
        """Put the templates on the map; they stay where they are unless texts came or went."""
        import numpy as np

        from mocoop.grouping.clustering.vectors import centred
        from mocoop.grouping.measuring.layout import plane
        from mocoop.grouping.measuring.measures import letter_rows

        wanted = tuple(sorted(texts))
        if self._map is not None and self._map[0] == wanted:
            return
        space = embedding.space if embedding else centred(letter_rows(texts))
        places, _ = plane(space)
        widest = np.abs(places).max(axis=0)
        scaled = places / np.where(widest > 0, widest, 1)
        number = self._map[2] + 1 if self._map else 1
        at = {text: (round(float(x), 4), round(float(y), 4)) for text, (x, y) in zip(texts, scaled, strict=True)}
        self._map = (wanted, at, number)


_BY_MEANING = ("G107", "G108", "G109")


def _told(code: str, message: str, hint: str | None, path: Iterable[Any]) -> tuple[Told, tuple[Any, ...]]:
    return {"code": code, "severity": RULES[code].severity, "message": message, "hint": hint or ""}, tuple(path)


def _path(pointer: str) -> tuple[Any, ...]:
    steps = [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]
    return tuple(int(step) if step.isdecimal() else step for step in steps)


def _sorted(
    document: Document, listed: list[tuple[Told, tuple[Any, ...]]]
) -> tuple[list[Told], dict[str, list[Told]], dict[str, list[Told]]]:
    """Findings by where they are shown: at the file, a group, or a card."""
    file: list[Told] = []
    groups: dict[str, list[Told]] = {}
    cards: dict[str, list[Told]] = {}
    for told, path in listed:
        if len(path) >= 4 and path[0] == "groups" and path[2] == "templates":
            cards.setdefault(texts_of(document["groups"][path[1]])[path[3]], []).append(told)
        elif len(path) >= 2 and path[0] == "groups":
            groups.setdefault(document["groups"][path[1]]["id"], []).append(told)
        else:
            file.append(told)
    return file, groups, cards
