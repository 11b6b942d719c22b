"""The working copy behind the review page: operations, history, saving, what a crash leaves, what others change."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import subprocess
import sys

import pytest
from group_strategies import group_documents
from hypothesis import given, settings
from hypothesis import strategies as st

from mocoop.errors import GroupFileError, MoCoOpError, StorageError, UsageError
from mocoop.groupfile.groups import dump_groups, parse_groups
from mocoop.grouping.editing import edit, inplace
from mocoop.grouping.editing.lookup import group_of
from mocoop.grouping.editing.reviewed import seen
from mocoop.grouping.keep import SEEN, texts_of
from mocoop.grouping.web import view
from mocoop.grouping.web.kept import Kept
from mocoop.grouping.web.operations import apply, told
from mocoop.grouping.web.session import Session, Stale, news_of

DOCUMENT = {
    "schema_version": 1,
    "x-team": "birds",
    "domain": "birds",
    "groups": [
        {"id": "plain", "templates": ["a photo of a {}.", {"text": "the {}.", "note": "short"}]},
        {"id": "night", "title": "Night", "init": "{} at night.", "templates": ["{} after dark.", "{} at night."]},
        {"id": "fog", "templates": ["{} in thick fog.", "{} in mist."]},
    ],
    "excluded": [{"text": "a {} in rain.", "reason": "it never rains", "by": "person"}],
}
MOVE = {"operation": "move", "texts": ["{} in mist."], "to": "night"}
RENAME = {"operation": "rename", "group": "fog", "title": "Fog and mist"}
AT = "2023-11-14T22:13:20Z"
KEPT = "operations.jsonl"


@pytest.fixture(autouse=True)
def fixed_time(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")


@pytest.fixture
def path(written):
    return written("groups.json", json.dumps(DOCUMENT))  # not as the tool writes it


def begun(path):
    return Session.open(str(path), Kept(path))


def done(session, *operations):
    for operation in operations:
        session.do(operation, session.version)
    return session


def bare(document):
    """What is in a file beside its history and what a person has looked at."""
    groups = [{k: v for k, v in group.items() if k not in ("reviewed", SEEN)} for group in document["groups"]]
    return {**{k: v for k, v in document.items() if k != "provenance"}, "groups": groups}


def on_disk(path):
    return json.loads(path.read_bytes())


# ---- operations


EDITS = [
    (MOVE, lambda d: edit.move(d, ["{} in mist."], "night")),
    (
        {"operation": "move-to-new", "texts": ["{} in mist.", "the {}."], "new": "odd", "title": "Odd"},
        lambda d: edit.move_to_new(d, ["{} in mist.", "the {}."], "odd", "Odd"),
    ),
    ({"operation": "add", "texts": ["{} in snow."], "to": "fog"}, lambda d: edit.add(d, ["{} in snow."], "fog")),
    ({"operation": "add", "texts": ["a {} in rain."], "to": "fog"}, lambda d: edit.add(d, ["a {} in rain."], "fog")),
    (
        {"operation": "add-group", "texts": ["{} in snow."], "new": "snow", "title": None},
        lambda d: edit.add_group(d, ["{} in snow."], "snow"),
    ),
    ({"operation": "reword", "text": "the {}.", "to": "this {}."}, lambda d: edit.reword(d, "the {}.", "this {}.")),
    (
        {"operation": "exclude", "texts": ["the {}."], "reason": "too short"},
        lambda d: edit.remove(d, ["the {}."], "too short"),
    ),
    ({"operation": "exclude-group", "group": "fog"}, lambda d: edit.remove_group(d, "fog")),
    (
        {"operation": "merge", "groups": ["night", "fog"], "to": "night", "title": "Dim"},
        lambda d: edit.merge(d, ["night", "fog"], "night", "Dim"),
    ),
    (
        {"operation": "split", "group": "night", "texts": ["{} after dark."], "new": "dark"},
        lambda d: edit.split_off(d, "night", ["{} after dark."], "dark"),
    ),
    (
        {"operation": "split-into", "group": "fog", "parts": [["{} in thick fog."], ["{} in mist."]]},
        lambda d: edit.split_into(d, "fog", [["{} in thick fog."], ["{} in mist."]]),
    ),
    (
        {"operation": "rename", "group": "night", "id": "dusk", "title": "Dusk", "description": "late"},
        lambda d: edit.rename(d, "night", new_id="dusk", title="Dusk", description="late"),
    ),
    (
        {"operation": "set-init", "group": "night", "text": "{} after dark."},
        lambda d: edit.set_init(d, "night", "{} after dark."),
    ),
    ({"operation": "lock-group", "group": "fog"}, lambda d: edit.lock(d, "fog")),
    ({"operation": "lock", "texts": ["the {}."]}, lambda d: edit.lock(d, "the {}.")),
    (
        {"operation": "annotate", "text": "{} in mist.", "note": " thin "},
        lambda d: edit.annotate(d, "{} in mist.", "thin"),
    ),
    ({"operation": "annotate", "text": "the {}.", "note": ""}, lambda d: edit.annotate(d, "the {}.", None)),
    ({"operation": "review", "texts": ["the {}."]}, lambda d: d),
]


@pytest.mark.parametrize(
    ("operation", "same"), EDITS, ids=[f"{n}-{one['operation']}" for n, (one, _) in enumerate(EDITS)]
)
def test_each_operation_is_the_edit_of_the_command_line(operation, same):
    before = json.dumps(DOCUMENT)
    after = apply(DOCUMENT, operation)
    assert bare(after) == bare(same(DOCUMENT))
    assert json.dumps(DOCUMENT) == before
    parse_groups(dump_groups(after))
    assert told(DOCUMENT, after)


def test_what_a_person_puts_somewhere_is_reviewed_there_and_can_be_unreviewed():
    moved = apply(DOCUMENT, MOVE)
    assert seen(group_of(moved, "night")) == {"{} in mist."}
    whole = apply(moved, {"operation": "review", "texts": list(texts_of(group_of(moved, "night")))})
    assert group_of(whole, "night")["reviewed"] is True
    less = apply(whole, {"operation": "review", "texts": ["{} at night."], "on": False})
    assert seen(group_of(less, "night")) == {"{} after dark.", "{} in mist."}
    assert told(moved, whole) == "night is reviewed"


@pytest.mark.parametrize(
    "operation",
    [
        {},
        {"operation": "replace", "document": DOCUMENT},
        {"operation": ["move"]},
        {"operation": "move", "texts": "{} in mist.", "to": "night"},
        {"operation": "move", "texts": [], "to": "night"},
        {"operation": "move", "texts": ["{} in mist."]},
        {"operation": "move", "texts": ["mist"], "to": "night"},  # a part of a text names nothing here
        {"operation": "move", "texts": ["{} in mist.", "{} in thick fog."], "to": "night"},  # leaves an empty group
        {"operation": "move", "texts": ["{} in mist."], "to": "elsewhere"},
        {"operation": "add", "texts": ["no slot"], "to": "fog"},
        {"operation": "add", "texts": ["{} \ud800"], "to": "fog"},
        {"operation": "add", "texts": ["{} \u202e"], "to": "fog"},
        {"operation": "add", "texts": [f"{{}} {'w ' * 120}"], "to": "fog"},  # G024
        {"operation": "add", "texts": [f"a {n} {{}}." for n in range(200)], "to": "fog"},
        {"operation": "add", "texts": ["the {}."], "to": "fog"},
        {"operation": "reword", "text": "the {}.", "to": "{} in mist."},
        {"operation": "rename", "group": "fog", "title": "t" * 500},
        {"operation": "rename", "group": "fog", "id": "No id"},
        {"operation": "annotate", "text": "the {}.", "note": "n" * 100_000},
        {"operation": "split-into", "group": "fog", "parts": [["{} in mist."]]},
        {"operation": "split-into", "group": "fog", "parts": []},
        {"operation": "merge", "groups": ["fog"], "to": "fog"},
        {"operation": "set-init", "group": "fog", "text": "the {}."},
        {**MOVE, "on": 1},
        {**MOVE, "title": "\ud800"},  # not read by a move, yet it would be kept with it
        {**MOVE, "colour": "red"},
        {"operation": "lock", "texts": ["the {}."], "on": "\ud800"},
        {"operation": "lock", "texts": ["the {}."], "on": None},
    ],
    ids=ascii,
)
def test_what_is_not_possible_is_refused_in_words(operation):
    with pytest.raises(UsageError) as caught:
        apply(DOCUMENT, operation)
    assert caught.value.hint


def test_whoever_chose_nothing_is_told_that():
    with pytest.raises(UsageError, match="nothing is chosen"):
        apply(DOCUMENT, {"operation": "split", "group": "fog", "texts": [], "new": "mist", "title": "Mist"})


def test_a_file_is_never_made_larger_than_one_may_be():
    groups = [{"id": f"g{n}", "templates": [f"{n} {{}}.", f"{n} more {{}}."]} for n in range(64)]
    with pytest.raises(UsageError, match="64 groups"):
        apply({**DOCUMENT, "groups": groups}, {"operation": "move-to-new", "texts": ["3 {}."], "new": "one-more"})


@st.composite
def asked(draw):
    """A document and some operations on it, possible or not."""
    document = draw(group_documents())
    texts = [text for group in document["groups"] for text in texts_of(group)]
    ids = [group["id"] for group in document["groups"]]
    text, id_ = st.sampled_from(texts), st.sampled_from(ids)
    kinds = st.one_of(
        st.builds(lambda t, to: {"operation": "move", "texts": [t], "to": to}, text, id_),
        st.builds(lambda t: {"operation": "exclude", "texts": [t]}, text),
        st.builds(lambda t: {"operation": "move-to-new", "texts": [t], "new": "made"}, text),
        st.builds(lambda a, b: {"operation": "merge", "groups": [a, b], "to": a}, id_, id_),
        st.builds(lambda t, on: {"operation": "lock", "texts": [t], "on": on}, text, st.booleans()),
        st.builds(lambda g, on: {"operation": "lock-group", "group": g, "on": on}, id_, st.booleans()),
        st.builds(lambda t, on: {"operation": "review", "texts": [t], "on": on}, text, st.booleans()),
        st.builds(lambda t: {"operation": "reword", "text": t, "to": "a new {}."}, text),
        st.builds(lambda t, g: {"operation": "add", "texts": [t], "to": g}, text, id_),
    )
    return document, draw(st.lists(kinds, max_size=8))


@settings(max_examples=40)
@given(asked())
def test_any_operations_leave_a_valid_file_and_the_deltas_lead_to_it(given_):
    document, operations = given_
    shown = view.whole(document)
    for operation in operations:
        try:
            after = apply(document, operation)
        except UsageError:
            continue
        parse_groups(dump_groups(after))
        news = view.delta(document, after)
        kept = {id_: one for id_, one in shown["groups"].items() if id_ in news["order"]}
        shown = {**shown, **news, "whole": True, "groups": {**kept, **news["groups"]}}
        assert shown == view.whole(after)
        document = after


# ---- history and saving


def test_undo_and_redo_go_back_and_forth(path):
    session = done(begun(path), MOVE, RENAME)
    last = session.document
    session.undo(session.version)
    session.undo(session.version)
    assert session.document == DOCUMENT
    assert not session.unsaved
    assert news_of(session)["redo"].startswith('moved "{} in mist."')
    with pytest.raises(UsageError, match="nothing to undo"):
        session.undo(session.version)
    session.redo(session.version)
    session.redo(session.version)
    assert session.document == last
    with pytest.raises(UsageError, match="nothing to redo"):
        session.redo(session.version)
    session.undo(session.version)
    done(session, {"operation": "lock-group", "group": "plain"})
    with pytest.raises(UsageError, match="nothing to redo"):
        session.redo(session.version)


def test_an_operation_that_changes_nothing_is_no_step(path):
    session = done(begun(path), {"operation": "rename", "group": "night", "title": "Night"})
    assert (session.version, news_of(session)["undo"]) == (1, None)


def test_what_another_tab_outdated_is_refused_and_nothing_is_done(path):
    session = done(begun(path), MOVE)
    before = session.document
    for act in (
        lambda: session.do(RENAME, 1),
        lambda: session.undo(1),
        lambda: session.redo(1),
        lambda: session.save(1),
        lambda: session.settle("mine", 1),
    ):
        with pytest.raises(Stale, match="another tab"):
            act()
    assert session.document is before
    assert on_disk(path) == DOCUMENT


def test_save_writes_what_the_commands_write_and_undo_takes_it_back(path, typed):
    given_ = path.read_bytes()
    session = done(begun(path), MOVE, RENAME)
    saved = session.save(session.version)
    assert path.read_bytes() == saved.data == dump_groups(saved.document)
    (step,) = on_disk(path)["provenance"]["steps"]
    assert (step["step"], step["at"]) == ("review", AT)
    assert step["change"] == 'moved "{} in mist." from fog to night; title of fog: none -> "Fog and mist"'
    assert not session.unsaved
    assert not list(session.kept.folder.glob("*"))
    with pytest.raises(UsageError, match="nothing to save"):
        session.save(session.version)
    assert typed("undo", path).code == 0
    assert path.read_bytes() == given_


def test_save_gives_the_bytes_that_the_same_change_gives_on_the_command_line(path, typed, written):
    other = written("other.json", path.read_bytes())
    assert typed("rename", other, "fog", "--title", "Fog and mist").code == 0
    session = done(begun(path), RENAME)
    session.save(session.version)
    assert path.read_bytes() == other.read_bytes().replace(b'"step": "rename"', b'"step": "review"')


def test_the_provenance_only_grows_also_over_an_undo_past_a_save(path):
    session = done(begun(path), MOVE)
    session.save(session.version)
    session.undo(session.version)
    assert session.unsaved
    session.save(session.version)
    assert [one["step"] for one in on_disk(path)["provenance"]["steps"]] == ["review", "review"]
    assert bare(on_disk(path)) == bare(DOCUMENT)
    session.redo(session.version)
    done(session, RENAME)
    assert begun(path).document["groups"] == session.document["groups"]  # what is kept leads there as well


def test_an_invalid_document_is_not_written(path):
    document = {**DOCUMENT, "groups": [*DOCUMENT["groups"], {"id": "fog", "templates": ["{} twice."]}]}
    session = begun(path)
    session.states.append(type(session.states[0])(document, "by a bug"))
    session.place = 1
    with pytest.raises(GroupFileError, match="G102"):
        session.save(session.version)
    assert on_disk(path) == DOCUMENT


# ---- what a crash leaves


def test_unsaved_work_is_taken_up_with_its_history(path):
    session = done(begun(path), MOVE, RENAME, {"operation": "lock-group", "group": "plain"})
    session.undo(session.version)
    again = begun(path)
    assert again.document == session.document
    assert again.notes == ["2 unsaved changes of last time are taken up"]
    assert again.unsaved
    again.redo(again.version)
    assert group_of(again.document, "plain")["locked"]
    again.undo(again.version)
    again.undo(again.version)
    assert group_of(again.document, "fog").get("title") is None
    again.save(again.version)
    assert begun(path).notes == []


def test_a_line_that_was_cut_off_is_no_line_and_what_comes_after_it_is_whole(path):
    session = done(begun(path), MOVE, RENAME)
    lines = session.kept.folder / KEPT
    lines.write_bytes(lines.read_bytes()[:-7])
    again = begun(path)
    assert again.notes == ["1 unsaved change of last time is taken up"]
    done(again, {"operation": "lock-group", "group": "plain"})
    assert begun(path).document == again.document


def test_work_that_was_undone_again_leaves_nothing(path):
    session = done(begun(path), MOVE)
    session.undo(session.version)
    assert begun(path).notes == []
    session = done(begun(path), MOVE)
    session.undo(session.version)
    session.close()
    assert not list(session.kept.folder.glob("*"))


@pytest.mark.parametrize("broken", [b"", b"{}\n", b'{"format": 99}\n', b"nothing\n", b"[1]\n"])
def test_what_cannot_be_taken_up_is_put_aside_and_told(path, broken):
    session = done(begun(path), MOVE)
    (session.kept.folder / KEPT).write_bytes(broken)
    again = begun(path)
    assert "could not all be taken up" in again.notes[0]
    assert not again.unsaved
    assert begun(path).notes == []


def test_an_operation_that_this_version_cannot_repeat_ends_what_is_taken_up(path):
    session = done(begun(path), MOVE)
    with open(session.kept.folder / KEPT, "ab") as file:
        file.write(b'{"do": {"operation": "of a later version"}}\n{"go": -1}\n')
    again = begun(path)
    assert bare(again.document) == bare(session.document)
    assert "could not all be taken up" in again.notes[0]
    assert begun(path).document == again.document


def test_where_nothing_can_be_kept_the_page_says_so(path, monkeypatch):
    blocked = path.parent / "a file"
    blocked.write_text("no folder")
    monkeypatch.setenv("MOCOOP_STATE", str(blocked))
    session = done(begun(path), MOVE)
    assert "not kept in case of a crash" in news_of(session)["unkept"]
    session.save(session.version)  # the file itself can be written
    assert texts_of(group_of(on_disk(path), "night"))[-1] == "{} in mist."


@contextlib.contextmanager
def full_disk(room):
    """No file may grow beyond `room` bytes for a while."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("first", [True, False])
