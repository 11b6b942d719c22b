"""`mocoop auto`, as it is typed."""

from __future__ import annotations

import json

import pytest
from command_line import call, small_world
from worlds import write_features

from mocoop.auto import choose
from mocoop.methods import linear_probe
from mocoop.runs.run import Run

QUICK = ("zero-shot", "zero-shot-ensemble", "gated-zero-shot", "tip-adapter", "linear-probe")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return small_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """What takes no steps, and a probe that seeks no penalty."""
    monkeypatch.setattr(choose, "TRIED", QUICK)
    monkeypatch.setattr(linear_probe, "_POWERS", (0,))
    monkeypatch.setattr(linear_probe, "_SEARCH_STEPS", 0)


def auto(world, out, *more, data="data"):
    backbone = ("--backbone", f"local-dir:{world['backbone']}", "--device", "cpu", "--no-cache")
    return call("auto", "--data", world[data], *backbone, "-o", out, *more)


def test_each_method_has_a_line_the_pick_a_reason_and_the_run_goes_on(world, tmp_path):
    done = auto(world, tmp_path / "run", "--groups", world["groups"], "--shots", 4)
    assert done.code == 0, done.err
    header, *lines = (line.split("\t") for line in done.out.splitlines())
    assert header == ["method", "accuracy %", "±", "lower bound %", "images", "seconds", "any class", "remark"]
    assert [line[0] for line in lines] == [choose._entry(name).title for name in QUICK]
    (picked,) = [line for line in lines if line[-1] == "picked"]
    assert f"picked {picked[0]}: {picked[1]} %" in done.err
    assert "measured by cross-validation on 24 training images" in done.err
    measured = call("eval", tmp_path / "run", "--data", world["data"], "--no-cache", "--device", "cpu")
    assert measured.code == 0
    accuracy, balanced = measured.out.splitlines()[1].split("\t")[2:4]
    assert f"on 60 test images, read only now: {accuracy} %, balanced {balanced} %" in done.err
    again = auto(world, tmp_path / "run", "--groups", world["groups"], "--shots", 4)
    assert (again.code, "holds a finished run" in again.err) == (2, True)
    forced = auto(world, tmp_path / "run", "--groups", world["groups"], "--shots", 4, "--force", "--json")
    record = json.loads(forced.out)
    assert record == json.loads((tmp_path / "run" / "auto.json").read_text())
    assert record["method"] == Run.open(tmp_path / "run").config.method
    assert [one["method"] for one in record["tried"]] == list(QUICK)


def test_without_shots_every_training_image_is_taken_and_too_little_time_is_said(world, tmp_path):
    data = {**world, "data": write_features(tmp_path / "more.npz", per_class=14)}  # 7 to train on, 1 of them val
    done = auto(data, tmp_path / "run", "--groups", world["groups"])
    assert "measured by cross-validation on 36 training images" in done.err
    late = auto(data, tmp_path / "late", "--groups", world["groups"], "--minutes", "0.00001")
    assert (late.code, late.err.splitlines()[-2:]) == (
        1,
        ["mocoop: no method could be measured in that time", "  hint: give more --minutes"],
    )


def test_one_group_is_enough(world, tmp_path):
    document = json.loads(world["groups"].read_text())
    (tmp_path / "one.json").write_text(json.dumps({**document, "groups": document["groups"][:1]}))
    done = auto(world, tmp_path / "run", "--groups", tmp_path / "one.json", "--shots", 2)
    assert done.code == 0, done.err
    assert "on 60 test images, read only now: " in done.err


@pytest.mark.slow
def test_a_domain_makes_the_groups_and_the_run_keeps_them(world, tmp_path):
    done = auto(world, tmp_path / "run", "--domain", "satellite imagery", data="photos")
    assert done.code == 0, done.err
    assert "groups for 'satellite imagery'" in done.err
    both = auto(world, tmp_path / "other", "--domain", "x", "--groups", world["groups"])
    assert (both.code, "--domain and --groups both say" in both.err) == (2, True)


def test_test_pictures_that_cannot_be_read_do_not_disturb_the_choice(world, tmp_path):
    """They are not opened before it is made: what refuses them is the measuring at the end."""
    (tmp_path / "other").mkdir()
    photos = small_world(tmp_path / "other")["photos"]
    for path in (photos / "test").rglob("*.png"):
        path.write_bytes(b"no picture")
    done = auto({**world, "photos": photos}, tmp_path / "run", "--groups", world["groups"], data="photos")
    assert (done.code, "cannot be read" in done.err) == (4, True)
    assert Run.open(tmp_path / "run").config.method in QUICK  # chosen and trained before


def test_features_of_no_backbone_are_measured_by_the_probe(world, tmp_path):
    done = call("auto", "--data", world["data"], "--groups", world["groups"], "--backbone", "features:24", "--shots", 4,
                "--device", "cpu", "-o", tmp_path / "run")  # fmt: skip
    assert done.code == 0, done.err
    assert [line.split("\t")[0] for line in done.out.splitlines()[1:]] == ["linear probe"]
    assert "knows only the classes it was trained on" in done.err
