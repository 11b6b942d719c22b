"""The terminal closes while a person types: nothing typed is lost, and the next start says where it lies."""

from __future__ import annotations

import shutil
import signal
import sys
import time

import pytest

from mocoop.files import state_root
from mocoop.groupfile.groups import dump_groups, load_groups
from mocoop.grouping.editing.drafts import Line, left_behind, take_line

pytest.importorskip("pty")

DOCUMENT = {
    "schema_version": 1,
    "domain": "birds",
    "groups": [
        {"id": "plain", "templates": ["a photo of a {}.", "the {}."]},
        {"id": "night", "templates": ["{} at night.", "{} after dark."]},
    ],
}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "groups.json"
    path.write_bytes(dump_groups(DOCUMENT))
    return path


@pytest.fixture
def saving_editor(tmp_path, monkeypatch):
    """An editor that saves a change at once, and waits; as its terminal closes it saves beside the file, like nano."""
    script = tmp_path / "nano.py"
    script.write_text(
        "import pathlib, signal, sys, time\n"
        "path = pathlib.Path(sys.argv[-1])\n"
        "def closed(*_):\n"
        "    path.with_name(path.name + '.save').write_text(path.read_text().replace('by night', 'by moonlight'))\n"
        "    sys.exit(1)\n"
        "signal.signal(signal.SIGHUP, closed if '--save' in sys.argv else signal.SIG_DFL)\n"
        "path.write_text(path.read_text().replace('at night', 'by night'))\n"
        "print('SAVED', flush=True)\n"
        "def line():\n"
        "    try:\n"
        "        return sys.stdin.readline()\n"
        "    except OSError:\n"
        "        return ''\n"
        # the terminal's end may be read, as an error or as the end of a file, before its signal comes
        "while not line():\n"
        "    time.sleep(0.02)\n"
    )
    return lambda *options: monkeypatch.setenv("VISUAL", " ".join([sys.executable, str(script), *options]))


def closed_at(text, *arguments, keys="", then=""):
    """Start a command, wait for a text, type keys, wait for what they show, and close the window."""
    from pseudo_terminal import Terminal

    with Terminal(*arguments) as terminal:
        terminal.expect(text)
        if keys:
            terminal.type(keys)
            terminal.expect(then)
        time.sleep(0.5)  # an editor in the middle of its own output would fail at that
        terminal.hang_up()
        assert terminal.process.wait(20) == -signal.SIGHUP


def test_what_was_saved_in_the_editor_is_told_and_taken_up(typed, path, saving_editor, monkeypatch):
    saving_editor()
    before = path.read_bytes()
    closed_at("SAVED", "edit", path)
    assert path.read_bytes() == before
    monkeypatch.setenv("VISUAL", "true")
    told = typed("edit", path).err
    (draft,) = left_behind(str(path))
    assert f"an edit that was cut off is kept in {draft.path}" in told
    assert f"mocoop-groups edit {path} --resume takes it up" in told
    assert 'reworded "{} at night." to "{} by night."' in typed("edit", path, "--resume").err
    assert load_groups(path).groups[1].init == "{} by night."
    assert left_behind(str(path)) == []
    assert list((state_root() / "edits").iterdir()) == []


def test_what_an_editor_saves_as_its_terminal_closes_counts_before_the_file(typed, path, saving_editor, monkeypatch):
    saving_editor("--save")
    closed_at("SAVED", "edit", path, "--group", "night")
    monkeypatch.setenv("VISUAL", "true")
    deadline = time.monotonic() + 20
    while not [saved for saved in (state_root() / "edits").glob("*/*.save") if "moonlight" in saved.read_text()]:
        assert time.monotonic() < deadline  # the editor may end after us
        time.sleep(0.02)
    assert "--group night --resume takes it up" in typed("edit", path).err
    assert "by moonlight" in typed("edit", path, "--group", "night", "--resume").err
    assert load_groups(path).groups[1].init == "{} by moonlight."


@pytest.mark.skipif(shutil.which("vim") is None, reason="no vim here")
def test_vim_finds_what_was_never_saved(path, monkeypatch):
    from pseudo_terminal import Terminal

    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", "vim -u NONE -N")
    closed_at("{} after dark.", "edit", path, "--group", "night", keys=":%s/after/before/\r", then="before dark.")
    with Terminal("edit", path, "--group", "night", "--resume") as terminal:
        terminal.expect("(R)ecover")
        terminal.type("r")
        terminal.expect("ENTER")
        terminal.type("\r")
        terminal.expect("before dark.")
        terminal.type(":wq\r")
        assert terminal.ended() == 0
    assert load_groups(path).groups[1].texts == ("{} at night.", "{} before dark.")


def test_an_edit_that_changed_nothing_is_not_told(typed, path, monkeypatch, tmp_path):
    script = tmp_path / "idle.py"
    script.write_text("import sys; print('OPEN', flush=True); sys.stdin.readline()\n")
    monkeypatch.setenv("VISUAL", f"{sys.executable} {script}")
    closed_at("OPEN", "edit", path)
    monkeypatch.setenv("VISUAL", "true")
    assert typed("edit", path).err == f"{path}: nothing changed\n"
    assert list((state_root() / "edits").iterdir()) == []


def test_an_edit_that_is_open_elsewhere_is_left_alone(path, saving_editor):
    from pseudo_terminal import Terminal

    saving_editor()
    with Terminal("edit", path) as terminal:
        terminal.expect("SAVED")
        assert left_behind(str(path)) == []
        terminal.type("\n")
        assert terminal.ended() == 0


def test_a_half_typed_line_of_a_review_is_offered_at_the_next_start(path):
    from pseudo_terminal import Terminal

    before = path.read_bytes()
    with Terminal("review", path, "--lexical") as terminal:
        terminal.expect("quit > ")
        terminal.type("n")
        terminal.expect("takes it away): ")
        terminal.type("half a not")
        terminal.expect("half a not")
        time.sleep(0.5)  # what is typed is looked at ten times a second
        terminal.hang_up()
        assert terminal.process.wait(20) == -signal.SIGHUP
    assert path.read_bytes() == before
    with Terminal("review", path, "--lexical") as terminal:
        terminal.expect('"half a not" stood typed at "note (an empty line takes it away):" for "')
        terminal.expect("quit > ")
        terminal.type("n")
        terminal.expect("half a not")
        terminal.type("e\n")
        terminal.expect("quit > ")
        terminal.type("q")
        assert terminal.ended() == 0
    assert "half a note" in path.read_text()
    assert take_line(str(path)) is None


def test_a_damaged_line_is_no_line(path):
    from mocoop.grouping.editing.drafts import keep_line

    keep_line(str(path), Line("words:", "the {}.", "them"))
    (kept,) = (state_root() / "edits").iterdir()
    kept.write_text('{"prompt": 1, "about": "", "typed": ""}')
    assert take_line(str(path)) is None
    kept.write_text("[")
    assert take_line(str(path)) is None
