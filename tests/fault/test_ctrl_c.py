"""Ctrl-C while libraries are imported is held until they are, then it acts: 130, and neither lost nor an abort."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time

import pytest
from worlds import plan_for, write_world

from mocoop.config import preset
from mocoop.runs.train import train

SWALLOWS = """
import os, signal, time
try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.1)
except BaseException:  # as the import of a large library may
    pass
DONE = True
"""
COMMAND = """
import sys, time
import click
from mocoop import cli

@click.command()
def command():
    import swallows
    print("imported", swallows.DONE, flush=True)
    time.sleep(float(sys.argv.pop()))

cli.run(command, "command", [])
"""


@pytest.mark.parametrize("seconds", ["0", "20"])
def test_an_import_that_would_swallow_it_is_finished_first(tmp_path, seconds):
    (tmp_path / "swallows.py").write_text(SWALLOWS)
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    call = [sys.executable, "-c", COMMAND, seconds]
    done = subprocess.run(call, capture_output=True, text=True, check=False, env=env)
    assert (done.returncode, done.stdout) == (130, "imported True\n")
    assert done.stderr.strip() == "command: interrupted"


# A background shell ignores SIGINT, and so do its children: the starter restores what a terminal gives.
STARTER = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.executable, sys.argv[1:])"
# What comes before the first line is the interpreter's own: interrupted there, it may end with 1.
UP = "print('up', flush=True); import runpy; runpy.run_module('mocoop', run_name='__main__', alter_sys=True)"


@pytest.mark.slow
def test_at_any_moment_it_counts(tmp_path):
    (tmp_path / "world").mkdir()
    config = preset("recommended", epochs=1, batch_size=8)
    train(plan_for(write_world(tmp_path / "world"), tmp_path / "run", config))  # what shows it loads PyTorch first
    dice, ends = random.Random(1), []
    for _ in range(6):
        call = [sys.executable, "-c", STARTER, sys.executable, "-c", UP, "show", str(tmp_path / "run")]
        process = subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "up\n"
        time.sleep(1.5 * dice.random())
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
        assert process.returncode in (0, 130, -signal.SIGINT), told  # at its end; ours; the interpreter's, before that
        ends.append(process.returncode)
    assert 130 in ends
