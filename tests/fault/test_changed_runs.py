"""A run folder that was changed is refused when it is opened: nothing in it decides an answer unseen."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from worlds import CLASSNAMES, plan_for, write_world

from mocoop.answers import describe
from mocoop.errors import CheckpointError, DataError
from mocoop.runs.record import FEATURES, GROUPS, LOG, MODEL, RUN, SEAL, read_log, write_record
from mocoop.runs.run import Run
from mocoop.runs.train import train
from mocoop.training.checkpoint import load_tensors, read_metadata, save_tensors


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    return train(plan_for(write_world(folder), folder / "run")).path


@pytest.fixture
def run(whole, tmp_path):
    return Path(shutil.copytree(whole, tmp_path / "run"))


def record(run):
    return json.loads((run / RUN).read_text())


def rewritten(run, **changes):
    """run.json with other values and a hash that fits, as if it had been written so."""
    write_record(run, {**record(run), **changes})


def unsealed(run, **changes):
    """The same as a version without hashes of run.json and of the log left it."""
    old = {name: value for name, value in {**record(run), **changes}.items() if name != SEAL}
    old["files"] = {name: sha256 for name, sha256 in old["files"].items() if name != LOG}
    (run / RUN).write_text(json.dumps(old))


def test_one_value_changed_by_hand_is_seen(run):
    names = list(CLASSNAMES)
    for changed in (names[::-1], [*names[:-1], names[0]], [*names[:-1], "another"]):
        (run / RUN).write_text(json.dumps({**record(run), "classnames": changed}))
        with pytest.raises(CheckpointError, match=r"run\.json has changed"):
            Run.open(run)


@pytest.mark.parametrize("name", [GROUPS, MODEL, FEATURES, LOG])
@pytest.mark.parametrize("how", ["gone", "longer", "another"])
def test_every_file_is_there_and_as_it_was(run, name, how):
    path = run / name
    content = path.read_bytes()
    path.unlink()
    if how != "gone":
        path.write_bytes(content + b" " if how == "longer" else b"{}")
    with pytest.raises(CheckpointError, match=f"{name} is missing" if how == "gone" else f"{name} has changed"):
        Run.open(run)


def test_a_record_names_no_file_outside_its_folder(run):
    rewritten(run, files={**record(run)["files"], "../other": "0" * 64})
    with pytest.raises(CheckpointError, match="names a file that no run has"):
        Run.open(run)


def test_a_run_of_an_earlier_version_opens_with_a_note(run):
    unsealed(run)
    opened = Run.open(run)
    assert "earlier version" in opened.notes[0]
    assert opened.classifier().classnames == CLASSNAMES
    assert Run.open(run.parent / "run").history()


@pytest.mark.parametrize(
    "changes",
    [
        {"classnames": list(CLASSNAMES)[::-1]},
        {"classnames": list(CLASSNAMES)[:-1]},
        {"backbone": {"weights_sha256": "0" * 64}},
        {"backbone": {"logit_scale": 3.0}},
    ],
)
def test_features_that_belong_to_another_record_are_refused(run, changes):
    known = record(run)
    unsealed(
        run, **{name: {**known[name], **value} if name == "backbone" else value for name, value in changes.items()}
    )
    with pytest.raises(CheckpointError, match="features"):
        Run.open(run)


@pytest.mark.parametrize("fault", ["nan", "half", "width"])
def test_features_that_are_no_class_features_are_refused(run, fault):
    features = load_tensors(run / FEATURES, None)["features"]
    changed = {
        "nan": torch.full_like(features, torch.nan), "half": features.half(), "width": features[..., :-1],
    }[fault]  # fmt: skip
    about = read_metadata(run / FEATURES)
    save_tensors(run / FEATURES, {"features": changed}, about)
    from mocoop.files import sha256_file

    rewritten(run, files={**record(run)["files"], FEATURES: sha256_file(run / FEATURES)})
    with pytest.raises(CheckpointError, match="does not fit: features"):
        Run.open(run)


@pytest.mark.parametrize(
    "change",
    [
        {"loss": "low"}, {"loss": None}, {"loss": [1]}, {"step": 1.5}, {"step": True}, {"step": -1}, {"more": 1},
        {"expert_use": 3}, {"expert_use": ["a"]}, {"expert_use": [True]}, {"accuracy": 1e999}, {"accuracy": 10**400},
    ],
)  # fmt: skip
def test_a_log_has_numbers_where_numbers_are(run, change):
    lines = (run / LOG).read_text().splitlines()
    lines[1] = json.dumps({**json.loads(lines[1]), **change})
    (run / LOG).write_text("\n".join(lines))
    with pytest.raises(CheckpointError, match=r"log\.jsonl:2: this is no step of a training"):
        read_log(run / LOG)


@pytest.mark.parametrize("line", ["[" * 100_000, "[]", "3", "{}", "\xff", '{"loss": NaN}', ""])
def test_a_line_of_the_log_that_is_no_step(run, line):
    (run / LOG).write_text(line + "\n", encoding="latin-1")
    with pytest.raises(CheckpointError, match=r"log\.jsonl:1"):
        read_log(run / LOG)


def test_an_answer_is_never_nan():
    shown = {"classnames": ["a", "b"], "group_ids": ["g"], "templates": {}, "top": 2}
    with pytest.raises(DataError, match="no numbers"):
        describe("one.jpg", np.array([np.nan, np.nan]), np.array([1.0]), **shown)


def test_the_same_training_writes_the_same_files(whole, tmp_path):
    world = {name: whole.parent / file for name, file in (("groups", "groups.json"), ("data", "features.npz"))}
    again = train(plan_for({**world, "backbone": whole.parent / "tiny"}, tmp_path / "again")).path
    for name in (GROUPS, MODEL, FEATURES, LOG):
        assert (again / name).read_bytes() == (whole / name).read_bytes(), name
