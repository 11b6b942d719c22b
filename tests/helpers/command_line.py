"""What the tests of `mocoop`'s commands share: typing a command, a small world, and runs trained in it."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import textwrap
from contextlib import redirect_stderr, redirect_stdout
from typing import NamedTuple

import pytest
from datafiles import put_classes
from worlds import CLASSNAMES, write_world

from mocoop import cli
from mocoop.commands import mocoop
from mocoop.runs.record import LOG, RUN, write_record


class Result(NamedTuple):
    code: int
    out: str
    err: str


class Terminal(io.StringIO):
    def isatty(self):
        return True


def call(*arguments, out=None):
    """Run a command; its exit code and what it printed."""
    out, err = out or io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as exited:
        cli.run(mocoop, "mocoop", [str(argument) for argument in arguments])
    return Result(exited.value.code, out.getvalue(), err.getvalue())


def shown_on_a_terminal(monkeypatch, width, *arguments):
    """What a command shows on a terminal of a width, without the escape codes."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(width))
    return re.sub(r"\x1b\[[\d;]*m", "", call(*arguments, out=Terminal()).out)


def python(script):
    """What a script prints in a process of its own."""
    command = [sys.executable, "-c", textwrap.dedent(script)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def small_world(folder):
    """A model folder, features and groups, and pictures of six classes: 4 to train on and 5 to test on of each."""
    names = [name.replace(" ", "_") for name in CLASSNAMES]
    counts = {f"{part}/{name}": n for part, n in (("train", 4), ("test", 5)) for name in names}
    return {**write_world(folder), "photos": put_classes(folder / "photos", counts)}


def train(world, out, *more):
    """The shortest training on pictures of the small world."""
    return call(
        "train", "--groups", world["groups"], "--data", world["photos"], "--backbone", f"local-dir:{world['backbone']}",
        "--epochs", 1, "--shots", 2, "--device", "cpu", "--no-cache", "-o", out, *more,
    )  # fmt: skip


def runs_in(world, folder):
    """A run on all classes and one on the base classes."""
    found = {part: folder / part for part in ("all", "base")}
    for part, path in found.items():
        assert train(world, path, "--classes", part).code == 0
    return found


def info(run):
    return json.loads((run / "run.json").read_text())


def evaluate(world, run, *more):
    return call("eval", run, "--data", world["photos"], "--device", "cpu", "--no-cache", *more)


def predict(run, *more):
    return call("predict", run, "--device", "cpu", *more)


def rewrite(path, change):
    """Change a JSON file; the record of a run then has a hash that fits, as if it had been written so."""
    changed = change(json.loads(path.read_text()))
    if path.name == RUN and isinstance(changed, dict):
        write_record(path.parent, changed)
    else:
        path.write_text(json.dumps(changed))


def without_hash_of_log(record):
    """The record of a run as an earlier version wrote it, before the log was hashed."""
    return {**record, "files": {name: sha256 for name, sha256 in record["files"].items() if name != LOG}}


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
