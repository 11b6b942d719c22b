"""Calling the curator: `mocoop-groups` in a process of its own, since trainer and curator share group files only."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from mocoop.errors import MoCoOpError


def call_curator(arguments: Sequence[str]) -> None:
    """Run `mocoop-groups` with these arguments. Raises MoCoOpError with what it said last."""
    command = [sys.executable, "-m", "mocoop.grouping.commands", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or ["no message"]
        raise MoCoOpError(f"mocoop-groups {arguments[0]} failed: {said[-1].strip()}", "run it alone to see more")
