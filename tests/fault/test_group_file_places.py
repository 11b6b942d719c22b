"""Group files in odd places: names that are no UTF-8, pipes, devices, no permission, no room; never exit code 1."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from mocoop.groupfile.groups import load_groups

pytestmark = pytest.mark.skipif(os.name != "posix", reason="permissions, pipes and devices as POSIX has them")

GROUPS = json.dumps({
    "schema_version": 1,
    "domain": "birds",
    "groups": [
        {"id": "plain", "templates": ["a photo of a {}.", "the {}."]},
        {"id": "night", "templates": ["{} at night.", "{} after dark."]},
    ],
}).encode()  # fmt: skip
READING = {
    "show": [],
    "validate": [],
    "validate --fix": ["--fix"],
    "stats": ["--sizes"],
    "export": ["--to", "csv"],
    "control": ["--kind", "random"],
    "diff": ["OTHER"],
    "lock": ["night"],
    "edit": [],
    "undo": [],
    "redo": [],
    "cluster": [],
    "import": [],
}
NAME = os.fsdecode(b"birds-\xff\xfe.json")


@pytest.fixture(autouse=True)
def no_editor(monkeypatch):
    monkeypatch.setenv("VISUAL", "true")


def one_line(done, code):
    """An error is one line and a hint, and no fault of ours."""
    assert done.code == code, done
    assert "fault of ours" not in done.err
    assert "Traceback" not in done.err
    errors = [line for line in done.err.splitlines() if line.startswith("mocoop-groups: ")]
    hints = [line for line in done.err.splitlines() if line.startswith("  hint: ")]
    assert (len(errors), len(hints)) == (1, 1), done.err
    return errors[0]


# ---- names and contents that are no UTF-8


@pytest.mark.parametrize("words", [
    ["show"], ["validate"], ["validate", "--json"], ["stats", "--sizes"], ["export", "--to", "csv"], ["lock", "night"],
    ["lock", "night", "--json"], ["edit"], ["undo", "--list"], ["control", "--kind", "random"],
    ["review", "--json", "--lexical"], ["add", "{} x.", "--to", "night", "-o", "OUT"], ["edit", "--group", "night"],
])  # fmt: skip
def test_a_name_that_is_no_utf8_is_a_name_like_any_other(typed, tmp_path, words):
    path = tmp_path / NAME
    path.write_bytes(GROUPS)
    out = str(tmp_path / os.fsdecode(b"out-\xff.json"))
    done = typed(words[0], path, *(out if word == "OUT" else word for word in words[1:]))
    assert (done.code, "fault of ours" in done.err) == (0, False)
    assert NAME not in done.out + done.err  # what is shown is printable


def test_its_changes_are_undone_and_a_file_from_it_is_written_anew(typed, tmp_path):
    path, other = tmp_path / NAME, tmp_path / "other.json"
    path.write_bytes(GROUPS)
    other.write_bytes(GROUPS)
    assert typed("lock", path, "night").code == typed("lock", path, "plain", "-o", other, "--force").code == 0
    assert typed("undo", path).code == typed("undo", other).code == 0
    assert path.read_bytes() == other.read_bytes() == GROUPS
    assert r"written anew from " in typed("undo", other, "--list").out


@pytest.mark.parametrize("words", [
    ["add", "{} \udcff.", "--to", "night"], ["rename", "night", "--title", "\udcff"],
    ["remove", "the {}.", "--reason", "\udcff"],
])  # fmt: skip
def test_a_text_that_is_no_utf8_is_refused(typed, written, words):
    path = written("groups.json", GROUPS)
    assert "a text is not UTF-8: " in one_line(typed(words[0], path, *words[1:]), 3)
    assert path.read_bytes() == GROUPS


@pytest.mark.parametrize(
    "words", [["lock", "\udcff"], ["add", "{} x.", "--new", "\udcff"], ["show", "--group", "\udcff"]]
)
def test_an_id_that_is_no_utf8_is_no_group(typed, written, words):
    one_line(typed(words[0], written("groups.json", GROUPS), *words[1:]), 2)


@pytest.mark.parametrize("command", ["show", "stats", "export", "control", "diff", "lock", "undo", "cluster"])
def test_a_content_that_is_no_utf8_is_told_by_its_place(typed, written, command):
    path = written("latin.json", GROUPS.replace(b"photo", b"ph\xf6to"))
    arguments = [str(path) if word == "OTHER" else word for word in READING[command]]
    done = typed(command, path, *arguments)
    assert one_line(done, 2 if command == "undo" else 3)  # undo knows no contents, and has nothing to undo here
    if command not in ("undo", "cluster"):
        assert "latin.json:1:" in done.err


# ---- pipes, devices, folders


@pytest.mark.parametrize("command", READING)
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "loop"])
def test_what_is_no_file_is_refused_at_once(typed, tmp_path, command, kind):
    path = tmp_path / "groups.json"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero" if kind == "device" else path)
    arguments = [str(path) if word == "OTHER" else word for word in READING[command]]
    done = typed(command.split()[0], path, *arguments)
    if command.startswith("validate"):  # its findings are its answer
        assert (done.code, done.out.count("G001")) == (3, 1)
    else:
        one_line(done, 3)
    if kind in ("pipe", "device"):
        assert f"it is a {kind}" in done.out + done.err


def test_a_pipe_that_the_shell_made_is_read(typed):
    read, write = os.pipe()
    os.write(write, GROUPS)
    os.close(write)
    try:
        assert typed("show", f"/dev/fd/{read}").code == 0
    finally:
        os.close(read)


@pytest.mark.parametrize("words", [["lock", "FILE", "night"], ["generate", "--domain", "birds"], ["paper", "eurosat"]])
def test_a_pipe_is_not_replaced_by_a_file(typed, written, tmp_path, words):
    path = written("groups.json", GROUPS)
    os.mkfifo(tmp_path / "pipe")
    done = typed(*(path if word == "FILE" else word for word in words), "-o", tmp_path / "pipe", "--force")
    assert "it is a pipe" in one_line(done, 6)
    assert (tmp_path / "pipe").is_fifo()


# ---- without permission


@contextmanager
def anybody():
    """As a user who is not root, for whom permissions count."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def shared(typed, monkeypatch):
    """A folder that anybody may enter, with a group file in it; everything is imported before the user changes."""
    folder = Path(tempfile.mkdtemp())
    path = folder / "groups.json"
    path.write_bytes(GROUPS)
    (folder / "state").mkdir()
    (folder / "state").chmod(0o777)
    monkeypatch.setenv("MOCOOP_STATE", str(folder / "state"))
    typed("lock", path, "night")
    typed("undo", path)
    shutil.rmtree(folder / "state" / "undo")
    folder.chmod(0o755)
    yield path
    folder.chmod(0o700)
    shutil.rmtree(folder)


