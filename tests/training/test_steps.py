"""How many steps a training takes: the last short batch, and a least number of steps, against naive counting."""

from __future__ import annotations

import pytest
import torch
from worlds import plan_for, write_world

from mocoop.bench.cell import Cell, key_of
from mocoop.bench.rows import FORMAT, cell_key
from mocoop.config import METHODS, PRESETS, Config, preset
from mocoop.errors import ConfigError
from mocoop.methods import method_named
from mocoop.runs.train import train
from mocoop.training.trainer import epoch_batches


def naive_batches(order, batch_size, drop_last):
    """Cut a list into batches, one image at a time."""
    batches, batch = [], []
    for image in order:
        batch.append(image)
        if len(batch) == batch_size:
            batches.append(batch)
            batch = []
    return batches + ([batch] if batch and (not drop_last or not batches) else [])


@pytest.mark.parametrize("images", [1, 5, 31, 32, 33, 48, 64, 100])
@pytest.mark.parametrize("drop_last", [True, False])
def test_batches_and_their_number_are_those_counted_one_by_one(images, drop_last):
    config = Config(batch_size=32, drop_last=drop_last)
    order = torch.cat(epoch_batches(3, 2, images, 1)).tolist()
    found = [batch.tolist() for batch in epoch_batches(3, 2, images, 32, drop_last=drop_last)]
    assert found == naive_batches(order, 32, drop_last)
    assert config.steps_an_epoch(images) == len(found)
    if not drop_last:
        assert sorted(image for batch in found for image in batch) == list(range(images))  # every image, once


@pytest.mark.parametrize("images", [1, 8, 33, 48, 100, 1000])
@pytest.mark.parametrize("least", [0, 1, 30, 31, 200])
def test_few_images_are_all_taken_for_as_many_epochs_as_it_takes(images, least):
    config = Config(batch_size=32, epochs=30, min_steps=least)
    scheduled, epochs = config.scheduled(16, images)
    if 30 * len(naive_batches(range(images), 32, True)) >= least:
        assert (scheduled, epochs) == (config, 30)
        return
    assert scheduled == config.replace(drop_last=False)
    steps = len(naive_batches(range(images), 32, False))
    assert epochs * steps >= least
    assert epochs == 30 or (epochs - 1) * steps < least


def test_presets_of_others_take_the_steps_they_always_took_and_ours_no_fewer_than_it_says():
    for name, methods in PRESETS.items():
        for method in methods:
            config = preset(name, method)
            assert config.scheduled(4, 5000) == (config, config.epochs_for(4))
            if name != "recommended":
                assert config.scheduled(4, 10) == (config, config.epochs_for(4))
            elif "min_steps" in method_named(method).settings:
                scheduled, epochs = config.scheduled(4, 10)
                assert epochs * scheduled.steps_an_epoch(10) >= config.min_steps * 4 // 16 > 0


@pytest.mark.parametrize(("shots", "least"), [(1, 12), (4, 50), (8, 100), (16, 200), (100, 200)])
def test_fewer_shots_ask_for_fewer_steps(shots, least):
    assert Config(epochs=1, min_steps=200).scheduled(shots, 10)[1] == least


def test_a_number_of_epochs_that_is_asked_for_is_kept_to():
    assert preset("recommended").min_steps > 0
    assert preset("recommended", epochs=3).scheduled(4, 10) == (preset("recommended", epochs=3), 3)
    assert preset("recommended", epochs=3, min_steps=20).scheduled(4, 10)[1] == 5


def test_results_measured_before_keep_their_keys():
    """Settings that came later are no part of a cell's identity where they change nothing."""
    cell = Cell("base-to-new", "eurosat", "coop", 16, 1)
    config = preset("recommended", "coop")
    groups = method_named("coop").groups(None, config)

    def key(config, images):
        return key_of(cell, config, groups, {"eurosat": "x"}, "f", images)

    later = ("min_steps", "drop_last", "tip_alpha", "tip_beta", "blend_weight", "template_share")
    before = {k: v for k, v in config.to_dict().items() if k not in ("preset", *later)}
    drawn = [cell.shots, cell.seed, cell.train_on, cell.val_shots]
    old = cell_key([FORMAT, cell.protocol, {"eurosat": "x"}, drawn, groups.sha256, "f", before])
    assert key(config, 400) == key(config.replace(min_steps=0), 400) == old
    assert key(config, 20) != old
    assert key(config.replace(drop_last=False), 400) != old
    assert all(key(config.replace(**{name: 0.5}), 400) != old for name in later[2:])


def test_methods_that_take_steps_read_both_settings_and_others_do_not():
    for method in METHODS:
        assert ("min_steps" in method_named(method).settings) == ("epochs" in method_named(method).settings)
        assert ("drop_last" in method_named(method).settings) == ("batch_size" in method_named(method).settings)


@pytest.mark.parametrize("changes", [{"min_steps": -1}, {"min_steps": 1.5}, {"drop_last": 1}, {"min_steps": True}])
def test_values_that_cannot_be_are_refused(changes):
    with pytest.raises(ConfigError):
        Config(**changes)


def test_a_training_takes_that_many_steps_sees_every_image_and_says_so(tmp_path):
    world = write_world(tmp_path)
    config = preset("recommended", "coop", epochs=2, batch_size=32, lr=0.05, min_steps=14)  # at 8 shots: 7
    run = train(plan_for(world, tmp_path / "run", config, shots=8))  # 48 images: batches of 32 and 16
    history = run.history()
    assert (len(history), history[-1].epoch, history[-1].steps) == (8, 3, 8)
    assert run.info["training"]["epochs"] == 4
    assert "few images: 4 epochs, 8 steps (min_steps = 14 at 16 shots)" in run.info["notes"]
    short = train(plan_for(world, tmp_path / "short", config.replace(min_steps=0), shots=8))
    assert len(short.history()) == 2
    assert not any("min_steps" in note for note in short.info["notes"])


def test_a_training_with_a_short_last_batch_is_resumed_to_the_same_bits(tmp_path):
    world = write_world(tmp_path)
    config = preset("recommended", epochs=3, batch_size=32, lr=0.05, drop_last=False)
    whole = train(plan_for(world, tmp_path / "whole", config))

    from mocoop.training.trainer import Listener

    class Stop(Listener):
        def step(self, log):
            if log.step == 3:  # the first step of the second epoch
                import signal

                signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(plan_for(world, tmp_path / "cut", config), Stop())
    resumed = train(plan_for(world, tmp_path / "cut", config))
    assert [log.loss for log in resumed.history()] == [log.loss for log in whole.history()]
    assert [log.expert_use for log in resumed.history()] == [log.expert_use for log in whole.history()]
    for name, tensor in whole.tensors.items():
        assert torch.equal(tensor, resumed.tensors[name])
