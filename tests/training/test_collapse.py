"""A router that serves all images by one expert is told, and one that lives is not."""

from __future__ import annotations

import dataclasses

import pytest

from mocoop.config import preset
from mocoop.training.collapse import collapse as collapse_of
from mocoop.training.collapse import first_collapse
from mocoop.training.trainer import StepLog

IDS = ("plain", "blurry", "texture")


def collapse(one, ids, config):
    return collapse_of([one], ids, config)


def log(use, reference=(0.5, 0.3, 0.2), entropy=0.5):
    return StepLog(3, 8, 20, 1, 1, 0.1, 0, 0.5, entropy, 0.1, use, reference)


@pytest.mark.parametrize("use", [(0.5, 0.3, 0.2), (0.9, 0.05, 0.05)])
def test_a_router_that_parts_the_images_is_left_in_peace(use):
    assert collapse(log(use), IDS, preset("recommended")) is None


def test_one_expert_for_all_images_is_named_with_the_share_and_what_to_change():
    told = collapse(log((0.02, 0.97, 0.01)), IDS, preset("recommended", router_form="linear"))
    assert told is not None
    assert "blurry comes first for 97%" in told
    assert "more than 50%" in told
    assert "router_form=correction" in told
    assert "lower router_lr" in collapse(log((0.02, 0.97, 0.01)), IDS, preset("recommended"))


def test_a_gate_that_prefers_one_group_itself_is_no_collapse():
    assert collapse(log((0.02, 0.97, 0.01), reference=(0.04, 0.95, 0.01)), IDS, preset("recommended")) is None


def test_no_entropy_is_a_collapse_whatever_comes_first():
    assert "entropy 0.049" in collapse(log((0.5, 0.3, 0.2), entropy=0.049), IDS, preset("recommended"))
    assert collapse(log((0.5, 0.3, 0.2), entropy=0.051), IDS, preset("recommended")) is None


def test_a_log_of_earlier_versions_says_nothing_of_the_gate():
    assert collapse(log((0.02, 0.97, 0.01), reference=()), IDS, preset("recommended")) is None


@pytest.mark.parametrize("routing", ["reference", "uniform", "random"])
def test_what_does_not_learn_cannot_collapse(routing):
    assert collapse(log((0.0, 1.0, 0.0), entropy=0.0), IDS, preset("recommended", routing=routing)) is None


def test_one_expert_cannot_collapse():
    assert collapse(log((1.0,), (1.0,), 0.0), IDS[:1], preset("recommended")) is None


def test_entropy_is_that_of_the_whole_epoch_and_not_of_its_last_batch():
    epoch = [log((0.5, 0.3, 0.2), entropy=0.6), log((0.5, 0.3, 0.2), entropy=0.04)]
    assert collapse_of(epoch, IDS, preset("recommended")) is None
    assert "entropy 0.045" in collapse_of([log((0.5, 0.3, 0.2), entropy=e) for e in (0.05, 0.04)], IDS, preset("paper"))


def test_the_first_epoch_of_a_training_that_collapsed_is_named():
    alive, fallen = (0.5, 0.3, 0.2), (0.0, 1.0, 0.0)
    history = [dataclasses.replace(log(use), epoch=e) for e, use in enumerate((alive, alive, fallen, fallen))]
    assert first_collapse(history, IDS, preset("recommended")).startswith("epoch 3: the router collapsed")
    assert first_collapse(history[:2], IDS, preset("recommended")) is None
    assert first_collapse([], IDS, preset("recommended")) is None
