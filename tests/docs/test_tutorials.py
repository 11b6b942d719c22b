"""The tutorials are true: every command in them is run, in order, and every line they show is what it prints."""

from __future__ import annotations

import re

import pytest
from pages import ROOT, is_printed, plain, shell_in, steps

pytestmark = pytest.mark.slow

TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))


@pytest.fixture
def shell(tmp_path):
    """`shell(line)` runs one line of a tutorial in its folder and returns the exit code and all that was printed."""
    return shell_in(tmp_path)


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