def test_after_a_full_disk_everything_is_kept_again(path, first):
    session = begun(path)
    if not first:
        done(session, RENAME)
    with full_disk(10 if first else (session.kept.folder / KEPT).stat().st_size + 5):
        done(session, MOVE)
        assert "not kept in case of a crash" in news_of(session)["unkept"]
    done(session, {"operation": "lock-group", "group": "plain"}, {"operation": "lock-group", "group": "night"})
    session.undo(session.version)
    assert news_of(session)["unkept"] is None
    assert begun(path).document == session.document


def test_what_could_not_be_kept_is_kept_at_the_end_if_it_can_be(path):
    session = begun(path)
    with full_disk(10):
        done(session, MOVE)
    session.close()
    assert session.unkept is None
    assert begun(path).document == session.document


def test_what_is_kept_is_made_anew_if_somebody_removes_it(path):
    session = done(begun(path), RENAME)
    (session.kept.folder / KEPT).unlink()
    done(session, MOVE)
    assert news_of(session)["unkept"] is None
    assert begun(path).document == session.document
    shutil.rmtree(session.kept.folder)
    done(session, {"operation": "lock-group", "group": "plain"})
    assert begun(path).document == session.document


@pytest.mark.parametrize("place", [1, 2])
def test_a_kill_while_saving_leaves_the_old_file_or_the_new_one_and_the_work(path, place):
    code = (
        "import sys; from mocoop.grouping.web.session import Session; from mocoop.grouping.web.kept import Kept\n"
        "s = Session.open(sys.argv[1], Kept(sys.argv[1]))\n"
        f"s.do({MOVE!r}, s.version); s.save(s.version)"
    )
    killed = {**os.environ, "MOCOOP_SIGNAL_AT": f"SIGKILL:review-save:{place}"}
    process = subprocess.run([sys.executable, "-c", code, str(path)], env=killed, check=False)
    assert process.returncode == -9
    again = begun(path)
    assert texts_of(group_of(again.document, "night"))[-1] == "{} in mist."
    assert (on_disk(path) == DOCUMENT, again.unsaved) == ((True, True) if place == 1 else (False, False))
    assert bool(again.notes) == (place == 1)


