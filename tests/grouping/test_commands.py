"""`mocoop-groups` as it is typed: what it writes, what it says, how it exits."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from grouping_cli import ROOT, Typed, process

from mocoop.groupfile import tokens
from mocoop.groupfile.findings import RULES
from mocoop.groupfile.groups import MAX_BYTES, dump_groups, load_groups, schema_bytes
from mocoop.grouping import commands
from mocoop.grouping.bank import load_bank
from mocoop.grouping.domains import load_profiles
from mocoop.grouping.fields import load_fields
from mocoop.grouping.generate import Wanted, generate_from_bank
from mocoop.grouping.paper import paper_groups, paper_names

HEAVY = ("torch", "openai", "sklearn", "sentence_transformers", "open_clip", "numpy", "matplotlib")

GOOD = dump_groups(generate_from_bank(Wanted("satellite imagery")).document)
WARNED = b"""{
  "schema_version": 1,
  "domain": "birds",
  "groups": [
    {"id": "plain", "templates": ["a photo of a {}."]},
    {"id": "far", "templates": ["a  distant {}."]}
  ]
}
"""
BAD = b"""{
  "schema_version": 1,
  "domain": "birds",
  "groups": [
    {"id": "plain", "templates": ["a photo of a bird.", "a  photo of a {}."]}
  ]
}
"""


# ---- generate


def test_generate_writes_a_file_and_says_what_is_next(typed: Typed, tmp_path: Path) -> None:
    path = tmp_path / "groups.json"
    done = typed("generate", "--domain", "satellite imagery", "--backend", "auto", "-o", path)
    assert (done.code, done.out) == (0, "")
    assert path.read_bytes() == GOOD
    lines = done.err.splitlines()
    assert lines[0].startswith("backend: bank")
    assert lines[1] == "'satellite' calls for the profile satellite"
    assert lines[2] == f"{path}: 8 groups, 48 templates"
    assert lines[3].startswith(f"next: mocoop-groups show {path} ")
    assert os.listdir(tmp_path) == ["groups.json"]


@pytest.mark.parametrize("out", [[], ["-o", "-"]])
def test_generate_prints_the_same_bytes(out: list[str], typed: Typed) -> None:
    done = typed("generate", "--domain", "satellite imagery", "--backend", "bank", *out)
    assert done.out.encode() == GOOD
    assert "backend" not in done.err


def test_generate_prints_any_domain_whatever_the_locale_can_show() -> None:
    domain = "café 🥐"
    done = process("generate", "--domain", domain, "--no-meaning", env={**os.environ, "PYTHONIOENCODING": "latin-1"})
    assert done.returncode == 0
    assert done.stdout == dump_groups(generate_from_bank(Wanted(domain)).document)
    assert b"no profile matches 'caf\xe9 \\U0001f950'" in done.stderr


def test_generate_asks_the_meaning_unless_told_not_to(typed: Typed) -> None:
    asked = json.loads(typed("generate", "--domain", "mosquitoes", "--backend", "bank").out)
    assert asked["provenance"]["steps"][0]["profiles"] == ["animals"]
    left = json.loads(typed("generate", "--domain", "mosquitoes", "--backend", "bank", "--no-meaning").out)
    assert left == generate_from_bank(Wanted("mosquitoes")).document
    assert left["provenance"]["steps"][0]["profiles"] == ["general"]


def test_options_reach_the_generator(typed: Typed, written: Any) -> None:
    classes = written("classes.txt", "\ufeffcloud\n\n  river \n")
    done = typed(
        "generate", "--domain", "x", "--groups", "4", "--per-group", "3", "--class-kind", "scene", "--profile",
        "satellite", "--profile", "food", "--supertype", "land cover", "--no-general", "--classes", classes,
    )  # fmt: skip
    expected = generate_from_bank(
        Wanted(
            "x",
            groups=4,
            per_group=3,
            class_kind="scene",
            profiles=("satellite", "food"),
            supertype="land cover",
            class_names=("cloud", "river"),
            include_general=False,
        )
    )
    assert json.loads(done.out) == expected.document
    assert [line for line in done.err.splitlines() if not line.startswith("backend")] == list(expected.notices)
    assert any("contain a class name" in notice for notice in expected.notices)


def test_nothing_is_overwritten_without_force(typed: Typed, written: Any) -> None:
    path = written("groups.json", "precious")
    for command in (["generate", "--domain", "birds"], ["paper", "eurosat"]):
        done = typed(*command, "-o", path)
        assert done.code == 2
        assert f"{path} exists already" in done.err
        assert "--force" in done.err
        assert path.read_text() == "precious"
    assert typed("generate", "--domain", "birds", "-o", path, "--force").code == 0
    assert load_groups(path).domain == "birds"
    assert typed("paper", "eurosat", "-o", path, "--force").code == 0
    assert path.read_bytes() == paper_groups("eurosat")
    assert os.listdir(path.parent) == ["groups.json"]


def test_a_file_that_cannot_be_written_leaves_nothing_behind(typed: Typed, tmp_path: Path) -> None:
    assert typed("generate", "--domain", "birds", "-o", tmp_path / "none" / "groups.json").code == 6
    assert typed("generate", "--domain", "birds", "-o", tmp_path).code == 2
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["--groups", "many"],
        ["--groups", "9" * 5000],
        ["--groups", "0"],
        ["--groups", "-3"],
        ["--groups", "٣"],
        ["--per-group", "0"],
        ["--class-kind", "animal"],
        ["--profile", "sattelite"],
        ["--supertype", "{}"],
        ["--backend", "oracle"],
        ["--domain", " "],
    ],
)
def test_what_generate_cannot_do_is_a_usage_error_with_a_hint(arguments: list[str], typed: Typed) -> None:
    done = typed("generate", "--domain", "birds", *arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines()[-1].startswith("  hint: ")


# ---- class files


@pytest.mark.parametrize("command", [["validate", "-"], ["generate", "--domain", "birds"]])
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.txt", None, "cannot read the class names"),
        ("latin.txt", b"caf\xe9\n", "latin.txt:1: not UTF-8"),
        ("empty.txt", b"\n \n", "no class name in it"),
        ("names.json", b"{}", "a table of class names is not read here"),
    ],
)
def test_a_bad_class_file_is_one_line_and_a_hint(
    command: list[str], name: str, content: bytes | None, message: str, typed: Typed, tmp_path: Path
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    done = typed(*command, "--classes", path, stdin=GOOD)
    assert (done.code, done.out) == (4, "")
    lines = [line for line in done.err.splitlines() if not line.startswith("backend")]
    assert len(lines) == 2
    assert message in lines[0]
    assert lines[1].startswith("  hint: ")


def test_validate_checks_against_the_classes(typed: Typed, written: Any) -> None:
    classes = written("classes.txt", "cloud\nan extremely long class name " + "of many words " * 12)
    assert typed("validate", "-", stdin=GOOD).code == 0
    done = typed("validate", "-", "--classes", classes, "--context-length", "40", stdin=GOOD)
    assert done.code == 3
    assert "G116" in done.out
    assert "G106" in done.out
    assert "the text tower reads 40" in done.out


# ---- validate


@pytest.mark.parametrize(
    ("content", "usual", "strict"),
    [(GOOD, 0, 0), (WARNED, 0, 1), (BAD, 3, 3), (b"", 3, 3)],
    ids=["good", "warned", "bad", "empty"],
)
def test_exit_codes_of_validate(content: bytes, usual: int, strict: int, typed: Typed, written: Any) -> None:
    path = written("groups.json", content)
    assert typed("validate", path).code == usual
    assert typed("validate", "--strict", path).code == strict
    assert typed("validate", "--strict", "--json", path).code == strict
    assert typed("validate", "-", stdin=content).code == usual


def test_a_finding_has_its_place_its_rule_and_how_to_mend_it(typed: Typed, written: Any) -> None:
    path = written("groups.json", BAD)
    done = typed("validate", path)
    assert done.out.splitlines() == [
        f"warning: {path}:4:13: G112 there is one group only: one expert, and nothing for the router to choose "
        "(split it, unless one prompt is what you want; 5 to 8 are common)",
        f'error: {path}:5:35: G030 `groups[0].templates[0]` has no slot {{}}: "a photo of a bird." '
        '(write {} for the class name, as in "a photo of a {}.")',
        f'warning: {path}:5:57: G114 "a  photo of a {{}}." has two spaces in a row '
        "(harmless if meant; else write it as the others)",
    ]
    assert done.err == "1 file checked: 1 error, 2 warnings\n"


def test_findings_as_json(typed: Typed, written: Any) -> None:
    path = written("groups.json", BAD)
    done = typed("validate", "--json", path)
    report = json.loads(done.out)
    assert report["format"] == 1
    assert [(f["code"], f["severity"], f["line"], f["column"]) for f in report["findings"]] == [
        ("G112", "warning", 4, 13),
        ("G030", "error", 5, 35),
        ("G114", "warning", 5, 57),
    ]
    for finding in report["findings"]:
        assert set(finding) == {"source", "line", "column", "pointer", "code", "severity", "message", "hint"}
        assert finding["source"] == str(path)
        assert finding["code"] in RULES
    assert json.loads(typed("validate", "--json", "-", stdin=GOOD).out) == {"format": 1, "findings": []}


def test_several_files_are_all_checked_whatever_is_wrong_with_one(typed: Typed, written: Any, tmp_path: Path) -> None:
    paths = [written("a.json", BAD), tmp_path / "none.json", tmp_path, written("b.json", WARNED), "-"]
    done = typed("validate", *paths, stdin=b"[")
    assert done.code == 3
    sources = [line.split(": ")[1].split(":")[0] for line in done.out.splitlines() if line.startswith("error")]
    assert sources == [str(paths[0]), str(paths[1]), str(tmp_path), "<stdin>"]
    assert "G001" in done.out
    assert done.err.startswith("5 files checked: 4 errors, ")


def test_validate_needs_a_file(typed: Typed) -> None:
    assert typed("validate").code == 2


def test_stdin_is_read_no_further_than_a_group_file_can_be(typed: Typed) -> None:
    done = typed("validate", "-", stdin=b" " * (MAX_BYTES + 100))
    assert done.code == 3
    assert "<stdin>:1:1: G002" in done.out
    assert sys.stdin.buffer.tell() == MAX_BYTES + 1


@pytest.mark.parametrize("content", [BAD, b"[" * 100_000, b"\xff\xfe", b'{"schema_version": 1'])
def test_a_bad_file_is_refused_without_heavy_imports(content: bytes, written: Any) -> None:
    code = f"""
