"""A comparison may die before any file operation: the same command then ends with the same rows and features."""

from __future__ import annotations

import pytest
from command_line import cut, small_world
from datafiles import put_classes
from dying import DEAD, FINISHED, at_each, files_below, live, some

from mocoop.bench.rows import read_rows
from mocoop.commands import mocoop
from mocoop.errors import MoCoOpError


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A small world, and pictures of which one cannot be read: whatever needs it fails."""
    folder = tmp_path_factory.mktemp("world")
    bad = put_classes(folder / "bad", {f"{part}/{name}": 1 for part in ("train", "test") for name in ("cat", "dog")})
    cut(next((bad / "train" / "cat").iterdir()))
    return {**small_world(folder), "bad": bad}


@pytest.fixture(scope="module")
def uninterrupted(world, tmp_path_factory):
    """The folder as an uninterrupted process leaves it, and its file operations."""
    home = tmp_path_factory.mktemp("whole")
    bench(world, tmp_path_factory.mktemp("here"))  # what is imported late is imported here, not in each process
    code, points = live(home, lambda: bench(world, home))
    assert code == FINISHED
    return home, points


def bench(world, home):
    """Two methods on images whose features are kept, and the texts of the one that learns; and on some that are bad."""
    command = [
        "bench", "few-shot", "--data", world["photos"], "--data", world["bad"], "--groups", world["groups"],
        "--methods", "zero-shot,kgcoop",
        "--seeds", 1, "--shots", 1, "--set", "epochs=1", "--backbone", f"local-dir:{world['backbone']}",
        "--device", "cpu", "--threads", 1, "-o", home / "results.jsonl",
    ]  # fmt: skip
    with pytest.raises(MoCoOpError, match="2 cells failed"):
        mocoop.main(list(map(str, command)), standalone_mode=False)


def test_points_are_found_by_counting(uninterrupted):
    points = uninterrupted[1]
    assert len(points) > 60
    touched = "\n".join(points)
    for part in (".failed", "results.jsonl\n", "results.jsonl.lock", ".claims", "cache/images", "cache/texts"):
        assert part in touched


@pytest.mark.parametrize("what", ["open {}/results.jsonl", "os.remove {}/results.jsonl.claims"])
def test_a_comparison_that_died_is_finished_by_the_same_command(world, uninterrupted, tmp_path, what):
    home, points = uninterrupted
    (number, *_) = [n for n, point in enumerate(points, start=1) if point.startswith(what.format(home))]
    dies_and_goes_on(world, home, tmp_path / "die", number)


@pytest.mark.slow
def test_at_some_or_every_point(world, uninterrupted, tmp_path):
    home, points = uninterrupted
    at_each(points, some(points, 5), lambda n: dies_and_goes_on(world, home, tmp_path / f"die{n}", n))


def dies_and_goes_on(world, whole, home, point):
    home.mkdir()
    code, points = live(home, lambda: bench(world, home), die_at=point)
    assert (code, len(points)) == (DEAD, point)
    code, _ = live(home, lambda: bench(world, home))
    assert code == FINISHED
    assert rows(home) == rows(whole)
    assert len((home / "results.jsonl").read_bytes().splitlines()) == len(rows(whole))
    assert left(home) == left(whole)


def rows(home):
    """The rows, without when and how long."""
    found = read_rows(home / "results.jsonl")
    for row in found:
        del row["finished"], row["training"]["seconds"]
    return found


def left(home):
    """All that is below a folder but the results, with its content; locks may be left behind."""
    found = files_below(home)
    return {
        name: content
        for name, content in found.items()
        if name not in ("results.jsonl", "operations") and not name.endswith(".lock")
    }