@pytest.mark.parametrize("choice", ["taken up", "mine", "both"])
def test_a_kill_while_what_is_kept_is_written_anew_loses_none_of_it(path, choice):
    session = done(begun(path), MOVE)
    mine = session.document
    if choice != "taken up":
        changed_by_another(path)
    code = (
        "import sys; from mocoop.grouping.web.session import Session; from mocoop.grouping.web.kept import Kept\n"
        "s = Session.open(sys.argv[1], Kept(sys.argv[1])); s.settle(sys.argv[2], s.version)"
    )
    killed = {**os.environ, "MOCOOP_SIGNAL_AT": "SIGKILL:review-keep:1"}
    process = subprocess.run([sys.executable, "-c", code, str(path), choice], env=killed, check=False)
    assert process.returncode == -9
    again = begun(path)
    assert again.document == mine
    assert (again.disk is not None) == (choice != "taken up")


def test_one_page_of_a_file_at_a_time(path):
    with Kept(path).alone(), pytest.raises(UsageError, match="open already"), Kept(path).alone():
        pass
    with Kept(path).alone():
        pass
    assert not Kept(path).folder.exists()


ACTIONS = st.one_of(
    st.sampled_from(["undo", "redo", "save", "restart", "theirs", "mine", "both", "another"]),
    st.sampled_from([one for one, _ in EDITS]),
)


