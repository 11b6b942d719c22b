"""A comparison on a Ray cluster: the rows of one process, each once, with a worker killed in the middle."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from datafiles import put_classes
from worlds import CLASSNAMES, write_world

from mocoop.bench.rows import read_rows

WAIT = 180  # seconds, for a busy machine
CELLS = 8

pytestmark = [
    pytest.mark.slow,  # starts clusters of this machine, and a process a worker
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed: pip install ray"),
]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    names = [name.replace(" ", "_") for name in CLASSNAMES]
    counts = {f"{part}/{name}": 4 for part in ("train", "val", "test") for name in names}
    return {**write_world(folder), "photos": put_classes(folder / "photos", counts)}


def started(world, results, *more):
    """The command in the folder of the world, whose paths are relative to it."""
    command = [
        sys.executable, "-m", "mocoop", "bench", "base-to-new", "--device", "cpu", "--threads", "1", "--no-cache",
        "--data", "photos", "--groups", world["groups"].name, "--methods", "mocoop", "--seeds", "1,2,3,4,5,6,7,8",
        "--backbone", f"local-dir:{world['backbone'].name}", "--set", "batch_size=8", "--set", "epochs=12",
        "-o", str(results), *map(str, more),
    ]  # fmt: skip
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            cwd=world["photos"].parent, start_new_session=True)  # fmt: skip


def on_ray(world, results):
    return started(world, results, "--engine", "ray", "--workers", 2)


def until_rows(results, count, command):
    end = time.monotonic() + WAIT
    while not results.is_file() or results.read_bytes().count(b"\n") < count:
        assert time.monotonic() < end, "no rows came"
        assert command.poll() is None, command.communicate()
        time.sleep(0.02)


def comparable(results):
    """The rows by key, without when and how long."""
    rows = {row["key"]: row for row in read_rows(results)}
    for row in rows.values():
        del row["finished"], row["training"]["seconds"]
    return rows


def test_with_a_worker_killed_in_the_middle_the_rows_are_those_of_one_process(world, tmp_path):
    results, alone, said, workers = tmp_path / "r.jsonl", tmp_path / "alone.jsonl", "", []
    with started(world, alone) as one, on_ray(world, results) as command:
        while len(workers) < 2 and (line := command.stderr.readline()):
            said += line
            workers += re.findall(r"worker: process (\d+) on", line)
        until_rows(results, 2, command)
        os.kill(int(workers[1]), signal.SIGKILL)
        out, rest = command.communicate(timeout=WAIT)
        one.communicate(timeout=WAIT)
    said += rest
    assert command.returncode == 0, said
    assert out == f"{results}\n"
    assert re.search(r"note: a worker died at base-to-new .* seed \d; another one takes over", said), said
    assert said.count("worker: process") == 3, said
    assert f"{CELLS} cells, 0 of them there before" in said
    assert results.read_bytes().count(b"\n") == CELLS
    assert comparable(results) == comparable(alone)
    assert not results.with_name("r.jsonl.claims").exists()


@pytest.mark.whole
def test_interrupting_ends_all_of_it_and_the_same_command_here_goes_on(world, tmp_path):
    results = tmp_path / "r.jsonl"
    with on_ray(world, results) as command:
        until_rows(results, 1, command)
        os.killpg(command.pid, signal.SIGINT)  # as Ctrl-C does
        _, said = command.communicate(timeout=WAIT)
    assert command.returncode == 130, said
    assert "the same command again goes on where this one stopped" in said
    assert "Traceback" not in said
    assert not results.with_name("r.jsonl.claims").exists()
    before = read_rows(results)
    assert 1 <= len(before) < CELLS
    with started(world, results) as command:
        _, said = command.communicate(timeout=WAIT)
    assert f"{CELLS} cells, {len(before)} of them there before" in said
    assert read_rows(results)[: len(before)] == before
    assert results.read_bytes().count(b"\n") == CELLS