@pytest.mark.parametrize("words", [["lock", "night"], ["add", "{} x.", "--to", "night"]])
def test_a_folder_that_may_not_be_written(typed, shared, words):
    shared.parent.chmod(0o555)
    with anybody():
        done = typed(words[0], shared, *words[1:])
    assert "Permission denied" in one_line(done, 6)
    assert shared.read_bytes() == GROUPS
    assert "there is nothing to undo" in typed("undo", shared).err


@pytest.mark.parametrize("words", [["show"], ["lock", "night"], ["undo"], ["edit"]])
@pytest.mark.parametrize("where", ["file", "folder"])
def test_a_file_or_folder_that_may_not_be_read(typed, shared, words, where):
    (shared if where == "file" else shared.parent).chmod(0)
    with anybody():
        done = typed(words[0], shared, *words[1:])
    assert "Permission denied" in one_line(done, 3)


def test_out_in_a_folder_that_may_not_be_entered(typed, shared):
    closed = shared.parent / "closed"
    closed.mkdir(mode=0)
    with anybody():
        for words in (["lock", shared, "night"], ["paper", "eurosat"], ["control", shared, "--kind", "random"]):
            one_line(typed(*words, "-o", closed / "x.json", "--force"), 6)
            one_line(typed(*words, "-o", closed / "x.json"), 6)


def test_a_state_folder_that_may_not_be_written_loses_only_the_undo(typed, shared):
    (shared.parent / "state").chmod(0o555)
    shared.chmod(0o666)
    shared.parent.chmod(0o777)
    with anybody():
        done = typed("lock", shared, "night")
        assert typed("edit", shared).code == 0  # its text lies in the system's temporary folder then
    assert (done.code, "this change cannot be undone: cannot make" in done.err) == (0, True)
    assert load_groups(shared).groups[1].locked


# ---- no room


def test_no_room_for_the_file_leaves_it_as_it_was(typed, written, monkeypatch):
    path = written("groups.json", GROUPS)
    typed("lock", path, "plain")
    before, real = path.read_bytes(), os.fsync

    def full(handle):
        if os.path.dirname(os.readlink(f"/proc/self/fd/{handle}")) == str(path.parent):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", full)
    assert "No space left on device" in one_line(typed("lock", path, "night"), 6)
    assert "No space left on device" in one_line(typed("undo", path), 6)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["groups.json"]
    monkeypatch.undo()


def test_a_limit_of_the_system_on_the_size_of_files(typed, written):
    path = written("groups.json", GROUPS)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8_000, hard))
    try:
        done = typed("add", path, *(f"{{}} number {number}{' so' * 20}." for number in range(190)), "--to", "night")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "File too large" in one_line(done, 6)
    assert path.read_bytes() == GROUPS


# ---- a terminal without a width


@pytest.mark.parametrize("columns", ["0", "1"])
def test_any_number_of_columns_prints(written, columns):
    from pseudo_terminal import Terminal

    with Terminal("show", written("groups.json", GROUPS), COLUMNS=columns) as terminal:
        assert terminal.ended() == 0
        assert "fault of ours" not in terminal.shown
        assert "birds" in terminal.shown