def after_a_crash(path):
    """The document that a new page would find now; what is kept is as it was after that."""
    folder, aside = Kept(path).folder, path.parent / "aside"
    if folder.exists():
        shutil.copytree(folder, aside)
    found = begun(path).document
    shutil.rmtree(folder, ignore_errors=True)
    if aside.exists():
        shutil.move(aside, folder)
    return found


@settings(max_examples=15)
@given(st.lists(ACTIONS, max_size=12))
def test_whatever_is_done_a_restart_finds_it_and_only_a_save_writes(tmp_path_factory, actions):
    path = tmp_path_factory.mktemp("any") / "groups.json"
    path.write_text(json.dumps(DOCUMENT))
    session, times = begun(path), 0
    for action in actions:
        before, held = path.read_bytes(), session.document
        try:
            if isinstance(action, dict):
                session.do(action, session.version)
            elif action in ("undo", "redo"):
                getattr(session, action)(session.version)
            elif action == "save":
                session.save(session.version)
                assert bare(on_disk(path)) == bare(held)
            elif action == "restart":
                session.close()
                session = begun(path)
                assert bare(session.document) == bare(held)
            elif action == "another":
                times += 1
                theirs = {**on_disk(path), "x-times": times}
                changed_by_another(path, theirs)
                session.look()
                assert session.disk is not None or bare(session.document) == bare(theirs)
                continue
            else:
                session.settle(action, session.version)
        except UsageError:
            pass
        if action != "save":
            assert path.read_bytes() == before
        if session.disk is None:
            assert bare(after_a_crash(path)) == bare(session.document), action
    assert session.unkept is None


