"""What the tests of pages to type along share: their commands, what stands below each, and a shell to give them to."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
MODULES = {"mocoop": "mocoop", "mocoop-groups": "mocoop.grouping.commands", "pip": "pip", "python": None}
MINUTES = 5


def steps(page):
    """The commands of a page's console blocks in order, each with the lines shown below it."""
    found = []
    for block in re.findall(r"^```console\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL):
        assert block.startswith("$ "), f"a console block begins with a command: {block}"
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            elif line.strip():
                found[-1][1].append(line)
    return found


def plain(text):
    """A line as it is compared: a table has columns at a terminal and tabs in a pipe."""
    return " ".join(text.split())


def is_printed(shown, lines):
    """Whether a line of a page stands among the lines printed; `...` in it is anything."""
    pattern = ".*".join(re.escape(plain(part)) for part in shown.split("..."))
    return any(re.fullmatch(pattern.replace(r".*", " ?.* ?"), line) for line in lines)


def shell_in(folder):
    """`run(line)` gives a line to a shell in the folder's `work` and returns the exit code and all that was printed."""
    programs, work = folder / "programs", folder / "work"
    programs.mkdir()
    work.mkdir()
    for name, module in MODULES.items():
        command = [sys.executable, *(["-m", module] if module else [])]
        script = programs / name
        script.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
        script.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(programs), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "MOCOOP_CACHE": str(folder / "cache"),
    }

    def run(line):
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=work,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60 * MINUTES,
            check=False,
        )
        return done.returncode, done.stdout

    return run
