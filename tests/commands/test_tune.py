"""`mocoop tune`, as it is typed: what it tries, what it chooses on, and the command it ends with."""

from __future__ import annotations

import json
import shlex

import numpy as np
import pytest
from command_line import call, info
from worlds import CLASSNAMES

from mocoop.bench.rows import read_rows
from mocoop.groupfile.groups import load_groups


def tune(world, out, *more):
    return call(
        "tune", "--data", world["photos"], "--groups", world["groups"], "--device", "cpu", "--no-cache", "--shots", 2,
        "--backbone", f"local-dir:{world['backbone']}", "--set", "epochs=2", "--set", "batch_size=4", "-o", out, *more,
    )  # fmt: skip


def test_it_ranks_on_val_and_its_last_line_trains_with_the_best(world, tmp_path):
    out = tmp_path / "t.jsonl"
    done = tune(world, out, "--try", "lr=0.001,0.5", "--trainings", 5, "--seeds", "1,2")
    assert done.code == 0, done.err
    head, *rows = (line.split("\t") for line in done.out.splitlines())
    assert head == ["settings", "groups", "seeds", "val accuracy %", "val loss", "remark"]
    assert {row[0] for row in rows} == {"as the preset says", "lr=0.001", "lr=0.5"}
    assert [row[2] for row in rows] == ["2", "2", "1"]
    measured = read_rows(out)
    assert len(measured) == 5
    assert {row["protocol"] for row in measured} == {"tune"}
    assert all(set(row["accuracy"]) == {"val"} for row in measured)
    best = rows[0]
    mine = [row for row in measured if row["setting"] == best[0]]
    assert float(best[3]) == pytest.approx(sum(row["accuracy"]["val"] for row in mine) / 2, abs=0.005)
    command = shlex.split(done.err.splitlines()[-1].partition("mocoop ")[2])
    run = tmp_path / "run"
    trained = call(*command[: command.index("-o")], "-o", run, "--device", "cpu", "--no-cache")
    assert trained.code == 0, trained.err
    settings = info(run)["config"]
    assert {name: settings[name] for name in ("lr", "epochs", "batch_size")} == {
        name: mine[0]["config"][name] for name in ("lr", "epochs", "batch_size")
    }


def test_the_same_search_again_trains_nothing(world, tmp_path):
    out = tmp_path / "t.jsonl"
    first = tune(world, out, "--try", "top_k=1", "--trainings", 4, "--seeds", "1,2")
    before = out.read_bytes()
    again = tune(world, out, "--try", "top_k=1", "--trainings", 4, "--seeds", "1,2")
    assert (again.code, again.out) == (0, first.out)
    assert out.read_bytes() == before


def test_half_of_the_classes_may_stand_in_for_new_ones(world, tmp_path):
    out = tmp_path / "t.jsonl"
    done = tune(world, out, "--classes", "halves", "--val-shots", 3, "--trainings", 1, "--seeds", 1)
    assert done.code == 0, done.err
    (row,) = read_rows(out)
    accuracy = row["accuracy"]
    assert done.out.splitlines()[0].split("\t")[3] == "val H %"
    assert done.err.startswith(f"seed 1  as the preset says: val H {accuracy['H']:.2f} %")
    assert list(accuracy) == ["val", "val, classes left out", "H"]
    assert float(done.out.splitlines()[1].split("\t")[3]) == pytest.approx(accuracy["H"], abs=0.005)
    trained, left_out = (set(use) for use in row["expert_use"].values())
    assert (len(trained), len(left_out)) == (3, 3)
    assert not trained & left_out
    assert f"--classes all --backbone local-dir:{world['backbone']}" in done.err


def test_a_file_of_features_is_called_what_bench_calls_it(world, tmp_path):
    out = tmp_path / "t.jsonl"
    done = tune(world, out, "--data", world["data"], "--trainings", 1, "--seeds", 1, "--val-shots", 3)
    assert done.code == 0, done.err
    assert read_rows(out)[0]["dataset"] == "features"


def test_a_search_on_other_classes_is_another_search(world, tmp_path):
    out = tmp_path / "t.jsonl"
    for classes in ("all", "base"):
        assert tune(world, out, "--classes", classes, "--trainings", 1, "--seeds", 1).code == 0
    assert len(read_rows(out)) == 2