# ---- what else changes the file

THEIRS = {**DOCUMENT, "groups": [*DOCUMENT["groups"][:2], {**DOCUMENT["groups"][2], "title": "Haze"}]}


def changed_by_another(path, document=THEIRS):
    os.utime(path, ns=(1, 1))
    path.write_bytes(dump_groups(document))


def test_without_unsaved_work_the_new_file_is_taken(path):
    session = begun(path)
    changed_by_another(path)
    session.look()
    assert session.document == THEIRS
    assert session.disk is None
    assert session.notes == ["the file was changed by something else; this is what it holds now"]
    assert not session.unsaved


def test_with_unsaved_work_nothing_is_overwritten_and_both_are_told(path):
    session = done(begun(path), MOVE)
    changed_by_another(path)
    session.look()
    assert news_of(session)["disk"] == {
        "kind": "changed",
        "message": "the file was changed by something else",
        "can_join": True,
    }
    assert [one.sentence() for one in session.changes_on_disk()] == ['title of fog: none -> "Haze"']
    assert session.changes()[0].sentence() == 'moved "{} in mist." from fog to night'
    with pytest.raises(UsageError, match="nothing was written"):
        session.save(session.version)
    assert on_disk(path) == THEIRS


def test_a_write_in_the_very_moment_of_the_save_is_seen(path, monkeypatch):
    session = done(begun(path), MOVE)
    write = inplace.write_bytes

    def late(*arguments, **options):
        changed_by_another(path)
        return write(*arguments, **options)

    monkeypatch.setattr("mocoop.grouping.web.session.write_bytes", late)
    with pytest.raises(StorageError, match="nothing was written"):
        session.save(session.version)
    assert on_disk(path) == THEIRS
    assert session.disk.kind == "changed"


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("choice", ["theirs", "mine", "both"])
def test_the_person_chooses_and_can_choose_again(path, choice, restart):
    session = done(begun(path), MOVE)
    mine = session.document
    changed_by_another(path)
    if restart:  # the file was changed while no page was open
        session = begun(path)
        assert session.disk.kind == "changed"
    session.settle(choice, (session.look(), session.version)[1])
    both = apply(THEIRS, MOVE)
    assert session.document == {"theirs": THEIRS, "mine": mine, "both": both}[choice]
    assert begun(path).document == session.document
    (session.redo if choice == "theirs" else session.undo)(session.version)
    assert session.document == (mine if choice == "theirs" else THEIRS)
    (session.undo if choice == "theirs" else session.redo)(session.version)
    if choice != "theirs":
        session.save(session.version)
        assert bare(on_disk(path)) == bare({"mine": mine, "both": both}[choice])


