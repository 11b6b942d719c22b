"""A training may die before any of its file operations: the same command then ends as if it had never been interrupted.

How operations are counted: `dying` in the helpers. Comparisons: test_kill_points_bench.py; group files and their
journals: test_kill_points_move.py; the cache: test_kill_points_cache.py.
"""

from __future__ import annotations

import shutil

import pytest
from dying import DEAD, FINISHED, at_each, live, some
from worlds import plan_for, write_world

from mocoop.config import preset
from mocoop.runs.record import RUN
from mocoop.runs.run import Run
from mocoop.runs.train import train


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def uninterrupted(world, another, tmp_path_factory):  # the other first: it imports for all what is imported late
    """The run as an uninterrupted process leaves it, and its file operations."""
    home = tmp_path_factory.mktemp("whole") / "home"
    code, points = started(world, home)
    assert code == FINISHED
    return home / "run", points


@pytest.fixture(scope="module")
def overwriting(world, another, tmp_path_factory):
    """The file operations of a training over another run."""
    code, points = started(world, tmp_path_factory.mktemp("over") / "home", another)
    assert code == FINISHED
    return points


@pytest.fixture(scope="module")
def another(world, tmp_path_factory):
    """A finished run with another seed, and a note of its owner's."""
    out = tmp_path_factory.mktemp("another") / "run"
    train(plan(world, out, seed=2))
    (out / "notes.txt").write_text("mine")
    return out


def plan(world, out, **changes):
    quick = preset("recommended", epochs=2, batch_size=24, lr=0.05, min_steps=0)
    return plan_for(world, out, quick, **{"use_cache": True, "threads": 1, **changes})


def test_points_are_found_by_counting(uninterrupted, overwriting):
    assert len(uninterrupted[1]) > 60
    assert len(overwriting) > 70


@pytest.mark.parametrize("part", [0.3, 1.0])
def test_a_training_that_died_is_finished_by_the_same_command(world, uninterrupted, tmp_path, part):
    run, points = uninterrupted
    dies_and_goes_on(world, run, tmp_path / "die", round(part * len(points)), None)


def test_one_that_overwrites_a_run_as_well(world, uninterrupted, overwriting, another, tmp_path):
    removed = [point for point, what in enumerate(overwriting, start=1) if what.endswith("model.safetensors")]
    dies_and_goes_on(world, uninterrupted[0], tmp_path / "die", removed[0], another)


@pytest.mark.slow
@pytest.mark.parametrize("force", [False, True])
def test_at_every_point(world, uninterrupted, overwriting, another, tmp_path, force):
    points, before = (overwriting, another) if force else (uninterrupted[1], None)
    at_each(
        points, some(points, 3), lambda n: dies_and_goes_on(world, uninterrupted[0], tmp_path / f"die{n}", n, before)
    )


def started(world, home, before=None, die_at=None):
    """Train in a process of its own, over the run `before` if there is one; its exit code and file operations."""
    home.mkdir()
    if before is not None:
        shutil.copytree(before, home / "run")
    return live(home, lambda: train(plan(world, home / "run", force=before is not None)), die_at)


def dies_and_goes_on(world, whole, home, point, before):
    code, points = started(world, home, before, die_at=point)
    assert (code, len(points)) == (DEAD, point)
    (home / "run").mkdir(exist_ok=True)
    (home / "run" / ".mocoop-elsewhere-5-0a1b2c3d-0.tmp.json").write_text("{")  # and one of a process of another host
    (home / "run" / ".tmpA1b2C3").write_text("")  # as safetensors calls its own
    code, _ = live(home, lambda: train(plan(world, home / "run", force=before is not None)))
    assert code == FINISHED
    assert same(home / "run") == {**same(whole), **({"notes.txt": b"mine"} if before else {})}
    run, expected = Run.open(home / "run"), Run.open(whole)
    assert run.info["files"] == expected.info["files"]
    assert run.history() == expected.history()


def same(out):
    """All files of a run but run.json, which has the seconds it took."""
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.name != RUN}
