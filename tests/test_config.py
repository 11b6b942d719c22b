"""Settings check themselves, and the presets differ only where their fields say so."""

from __future__ import annotations

import pytest

from mocoop.config import PRESETS, Config, preset
from mocoop.errors import ConfigError


@pytest.mark.parametrize("name", PRESETS)
def test_round_trip(name):
    config = preset(name)
    assert Config.from_dict(config.to_dict()) == config
    assert config.preset == name


def test_paper_preset_is_the_paper():
    config = preset("paper")
    assert (config.tau_class, config.tau_text, config.tau_gate) == (0.07, 0.07, 1.0)
    assert (config.lambda_router, config.lambda_text, config.top_k) == (1, 5, 2)
    assert (config.lr, config.momentum, config.weight_decay, config.batch_size) == (0.002, 0.9, 5e-4, 32)
    assert [config.epochs_for(shots) for shots in (1, 2, 4, 8, 16)] == [50, 100, 100, 200, 200]
    assert config.epochs_for(16, imagenet=True) == 50


def test_unknown_setting_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'lambda_text'"):
        preset("paper", lambda_txt=3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"top_k": 0},
        {"top_k": True},
        {"lr": 0},
        {"lr": float("nan")},
        {"tau_class": -1},
        {"router_loss": "kll"},
        {"views": -1},
        {"views": "online!"},
        {"epochs": 0},
        {"view_scale": (0.5, 0.1)},
        {"tune_layer_norm": True},
        {"precision": "int8"},
        {"view_scale": 5},
        {"view_scale": [0.1, 0.2, 0.3]},
        {"view_scale": ["a", 1]},
        {"view_scale": None},
        {"extra_class_names": "dog"},
        {"extra_class_names": ["dog", 3]},
        {"extra_class_names": ["dog"]},  # read only with text_classes = all
        {"text_offset": 5},
        {"router_scale": "false"},
    ],
)
def test_impossible_values_are_refused(wrong):
    with pytest.raises(ConfigError):
        preset("recommended", **wrong)


def test_lists_from_json_are_kept_as_tuples():
    config = preset("recommended", view_scale=[0.5, 1], text_classes="all", extra_class_names=["lake"])
    assert (config.view_scale, config.extra_class_names) == ((0.5, 1), ("lake",))
    assert config.replace(view_scale=[0.2, 0.3]).view_scale == (0.2, 0.3)


def test_unknown_preset():
    with pytest.raises(ConfigError, match="choose recommended, paper, official"):
        preset("best")


def test_a_whole_number_is_the_number_that_it_is():
    by_int, by_float = (preset("recommended", "kgcoop", lambda_knowledge=value, lr=2) for value in (8, 8.0))
    assert by_int.to_dict() == by_float.to_dict()
    assert repr(by_int.to_dict()["lr"]) == "2.0"
    assert (by_int.batch_size, by_int.text_offset) == (32, False)
    with pytest.raises(ConfigError, match="lr is inf"):
        Config().replace(lr=10**400)
