"""What a text that a person edited makes of a group file: the bytes to write, and one line that tells the change.

Templates that a person took out in the editor are excluded, as with `remove`, unless they were only reworded. An edit
of the whole file may change locked things: the locks stand before the person's eyes there.
"""

from __future__ import annotations

from typing import Any

from mocoop.errors import GroupFileError
from mocoop.groupfile.groups import dump_groups, parse_groups
from mocoop.grouping.editing.diff import REMOVED, differences, one_line
from mocoop.grouping.editing.edit import exclude
from mocoop.grouping.editing.grouplines import with_lines
from mocoop.grouping.provenance import with_step

Document = dict[str, Any]

MOST_NOTED = 300  # characters of a change that the provenance keeps


def edited_file(before: bytes, after: bytes, source: str, at: str) -> tuple[bytes | None, str]:
    """An edited file; where only its layout changed, as it was typed. Raises GroupFileError with its problems."""
    document = parse_groups(after, source=source).document
    try:
        old = parse_groups(before, source=source).document
    except GroupFileError:
        return dump_groups(stamped(document, "edit", "mended", at)), "mended"
    changes = differences(old, document)
    if not changes:
        return after, "only the layout changed"
    listed = {entry["text"] for entry in document.get("excluded", [])}
    gone = [change.text for change in changes if change.kind == REMOVED and change.text not in listed]
    return noted(old, exclude(document, [text for text in gone if text]), at)


def edited_group(document: Document, group_id: str, after: bytes, at: str) -> tuple[bytes | None, str]:
    """A document with one group as the lines have it; None where that changes nothing.

    Raises GroupFileError with the lines that are wrong, UsageError for what is locked.
    """
    return noted(document, with_lines(document, group_id, after, group_id), at)


def noted(old: Document, new: Document, at: str) -> tuple[bytes | None, str]:
    """An edited document as bytes with its step, and the change on one line; None where nothing changed."""
    changes = differences(old, new)
    told = one_line(changes)
    return dump_groups(stamped(new, "edit", told, at)) if changes else None, told


def stamped(document: Document, step: str, told: str, at: str) -> Document:
    """A document with the step of a person's change at the end of its provenance."""
    short = told if len(told) <= MOST_NOTED else told[: MOST_NOTED - 3] + "..."
    return with_step(document, step, at=at, change=short)
