"""Whole trainings on a small world: what is learned, what is kept, kills and refusals."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace

import numpy as np
import pytest
import torch
import worlds
from worlds import CLASSNAMES, plan_for, write_world

from mocoop.backbone.hard_features import hard_features
from mocoop.config import PRESETS, preset
from mocoop.data.sources import open_dataset
from mocoop.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    StorageError,
    TrainingStopped,
    UsageError,
)
from mocoop.runs import train as runs_train
from mocoop.runs.evaluate import evaluate, harmonic_mean
from mocoop.runs.folder import locked
from mocoop.runs.run import Run
from mocoop.runs.train import train
from mocoop.training import method
from mocoop.training.inputs import load_inputs
from mocoop.training.trainer import Listener


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def finished(world, tmp_path_factory):
    return train(
        plan_for(
            world,
            tmp_path_factory.mktemp("runs") / "run",
            preset("recommended", epochs=20, lr=0.05, batch_size=16, lambda_text=0.1),
        )
    )


class Recorder(Listener):
    def __init__(self):
        self.notices, self.logs, self.resumed = [], [], None

    def notice(self, text):
        self.notices.append(text)

    def started(self, epochs, steps, resumed_step):
        self.resumed = resumed_step

    def step(self, log):
        self.logs.append(log)


def test_training_learns_and_the_folder_is_complete(finished, world):
    assert {p.name for p in finished.path.iterdir()} == {
        "run.json", "groups.json", "model.safetensors", "features.safetensors", "log.jsonl"
    }  # fmt: skip
    history = finished.history()
    assert history[-1].loss < history[0].loss
    assert finished.info["classnames"] == list(CLASSNAMES)
    result = evaluate(finished, open_dataset(world["data"]))
    assert result.accuracy > 60  # chance is 17; the random backbone's zero-shot is near it
    assert result.images == 60
    assert sum(row.correct for row in result.per_class) / 60 * 100 == pytest.approx(result.accuracy)


def test_log_terms_add_up(finished):
    for log in finished.history():
        assert log.loss == pytest.approx(log.class_loss + 5 * log.router_loss + 0.1 * log.text_loss, rel=1e-4)
        assert sum(log.expert_use) == pytest.approx(1)


def test_stored_features_are_what_the_text_tower_gives(finished):
    backbone = finished.load_backbone("cpu")
    torch.testing.assert_close(
        finished.classifier().h, finished.learned.class_features(CLASSNAMES, backbone), rtol=0, atol=1e-6
    )


def test_new_class_names_need_the_text_tower(finished):
    with pytest.raises(UsageError, match="need the backbone"):
        finished.classifier(["quiet zebra", "dog"])
    classifier = finished.classifier(["quiet zebra", "dog"], finished.load_backbone("cpu"))
    assert classifier.predict(torch.randn(3, 24)).probabilities.sum(-1) == pytest.approx([1, 1, 1], abs=1e-5)


def test_batch_size_does_not_matter_at_prediction(finished):
    x = torch.randn(40, 24)
    together = finished.classifier().predict(x)
    alone = torch.cat([finished.classifier().predict(row[None]).probabilities for row in x])
    torch.testing.assert_close(together.probabilities, alone, rtol=0, atol=1e-6)
    assert ((together.gate > 0).sum(-1) == 3).all()


def test_the_same_seed_gives_the_same_bits_and_another_does_not(world, tmp_path):
    one, two, other = (
        train(plan_for(world, tmp_path / name, seed=seed)).tensors for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["ctx"], other["ctx"])


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_trains_from_features(world, tmp_path, name):
    config = preset(name, epochs=2, views=0, tune_layer_norm=False)
    run = train(plan_for(world, tmp_path / "run", config))
    assert run.info["training"]["steps"] == 2
    assert all(tensor.isfinite().all() for tensor in run.tensors.values())


def test_the_papers_schedule_is_coops_and_shorter_for_imagenet(world, tmp_path):
    shutil.copy(world["data"], tmp_path / "imagenet.npz")
    config = preset("paper", "coop", views=0)
    plans = [plan_for(world, tmp_path / "one", config, shots=1)]
    plans += [plan_for(world, tmp_path / "four", config, shots=4)]
    plans += [plan_for(world, tmp_path / "imagenet", config, shots=4, data=tmp_path / "imagenet.npz")]
    assert [train(plan).info["training"]["epochs"] for plan in plans] == [50, 100, 50]


@pytest.mark.parametrize("family", ["siglip", "coca"])
def test_towers_at_full_length_train(tmp_path, family):
    run = train(plan_for(write_world(tmp_path, family), tmp_path / "run"))
    assert evaluate(run, open_dataset(tmp_path / "features.npz")).images == 60


def test_base_and_new(world, tmp_path):
    run = train(plan_for(world, tmp_path / "run", classes="base"))
    data = open_dataset(world["data"])
    base, new = evaluate(run, data), evaluate(run, data, classes="new")
    assert (base.classes, base.seen_in_training, new.seen_in_training) == ("base", True, False)
    assert [row.name for row in base.per_class + new.per_class] == list(CLASSNAMES)
    assert harmonic_mean(50, 50) == 50
    assert harmonic_mean(0, 0) == 0


def test_new_on_a_run_that_saw_them_says_so(finished, world):
    assert evaluate(finished, open_dataset(world["data"]), classes="new").to_dict()["seen_in_training"] is True


def test_another_data_set_is_refused_by_its_first_difference(finished, world, tmp_path):
    names = tmp_path / "names.json"
    names.write_text(json.dumps({name: name.replace("dog", "hound") for name in CLASSNAMES}))
    with pytest.raises(DataError, match="the training did not have: hound; missing: dog"):
        evaluate(finished, open_dataset(world["data"], class_names=names))


def test_a_finished_run_is_refused_without_force(world, tmp_path):
    plan = plan_for(world, tmp_path / "run")
    first = train(plan).tensors["ctx"]
    with pytest.raises(UsageError, match="holds a finished run"):
        train(plan)
    again = train(plan_for(world, tmp_path / "run", force=True)).tensors["ctx"]
    assert torch.equal(first, again)


def test_a_run_is_kept_until_its_replacement_can_be_trained(world, tmp_path):
    run = train(plan_for(world, tmp_path / "run"))
    with pytest.raises(DataError):
        train(plan_for(world, tmp_path / "run", force=True, data=tmp_path / "nosuch"))
    assert torch.equal(Run.open(run.path).tensors["ctx"], run.tensors["ctx"])


@pytest.mark.parametrize("force", [False, True])
def test_a_group_file_of_ones_own_is_never_written_over(world, tmp_path, force):
    mine = tmp_path / "groups.json"
    mine.write_bytes(world["groups"].read_bytes())
    with pytest.raises(UsageError, match="is a file of the run folder itself"):
        train(plan_for({**world, "groups": mine}, tmp_path, force=force))
    with pytest.raises(UsageError, match=r"holds other files \(groups\.json\)"):
        train(plan_for(world, tmp_path, force=force))
    assert mine.read_bytes() == world["groups"].read_bytes()


def test_others_may_read_a_run_as_the_umask_says(world, tmp_path):
    before = os.umask(0o022)
    try:
        run = train(plan_for(world, tmp_path / "run"))
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in run.path.iterdir()}
    assert len(modes) == 5
    assert set(modes.values()) == {0o644}


def test_what_was_found_in_the_data_is_said_before_training(world, tmp_path):
    recorder = Recorder()
    train(plan_for(world, tmp_path / "run", shots=1000), recorder)
    assert any("fewer than 1000 training images" in notice for notice in recorder.notices)


def test_a_run_that_learned_nothing_yet_may_start_again_with_other_settings(world, tmp_path):
    child = _child(world, tmp_path / "run", MOCOOP_SIGNAL_AT="SIGKILL:after-step:1")
    child.wait()
    run = train(plan_for(world, tmp_path / "run", preset("recommended", epochs=1, batch_size=16)))
    assert run.info["training"]["epochs"] == 1


def test_a_folder_with_other_files_is_refused(world, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match=r"thesis\.tex"):
        train(plan_for(world, tmp_path))


def test_out_that_is_a_file_is_a_storage_error(world, tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(StorageError):
        train(plan_for(world, tmp_path / "run"))


def test_top_k_beyond_the_groups_is_refused_before_anything_is_loaded(world, tmp_path):
    with pytest.raises(ConfigError, match="--top-k 3"):
        train(plan_for(world, tmp_path / "run", preset("recommended", top_k=4), backbone="local-dir:nowhere"))


def test_a_loss_that_is_not_finite_stops_before_the_step(world, tmp_path):
    recorder = Recorder()
    with pytest.raises(TrainingStopped, match="lower --lr"):
        train(plan_for(world, tmp_path / "run", preset("recommended", epochs=6, lr=1e30, weight_decay=0.5)), recorder)
    assert all(map(_finite, recorder.logs))
    with pytest.raises(CheckpointError, match="not finished"):
        Run.open(tmp_path / "run")


def _finite(log):
    return torch.isfinite(torch.tensor([log.loss]))


def test_changed_settings_do_not_resume_and_are_all_named(world, tmp_path):
    _interrupt(world, tmp_path / "run")
    other = preset("recommended", epochs=4, batch_size=16, lr=0.01)
    with pytest.raises(UsageError, match=r"config\.lr \(0\.05, now 0\.01\).*config\.epochs \(3, now 4\)"):
        train(plan_for(world, tmp_path / "run", other))


def test_a_damaged_model_file_is_noticed(world, tmp_path):
    run = train(plan_for(world, tmp_path / "run"))
    data = bytearray((run.path / "model.safetensors").read_bytes())
    data[-5] ^= 1
    (run.path / "model.safetensors").write_bytes(data)
    with pytest.raises(CheckpointError, match="has changed since it was written"):
        Run.open(run.path).classifier()


SCRIPT = """
    import sys, torch
    from pathlib import Path
    sys.path.insert(0, {tests!r})
    from worlds import plan_for
    from mocoop.runs.train import train
    torch.set_num_threads(1)
    world = {{name: Path(path) for name, path in {world!r}.items()}}
    try:
        train(plan_for(world, Path({out!r}), force={force!r}))
    except KeyboardInterrupt:
        sys.exit(130)
