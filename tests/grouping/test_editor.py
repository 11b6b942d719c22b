"""Editing a file in one's own editor: which one, at which line, and that nothing typed is ever lost."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import sys

import pytest

from mocoop.errors import GroupFileError, StorageError, UsageError
from mocoop.groupfile.groups import dump_groups, load_groups
from mocoop.grouping.editing.editor import at_line, find_editor
from mocoop.grouping.editing.grouplines import lines_of, with_lines
from mocoop.grouping.editing.lookup import group_of

DOCUMENT = {
    "schema_version": 1,
    "domain": "birds",
    "x-team": "birds",
    "groups": [
        {"id": "plain", "templates": ["a photo of a {}.", {"text": "the {}.", "note": "short"}]},
        {"id": "night", "title": "Night", "init": "{} at night.", "templates": ["{} after dark.", "{} at night."]},
    ],
}

# An editor that does one step of its plan each time it is started, and writes down how it was called.
SCRIPT = """
import json, pathlib, sys
plan, log = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
steps = json.loads(plan.read_text())
step = steps.pop(0)
plan.write_text(json.dumps(steps))
path = pathlib.Path(sys.argv[-1])
log.write_text(log.read_text() + json.dumps([*sys.argv[3:-1], path.name, oct(path.parent.stat().st_mode)[-3:]]) + "\\n")
text = path.read_text()
for old, new in step.get("change", []):
    assert old in text, (old, text)
    text = text.replace(old, new)
path.write_text(step.get("text", text))
for name in step.get("also", []):
    pathlib.Path(name).write_text("changed meanwhile")
sys.exit(step.get("code", 0))
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "groups.json"
    path.write_bytes(dump_groups(DOCUMENT))
    return path


