"""A review of templates one at a time: what is left to look at, and what each decision makes of the file.

Pure values: a decision gives a new `Session` with the file's bytes after it, and the one before stays for undo. The
screen and the keys are elsewhere, and so is writing the bytes. What was reviewed stands in the file itself
(`mocoop.grouping.editing.reviewed`), so a review can be left at any time and taken up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from mocoop.groupfile.groups import dump_groups
from mocoop.grouping.editing import edit
from mocoop.grouping.editing.byhand import stamped
from mocoop.grouping.editing.lookup import Document, Group, group_of, home
from mocoop.grouping.editing.neighbours import Doubt
from mocoop.grouping.editing.reviewed import mark_seen, seen
from mocoop.grouping.keep import texts_of

UNREVIEWED, DOUBTFUL, NEAR_DUPLICATES = "unreviewed", "doubtful", "near-duplicates"


@dataclass(frozen=True)
class Session:
    """Where a review stands. `document` has no step of this review yet, `data` has."""

    document: Document
    data: bytes  # what the file holds now
    queue: tuple[str, ...]  # templates still to be looked at, the current one first
    at: str  # when the review began
    done: Mapping[str, int] = field(default_factory=dict)  # decisions by what they were
    before: Session | None = None  # for undo

    @property
    def text(self) -> str:
        """The template that is looked at. There must be one left."""
        return self.queue[0]

    @property
    def group(self) -> Group:
        """The group of that template."""
        return group_of(self.document, home(self.document, self.text))

    @property
    def summary(self) -> str:
        """What was decided so far."""
        return ", ".join(f"{count} {what}" for what, count in self.done.items()) or "nothing decided"


def start(document: Document, data: bytes, queue: Sequence[str], at: str) -> Session:
    """The beginning of a review of the file with these bytes."""
    return Session(document, data, tuple(queue), at)


def queue_of(
    document: Document, doubts: Mapping[str, Sequence[Doubt]], only: str = UNREVIEWED, *, again: bool = False
) -> list[str]:
    """The templates to look at: the most doubtful first, else as they stand in the file.

    `only` takes doubtful ones or near-duplicates alone; `again` those that were reviewed, too.
    """
    texts = [text for group in document["groups"] for text in texts_of(group) if again or text not in seen(group)]
    wanted = {
        UNREVIEWED: lambda text: True,  # noqa: ARG005
        DOUBTFUL: lambda text: bool(doubts.get(text)),
        NEAR_DUPLICATES: lambda text: any(doubt.other for doubt in doubts.get(text, ())),
    }[only]
    weight = {text: sum(doubt.weight for doubt in doubts.get(text, ())) for text in texts}
    return sorted(filter(wanted, texts), key=lambda text: -weight[text])


def keep(session: Session) -> Session:
    """The template stays as it is."""
    return _decided(session, mark_seen(session.document, [session.text]), "kept")


def drop(session: Session, reason: str | None = None) -> Session:
    """The template goes, and does not come back. Raises UsageError where it must stay."""
    return _decided(session, edit.remove(session.document, [session.text], reason), "dropped")


def move(session: Session, to: str, *, new: bool = False) -> Session:
    """The template goes to another group, or to a new one. Raises UsageError."""
    taken = edit.move_to_new if new else edit.move
    return _decided(session, mark_seen(taken(session.document, [session.text], to), [session.text]), "moved")


def reword(session: Session, text: str) -> Session:
    """The template in other words; the same words decide nothing. Raises UsageError."""
    if text == session.text:
        return session
    return _decided(session, mark_seen(edit.reword(session.document, session.text, text), [text]), "reworded")


def make_init(session: Session) -> Session:
    """The template starts its group's expert; it is still looked at. Raises UsageError."""
    return _noted(session, edit.set_init(session.document, session.group["id"], session.text), "made init")


def annotate(session: Session, note: str) -> Session:
    """A note on the template, or none; it is still looked at."""
    return _noted(session, edit.annotate(session.document, session.text, note), "noted")


def skip(session: Session) -> Session:
    """The template is left for another time."""
    return replace(session, queue=session.queue[1:], before=session)


def accept_group(session: Session) -> Session:
    """The whole group of the template is reviewed as it is."""
    texts = texts_of(session.group)
    changed = mark_seen(session.document, texts)
    left = tuple(text for text in session.queue if text not in texts)
    return _written(session, changed, left, "kept", len(session.queue) - len(left))


def undo(session: Session) -> Session | None:
    """The session before the last decision, or None where there was none."""
    return session.before


def reviewed_counts(document: Document) -> tuple[int, int]:
    """How many templates are reviewed, of how many."""
    groups = document["groups"]
    return sum(len(seen(group)) for group in groups), sum(len(group["templates"]) for group in groups)


def _decided(session: Session, document: Document, what: str) -> Session:
    return _written(session, document, session.queue[1:], what)


def _noted(session: Session, document: Document, what: str) -> Session:
    return session if document == session.document else _written(session, document, session.queue, what)


def _written(session: Session, document: Document, queue: tuple[str, ...], what: str, count: int = 1) -> Session:
    done = {**session.done, what: session.done.get(what, 0) + count}
    made = replace(session, document=document, queue=queue, done=done, before=session)
    return replace(made, data=dump_groups(stamped(document, "review", made.summary, session.at)))