def test_a_probe_cannot_be_chosen_on_classes_that_it_did_not_see(world, tmp_path):
    done = tune(world, tmp_path / "t.jsonl", "--method", "linear-probe", "--classes", "halves", "--trainings", 1,
                "--seeds", 1)  # fmt: skip
    assert done.code == 2
    assert "linear-probe cannot name the classes left out" in done.err


def test_group_files_and_numbers_of_experts_are_chosen_too(world, tmp_path):
    other = tmp_path / "other.json"
    document = json.loads(world["groups"].read_text())
    other.write_text(json.dumps({**document, "groups": document["groups"][:2]}))
    out = tmp_path / "t.jsonl"
    done = tune(world, out, "--groups", other, "--try", "experts=2,3", "--trainings", 6, "--seeds", 1)
    assert done.code == 0, done.err
    rows = [line.split("\t") for line in done.out.splitlines()[1:]]
    assert {tuple(row[:2]) for row in rows} == {
        (setting, file) for setting in ("as the preset says", "experts=2", "experts=3")
        for file in ("groups.json", "other.json")
    }  # fmt: skip
    assert {len(row["groups"]["ids"]) for row in read_rows(out)} == {2, 3}


def test_the_first_groups_of_a_file_become_a_file_of_their_own(world, tmp_path):
    out = tmp_path / "t.jsonl"
    done = tune(world, out, "--set", "experts=2", "--trainings", 1, "--seeds", 1)
    assert done.code == 0, done.err
    fewer = tmp_path / "t.groups.json"
    assert [group.id for group in load_groups(fewer).groups] == ["plain", "blurry"]
    assert f"--groups {fewer} " in done.err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--try", "lr"), "--try lr tries nothing"),
        (("--try", "lr=1", "--try", "lr=2"), "lr is tried twice"),
        (("--try", "experts=some"), "experts = some is no number of groups"),
        (("--try", "lr=0.1", "--trainings", 1, "--seeds", "1,2"), "1 trainings are fewer than the 2 seeds"),
        (("--seeds", "one"), "--seeds one are not whole numbers"),
        (("--try", "speed=3"), "no setting is called 'speed'"),
    ],
)
def test_what_cannot_be_tried_is_refused_in_one_line(world, tmp_path, more, message):
    done = tune(world, tmp_path / "t.jsonl", *more)
    assert done.code == 2
    assert message in done.err
    assert not (tmp_path / "t.jsonl").exists()


def features_alike(folder):
    """Features of six classes that are nearly the same, so that every classifier has one answer."""
    path = folder / "alike.npz"
    labels = np.repeat(np.arange(6), 20)
    split = np.array(["train", "val", "test", "train"])[np.arange(120) % 4]
    names = np.array(CLASSNAMES)
    features = np.random.default_rng(1).normal(size=24) + 1e-3 * np.random.default_rng(2).normal(size=(120, 24))
    np.savez(path, features=features.astype(np.float32), labels=labels, classnames=names, split=split)
    return path


def test_if_all_settings_give_one_answer_it_says_so(world, tmp_path):
    out = tmp_path / "t.jsonl"
    done = tune(world, out, "--data", features_alike(tmp_path), "--try", "lr=0.1", "--trainings", 2, "--seeds", 1)
    assert done.code == 0, done.err
    assert [line.split("\t")[5] for line in done.out.splitlines()[1:]] == ["nearly always one answer: 1 of 1 seeds"] * 2
    assert "val accuracy 16.67 %, nearly always one answer" in done.err
    assert "note: every candidate gave nearly always one answer on the validation images" in done.err
    assert "train with the best" in done.err
    tuned = call("bench", "few-shot", "--data", world["data"], "--groups", world["groups"], "--tuned", out, "--dry-run",
                 "--methods", "mocoop", "--device", "cpu", "-o", tmp_path / "r.jsonl")  # fmt: skip
    assert "note: mocoop: every candidate gave nearly always one answer" in tuned.err


def test_settings_that_tell_apart_are_not_remarked_on(world, tmp_path):
    done = tune(world, tmp_path / "t.jsonl", "--data", world["data"], "--set", "lr=0.1", "--trainings", 1, "--seeds", 1)
    assert done.code == 0, done.err
    assert "one answer" not in done.out + done.err
