"""Claims on cells: one process each, freed by the death of its process; failures remembered; rows read as they come."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

from result_rows import drawn_rows

from mocoop.bench.claims import Claims, Done
from mocoop.bench.rows import append_row

HOLD = """
import sys, time
from pathlib import Path
from mocoop.bench.claims import Claims
claims = Claims(Path(sys.argv[1]))
assert claims.take("a")
print("mine", flush=True)
time.sleep(60)
"""


def test_a_claim_is_one_processs_and_dies_with_it(tmp_path):
    results = tmp_path / "r.jsonl"
    other = subprocess.Popen([sys.executable, "-c", HOLD, str(results)], stdout=subprocess.PIPE, text=True)
    with other:
        assert other.stdout.readline() == "mine\n"
        claims = Claims(results)
        assert not claims.take("a")
        assert claims.take("b")
        os.kill(other.pid, signal.SIGKILL)
        other.wait()
    assert claims.take("a")


def test_a_claim_that_is_released_leaves_nothing(tmp_path):
    claims, others = Claims(tmp_path / "r.jsonl"), Claims(tmp_path / "r.jsonl")
    assert claims.take("a")
    assert not others.take("a")
    claims.release("a")
    assert others.take("a")
    assert others.take("b")
    others.close()
    assert list(tmp_path.iterdir()) == []


def test_a_failure_is_remembered_until_the_next_comparison(tmp_path):
    claims = Claims(tmp_path / "r.jsonl")
    assert claims.failure("a") is None
    claims.fail("a", "no images")
    assert Claims(tmp_path / "r.jsonl").failure("a") == "no images"
    claims.tidy()
    assert claims.failure("a") == "no images"
    claims.forget_failures()
    claims.tidy()
    assert list(tmp_path.iterdir()) == []


def test_rows_are_seen_as_they_come_and_half_a_row_is_none(tmp_path):
    results = tmp_path / "r.jsonl"
    rows = drawn_rows(seeds=(1, 2))
    done = Done(results)
    assert done() == set()
    for number, row in enumerate(rows, start=1):
        append_row(results, row)
        assert done() == {one["key"] for one in rows[:number]}
    other = {**rows[0], "key": "f" * 24}
    line = json.dumps(other).encode()
    with results.open("ab") as file:
        file.write(line[:100])
    assert "f" * 24 not in done()
    append_row(results, {**rows[0], "key": "e" * 24})  # cuts the half row off
    assert "e" * 24 in done()
    append_row(results, other)
    assert done() == Done(results)() == {*(one["key"] for one in rows), "e" * 24, "f" * 24}
