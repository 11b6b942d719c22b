"""README and docs keep their word: their commands and links exist, their tables say what the code says."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections import Counter
from pathlib import Path

import click
import pytest

from mocoop.bench.cell import Cell
from mocoop.bench.rows import read_rows
from mocoop.bench.tuning import chosen
from mocoop.commands import mocoop
from mocoop.config import preset
from mocoop.groupfile.findings import RULES
from mocoop.grouping.commands import groups

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
GUIDE = (ROOT / "docs" / "groups.md").read_text(encoding="utf-8")
TREE = (ROOT / "docs" / "tree.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def name_of(path):
    return str(path.relative_to(ROOT))


def code_blocks(page=README):
    """The text between each pair of fences."""
    return re.split(r"^```.*\n", page, flags=re.MULTILINE)[1::2]


def code_lines(page=README):
    """Lines of code blocks, with continued lines joined."""
    return [line for block in code_blocks(page) for line in block.replace("\\\n", " ").splitlines()]


def commands(page=README):
    shown = (line.removeprefix("$ ").strip() for line in code_lines(page))
    return sorted({line for line in shown if re.match(r"mocoop(-groups)? [a-z]", line)})


def all_commands():
    return sorted({line for path in PAGES for line in commands(path.read_text(encoding="utf-8"))})


@pytest.mark.parametrize("line", all_commands())
def test_every_command_shown_parses(line):
    name, *arguments = shlex.split(re.split("[|;]", line)[0], comments=True)
    group = mocoop if name == "mocoop" else groups
    command = group.commands[arguments[0]]
    parsed = command.make_parser(click.Context(command)).parse_args(arguments[1:])
    assert not [extra for extra in parsed[1] if extra.startswith("-")]


def test_it_shows_commands_of_both_halves():
    assert len([line for line in commands() if line.startswith("mocoop ")]) >= 3
    assert [line for line in commands() if line.startswith("mocoop-groups generate")]


def test_the_readme_is_two_screens():
    assert len(README.splitlines()) < 150


def test_the_readme_names_every_room_and_no_other():
    rooms = next(block for block in code_blocks() if "commands/" in block)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    folders = {name.split("/")[0] for name in listed.stdout.decode().split("\0") if "/" in name}
    assert sorted(re.findall(r"^(\w+)/ ", rooms, flags=re.MULTILINE)) == sorted(
        folder for folder in folders if not folder.startswith(".")
    )
    there = [path.parent.name for path in (ROOT / "mocoop").glob("*/__init__.py")]
    assert sorted(re.findall(r"^  (\w+)/ ", rooms, flags=re.MULTILINE)) == sorted(there)


def test_the_tree_names_every_module_and_no_other():
    tree = next(block for block in code_blocks(TREE) if "commands/" in block)
    named = re.findall(r"^\s*(\w+\.py)\s", tree, flags=re.MULTILINE)
    there = [
        path.name
        for folder in ("mocoop", "grouping")
        for path in (ROOT / folder).rglob("*.py")
        if path.name != "__init__.py"
    ]
    assert sorted(named) == sorted([*there, "cli.py"])


def test_make_has_the_targets_it_names():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    shown = "\n".join("\n".join(code_lines(path.read_text(encoding="utf-8"))) for path in PAGES)
    for target in set(re.findall(r"^make ([\w-]+)", shown, flags=re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links_lead_somewhere(path):
    for link in re.findall(r"\]\((?!http|#)([^)#]+)[^)]*\)", path.read_text(encoding="utf-8")):
        assert (path.parent / link).exists(), link


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_files_that_are_named_are_there(path):
    files = r"\b(?:tests|benchmarks|grouping|mocoop|docs)/(?:[\w.-]+/)*(?:[\w-]+\.(?:py|md|json|jsonl|svg|png)\b)?"
    for name in re.findall(files, path.read_text(encoding="utf-8")):
        assert (ROOT / name).exists(), name


def test_the_guide_has_the_table_of_findings_as_it_is():
    rows = re.findall(r"^\| (G\d{3}) \| (\w+) \| (.+) \|$", GUIDE, flags=re.MULTILINE)
    assert rows == [(code, rule.severity, rule.meaning) for code, rule in RULES.items()]


@pytest.mark.parametrize(
    ("heading", "name"),
    [
        ("The file", None),
        ("A group", "group"),
        ("A template that is an object", "templateObject"),
        ("An excluded template", "excluded"),
    ],
)
def test_the_guide_explains_each_key_of_the_format(heading, name):
    schema = json.loads((ROOT / "schemas" / "groups.v1.json").read_text(encoding="utf-8"))
    shape = schema["$defs"][name] if name else schema
    part = GUIDE.split(f"### {heading}\n")[1].split("\n#")[0]
    rows = re.findall(r"^\| `(\S+)` \| (yes)? ?\| .+ \|$", part, flags=re.MULTILINE)
    assert rows == [(key, "yes" if key in shape["required"] else "") for key in shape["properties"]]


# By file: the seeds, the trainings of each method and seed, and the methods; CoCoOp has no setting of its own to try.
SEARCHES = {
    "scenes": (range(11, 17), 10, ("coop", "cocoop", "kgcoop", "prograd", "lasp", "mocoop")),
    "ucmerced": (range(11, 17), 10, ("coop", "cocoop", "kgcoop", "prograd", "lasp", "mocoop")),
    "clip": (range(11, 14), 12, ("coop", "kgcoop", "prograd", "lasp", "mocoop")),
}


@pytest.mark.parametrize("data", SEARCHES)
def test_the_searches_that_are_kept_had_equal_budgets_and_can_be_gone_by(data):
    seeds, trainings, methods = SEARCHES[data]
    rows = read_rows(ROOT / "docs" / "results" / f"search-{data}.jsonl")
    tried = Counter((row["method"], row["seed"]) for row in rows)
    assert {seed for _, seed in tried} == set(seeds)
    assert {count for (method, _), count in tried.items() if method != "cocoop"} == {trainings}
    for method in methods:
        changes = chosen(rows, method, "recommended")
        assert preset("recommended", method, **changes).method == method
        row = next(row for row in rows if row["method"] == method and not row["changes"])
        plain = row["config"]
        cell = Cell("tune", "any", method, row["shots"], 11, changes={"template": plain["template"]})
        now = cell.config("any").to_dict()
        assert {name: now[name] for name in plain} == plain  # the preset is still what was searched around
