"""The undo journal: any changes taken back give the first bytes, and nothing that somebody else wrote is lost."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import stat
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mocoop import files
from mocoop.errors import StorageError, UsageError
from mocoop.grouping.editing import edit, inplace, journal
from mocoop.grouping.editing.inplace import history_of, open_groups, redo, undo
from mocoop.grouping.editing.journal import History, Journal, Step

# Not as the tools write it, so that an undo must give back these very bytes.
GROUPS = (
    b'{"schema_version": 1, "domain": "birds",\r\n'
    b'"groups": [{"id": "a", "templates": ["a photo of a {}.", "the {}."]}, {"id":"b","templates":["{} at night."]}]}'
)
CHANGES = [
    lambda d, n: edit.add(d, [f"{{}} number {n}."], d["groups"][n % len(d["groups"])]["id"]),
    lambda d, n: edit.add_group(d, [f"{{}} number {n}."], f"g{n}"),
    lambda d, n: edit.remove(d, ["photo"]),
    lambda d, n: edit.move(d, ["the {}."], d["groups"][n % len(d["groups"])]["id"]),
    lambda d, n: edit.rename(d, d["groups"][0]["id"], new_id=f"r{n}", title=f"Title {n}"),
    lambda d, n: edit.merge(d, [group["id"] for group in d["groups"][:2]], d["groups"][0]["id"]),
    lambda d, n: edit.lock(d, "night", bool(n % 2)),
    lambda d, n: edit.annotate(d, "night", f"note {n}"),
]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "groups.json"
    path.write_bytes(GROUPS)
    return path


def change(path, how, number):
    """Apply a change to the file; False if it is not possible or changes nothing."""
    opened = open_groups(path)
    try:
        document = how(opened.document, number)
    except UsageError:
        return False
    written = inplace.write_document(opened, document, command="change", told=f"change {number}")
    assert written.notice is None
    return path.read_bytes() != opened.data


def added(path, *names):
    for name in names:
        assert change(path, lambda document, name: edit.add(document, [f"{{}} {name}."], "a"), name)


@given(hows=st.lists(st.sampled_from(CHANGES), max_size=8))
@settings(max_examples=8)
def test_as_many_undos_as_changes_give_the_first_bytes_and_as_many_redos_the_last(tmp_path_factory, hows):
    path = tmp_path_factory.mktemp("undo") / "groups.json"
    path.write_bytes(GROUPS)
    states = [GROUPS]
    for number, how in enumerate(hows):
        if change(path, how, number):
            states.append(path.read_bytes())
    for state in states[-2::-1]:
        undo(path)
        assert path.read_bytes() == state
    with pytest.raises(UsageError, match="nothing to undo"):
        undo(path)
    for state in states[1:]:
        redo(path)
        assert path.read_bytes() == state
    if len(states) > 1:
        undo(path, len(states) - 1)
        assert path.read_bytes() == GROUPS


class AnySequence(RuleBasedStateMachine):
    """Changes, undos, redos and edits by hand in any order, beside a model that keeps all contents in a list."""

    @initialize()
    def begin(self):
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "groups.json"
        self.path.write_bytes(GROUPS)
        self.content, self.steps, self.done, self.number = GROUPS, [], 0, 0

    @rule(how=st.sampled_from(CHANGES))
    def change(self, how):
        self.number += 1
        if change(self.path, how, self.number):
            self.steps = [*self.steps[: self.done], (self.content, self.path.read_bytes())]
            self.done, self.content = len(self.steps), self.path.read_bytes()

    @rule()
    def by_hand(self):
        self.number += 1
        self.content = json.dumps({**json.loads(self.content), "x-hand": self.number}).encode()
        self.path.write_bytes(self.content)

    @precondition(lambda self: self.done)
    @rule()
    def undo(self):
        before, after = self.steps[self.done - 1]
        if after == self.content:
            undo(self.path)
            self.content, self.done = before, self.done - 1
        else:
            with pytest.raises(StorageError, match="changed by something else after"):
                undo(self.path)

    @precondition(lambda self: self.done < len(self.steps))
    @rule()
    def redo(self):
        before, after = self.steps[self.done]
        if before == self.content:
            redo(self.path)
            self.content, self.done = after, self.done + 1
        else:
            with pytest.raises(StorageError, match="changed by something else before"):
                redo(self.path)

    @invariant()
    def the_file_holds_what_the_model_holds(self):
        assert self.path.read_bytes() == self.content
        history, as_left = history_of(self.path)
        assert (len(history.steps), history.done) == (len(self.steps), self.done)
        assert as_left == bool(self.done and self.steps[self.done - 1][1] == self.content)
        assert os.listdir(self.folder) == ["groups.json"]

    def teardown(self):
        shutil.rmtree(self.folder)


TestAnySequence = AnySequence.TestCase
TestAnySequence.settings = settings(max_examples=8, stateful_step_count=10)


def test_a_new_change_ends_what_could_be_done_again(path):
    added(path, "one", "two")
    undo(path)
    added(path, "three")
    with pytest.raises(UsageError, match="nothing to redo"):
        redo(path)
    with pytest.raises(UsageError, match="only 2 of 3 steps can be undone"):
        undo(path, 3)
    undo(path, 2)
    assert path.read_bytes() == GROUPS


def test_a_moved_file_has_no_steps_and_another_in_its_place_keeps_its_bytes(path, tmp_path):
    added(path, "one")
    path.rename(tmp_path / "moved.json")
    with pytest.raises(UsageError, match="nothing to undo"):
        undo(tmp_path / "moved.json")
    path.write_bytes(GROUPS + b"\n")
    with pytest.raises(StorageError, match="changed by something else"):
        undo(path)
    assert path.read_bytes() == GROUPS + b"\n"


def test_an_old_file_put_back_by_hand_is_found_in_the_journal(path):
    added(path, "one")
    one = path.read_bytes()
    added(path, "two", "three")
    path.write_bytes(one)
    assert [step.told for step in undo(path).steps] == ["change one"]
    assert path.read_bytes() == GROUPS
    redo(path, 3)
    assert b"{} three." in path.read_bytes()


def test_what_a_file_held_is_written_whatever_it_holds_now(path):
    added(path, "one")
    path.write_bytes(b"by hand")
    assert inplace.earlier(path).data == GROUPS
    path.unlink()
    assert inplace.earlier(path).data == GROUPS


def test_a_link_has_the_steps_of_its_file(path, tmp_path):
    link = tmp_path / "link.json"
    link.symlink_to(path)
    added(link, "one")
    undo(path)
    assert link.is_symlink()
    assert path.read_bytes() == GROUPS


def test_the_journal_is_for_this_user_only(path):
    added(path, "one")
    assert stat.S_IMODE(Journal(path).folder.stat().st_mode) == 0o700


def test_steps_contents_and_journals_are_bounded(path, tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "MOST_STEPS", 3)
    added(path, *"bcdefg")
    assert [step.told for step in history_of(path)[0].steps] == ["change e", "change f", "change g"]
    assert len(list(Journal(path).folder.iterdir())) == 1 + 4
    monkeypatch.setattr(journal, "MOST_KEPT", 2 * path.stat().st_size + 50)
    added(path, "h")
    assert [step.told for step in history_of(path)[0].steps] == ["change h"]
    monkeypatch.setattr(journal, "MOST_FILES", 2)
    for number in range(3):
        (tmp_path / f"{number}.json").write_bytes(GROUPS)
        added(tmp_path / f"{number}.json", "x")
        os.utime(Journal(tmp_path / f"{number}.json").folder, (number, number))
    kept = [name for name in ("groups.json", "0.json", "1.json", "2.json") if Journal(tmp_path / name).folder.exists()]
    assert len(kept) == 2
    assert "2.json" in kept


@pytest.mark.parametrize("died", ["before the file", "after the file of an undo"])
def test_a_process_that_dies_between_file_and_journal_leaves_both_usable(path, died):
    added(path, "one", "two")
    two, kept = path.read_bytes(), (Journal(path).folder / "journal.json").read_bytes()
    undo(path)
    one = path.read_bytes()
    if died == "before the file":  # the step "two" stands in the journal as done, the file is as before
        (Journal(path).folder / "journal.json").write_bytes(kept)
    else:
        path.write_bytes(two)
    assert path.read_bytes() in (one, two)
    undo(path, 1 if died == "before the file" else 2)
    assert path.read_bytes() == GROUPS


def test_a_change_that_cannot_be_written_is_no_step(path, monkeypatch):
    added(path, "one")
    before, real = path.read_bytes(), files.atomic_write

    def full(target, data):
        if Path(target) == path:
            raise StorageError("no space")
        real(target, data)

    with monkeypatch.context() as patch:
        patch.setattr(files, "atomic_write", full)
        with pytest.raises(StorageError, match="no space"):
            added(path, "two")
    assert path.read_bytes() == before
    assert [step.told for step in history_of(path)[0].steps] == ["change one"]


def test_where_nothing_can_be_kept_the_change_is_made_and_that_is_said(path, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MOCOOP_STATE", str(tmp_path / "file"))
    opened = open_groups(path)
    written = inplace.write_document(opened, edit.add(opened.document, ["{} one."], "a"), command="add", told="one")
    assert written.notice.startswith("this change cannot be undone: cannot make ")
    assert path.read_bytes() == written.data
    with pytest.raises(UsageError, match="nothing to undo"):
        undo(path)
    assert inplace.put_back(written, GROUPS).data == path.read_bytes() == GROUPS


def test_a_review_takes_its_last_step_off_and_it_can_be_done_again(path):
    opened = open_groups(path)
    written = inplace.write_document(opened, edit.lock(opened.document, "a"), command="review", told="locked")
    inplace.put_back(written, GROUPS)
    assert history_of(path)[0].done == 0
    redo(path)
    assert path.read_bytes() == written.data


def test_damaged_journals_undo_nothing_and_are_begun_anew(path):
    added(path, "one")
    one, place = path.read_bytes(), Journal(path).folder
    (place / files.sha256_bytes(GROUPS)).write_bytes(b"other")
    with pytest.raises(StorageError, match="is damaged"):
        undo(path)
    for text in (
        "",
        "{}",
        "[]",
        '{"format": 1, "done": 2, "steps": []}',
        '{"format": 1, "done": 0, "steps": [{}]}',
        '{"format": 1, "done": true, "steps": 1}',
        '{"format": 1, "done": 0, "steps": [{"before": "../x"}]}',
    ):
        (place / "journal.json").write_text(text)
        with pytest.raises(StorageError):
            undo(path)
        assert path.read_bytes() == one
    added(path, "two")
    undo(path)
    assert path.read_bytes() == one


def test_a_history_settles_at_the_nearest_place_of_the_same_content():
    steps = tuple(Step("lock", "", "", a, b) for a, b in ("AB", "BA", "AB"))
    assert [History(steps, done).settled("A").done for done in range(4)] == [0, 0, 2, 2]
    assert [History(steps, done).settled("B").done for done in range(4)] == [1, 1, 1, 3]
    assert History(steps, 2).settled("C").done == 2


def _add_until_done(path, name, count):
    for number in range(count):
        while True:
            try:
                added(path, f"{name} {number}")
                break
            except StorageError:
                continue


@pytest.mark.skipif(os.name != "posix", reason="folders are locked on POSIX systems only")
def test_two_processes_at_once_keep_every_step(path):
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_add_until_done, args=(path, name, 5)) for name in "xy"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert len(history_of(path)[0].steps) == 10
    undo(path, 10)
    assert path.read_bytes() == GROUPS
