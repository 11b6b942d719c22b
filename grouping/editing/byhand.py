"""Applying a text from the user's editor to a group file: the bytes to write, and a one-line summary.

Templates deleted in the editor are excluded, as with `remove`, unless they were only reworded. Editing the whole file
may change locked groups and templates, since the locks are visible there.
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

MOST_NOTED = 300  # maximum length of a change's summary in the provenance, in characters


def edited_file(before: bytes, after: bytes, source: str, at: str) -> tuple[bytes | None, str]:
    """Apply an edit of the whole file; a change of layout only is kept as typed. Raises GroupFileError."""
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
    """Apply an edit of one group's lines to the document; None if nothing changed.

    Raises GroupFileError with the invalid lines, UsageError for locks.
    """
    return noted(document, with_lines(document, group_id, after, group_id), at)


def noted(old: Document, new: Document, at: str) -> tuple[bytes | None, str]:
    """The edited document as bytes, with a provenance step, and a one-line summary; None if nothing changed."""
    changes = differences(old, new)
    told = one_line(changes)
    return dump_groups(stamped(new, "edit", told, at)) if changes else None, told


def stamped(document: Document, step: str, told: str, at: str) -> Document:
    """The document with a step for the user's change at the end of its provenance."""
    short = told if len(told) <= MOST_NOTED else told[: MOST_NOTED - 3] + "..."
    return with_step(document, step, at=at, change=short)
