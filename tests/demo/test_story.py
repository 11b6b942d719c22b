"""The demonstration: what it leaves behind, that its commands repeat it, and what it refuses."""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mocoop.demo.results import DemoPlan, demo_commands
from mocoop.demo.story import run_demo
from mocoop.errors import UsageError

pytestmark = pytest.mark.slow

SEEDS = (1, 2)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOCOOP_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield tmp_path_factory.mktemp("demo")


def plan(out, **changes):
    return DemoPlan(out=out, seeds=SEEDS, shots=4, train_tiles=1, test_tiles=1, epochs=2, **changes)


@pytest.fixture(scope="module")
def results(home):
    return run_demo(plan(home / "demo"))


def test_it_leaves_a_report_its_numbers_and_everything_they_came_from(results, home):
    out = home / "demo"
    assert json.loads((out / "demo.json").read_text()) == results
    assert {path.name for path in out.iterdir()} == {
        "scenes", "runs", "pictures", "report.html", "groups.json", "classes.txt", "demo.json"
    }  # fmt: skip
    assert {path.name for path in (out / "runs").iterdir()} == {
        f"{method}-seed{seed}" for method in ("mocoop", "coop") for seed in SEEDS
    }
    assert not list((out / "scenes").rglob("*.json"))


def test_every_method_has_its_numbers_and_deviations_where_it_learns(results):
    rows = {row["method"]: row for row in results["methods"]}
    assert len(rows) == 5
    for name, row in rows.items():
        assert row["h"] == pytest.approx(2 * row["base"] * row["new"] / (row["base"] + row["new"]), abs=1.0)
        assert (row["h_sd"] is None) == ("learned prompt" not in name and "mixture" not in name)
    chance = {row["what"]: row["percent"] for row in results["routing"]}
    assert chance["chance, 8 groups"] == 12.5
    assert chance["the reference gate, nothing learned"] > 50  # it finds styles far better than chance
    assert any("stand-in" in note for note in results["notes"])


def test_the_report_shows_what_was_measured_and_loads_nothing(results, home):
    page = (home / "demo" / "report.html").read_text()
    text = html.unescape(re.sub(r"<[^>]+>", " ", page))
    for row in results["methods"]:
        assert row["method"] in text
        assert f"{row['h']:.1f}" in text
    for command in results["commands"]:
        assert command in text
    assert "stand-in" in text
    right = [one["class"] == Path(one["path"]).parent.name.replace("_", " ") for one in results["predictions"]]
    assert page.count("<td>yes</td>") == sum(right)
    assert page.count("<td>no</td>") == len(right) - sum(right)
    assert page.count("<img ") == 2 * 8 + 4 + 2  # tiles twice, four pictures, two photographs
    for one in results["photographs"]:
        assert f"{one['top_k'][0]['class']} {100 * one['top_k'][0]['probability']:.0f}" in text
    assert "CC BY 2.0" in text
    assert not re.search(r"<script|src=\"(?!data:)|href=", page)


def test_its_commands_repeat_its_runs(results, home):
    """Of the first seed, to the same bits: the other seeds differ by a number in the same two commands."""
    again = home / "again"
    again.mkdir()
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    commands = demo_commands(plan(again))
    assert [c.replace(str(again), str(home / "demo")) for c in commands] == results["commands"]
    for command in commands:
        if f"seed{SEEDS[1]}" in command:
            continue
        is_evaluation = command.startswith("mocoop eval")
        done = subprocess.run(
            command + (" --json" if is_evaluation else ""),
            shell=True, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        if is_evaluation:
            assert len(json.loads(done.stdout)["results"]) == 2
    for method in ("mocoop", "coop"):
        first, repeated = (folder / "runs" / f"{method}-seed{SEEDS[0]}" for folder in (home / "demo", again))
        for name in ("model.safetensors", "features.safetensors"):
            one, other = load_file(first / name), load_file(repeated / name)
            assert one.keys() == other.keys()
            assert all(torch.equal(one[key], other[key]) for key in one)


def test_an_earlier_demonstration_is_kept_without_force(results, home):
    with pytest.raises(UsageError, match="holds a demonstration"):
        run_demo(plan(home / "demo"))


def test_nobody_elses_files_are_removed(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    for force in (False, True):
        with pytest.raises(UsageError, match="holds other files"):
            run_demo(plan(tmp_path, force=force))
    assert (tmp_path / "thesis.tex").read_text() == "years of work"
