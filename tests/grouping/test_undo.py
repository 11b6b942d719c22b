"""undo and redo as they are typed: what every editing command did is taken back, listed and done again."""

from __future__ import annotations

import json

import pytest

from mocoop.groupfile.groups import load_groups

GROUPS = (
    b'{"schema_version": 1, "domain": "birds",\n'
    b'"groups": [{"id": "plain", "templates": ["a photo of a {}.", "the  {}."]},\n'
    b'{"id": "night", "templates": ["{} at night.", "{} after dark."]}, {"id": "fog", "templates": ["{} in fog."]}]}'
)
CHANGES = [
    ["add", "{} in rain.", "--new", "rain"],
    ["remove", "after dark"],
    ["rename", "night", "--title", "Night"],
    ["move", "the  {}.", "--to", "fog"],
    ["merge", "night", "fog", "--new", "dim"],
    ["split", "night", "--templates", "after dark", "--new", "dusk"],
    ["set-init", "night", "after dark"],
    ["lock", "night"],
]


FLAT = ["generate", "--domain", "birds", "--flat"]


@pytest.fixture(autouse=True)
def fixed_time(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    monkeypatch.setenv("TZ", "UTC")


@pytest.fixture
def path(written):
    return written("groups.json", GROUPS)


@pytest.mark.parametrize("words", [*CHANGES, ["validate", "--fix"]], ids=lambda words: words[0])
def test_every_command_that_changes_a_file_is_undone_to_the_byte(typed, path, words):
    assert typed(words[0], path, *words[1:]).code == 0
    changed = path.read_bytes()
    assert changed != GROUPS
    done = typed("undo", path)
    command = "validate --fix" if words[0] == "validate" else words[0]
    assert (done.code, done.out) == (0, "")
    assert done.err.startswith(f"{path}: undone: {command}, 2023-11-14 22:13: ")
    assert path.read_bytes() == GROUPS
    assert f"{path}: done again: {command}, " in typed("redo", path).err
    assert path.read_bytes() == changed


@pytest.mark.parametrize(
    "out", [["generate", "--domain", "birds"], ["paper", "eurosat"], ["add", "{} x.", "--to", "fog"], FLAT]
)
def test_a_file_that_is_written_anew_is_undone_too(typed, path, written, out):
    words = [out[0], written("other.json", GROUPS), *out[1:]] if out[0] == "add" else out
    assert typed(*words, "-o", path, "--force").code == 0
    assert path.read_bytes() != GROUPS
    assert f"undone: {out[0]}, 2023-11-14 22:13: written anew" in typed("undo", path).err
    assert path.read_bytes() == GROUPS


def test_an_export_over_a_group_file_is_undone(typed, path):
    assert typed("export", path, "--to", "csv", "-o", path, "--force").code == 0
    assert "undone: export, 2023-11-14 22:13: written as csv" in typed("undo", path).err
    assert path.read_bytes() == GROUPS


def test_an_edit_is_undone_also_of_a_file_that_was_wrong(typed, path, monkeypatch):
    monkeypatch.setenv("VISUAL", "sed -i s/two/{}/")
    path.write_bytes(GROUPS.replace(b"the  {}", b"the two"))
    assert typed("edit", path).code == 0
    assert "undone: edit, 2023-11-14 22:13: mended" in typed("undo", path).err
    assert path.read_bytes() == GROUPS.replace(b"the  {}", b"the two")


def test_several_steps_a_dry_run_and_json(typed, path):
    typed("lock", path, "night")
    typed("lock", path, "fog")
    locked = path.read_bytes()
    told = typed("undo", path, "--steps", "2", "--dry-run")
    assert told.out.splitlines() == [
        f"{path}: would be undone: lock, 2023-11-14 22:13: fog is locked",
        f"{path}: would be undone: lock, 2023-11-14 22:13: night is locked",
    ]
    assert path.read_bytes() == locked
    answer = json.loads(typed("undo", path, "--steps", "2", "--json").out)
    assert (answer["written"], [step["told"] for step in answer["steps"]]) == (
        True,
        ["fog is locked", "night is locked"],
    )
    assert path.read_bytes() == GROUPS
    assert json.loads(typed("redo", path, "--steps", "2", "--json", "--dry-run").out)["written"] is False
    assert path.read_bytes() == GROUPS


def test_the_list_says_what_each_step_did_and_when(typed, path):
    assert typed("undo", path, "--list").table == [["when", "command", "state", "what it did"]]
    typed("lock", path, "night")
    typed("lock", path, "fog")
    typed("undo", path)
    assert typed("undo", path, "--list").table[1:] == [
        ["2023-11-14 22:13", "lock", "undone", "fog is locked"],
        ["2023-11-14 22:13", "lock", "done", "night is locked"],
    ]
    path.write_bytes(path.read_bytes() + b"\n")
    assert "changed by something else after that" in typed("undo", path, "--list").err
    listed = json.loads(typed("undo", path, "--list", "--json").out)
    assert (listed["as_left"], [step["state"] for step in listed["steps"]]) == (False, ["undone", "done"])


def test_an_edit_by_hand_is_not_overwritten_and_the_earlier_file_can_be_written_elsewhere(typed, path, tmp_path):
    typed("lock", path, "night")
    by_hand = path.read_bytes() + b"\n"
    path.write_bytes(by_hand)
    done = typed("undo", path)
    assert done.code == 6
    assert "changed by something else after the step lock" in done.err
    assert "undo FILE -o earlier.json" in done.err
    assert path.read_bytes() == by_hand
    out = tmp_path / "earlier.json"
    assert typed("undo", path, "-o", out, "--dry-run").code == 0
    assert not out.exists()
    assert f"{path}: undone there: lock" in typed("undo", path, "-o", out).err
    assert (out.read_bytes(), path.read_bytes()) == (GROUPS, by_hand)
    assert typed("undo", path, "-o", out).code == 2
    assert typed("undo", path, "-o", "-").out == GROUPS.decode()
    assert typed("undo", path, "-o", "-", "--json").code == 2
    out.write_bytes(b"of value")
    assert typed("undo", path, "-o", out, "--force").code == 0
    typed("undo", out)
    assert out.read_bytes() == b"of value"


def test_redo_to_another_file_leaves_this_one(typed, path, tmp_path):
    typed("lock", path, "night")
    typed("undo", path)
    assert f"{path}: done again there: lock" in typed("redo", path, "-o", tmp_path / "later.json").err
    assert path.read_bytes() == GROUPS
    assert load_groups(tmp_path / "later.json").groups[1].locked


def test_nothing_to_undo_stdin_and_a_file_that_is_not_there(typed, path, tmp_path):
    assert typed("undo", path).code == 2
    refused = typed("redo", path).err
    assert "there is nothing to redo" in refused
    assert "--list" not in refused  # which would show nothing
    assert typed("undo", "-").code == typed("redo", "-").code == 2
    assert typed("undo", tmp_path / "none.json").code == 3
    assert typed("undo", path, "--steps", "0").code == 2


def test_the_folder_of_the_file_stays_clean(typed, path):
    typed("lock", path, "night")
    typed("undo", path)
    assert [entry.name for entry in path.parent.iterdir()] == ["groups.json"]


def test_a_change_that_cannot_be_undone_says_so(typed, path, monkeypatch, written):
    monkeypatch.setenv("MOCOOP_STATE", str(written("file", b"")))
    done = typed("lock", path, "night")
    assert done.code == 0
    assert "this change cannot be undone: cannot make" in done.err
    assert "set MOCOOP_STATE" in done.err