@pytest.fixture
def editor(tmp_path, monkeypatch):
    """`editor(step, step, ...)` puts an editor with this plan in $EDITOR; gives the log of its calls."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "script.py").write_text(SCRIPT)
    vim = folder / "vim"
    plan, log = folder / "plan.json", folder / "log"
    vim.write_text(f'#!/bin/sh\nexec {sys.executable} {folder}/script.py {plan} {log} "$@"\n')
    vim.chmod(0o755)
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", str(vim))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")

    def with_plan(*steps):
        plan.write_text(json.dumps(steps))
        log.write_text("")
        return lambda: [json.loads(line) for line in log.read_text().splitlines()]

    return with_plan


def change(*pairs, **others):
    return {"change": list(pairs), **others}


# ---- which editor


def test_visual_comes_before_editor_and_both_may_have_arguments(monkeypatch):
    monkeypatch.setenv("EDITOR", "ed -s")
    monkeypatch.delenv("VISUAL", raising=False)
    assert find_editor(terminal=False) == ["ed", "-s"]
    monkeypatch.setenv("VISUAL", "'/opt/my editor/code' --wait")
    assert find_editor(terminal=True) == ["/opt/my editor/code", "--wait"]
    monkeypatch.setenv("VISUAL", "'unfinished")
    with pytest.raises(UsageError, match="VISUAL cannot be read"):
        find_editor(terminal=True)


def test_an_installed_editor_is_found_for_a_terminal_only(monkeypatch, tmp_path):
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", " ")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="no editor was found"):
        find_editor(terminal=True)
    (tmp_path / "vi").write_text("#!/bin/sh\n")
    (tmp_path / "vi").chmod(0o755)
    assert find_editor(terminal=True) == ["vi"]
    with pytest.raises(UsageError, match=r"no terminal.*VISUAL"):
        find_editor(terminal=False)


@pytest.mark.parametrize(
    ("editor", "command"),
    [
        (["vim"], ["vim", "+7", "f"]),
        (["/usr/bin/nano", "-w"], ["/usr/bin/nano", "-w", "+7", "f"]),
        (["emacs", "-nw"], ["emacs", "-nw", "+7", "f"]),
        (["code"], ["code", "--wait", "--goto", "f:7"]),
        (["code", "-w"], ["code", "-w", "--goto", "f:7"]),
        (["subl"], ["subl", "--wait", "f:7"]),
        (["gvim"], ["gvim", "--nofork", "+7", "f"]),
        (["hx"], ["hx", "f:7"]),
        (["ed"], ["ed", "f"]),
    ],
)
def test_each_editor_is_told_the_line_in_its_way(editor, command):
    assert at_line(editor, "f", 7) == command
    assert at_line(["vim"], "f", 1) == ["vim", "f"]


# ---- the whole file


def test_an_edit_is_written_noted_and_told(typed, path, editor):
    calls = editor(change(("at night.", "by night.")))
    path.chmod(0o640)
    done = typed("edit", path)
    assert (done.code, done.err) == (0, f'{path}: reworded "{{}} at night." to "{{}} by night." in night\n')
    assert load_groups(path).groups[1].init == "{} by night."
    steps = load_groups(path).document["provenance"]["steps"]
    assert [step["step"] for step in steps] == ["edit"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert calls() == [["groups.json", "700"]]  # by its own name, where nobody else can read it


def test_an_unchanged_text_and_a_change_of_layout_are_no_edits(typed, path, editor):
    before = path.read_bytes()
    editor(change())
    assert typed("edit", path).err == f"{path}: nothing changed\n"
    assert path.read_bytes() == before
    editor(change(('"domain"', '    "domain"')))
    assert typed("edit", path).err == f"{path}: only the layout changed\n"
    assert path.read_bytes() == before.replace(b'"domain"', b'    "domain"')


def test_a_template_taken_out_in_the_editor_does_not_come_back(typed, path, editor):
    editor(change(('"{} after dark.",\n', "")))
    assert typed("edit", path).code == 0
    assert load_groups(path).document["excluded"] == [{"text": "{} after dark.", "by": "person"}]


def test_without_a_terminal_a_wrong_edit_is_kept_and_taken_up_again(typed, path, editor):
    before = path.read_bytes()
    calls = editor(change(("at night.", "at {}.")), change(("at {}.", "by night.")))
    done = typed("edit", path)
    assert done.code == 3
    assert "G030" in done.err
    assert f"your edit is kept in {path}.rej; --resume takes it up" in done.err
    assert path.read_bytes() == before
    assert len(calls()) == 1
    done = typed("edit", path, "--resume")
    assert done.code == 0
    assert load_groups(path).groups[1].init == "{} by night."
    assert not os.path.exists(f"{path}.rej")
    assert calls()[1][0].startswith("+")  # at the line of what was wrong


def test_a_kept_edit_is_never_overwritten(typed, path, editor):
    editor(change(("{} at", "one")), change(("{} at", "two")), change())
    typed("edit", path)
    done = typed("edit", path)
    assert "an edit that was refused is kept" in done.err
    assert '"one night."' in path.with_name("groups.json.rej.1").read_text()
    assert '"two night."' in path.with_name("groups.json.rej").read_text()
    assert typed("edit", path, "--resume").code == 3
    assert not path.with_name("groups.json.rej.2").exists()


def test_what_another_wrote_while_the_editor_was_open_stays(typed, path, editor):
    editor(change(("at night.", "by night."), also=[str(path)]))
    done = typed("edit", path)
    assert (done.code, "changed by someone else" in done.err) == (6, True)
    assert path.read_text() == "changed meanwhile"
    assert "by night." in path.with_name("groups.json.rej").read_text()


def test_an_editor_that_fails_or_is_absent(typed, path, editor, monkeypatch):
    before = path.read_bytes()
    editor(change(("at night.", "by night."), code=1), change(code=1))
    done = typed("edit", path)
    assert (done.code, "ended with code 1" in done.err) == (2, True)
    assert path.with_name("groups.json.rej").exists()
    path.with_name("groups.json.rej").unlink()
    assert typed("edit", path).code == 2
    assert not path.with_name("groups.json.rej").exists()
    monkeypatch.setenv("EDITOR", "/nowhere/editor")
    assert "cannot be started" in typed("edit", path).err
    assert path.read_bytes() == before


def test_a_file_that_is_wrong_already_can_be_mended(typed, path, editor):
    path.write_text(path.read_text().replace("{} at night.", "at night."))
    calls = editor(change(("at night.", "{} at night.")))
    done = typed("edit", path)
    assert (done.code, done.err.splitlines()[-1]) == (0, f"{path}: mended")
    assert "G030" in done.err
    assert calls()[0][0].startswith("+")
    path.write_text("{")
    editor(change())
    assert typed("edit", path).code == 3


def test_stdin_cannot_be_edited_and_nothing_can_be_resumed(typed, path):
    assert typed("edit", "-").code == 2
    assert "no kept edit" in typed("edit", path, "--resume").err


def test_where_the_folder_cannot_be_written_the_edit_is_kept_elsewhere(path, tmp_path, monkeypatch):
    module = sys.modules["mocoop.grouping.commands.edit"]

    def full(*_):
        raise StorageError("no space")

    monkeypatch.setattr(module.files, "atomic_write", full)
    kept = module._keep(path.with_name("groups.json.rej"), b"typed", False)
    assert kept.parent != tmp_path
    assert kept.read_bytes() == b"typed"
    kept.unlink()


# ---- one group as lines


def lines(document=DOCUMENT, group_id="night"):
    return lines_of(group_of(document, group_id)).decode()


def test_lines_show_the_templates_with_a_star():
    shown = [line for line in lines().splitlines() if not line.startswith("#")]
    assert shown == ["  {} after dark.", "* {} at night."]
    assert lines().startswith("# Group night: Night\n")


def test_lines_read_back_are_the_document():
    for group_id in ("plain", "night"):
        assert with_lines(DOCUMENT, group_id, lines(group_id=group_id).encode(), "x") == DOCUMENT


def test_templates_that_look_like_marks_pass_unchanged():
    odd = ["* {}", "# {}", "  {} x", "{} y  ", "*{}"]
    document = {**DOCUMENT, "groups": [{"id": "odd", "templates": odd}]}
    assert with_lines(document, "odd", lines(document, "odd").encode(), "x") == document


def test_lines_add_remove_reword_order_and_star():
    text = "*{} by moonlight.\n\n   a photo of a {} after dark.  \n# not read\n  {} at nite.\r\n"
    document = with_lines(DOCUMENT, "night", text.encode(), "x")
    night = group_of(document, "night")
    assert night["templates"] == ["{} by moonlight.", "a photo of a {} after dark.", "{} at nite."]
    assert night["init"] == "{} by moonlight."
    assert [entry["text"] for entry in document["excluded"]] == ["{} after dark."]  # at nite is a rewording


def test_a_reworded_line_keeps_its_notes():
    document = with_lines(DOCUMENT, "plain", b"* a photo of a {}.\n  thee {}.\n", "x")
    assert group_of(document, "plain")["templates"][1] == {"text": "thee {}.", "note": "short"}


def test_every_wrong_line_is_told_by_its_number():
    text = "# x\n* no slot\n* {} fine.\nthe {}.\n  {} fine.\n"
    with pytest.raises(GroupFileError) as caught:
        with_lines(DOCUMENT, "night", text.encode(), "night")
    told = [(finding.line, finding.code) for finding in caught.value.findings]
    assert told == [(2, "G030"), (3, "G101"), (4, "G103"), (5, "G103")]
    assert "already in the group plain" in str(caught.value)
    with pytest.raises(GroupFileError, match="no template is left"):
        with_lines(DOCUMENT, "night", b"# nothing\n", "night")
    with pytest.raises(GroupFileError, match="night:2:1: G003"):
        with_lines(DOCUMENT, "night", b"* {} a\n\xff {}", "night")


def test_one_group_is_edited_as_lines(typed, path, editor):
    calls = editor(change(("  {} after dark.", "  {} at dusk.\n  {} after dark.")))
    done = typed("edit", path, "--group", "night")
    assert (done.code, done.err) == (0, f'{path}: added "{{}} at dusk." to night\n')
    assert load_groups(path).groups[1].texts == ("{} at dusk.", "{} after dark.", "{} at night.")
    assert calls()[0][-2] == "night.txt"


def test_wrong_lines_are_kept_apart_from_the_files_own(typed, path, editor):
    editor(change(("{} at night.", "at night.")))
    done = typed("edit", path, "--group", "night")
    assert (done.code, "night:6:1: G030" in done.err) == (3, True)
    assert path.with_name("groups.json.night.rej").exists()


def test_comments_alone_change_nothing_and_a_locked_group_is_not_opened(typed, path, editor):
    before = path.read_bytes()
    calls = editor(change(("# Group", "# The group")))
    assert typed("edit", path, "--group", "night").err == f"{path}: nothing changed\n"
    assert path.read_bytes() == before
    typed("lock", path, "night")
    assert typed("edit", path, "--group", "night").code == 2
    assert len(calls()) == 1


# ---- at a terminal

pty = pytest.importorskip("pty")


def test_at_a_terminal_the_editor_is_reopened_at_the_line_until_the_file_is_right(path, editor):
    from pseudo_terminal import Terminal

    calls = editor(change(("at night.", "at {}.")), change(("at {}.", "by night.")))
    with Terminal("edit", path) as terminal:
        terminal.expect("G030")
        terminal.expect("(r)eopen the editor there, or (q)uit")
        terminal.type("x\n")
        terminal.expect("(r)eopen the editor there, or (q)uit")
        terminal.type("r\n")
        assert terminal.ended() == 0
        assert 'reworded "{} at night." to "{} by night." in night' in terminal.shown
    (line, *_) = calls()[1]
    assert "by night." in path.read_text().splitlines()[int(line.removeprefix("+")) - 1]


def test_at_a_terminal_giving_up_keeps_the_edit(path, editor):
    from pseudo_terminal import Terminal

    before = path.read_bytes()
    for answer in ("q\n", "\x03", "\x04"):
        editor(change(("at night.", f"at {{}} {len(answer)}.")))
        with Terminal("edit", path) as terminal:
            terminal.expect("(q)uit")
            terminal.insist(answer)
            assert terminal.ended() == (130 if answer == "\x03" else 3)
        assert path.read_bytes() == before
        path.with_name("groups.json.rej").unlink()


def test_ctrl_c_in_the_editor_is_the_editors(path, tmp_path, monkeypatch):
    from pseudo_terminal import Terminal

    script = tmp_path / "slow.py"
    script.write_text(
        "import signal, sys, time, pathlib\n"
        "signal.signal(signal.SIGINT, lambda *_: print('HELD', flush=True))\n"
        "print('OPEN', flush=True); sys.stdin.readline()\n"
        "p = pathlib.Path(sys.argv[-1]); p.write_text(p.read_text().replace('at night.', 'by night.'))\n"
    )
    monkeypatch.setenv("VISUAL", f"{sys.executable} {script}")
    assert signal.getsignal(signal.SIGINT) is not None
    with Terminal("edit", path) as terminal:
        terminal.expect("OPEN")
        terminal.type("\x03")
        terminal.expect("HELD")
        terminal.type("\n")
        assert terminal.ended() == 0
    assert load_groups(path).groups[1].init == "{} by night."


@pytest.mark.skipif(shutil.which("vi") is None, reason="no vi here")
def test_a_person_mends_a_wrong_edit_in_vi(path, monkeypatch):
    from pseudo_terminal import Terminal

    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", "vi -n -u NONE -N")
    with Terminal("edit", path, "--group", "night") as terminal:
        terminal.expect("{} after dark.")
        terminal.type(":%s/{} after/before/\r:wq\r")
        terminal.expect("night:5:1: G030")
        terminal.expect("(q)uit and keep the edit aside?")
        terminal.type("r\n")
        terminal.expect("before dark.")
        terminal.type("I{} \x1b:wq\r")  # the cursor is on the line that was wrong
        assert terminal.ended() == 0
    assert load_groups(path).groups[1].texts == ("{} before dark.", "{} at night.")
