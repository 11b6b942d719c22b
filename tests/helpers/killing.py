"""Giving a command again and again, killed each time at a chosen point."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

# Imports everything once and starts each attempt as a copy of itself, which may be killed.
LAUNCHER = """
    import json, os, sys
    import mocoop.backbone.backbone, mocoop.bulk.local, mocoop.bulk.trained, mocoop.reporting.printing, pyarrow.parquet
    from mocoop import cli
    from mocoop.commands import mocoop
    from mocoop.openclip import open_clip

    open_clip.create_model

    for line in sys.stdin:
        arguments, where = json.loads(line)
        child = os.fork()
        if child == 0:
            os.environ["MOCOOP_SIGNAL_AT"] = where
            cli.run(mocoop, "mocoop", arguments)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def attempts(command, places):
    """Give a command, each time with more arguments and a place to be killed at ("" is none); how each attempt ended,
    and all that was said."""
    lines = "".join(json.dumps([[*map(str, command), *map(str, more)], place]) + "\n" for more, place in places)
    launcher = [sys.executable, "-c", textwrap.dedent(LAUNCHER)]
    done = subprocess.run(launcher, input=lines, capture_output=True, text=True, check=True)
    return [int(line) for line in done.stdout.splitlines() if line.lstrip("-").isdigit()], done.stderr