import sys
from mocoop.grouping.commands import main
try:
    main()
except SystemExit as end:
    print(end.code, [name for name in {HEAVY!r} if name in sys.modules])
"""
    for command in ("validate", "show"):
        arguments = [sys.executable, "-c", code, command, str(written("bad.json", content))]
        done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
        assert done.stdout.splitlines()[-1] == "3 []", done.stderr


# ---- show and the lists


def test_show_lists_the_groups(typed: Typed, written: Any) -> None:
    table = typed("show", written("groups.json", GOOD)).table
    assert table[0] == ["group", "title", "templates", "longest (tokens)", "init", "reviewed"]
    assert table[1] == ["satellite_view", "Satellite view", "6", "9", "a satellite image of {}.", "no"]
    assert len(table) == 9


def test_show_one_group_with_its_tokens(typed: Typed) -> None:
    done = typed("show", "-", "--group", "overhead_night", "--tokens", stdin=GOOD)
    assert done.table[:3] == [
        ["group", "template", "tokens before", "tokens after"],
        ["overhead_night", "* a satellite image of {} at night.", "4", "3"],
        ["overhead_night", "  {} seen from orbit after dark.", "0", "6"],
    ]
    assert typed("show", "-", "--group", "overhead_night", stdin=GOOD).table[1] == done.table[1][:2]


def test_show_as_json(typed: Typed) -> None:
    shown = json.loads(typed("show", "-", "--json", stdin=GOOD).out)
    assert (shown["format"], shown["domain"]) == (1, "satellite imagery")
    document = json.loads(GOOD)
    assert [group["templates"] for group in shown["groups"]] == [group["templates"] for group in document["groups"]]
    one = json.loads(typed("show", "-", "--json", "--tokens", "--group", "overhead_night", stdin=GOOD).out)
    assert one["groups"][0]["tokens"][0] == [4, 3]


def test_show_does_without_open_clips_table(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_table_path", lambda: None)
    assert typed("show", "-", stdin=GOOD).table[1][3] == "-"
    done = typed("show", "-", "--tokens", stdin=GOOD)
    assert done.code == 2
    assert "pip install open_clip_torch" in done.err


def test_show_refuses_a_bad_file_with_all_its_errors(typed: Typed, written: Any) -> None:
    path = written("bad.json", BAD.replace(b"birds", b"", 1))
    done = typed("show", path)
    assert (done.code, done.out) == (3, "")
    assert "G024" in done.err
    assert "G030" in done.err
    assert typed("show", path.parent / "none.json").code == 3


def test_bank_lists_aspects_and_their_templates(typed: Typed) -> None:
    aspects = (*load_bank().aspects, *load_fields().aspects.values())
    table = typed("bank").table
    assert table[0] == ["aspect", "family", "templates", "what it is for"]
    assert table[1:] == [[a.name, a.family, str(len(a.templates)), a.description] for a in aspects]
    assert typed("bank", "radiology").table[1] == ["radiology", "an x-ray showing {}."]
    assert typed("bank", "time_of_day", "--search", "NIGHT").table[1:] == [
        ["time_of_day", "a photo of the {} at night."]
    ]
    assert len(typed("bank", "--search", "night").table) > 5
    nothing = typed("bank", "--search", "giraffe")
    assert nothing.table == [["aspect", "template"]]
    assert nothing.err == "no template contains 'giraffe'\n"


def test_bank_as_json(typed: Typed) -> None:
    whole = json.loads(typed("bank", "--json").out)
    assert (whole["format"], whole["bank_version"]) == (1, load_bank().version)
    assert sum(len(aspect["templates"]) for aspect in whole["aspects"]) == sum(
        len(a.templates) for a in (*load_bank().aspects, *load_fields().aspects.values())
    )
    assert ["trap_view", "a camera-trap photo of a {}."] in typed("bank", "trap_view").table
    assert json.loads(typed("bank", "radiology", "--json").out)["aspects"][0]["name"] == "radiology"


def test_domains_lists_profiles_or_explains_a_text(typed: Typed) -> None:
    table = typed("domains").table
    assert table[0] == ["profile", "classes are", "groups", "words", "aspects"]
    assert [row[0] for row in table[1:]] == [profile.name for profile in load_profiles()]
    found = typed("domains", "thermal\ndrone images").table
    assert found[0][3] == "found"
    assert [(row[0], row[3]) for row in found[1:]] == [("thermal", "thermal"), ("aerial", "drone")]
    near = typed("domains", "mosquitoes").table
    assert (near[1][0], near[1][3][:14]) == ("animals", "near 'insects'")
    unknown = typed("domains", "kimono patterns")
    assert unknown.table[1][0] == "general"
    assert "no profile matches" in unknown.err
    assert typed("domains", " ").code == 2


def test_domains_as_json(typed: Typed) -> None:
    assert len(json.loads(typed("domains", "--json").out)["profiles"]) == len(load_profiles())
    explained = json.loads(typed("domains", "thermal drone images", "--json").out)
    assert explained["found"] == {"thermal": "thermal", "aerial": "drone"}
    assert [profile["name"] for profile in explained["profiles"]] == ["thermal", "aerial"]


def test_paper_lists_its_sets_and_writes_one(typed: Typed, tmp_path: Path) -> None:
    table = typed("paper").table
    assert table[0] == ["data set", "groups", "templates"]
    assert [row[0] for row in table[1:]] == list(paper_names())
    assert ["imagenet", "20", "32"] in table
    assert {"name": "eurosat", "groups": 6, "templates": 12} in json.loads(typed("paper", "--json").out)["sets"]
    assert typed("paper", "eurosat").out.encode() == paper_groups("eurosat")
    assert typed("paper", "eurosat", "-o", tmp_path / "groups.json").code == 0
    assert (tmp_path / "groups.json").read_bytes() == paper_groups("eurosat")


def test_schema_is_printed_as_it_ships(typed: Typed) -> None:
    assert typed("schema").out.encode() == schema_bytes()
    assert Path(typed("schema", "--path").out.rstrip("\n")).read_bytes() == schema_bytes()


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["bank", "overhead_nigth"], "did you mean overhead_night?"),
        (["bank", "xyz"], "mocoop-groups bank"),
        (["paper", "cifar"], "choose caltech101, dtd"),
        (["show", "-", "--group", "none"], "there are satellite_view, "),
        (["generate", "--domain", "x", "--profile", "sattelite"], "choose general, satellite"),
        (["generate", "--domain", "x", "--class-kind", "animal"], "choose object, scene"),
    ],
)
def test_unknown_names_exit_with_2_and_a_hint(arguments: list[str], hint: str, typed: Typed) -> None:
    done = typed(*arguments, stdin=GOOD)
    assert (done.code, done.out) == (2, "")
    assert f"hint: {hint}" in done.err.replace("`", "")


# ---- manners


@pytest.mark.parametrize("name", [None, *commands.groups.commands])
def test_help_has_words_and_an_example(name: str | None, typed: Typed) -> None:
    done = typed(*([name] if name else []), "--help")
    assert done.code == 0
    command: click.Command = commands.groups.commands[name] if name else commands.groups
    assert command.help
    assert len(command.help.splitlines()[0]) > 30
    examples = [line.strip() for line in done.out.splitlines() if line.strip().startswith("mocoop-groups ")]
    assert examples
    assert all(f"mocoop-groups {name} " in f"{line} " for line in examples) or name is None
    for parameter in command.params:
        assert isinstance(parameter, click.Argument) or parameter.help


def test_the_list_of_commands_has_each_under_one_heading_and_is_not_cut(typed: Typed) -> None:
    told = typed("--help").out
    sections = re.findall(r"^([A-Z][a-z ]+):\n((?:  .+\n?)+)", told, re.MULTILINE)[1:]  # the first are the options
    assert [heading for heading, _ in sections] == list(commands.SECTIONS)
    listed = [line.split()[0] for _, lines in sections for line in lines.splitlines()]
    assert sorted(listed) == sorted(commands.groups.commands)
    assert not [lines for _, lines in sections if "..." in lines]


def test_help_imports_nothing_heavy() -> None:
    code = f"""
