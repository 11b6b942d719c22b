"""`mocoop-groups import` and `export` as they are typed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from grouping_cli import ROOT

from mocoop.groupfile.groups import load_groups
from mocoop.grouping.commands import exchange
from mocoop.grouping.convert import FORMATS
from mocoop.grouping.generate import KINDS
from mocoop.grouping.paper import paper_groups

BAD = "a photo of a {}.\nno slot here\ntwo {} {}\n"


def test_a_flat_list_comes_in_and_the_next_command_is_named(typed, written, tmp_path):
    out = tmp_path / "pool.json"
    done = typed("import", written("my_maps.txt", "- a map of {c}.\n- an old map of {c}.\n"), "-o", out)
    assert (done.code, done.out) == (0, "")
    assert "the slot of 2 templates was written anew as {}" in done.err
    assert f"mocoop-groups cluster {out} -o groups.json" in done.err
    file = load_groups(out)
    assert (file.domain, file.groups[0].id, file.groups[0].texts) == (
        "my maps", "all", ("a map of {}.", "an old map of {}."))  # fmt: skip
    (step,) = file.document["provenance"]["steps"]
    assert (step["step"], step["backend"], step["source"]) == ("import", "imported", "my_maps.txt")
    assert len(step["source_sha256"]) == 64
    assert str(tmp_path) not in out.read_text()


def test_the_same_import_gives_the_same_bytes(typed, written):
    path = written("x.txt", "a {}.\nb {}.\n")
    assert typed("import", path).out == typed("import", path).out


def test_nothing_is_overwritten_unless_asked(typed, written, tmp_path):
    path, out = written("x.txt", "a {}.\n"), written("out.json", "mine")
    for command in (("import", path), ("export", written("g.json", paper_groups("dtd")), "--to", "txt")):
        assert typed(*command, "-o", out).code == 2
        assert out.read_text() == "mine"
        assert typed(*command, "-o", out, "--force").code == 0
        out.write_text("mine")


def test_every_bad_line_is_told_and_nothing_is_written(typed, written, tmp_path):
    path = written("x.txt", BAD)
    done = typed("import", path, "-o", tmp_path / "out.json")
    assert (done.code, done.out, (tmp_path / "out.json").exists()) == (3, "", False)
    assert f"{path}:2:1: G030" in done.err
    assert f"{path}:3:1: G030" in done.err


def test_lists_are_chosen_or_made_groups(typed, written):
    path = written("t.json", json.dumps({"near": ["a close {c}."], "far": ["a distant {c}.", "a tiny {c}."]}))
    done = typed("import", path)
    assert (done.code, "near (1), far (2)" in done.err) == (2, True)
    assert json.loads(typed("import", path, "--name", "far").out)["domain"] == "far"
    done = typed("import", path, "--lists-as-groups", "--domain", "street views", "--class-kind", "scene")
    document = json.loads(done.out)
    assert [group["id"] for group in document["groups"]] == ["near", "far"]
    assert (document["domain"], document["class_kind"]) == ("street views", "scene")
    assert "cluster" not in done.err
    assert typed("import", path, "--lists-as-groups", "--name", "far").code == 2


def test_a_group_file_need_not_be_imported(typed, written):
    done = typed("import", written("g.json", paper_groups("dtd")))
    assert (done.code, "is a group file already" in done.err) == (2, True)


@pytest.mark.parametrize("file_format", FORMATS)
def test_pipes_carry_every_format(typed, file_format):
    exported = typed("export", "-", "--to", file_format, stdin=paper_groups("eurosat"))
    assert exported.code == 0
    back = json.loads(typed("import", "-", "--format", file_format, stdin=exported.out.encode()).out)
    before = json.loads(paper_groups("eurosat"))
    texts = [[text for group in document["groups"] for text in group["templates"]] for document in (back, before)]
    assert texts[0] == texts[1]


def test_a_written_file_is_what_stdout_gives(typed, written, tmp_path):
    path = written("g.json", paper_groups("eurosat"))
    for file_format in FORMATS:
        out = tmp_path / f"out.{file_format}"
        assert typed("export", path, "--to", file_format, "-o", out).code == 0
        assert out.read_text() == typed("export", path, "--to", file_format, "-o", "-").out


def test_what_is_lost_is_told(typed, written):
    done = typed("export", written("g.json", paper_groups("eurosat")), "--to", "clip-benchmark")
    assert "clip-benchmark is a flat list: 6 groups, their titles and inits are not in it" in done.err
    assert json.loads(done.out)["eurosat"][1] == "a photo of a {c}."


def test_a_broken_group_file_is_not_exported(typed, written, tmp_path):
    done = typed("export", written("g.json", "{}"), "--to", "csv", "-o", tmp_path / "out.csv")
    assert (done.code, (tmp_path / "out.csv").exists()) == (3, False)


def test_the_choices_are_those_of_the_library():
    assert set(exchange.FORMATS) == set(FORMATS)
    assert set(exchange.KINDS) == set(KINDS)


def test_they_work_where_everything_heavy_is_absent(written, tmp_path):
    heavy = ("torch", "open_clip", "openai", "sentence_transformers", "sklearn", "scipy", "numpy", "matplotlib")
    source, groups = written("t.csv", "group,template\na,x {}.\na,y {}.\nb,z {}.\n"), tmp_path / "groups.json"
    for arguments in (
        ["import", str(source), "-o", str(groups)],
        ["export", str(groups), "--to", "yaml"],
        ["control", str(groups), "--kind", "random"],
        ["doctor"],
    ):
        code = (
            f"import sys; sys.modules.update(dict.fromkeys({heavy!r})); sys.argv = {['mocoop-groups', *arguments]!r}; "
        )
        code += "from mocoop.grouping.commands import main; main()"
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_without_pyyaml_that_is_said(typed, written, monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    done = typed("import", written("t.yaml", "a: ['x {}']"))
    assert (done.code, "pip install PyYAML" in done.err) == (2, True)


def test_names_that_move_the_cursor_are_made_printable(typed, written):
    done = typed("import", written("t.json", json.dumps({"a\x1b[31m": ["x {}"], "b": ["y {}"]})))
    assert done.code == 2
    assert "\x1b" not in done.err
