"""What the commands say of certainty: sets, "not sure", and that nothing is promised where nothing can be."""

from __future__ import annotations

import json

import pytest
from command_line import call
from worlds import CLASSNAMES, config_of, plan_for, write_world

from mocoop.runs.run import CALIBRATION
from mocoop.runs.train import train


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def run(world, tmp_path_factory):
    return train(plan_for(world, tmp_path_factory.mktemp("runs") / "run", shots=2)).path


@pytest.fixture(scope="module")
def bare(world, tmp_path_factory):
    """A run that had no images left."""
    return train(plan_for(world, tmp_path_factory.mktemp("runs") / "bare", shots=10)).path


def test_predict_gives_a_set_and_says_not_sure(run, world):
    plain = [json.loads(line) for line in call("predict", run, world["data"], "--json").out.splitlines()]
    middle = sorted(row["probability"] for row in plain)[len(plain) // 2]
    options = ("--coverage", 0.8, "--unsure-below", middle)
    rows = [json.loads(line) for line in call("predict", run, world["data"], *options, "--json").out.splitlines()]
    assert all(row["class"] == row["set"][0] for row in rows)
    assert {row.get("unsure", False) for row in rows} == {True, False}
    table = [line.split("\t") for line in call("predict", run, world["data"], *options).out.splitlines()]
    assert table[0] == ["path", "class", "probability", "set", "experts"]
    for row, line in zip(rows, table[1:], strict=True):
        assert line[1] == (f"not sure ({row['class']})" if "unsure" in row else row["class"])
        assert line[3] == ", ".join(row["set"])


def test_a_run_without_a_calibration_promises_no_sets_and_says_so_of_not_sure(bare, world):
    assert not (bare / CALIBRATION).exists()
    refused = call("predict", bare, world["data"], "--coverage", 0.9)
    assert refused.code == 2
    assert "has no calibration (it needs 20 images that are neither trained on nor test images" in refused.err
    assert "more val images, or fewer --shots" in refused.err
    found = call("predict", bare, world["data"], "--unsure-below", 0.5)
    assert found.code == 0
    assert "--unsure-below goes by probabilities as the training left them" in found.err
    shown = json.loads(call("show", bare, "--json").out)
    assert shown["calibration"] is None
    assert any(note.startswith("no calibration") for note in shown["notes"])


def test_images_that_settings_were_chosen_on_are_named_where_they_are_missed(world, tmp_path):
    run = train(plan_for(world, tmp_path / "run", config_of("tip-adapter"), shots=8)).path
    for command in (("predict", run, world["data"]), ("predict-many", run, world["data"], "-o", tmp_path / "out")):
        refused = call(*command, "--coverage", 0.9)
        assert refused.code == 2
        assert "can be used, since its settings were chosen on 12 others)" in refused.err


def test_a_coverage_that_needs_more_images_is_refused(run, world):
    refused = call("predict", run, world["data"], "--coverage", 0.99)
    assert (refused.code, "need more than the 48 images" in refused.err) == (2, True)


def test_other_classes_get_no_sets(run, world, written):
    names = written("names.txt", "dog\nsea snake\n")
    found = call("predict", run, world["data"], "--coverage", 0.9, "--classes-file", names, "--json")
    assert found.code == 0
    assert "note: no sets" in found.err
    assert "set" not in json.loads(found.out.splitlines()[0])


def test_training_and_show_tell_the_temperature(run):
    shown = json.loads(call("show", run, "--json").out)
    assert shown["calibration"]["images"] == 48
    assert f"temperature {shown['calibration']['temperature']:.2f}, by 48 images" in call("show", run).out


def test_eval_measures_what_was_promised(run, world):
    result = json.loads(call("eval", run, "--data", world["data"], "--json").out)["results"][0]
    certainty = result["certainty"]
    assert [one["coverage"] for one in certainty["sets"]] == [80, 90, 95]
    assert all(1 <= one["mean_size"] <= len(CLASSNAMES) for one in certainty["sets"])
    assert certainty["risk"][-1] == {"answered": 100, "wrong": pytest.approx(100 - result["accuracy"])}
