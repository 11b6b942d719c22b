"""The benchmark of prediction sets: which images it takes, and that it prints what it says."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from worlds import plan_for, write_world

from mocoop.runs.train import train

PATH = Path(__file__).parents[2] / "benchmarks" / "coverage.py"


@pytest.fixture(scope="module")
def coverage():
    spec = importlib.util.spec_from_file_location("benchmark_coverage", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def run(world, tmp_path_factory):
    return train(plan_for(world, tmp_path_factory.mktemp("runs") / "run", shots=2))


def test_no_image_that_was_trained_on_is_divided(coverage, run, world):
    left, shots = coverage.features(run, world["data"])
    rows = [row.tobytes() for row in left.x]
    assert (len(left.y), len(shots.y)) == (120 - 12, 12)
    assert not {row.tobytes() for row in shots.x} & set(rows)
    for val, test in coverage.divisions(len(left.y), 54, 3):
        assert sorted([*val, *test]) == list(range(108))


def test_a_line_for_each_kind_of_thresholds(coverage, run, world, capsys):
    left, _ = coverage.features(run, world["data"])
    coverage.cover(run, "world", left, splits=3)
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines() if "\t" in line]
    assert [row[1] for row in rows[1:5]] == ["one", "T = 1", "by class", "mocoop"]
    assert [row[0] for row in rows[1:]] == ["80 %"] * 4 + ["90 %"] * 4 + ["95 %"] * 4
    for row in rows[1:]:
        assert 0 < float(row[2]) <= 100
        assert 0 < float(row[3]) <= len(run.classnames)
