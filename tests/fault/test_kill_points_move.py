"""A change of a group file, or its undo, may die before any file operation: the file is whole, what was done undone."""

from __future__ import annotations

import pytest
from dying import DEAD, FAILED, FINISHED, at_each, files_below, live, some

import mocoop.grouping.editing.byhand  # commands import late: once here, not in each process
import mocoop.grouping.editing.diff
import mocoop.grouping.editing.edit
import mocoop.grouping.editing.inplace  # noqa: F401
from mocoop.groupfile.groups import load_groups
from mocoop.grouping.commands import groups

GROUPS = (
    b'{"schema_version": 1, "domain": "birds",\n'
    b'"groups": [{"id": "plain", "templates": ["a photo of a {}.", "the  {}."]},\n'
    b'{"id": "night", "templates": ["{} at night.", "{} after dark."]}, {"id": "fog", "templates": ["{} in fog."]}]}'
)
LOCK = ("lock", "night")  # the step before the one that dies
MOVE = ("move", "the  {}.", "--to", "fog")
DONE = {True: {"move": 2, "undo": 1, "redo": 2}, False: {"move": 1, "undo": 2, "redo": 1}}  # steps in the file then
UNDO, REDO = ("undo",), ("redo",)
COMMANDS = {"move": (MOVE, (LOCK,)), "undo": (UNDO, (LOCK, MOVE)), "redo": (REDO, (LOCK, MOVE, UNDO))}


@pytest.fixture(autouse=True)
def fixed_time(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")


@pytest.fixture(params=COMMANDS)
def uninterrupted(request, tmp_path):
    """A command, what comes before it, its file operations, and what the file holds before and after it."""
    command, earlier = COMMANDS[request.param]
    home = started(tmp_path / "whole", earlier)
    before = content(home)
    code, points = typed(home, command)
    assert (code, content(home) == before) == (FINISHED, False)
    return command, earlier, points, (before, content(home))


def test_points_are_found_by_counting(uninterrupted):
    assert len(uninterrupted[2]) >= (12 if uninterrupted[0] is MOVE else 8)


def test_a_change_that_died_is_done_by_the_same_command(uninterrupted, tmp_path):
    points = uninterrupted[2]
    renames = [number for number, point in enumerate(points, start=1) if point.startswith("os.rename")]
    for number in (renames[0], renames[-1]):
        dies_and_goes_on(uninterrupted, tmp_path / f"die{number}", number)


@pytest.mark.slow
def test_at_some_or_every_point(uninterrupted, tmp_path):
    points = uninterrupted[2]
    at_each(points, some(points, 3), lambda n: dies_and_goes_on(uninterrupted, tmp_path / f"die{n}", n))


def dies_and_goes_on(uninterrupted, home, point):
    """Either the same command is given again, or what was done is taken back at once."""
    command, earlier, _, (before, after) = uninterrupted
    for again in (True, False):
        here = started(home / str(again), earlier)
        code, points = typed(here, command, die_at=point)
        assert (code, len(points)) == (DEAD, point)
        found = content(here)
        assert found in (before, after)
        load_groups(here / "groups.json")
        if again and found == before:
            assert typed(here, command)[0] == FINISHED
            assert content(here) == after
        elif again and command is MOVE:
            typed(here, command)  # there is nothing left to move
            assert content(here) == after
        done = DONE[content(here) == after][command[0]]
        assert typed(here, *[UNDO] * done)[0] == FINISHED
        assert content(here) == GROUPS
        assert typed(here, UNDO)[0] == FAILED
        assert [name for name in files_below(here) if ".tmp" in name] == []
        assert typed(here, *[REDO] * done)[0] == FINISHED
        assert content(here) in (before, after)


def started(home, earlier):
    """A folder with a group file that some commands have changed."""
    home.mkdir(parents=True)
    (home / "groups.json").write_bytes(GROUPS)
    assert typed(home, *earlier)[0] == FINISHED
    return home


def typed(home, *commands, die_at=None):
    """Commands on the file of a folder, in a process that ends with the first that fails."""

    def act():
        for command, *words in commands:
            groups.main([command, str(home / "groups.json"), *words], standalone_mode=False)

    return live(home, act, die_at)


def content(home):
    return (home / "groups.json").read_bytes()