"""


def _child(world, out, *, force=False, **env):
    world = {name: str(path) for name, path in world.items()}
    script = textwrap.dedent(SCRIPT).format(
        tests=os.path.dirname(worlds.__file__), world=world, out=str(out), force=force
    )
    return subprocess.Popen([sys.executable, "-c", script], env={**os.environ, **env}, stderr=subprocess.PIPE)


def _complete(world, out):
    child = _child(world, out)
    _, errors = child.communicate()
    assert child.returncode == 0, errors.decode()


def _interrupt(world, out):
    child = _child(world, out, MOCOOP_SIGNAL_AT="SIGKILL:after-step:4")
    child.wait()
    assert child.returncode == -signal.SIGKILL


@pytest.fixture(scope="module")
def uninterrupted(world, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "run"
    _complete(world, out)
    return Run.open(out)


# 48 images in batches of 16: three steps an epoch, nine in all. Every file operation is a place to die in
# tests/fault/test_kill_points.py; here the process is another one, and dies between them.
@pytest.mark.parametrize(
    "crash",
    [
        "after-step:4",  # in the middle of an epoch
        "before-save:0",  # trained, but the run is not written yet
    ],
)
def test_a_killed_run_resumes_to_the_same_bits(world, tmp_path, uninterrupted, crash):
    out = tmp_path / "run"
    killed = _child(world, out, MOCOOP_SIGNAL_AT=f"SIGKILL:{crash}")
    killed.wait()
    assert killed.returncode == -signal.SIGKILL
    _complete(world, out)
    resumed = Run.open(out)
    assert all(torch.equal(resumed.tensors[name], uninterrupted.tensors[name]) for name in uninterrupted.tensors)
    assert resumed.history() == uninterrupted.history()


@pytest.fixture
def two_threads():
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


def test_a_training_goes_on_with_the_threads_it_was_started_with(world, tmp_path, uninterrupted, two_threads):
    _interrupt(world, tmp_path / "run")
    with pytest.raises(UsageError, match=r"other settings: threads \(1, now 2\)"):
        train(plan_for(world, tmp_path / "run", threads=2))
    resumed = train(plan_for(world, tmp_path / "run"))
    assert torch.get_num_threads() == 1
    assert all(torch.equal(resumed.tensors[name], uninterrupted.tensors[name]) for name in uninterrupted.tensors)


def test_a_training_does_not_go_on_with_template_features_of_other_bits(world, tmp_path, monkeypatch):
    _interrupt(world, tmp_path / "run")
    monkeypatch.setattr(method, "hard_features", lambda *a, **k: [f * (1 + 2**-23) for f in hard_features(*a, **k)])
    with pytest.raises(CheckpointError, match=r"the same templates that differ .* in their last bits.*--force"):
        train(plan_for(world, tmp_path / "run"))
    assert train(plan_for(world, tmp_path / "run", force=True)).info["status"] == "finished"


def test_a_training_does_not_go_on_with_image_features_of_other_bits(world, tmp_path, monkeypatch):
    _interrupt(world, tmp_path / "run")

    def elsewhere(*arguments, **options):
        found = load_inputs(*arguments, **options)
        return replace(found, features=found.features * np.float32(1 + 2**-23))

    monkeypatch.setattr(runs_train, "load_inputs", elsewhere)
    with pytest.raises(UsageError, match=r"the same images that differ .* in their last bits.*--force"):
        train(plan_for(world, tmp_path / "run"))


def test_a_run_keeps_the_hash_of_the_template_features_it_learned_by(world, tmp_path, monkeypatch):
    hashes = [train(plan_for(world, tmp_path / "one", seed=1)), train(plan_for(world, tmp_path / "two", seed=2))]
    monkeypatch.setattr(method, "hard_features", lambda *a, **k: [f * (1 + 2**-23) for f in hard_features(*a, **k)])
    hashes.append(train(plan_for(world, tmp_path / "three")))
    one, two, three = (run.info["frozen_sha256"] for run in hashes)
    assert one == two != three


def test_a_checkpoint_without_its_log_is_refused(world, tmp_path):
    _interrupt(world, tmp_path / "run")
    (tmp_path / "run" / "log.jsonl").write_text("")
    with pytest.raises(CheckpointError, match=r"has 0 of 3 steps.*--force"):
        train(plan_for(world, tmp_path / "run"))


def test_the_official_preset_reads_the_names_of_new_classes_and_records_them(world, tmp_path):
    config = preset("official", epochs=1, views=0, tune_layer_norm=False)
    base = train(plan_for(world, tmp_path / "base", config, classes="base"))
    assert base.config.extra_class_names == CLASSNAMES[3:]
    assert base.classnames == CLASSNAMES[:3]
    whole = train(plan_for(world, tmp_path / "all", config))
    assert whole.config.extra_class_names == ()


def test_training_images_among_the_test_images_are_told_and_recorded(world, tmp_path):
    with np.load(world["data"]) as arrays:
        copied = dict(arrays)
    test = int((copied["split"] == "test").argmax())
    copied["features"][copied["split"] == "train"] = copied["features"][test]
    np.savez(tmp_path / "leaky.npz", **copied)
    recorder = Recorder()
    run = train(plan_for(world, tmp_path / "run", data=tmp_path / "leaky.npz"), recorder)
    leaks = [note for note in recorder.notices if "in train too" in note]
    assert any("of test" in leak for leak in leaks)
    assert set(leaks) <= set(run.info["data"]["notes"])


def test_ctrl_c_finishes_the_step_saves_and_exits_130(world, tmp_path, uninterrupted):
    out = tmp_path / "run"
    assert _child(world, out, MOCOOP_SIGNAL_AT="SIGINT:after-step:2").wait() == 130
    assert (out / "checkpoints" / "latest").read_text() == "step-00000002\n"
    _complete(world, out)
    assert torch.equal(Run.open(out).tensors["ctx"], uninterrupted.tensors["ctx"])


def test_two_trainings_into_one_folder(world, tmp_path):
    child = _child(world, tmp_path / "run", MOCOOP_SIGNAL_AT="SIGSTOP:after-step:2")
    try:
        os.waitpid(child.pid, os.WUNTRACED)  # until it has stopped itself in the middle
        with pytest.raises(StorageError, match=f"pid {child.pid}"):
            train(plan_for(world, tmp_path / "run"))
    finally:
        child.kill()
        child.wait()


def test_a_training_that_fails_leaves_no_lock_and_another_may_go_on(world, tmp_path):
    out = tmp_path / "run"
    with pytest.raises(DataError):
        train(plan_for(world, out, data=tmp_path / "nowhere"))
    assert list(out.iterdir()) == []
    with locked(out):
        with pytest.raises(StorageError, match=f"pid {os.getpid()}"), locked(out):
            pass
        assert (out / ".lock").is_file()
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("method", ["coop", "cocoop", "mocoop"])
def test_a_last_step_into_the_infinite_stops_the_training(tmp_path, world, method):
    quick = {"epochs": 1, "batch_size": 200, "drop_last": False, "min_steps": 0, "warmup_epochs": 0}
    config = preset("recommended", method, **quick, lr=1e30)
    with pytest.raises(TrainingStopped, match="no finite probabilities after the last step"):
        train(plan_for(world, tmp_path / "run", config))
