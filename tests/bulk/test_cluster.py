"""Bulk prediction by Ray actors: the same rows, a killed worker's shard done by another, nothing lost or doubled."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from datafiles import put_image

IMAGES, PART = 240, 4
needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed: pip install ray")


@pytest.fixture
def pictures(tmp_path):
    return [put_image(tmp_path / "in" / f"{seed:03d}.png", seed) for seed in range(IMAGES)]


@pytest.fixture
def start(run, tmp_path):
    """Start the command with two workers of a cluster of its own."""

    def started(out, *more, **environment):
        source = [run.path, tmp_path / "in", "-o", out, "--format", "jsonl", "--part-size", PART, "--device", "cpu"]
        command = [sys.executable, "-m", "mocoop", "predict-many", *source, "--engine", "ray", "--workers", 2, *more]
        return subprocess.Popen(
            list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
        )  # fmt: skip

    return started


def paths_in(out):
    rows = (json.loads(line) for part in sorted(out.glob("part-*")) for line in part.read_text().splitlines())
    return [row["path"] for row in rows]


@needs_ray
@pytest.mark.slow  # starts a cluster of this machine, and a process a worker
def test_with_a_worker_killed_in_the_middle_no_image_is_lost_or_doubled(start, pictures, tmp_path):
    out, said, workers = tmp_path / "out", "", []
    with start(out) as command:
        while len(workers) < 2 and (line := command.stderr.readline()):
            said += line
            workers += re.findall(r"worker: process (\d+) on", line)
        assert len(workers) == 2, said
        while command.poll() is None and len(list(out.glob("part-*"))) < 10:
            time.sleep(0.01)
        before = len(list(out.glob("part-*")))
        os.kill(int(workers[1]), signal.SIGKILL)
        shown, rest = command.communicate()
    said += rest
    assert command.returncode == 0, said
    assert 10 <= before < IMAGES // PART, "not in the middle"
    assert re.search(r"a worker died at part-\d+\.jsonl; another one takes over", said), said
    assert said.count("worker: process") == 3, said
    assert paths_in(out) == list(map(str, pictures))
    assert sum(int(line.split("\t")[1]) for line in shown.splitlines()[1:]) == IMAGES


@needs_ray
@pytest.mark.slow
@pytest.mark.whole
def test_what_kills_every_worker_is_told_and_what_a_worker_raises_comes_as_it_was(start, pictures, tmp_path):
    out = tmp_path / "out"
    with start(out, MOCOOP_SIGNAL_AT="SIGKILL:worker-part:7") as command:
        _, said = command.communicate()
    assert command.returncode == 4, said
    assert "a worker died at part-00007.jsonl, 3 times: " in said
    assert not list(out.glob("part-00007*"))
    pictures[-1].write_bytes(b"no picture")
    with start(tmp_path / "other", "--on-bad-image", "fail") as command:
        _, said = command.communicate()
    assert command.returncode == 4, said
    assert re.search(r"mocoop: .*239\.png: .*text, not a picture", said), said