def test_what_cannot_be_done_once_more_is_told(path):
    session = done(begun(path), MOVE, RENAME)
    changed_by_another(path, apply(DOCUMENT, {"operation": "exclude", "texts": ["{} in mist."]}))
    session.look()
    session.settle("both", session.version)
    assert group_of(session.document, "fog")["title"] == "Fog and mist"
    assert session.notes[-1].startswith('not done on the changed file: moved "{} in mist." from fog to night')


def test_nothing_to_choose_is_told(path):
    session = done(begun(path), MOVE)
    with pytest.raises(UsageError, match="as it was read"):
        session.settle("mine", session.version)


@pytest.mark.parametrize("content", [None, b"{", b"[]"])
def test_a_file_that_is_gone_or_invalid_is_written_over_only_if_the_person_says_so(path, content):
    session = done(begun(path), MOVE)
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    session.look()
    assert session.disk.kind == ("gone" if content is None else "invalid")
    for act in (session.save, lambda version: session.settle("theirs", version)):
        with pytest.raises(UsageError):
            act(session.version)
    assert (path.read_bytes() if content else path.exists()) == (content or False)
    session.settle("mine", session.version)
    session.look()
    assert session.disk is None
    session.save(session.version)
    assert texts_of(group_of(on_disk(path), "night"))[-1] == "{} in mist."
    assert not session.unsaved
    assert begun(path).notes == []


