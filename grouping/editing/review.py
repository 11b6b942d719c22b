"""Reviewing templates one at a time: which are left, and how each decision changes the file.

Pure values: a decision returns a new `Session` with the file's new bytes, and keeps the previous one for undo. The
screen, the keys and writing the bytes are elsewhere. What was reviewed is recorded in the file itself
(`mocoop.grouping.editing.reviewed`), so a review can be interrupted and resumed at any time.
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
    """The state of a review. Only `data`, not `document`, has this review's provenance step."""

    document: Document
    data: bytes  # what the file holds now
    queue: tuple[str, ...]  # templates still to be reviewed, the current one first
    at: str  # when the review began
    done: Mapping[str, int] = field(default_factory=dict)  # number of decisions of each kind
    before: Session | None = None  # for undo

    @property
    def text(self) -> str:
        """The current template. There must be one left."""
        return self.queue[0]

    @property
    def group(self) -> Group:
        """The group of that template."""
        return group_of(self.document, home(self.document, self.text))

    @property
    def summary(self) -> str:
        """The decisions so far, in words."""
        return ", ".join(f"{count} {what}" for what, count in self.done.items()) or "nothing decided"


def start(document: Document, data: bytes, queue: Sequence[str], at: str) -> Session:
    """Start a review of the file with these bytes."""
    return Session(document, data, tuple(queue), at)


def queue_of(
    document: Document, doubts: Mapping[str, Sequence[Doubt]], only: str = UNREVIEWED, *, again: bool = False
) -> list[str]:
    """The templates to review: the most doubtful first, otherwise in file order.

    `only` restricts them to doubtful ones or near-duplicates; `again` includes those already reviewed.
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
    """Keep the template as it is."""
    return _decided(session, mark_seen(session.document, [session.text]), "kept")


def drop(session: Session, reason: str | None = None) -> Session:
    """Remove the template and exclude it. Raises UsageError if it must stay."""
    return _decided(session, edit.remove(session.document, [session.text], reason), "dropped")


def move(session: Session, to: str, *, new: bool = False) -> Session:
    """Move the template to another group, or to a new one. Raises UsageError."""
    taken = edit.move_to_new if new else edit.move
    return _decided(session, mark_seen(taken(session.document, [session.text], to), [session.text]), "moved")


def reword(session: Session, text: str) -> Session:
    """Reword the template; an unchanged text is no decision. Raises UsageError."""
    if text == session.text:
        return session
    return _decided(session, mark_seen(edit.reword(session.document, session.text, text), [text]), "reworded")


def make_init(session: Session) -> Session:
    """Make the template its group's init; it stays in the queue. Raises UsageError."""
    return _noted(session, edit.set_init(session.document, session.group["id"], session.text), "made init")


def annotate(session: Session, note: str) -> Session:
    """Set or clear the note on the template; it stays in the queue."""
    return _noted(session, edit.annotate(session.document, session.text, note), "noted")


def skip(session: Session) -> Session:
    """Leave the template for a later review."""
    return replace(session, queue=session.queue[1:], before=session)


def accept_group(session: Session) -> Session:
    """Mark the template's whole group as reviewed, unchanged."""
    texts = texts_of(session.group)
    changed = mark_seen(session.document, texts)
    left = tuple(text for text in session.queue if text not in texts)
    return _written(session, changed, left, "kept", len(session.queue) - len(left))


def undo(session: Session) -> Session | None:
    """The session before the last decision, or None if there was none."""
    return session.before


def reviewed_counts(document: Document) -> tuple[int, int]:
    """The number of reviewed templates, and of all templates."""
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
