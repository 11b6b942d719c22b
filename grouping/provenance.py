"""How a group file was made: a list of steps, append-only.

Steps that can be repeated from their inputs (bank, clustering, controls, cached answers) have no timestamp, so that
the same call gives the same bytes. Edits by a person have one, in UTC; `SOURCE_DATE_EPOCH` sets it.
"""

from __future__ import annotations

import os
from datetime import datetime, timezone
from typing import Any

from mocoop import __version__
from mocoop.errors import UsageError

TOOL = f"mocoop-groups {__version__}"


def with_step(document: dict[str, Any], step: str, **facts: Any) -> dict[str, Any]:
    """A copy of the document with one more step at the end of its provenance.

    Facts that are None are omitted. Raises nothing: the document is validated when it is written.
    """
    earlier = document.get("provenance", {})
    entry = {"step": step, **{name: fact for name, fact in facts.items() if fact is not None}}
    provenance = {**earlier, "tool": TOOL, "steps": [*earlier.get("steps", ()), entry]}
    return {**document, "provenance": provenance}


def now() -> str:
    """The time in UTC, to the second, as JSON Schema's date-time. Raises UsageError for a bad SOURCE_DATE_EPOCH."""
    fixed = os.environ.get("SOURCE_DATE_EPOCH")
    try:
        moment = datetime.now(timezone.utc) if fixed is None else datetime.fromtimestamp(int(fixed), timezone.utc)
    except (ValueError, OverflowError, OSError):
        raise UsageError(f"SOURCE_DATE_EPOCH is {fixed!r}", "it holds seconds since 1970, as a whole number") from None
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
