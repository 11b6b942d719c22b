"""The README keeps its word: its commands exist with the options it uses, and its tree names every module."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from mocoop.commands import mocoop
from mocoop.grouping.commands import groups

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
LINKS = {"grouping", "templates", "schemas"}


def code_blocks():
    """The text between each pair of fences."""
    return re.split(r"^```.*\n", README, flags=re.MULTILINE)[1::2]


def code_lines():
    """Lines of code blocks, with continued lines joined."""
    return [line for block in code_blocks() for line in block.replace("\\\n", " ").splitlines()]


def commands():
    shown = (line.removeprefix("$ ").strip() for line in code_lines())
    return sorted({line for line in shown if re.match(r"mocoop(-groups)? [a-z]", line)})


@pytest.mark.parametrize("line", commands())
def test_every_command_shown_parses(line):
    name, *arguments = shlex.split(line.split("|")[0], comments=True)
    group = mocoop if name == "mocoop" else groups
    command = group.commands[arguments[0]]
    parsed = command.make_parser(click.Context(command)).parse_args(arguments[1:])
    assert not [extra for extra in parsed[1] if extra.startswith("-")]


def test_it_shows_commands_of_both_halves():
    assert len([line for line in commands() if line.startswith("mocoop ")]) >= 3
    assert [line for line in commands() if line.startswith("mocoop-groups generate")]


def test_the_tree_names_every_module_and_no_other():
    tree = next(block for block in code_blocks() if "commands.py" in block)
    named = re.findall(r"^\s*(\w+\.py)\s", tree, flags=re.MULTILINE)
    there = [
        path.name
        for folder in ("mocoop", "grouping")
        for path in (ROOT / folder).rglob("*.py")
        if path.name != "__init__.py" and not LINKS & set(path.relative_to(ROOT).parts[1:-1])
    ]
    assert sorted(named) == sorted([*there, "cli.py"])


def test_make_has_the_targets_it_names():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"^make (\w+)", "\n".join(code_lines()), flags=re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_its_links_lead_somewhere():
    for link in re.findall(r"\]\((?!http|#)([^)]+)\)", README):
        assert (ROOT / link).exists(), link