import sys
from mocoop.grouping.commands import main
try:
    main()
except SystemExit as end:
    print(end.code, [name for name in {(*HEAVY, "jsonschema", "rich")!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code, "--help"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"


@pytest.mark.parametrize("arguments", [["bank"], ["paper", "imagenet"], ["validate", "--json", "-"], ["schema"]])
def test_a_pipe_that_nobody_reads_is_no_reason_for_a_traceback(arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = process(*arguments, input=BAD, capture_output=False, stdout=writing, stderr=subprocess.PIPE)
    finally:
        os.close(writing)
    assert done.returncode in (1, 141)
    assert b"Traceback" not in done.stderr
    assert b"Broken pipe" not in done.stderr


NASTY = "a\x1b[31mb\nc\u202ed"


@pytest.mark.parametrize(
    "arguments",
    [
        ["generate", "--domain", NASTY, "-o", "{folder}/{nasty}.json"],
        ["generate", "--domain", NASTY, "-o", "{folder}/none/{nasty}.json"],
        ["generate", "--domain", "x", "--profile", NASTY],
        ["generate", "--domain", "x", "--supertype", NASTY + "{{}}"],
        ["generate", "--domain", "x", "--classes", "{folder}/{nasty}.txt"],
        ["generate", "--domain", "x", "--classes", "{folder}/{nasty}.json"],
        ["validate", "{folder}/{nasty}.json"],
        ["validate", "--json", "{folder}/{nasty}.json"],
        ["show", "{folder}/{nasty}.json"],
        ["show", "{folder}/good.json", "--group", NASTY],
        ["bank", NASTY],
        ["bank", "--search", NASTY],
        ["domains", NASTY],
        ["paper", NASTY],
        [NASTY],
        ["bank", "x", NASTY],
    ],
)
def test_control_characters_of_a_user_never_reach_the_terminal(
    arguments: list[str], typed: Typed, tmp_path: Path
) -> None:
    (tmp_path / "good.json").write_bytes(GOOD)
    done = typed(*(argument.format(folder=tmp_path, nasty=NASTY) for argument in arguments))
    for text in (done.out, done.err):
        assert all(char.isprintable() or char in "\n\t" for char in text)
    assert "c\\u202ed" in done.err + done.out or "a [31mb cd" in done.err or arguments[0] == "domains"
