"""The whole way by the command line: well-known template lists through import, cluster, edit and export.

The paper's groups of every data set and the 80 ImageNet templates of open_clip lose nothing on it.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from mocoop.groupfile.groups import load_groups, parse_groups
from mocoop.grouping.paper import paper_groups, paper_names

EDITOR = """
import sys
path = sys.argv[-1]
text = open(path, encoding="utf-8").read()
seen = text.replace('"domain": "', '"description": "Seen by a person.", "domain": "', 1)
open(path, "w", encoding="utf-8").write(seen)
"""


@pytest.fixture
def editor(tmp_path, monkeypatch):
    """An editor that writes a description into the group file."""
    script = tmp_path / "editor.py"
    script.write_text(EDITOR)
    monkeypatch.setenv("EDITOR", f"{sys.executable} {script}")


def texts_of(path):
    return sorted(text for group in load_groups(path).groups for text in group.texts)


def shipped(name):
    """The paper's groups of a data set."""
    return [list(group.texts) for group in parse_groups(paper_groups(name)).groups]


def released_yaml(groups, name):
    """A data set's groups as the released code has them."""
    rows = "".join(f"        {json.dumps(text)},\n" for group in groups for text in group)
    counts = [len(group) for group in groups]
    return f"DATASET:\n  NAME: {name}\nTRAINER:\n  MoCoOp:\n    GROUPS: {counts}\n    LASP_PROMPTS: [\n{rows}    ]\n"


def clustered(typed, pool, out, groups):
    done = typed("cluster", pool, "--embedder", "sentence", "--groups", str(groups), "--restarts", "3", "-o", out)
    assert done.code == 0, done.err
    assert texts_of(out) == texts_of(pool)
    assert len(load_groups(out).groups) == groups


def edited(typed, path):
    """Move, merge, lock, start elsewhere, and a turn in the editor: the templates stay the same ones."""
    before = texts_of(path)
    first, second, *_ = sorted(load_groups(path).groups, key=lambda group: -len(group.templates))
    for command in (
        ("move", path, first.texts[-1], "--to", second.id),
        ("set-init", path, second.id, first.texts[-1]),
        ("lock", path, second.id),
        ("edit", path),
    ):
        done = typed(*command)
        assert done.code == 0, done.err
    file = load_groups(path)
    assert texts_of(path) == before
    moved = next(group for group in file.groups if group.id == second.id)
    assert (moved.init, moved.locked, file.document["description"]) == (first.texts[-1], True, "Seen by a person.")


def out_and_in_again(typed, path, tmp_path):
    """Each format: what comes back is what went out, with its groups where the format holds them."""
    file = load_groups(path)
    for file_format in ("csv", "markdown", "yaml", "open_clip", "clip-benchmark", "txt"):
        out, back = tmp_path / f"out.{file_format}", tmp_path / f"back.{file_format}.json"
        assert typed("export", path, "--to", file_format, "-o", out).code == 0
        assert typed("import", out, "--format", file_format, "-o", back).code == 0
        assert texts_of(back) == texts_of(path)
        if file_format in ("csv", "markdown", "yaml"):
            again = load_groups(back)
            assert [group.id for group in again.groups] == [group.id for group in file.groups]
            assert [group.init for group in again.groups] == [group.init for group in file.groups]
            assert [set(group.texts) for group in again.groups] == [set(group.texts) for group in file.groups]
            if file_format != "yaml":  # there the init comes first
                assert again.sha256 == file.sha256


def test_the_eighty_imagenet_templates(typed, tmp_path, editor):
    metadata = Path(importlib.util.find_spec("open_clip").submodule_search_locations[0]) / "zero_shot_metadata.py"
    pool, groups = tmp_path / "pool.json", tmp_path / "groups.json"
    done = typed("import", metadata, "--name", "OPENAI_IMAGENET_TEMPLATES", "--domain", "everyday things", "-o", pool)
    assert done.code == 0, done.err
    assert len(texts_of(pool)) == 80
    clustered(typed, pool, groups, 12)
    edited(typed, groups)
    assert typed("validate", groups).code == 0
    out_and_in_again(typed, groups, tmp_path)
    steps = [step["step"] for step in load_groups(groups).document["provenance"]["steps"]]
    assert steps[0] == "cluster" or steps[:2] == ["import", "cluster"]


@pytest.mark.parametrize("name", ["eurosat", "food101", "imagenet", "ucf101"])
def test_a_paper_set_of_the_released_code(typed, tmp_path, editor, name):
    paper = shipped(name)
    source, pool, groups = tmp_path / f"{name}.yaml", tmp_path / f"{name}.json", tmp_path / "groups.json"
    source.write_text(released_yaml(paper, name))
    assert typed("import", source, "-o", pool).code == 0
    assert [list(group.texts) for group in load_groups(pool).groups] == paper
    clustered(typed, pool, groups, len(paper) // 2)
    edited(typed, groups)
    out_and_in_again(typed, groups, tmp_path)


@pytest.mark.parametrize("name", paper_names())
def test_every_paper_set_out_and_in(typed, tmp_path, name):
    paper = shipped(name)
    source, groups, back = (tmp_path / f"{name}{end}" for end in (".yaml", ".json", ".again.yaml"))
    source.write_text(released_yaml(paper, name))
    assert typed("import", source, "-o", groups).code == 0
    assert [list(group.texts) for group in load_groups(groups).groups] == paper
    assert typed("export", groups, "--to", "yaml", "-o", back).code == 0
    assert typed("import", back, "-o", tmp_path / "again.json").code == 0
    assert load_groups(tmp_path / "again.json").groups == load_groups(groups).groups
    out_and_in_again(typed, groups, tmp_path)
