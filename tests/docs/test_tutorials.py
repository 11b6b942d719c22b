"""The tutorials are true: every command in them is run, in order, and every line they show is what it prints."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
COMMANDS = {"mocoop": "mocoop", "mocoop-groups": "mocoop.grouping.commands"}


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
    """Whether a line of a tutorial stands among the lines printed; `...` in it is anything."""
    pattern = ".*".join(re.escape(plain(part)) for part in shown.split("..."))
    return any(re.fullmatch(pattern.replace(r".*", " ?.* ?"), line) for line in lines)


@pytest.fixture
def shell(tmp_path):
    """`shell(line)` runs one line of a tutorial in its folder and returns the exit code and all that was printed."""
    programs, folder = tmp_path / "programs", tmp_path / "work"
    programs.mkdir()
    folder.mkdir()
    for name, module in COMMANDS.items():
        script = programs / name
        script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m {module} "$@"\n')
        script.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(programs), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "MOCOOP_CACHE": str(tmp_path / "cache"),
    }

    def run(line):
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        return done.returncode, done.stdout

    return run


def test_there_are_tutorials():
    assert {"first-run", "review-groups", "compare"} <= {path.stem for path in TUTORIALS}


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_every_code_block_of_a_tutorial_is_run(path):
    fences = re.findall(r"^ *(```.*)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert set(fences[::2]) == {"```console"}, "other blocks would not be run"
    assert set(fences[1::2]) == {"```"}


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_the_commands_of_a_tutorial_do_what_it_says(path, shell):
    for command, shown in steps(path.read_text(encoding="utf-8")):
        code, printed = shell(command)
        assert code == 0, f"$ {command}\n{printed}\nexit code {code}"
        lines = [plain(line) for line in printed.splitlines()]
        for line in shown:
            assert line.strip() == "..." or is_printed(line, lines), f"$ {command}\n{printed}\ndoes not print: {line}"


def test_a_line_that_is_not_printed_is_found():
    lines = [plain("training\t2 epochs, 8 steps, 0.7 s")]
    assert is_printed("training   2 epochs, 8 steps, 0.7 s", lines)
    assert is_printed("training   2 epochs, 8 steps, ...", lines)
    assert is_printed("training ... s", lines)
    assert not is_printed("training   3 epochs, 8 steps, ...", lines)
    assert not is_printed("training   2 epochs", lines)


def test_commands_are_taken_with_the_lines_below_them():
    page = "text\n```console\n$ one \\\n    --more\nout\n\n...\n$ two\n```\nmore\n```\n$ not this\n```\n"
    assert steps(page) == [("one      --more", ["out", "..."]), ("two", [])]
