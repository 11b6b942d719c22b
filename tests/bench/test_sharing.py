"""Processes that share one results file: no cell twice, a failure told once, and nobody goes on alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from datafiles import put_classes, put_image
from worlds import CLASSNAMES, write_world

from mocoop.bench.rows import read_rows

WAIT = 120  # seconds, for a busy machine

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    names = [name.replace(" ", "_") for name in CLASSNAMES]
    counts = {f"{part}/{name}": 4 for part in ("train", "val", "test") for name in names}
    return {**write_world(folder), "photos": put_classes(folder / "photos", counts)}


def command(world, results, *more, photos=None, protocol="base-to-new"):
    return [
        sys.executable, "-m", "mocoop", "bench", protocol, "--device", "cpu", "--threads", "1", "--no-cache",
        "--data", str(photos or world["photos"]), "--groups", str(world["groups"]),
        "--backbone", f"local-dir:{world['backbone']}", "--set", "batch_size=8", "-o", str(results), *map(str, more),
    ]  # fmt: skip


def started(arguments):
    """In a group of its own, so that what it leaves behind can be counted."""
    return subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def until(truth, what):
    end = time.monotonic() + WAIT
    while not truth():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def lines(results):
    return results.read_bytes().count(b"\n") if results.is_file() else 0


def is_gone(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def test_two_commands_at_once_do_no_cell_twice(world, tmp_path):
    results = tmp_path / "r.jsonl"
    arguments = command(world, results, "--methods", "coop,mocoop", "--set", "epochs=4")
    both = [started(arguments) for _ in range(2)]
    said = [process.communicate(timeout=WAIT) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert [out for out, _ in said] == [f"{results}\n"] * 2
    keys = [json.loads(line)["key"] for line in results.read_text().splitlines()]
    assert len(keys) == len(set(keys)) == 6
    assert sum(err.count("  left ") for _, err in said) == 6  # told by whoever did it
    assert not results.with_name("r.jsonl.claims").exists()


def test_what_is_timed_comes_last_and_from_one_process(world, tmp_path):
    results = tmp_path / "r.jsonl"
    arguments = command(world, results, "--methods", "zero-shot,coop", "--ablation", "inference-time", "--ablation",
                        "position", "--seeds", 1, "--jobs", 2, "--set", "epochs=1", protocol="ablations")  # fmt: skip
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=WAIT)
    assert done.returncode == 0, done.stderr
    assert [row["protocol"] for row in read_rows(results)] == ["base-to-new"] * 3 + ["inference-time"] * 2
    assert "5 cells, 0 of them there before" in done.stderr


def test_a_killed_first_process_takes_the_others_with_it(world, tmp_path):
    results = tmp_path / "r.jsonl"
    process = started(command(world, results, "--methods", "mocoop", "--seeds", "1,2,3,4,5,6,7,8", "--jobs", 2,
                              "--set", "epochs=12"))  # fmt: skip
    with process:
        until(lambda: lines(results) >= 1, "no row came")
        process.kill()
        process.wait()
        until(lambda: is_gone(process.pid), "a process went on alone")
    assert lines(results) < 8


def test_interrupting_ends_all_of_them_and_says_how_to_go_on(world, tmp_path):
    results = tmp_path / "r.jsonl"
    process = started(command(world, results, "--methods", "mocoop", "--seeds", "1,2,3,4,5,6,7,8", "--jobs", 2,
                              "--set", "epochs=12"))  # fmt: skip
    with process:
        until(lambda: lines(results) >= 1, "no row came")
        process.send_signal(signal.SIGINT)  # to the first one only, as `kill -INT` does
        _, err = process.communicate(timeout=WAIT)
        until(lambda: is_gone(process.pid), "a process went on alone")
    assert process.returncode == 130
    assert "the same command again goes on where this one stopped" in err
    assert "Traceback" not in err


@pytest.mark.whole
def test_a_failed_cell_is_told_once_and_tried_again_when_it_may_be_mended(world, tmp_path):
    results, photos = tmp_path / "r.jsonl", tmp_path / "photos"
    names = [name.replace(" ", "_") for name in CLASSNAMES]
    put_classes(photos, {f"{part}/{name}": 2 for part in ("train", "val", "test") for name in names})
    bad = photos / "test" / sorted(names)[0] / "00.png"
    good = bad.read_bytes()
    bad.write_bytes(b"no picture".ljust(len(good)))
    arguments = command(world, results, "--methods", "zero-shot,mocoop", "--seeds", 1, "--jobs", 2,
                        "--set", "epochs=1", photos=photos)  # fmt: skip
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=WAIT)
    assert done.returncode == 1
    told = [line for line in done.stderr.splitlines() if line.startswith("failed: ")]
    assert len(told) == 2
    assert all(str(bad) in line for line in told)
    assert "mocoop: 2 cells failed" in done.stderr
    assert not results.exists()
    put_image(bad, seed=5)
    again = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=WAIT)
    assert again.returncode == 0, again.stderr
    assert {row["method"] for row in read_rows(results)} == {"zero-shot", "mocoop"}