def test_the_version_of_a_lost_file_is_unsaved_until_it_is_written(path):
    session = begun(path)
    path.unlink()
    session.look()
    session.settle("mine", session.version)
    assert session.unsaved
    session.close()
    again = begun(path)
    assert (again.disk.kind, bare(again.document)) == ("gone", bare(DOCUMENT))
    again.settle("mine", again.version)
    again.save(again.version)
    assert bare(on_disk(path)) == bare(DOCUMENT)
    assert not again.unsaved


def test_unsaved_work_on_a_file_that_is_gone_by_the_next_start_is_taken_up(path):
    done(begun(path), MOVE, RENAME)
    path.unlink()
    again = begun(path)
    again.undo(again.version)
    again.settle("mine", again.version)
    again.save(again.version)
    assert texts_of(group_of(on_disk(path), "night"))[-1] == "{} in mist."
    path.unlink()
    with pytest.raises(GroupFileError, match="No such file"):  # nothing is unsaved
        begun(path)


def test_a_lost_file_that_comes_back_is_not_written_over(path):
    session, data = begun(path), path.read_bytes()
    path.unlink()
    session.look()
    session.settle("mine", session.version)
    path.write_bytes(data)
    version = session.version
    session.look()
    assert (session.unsaved, session.disk) == (False, None)
    assert session.version > version  # which the page hears


def test_a_file_that_comes_back_as_it_was_is_no_conflict(path):
    session = done(begun(path), MOVE)
    given_ = path.read_bytes()
    path.unlink()
    session.look()
    assert session.disk is not None
    path.write_bytes(given_)
    session.look()
    assert session.disk is None
    session.save(session.version)


def test_an_invalid_file_is_refused_as_by_every_command(written):
    bad = written("bad.json", b'{"schema_version": 1, "domain": "birds", "groups": []}')
    with pytest.raises(MoCoOpError):
        begun(bad)
