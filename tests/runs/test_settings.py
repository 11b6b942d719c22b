"""Every setting does something: a training with another value learns something else."""

from __future__ import annotations

from dataclasses import fields

import pytest
import torch
from datafiles import put_classes
from worlds import CLASSNAMES, plan_for, write_world

from mocoop.config import Config, preset
from mocoop.runs.train import train

BASE = {"epochs": 3, "batch_size": 8, "lr": 0.05}
ONLINE = {**BASE, "views": "online"}
LINEAR = {"router_form": "linear"}

# Another value for each setting, and what it is compared with where that is not BASE.
OTHER = {
    "method": ({"method": "lasp"}, {}),
    "ctx_init": ({"method": "coop", "ctx_init": "a picture of the"}, {"method": "coop"}),
    "ctx_tokens": ({"method": "coop", "ctx_init": None, "ctx_tokens": 3}, {"method": "coop", "ctx_init": None}),
    "ctx_position": ({"method": "coop", "ctx_position": "middle"}, {"method": "coop"}),
    "class_ctx": ({"method": "coop", "class_ctx": True}, {"method": "coop"}),
    "template": ({"method": "kgcoop", "template": "{} texture."}, {"method": "kgcoop"}),
    "lambda_knowledge": ({"method": "kgcoop", "lambda_knowledge": 1.0}, {"method": "kgcoop"}),
    "lambda_projection": (
        {"method": "prograd", "template": "{} texture.", "lambda_projection": 0.0},
        {"method": "prograd", "template": "{} texture."},
    ),
    "probe_c": ({"method": "linear-probe", "probe_c": 0.01}, {"method": "linear-probe"}),
    "tip_alpha": ({"method": "tip-adapter", "tip_alpha": 3.0}, {"method": "tip-adapter"}),
    "tip_beta": ({"method": "tip-adapter", "tip_beta": 3.0}, {"method": "tip-adapter"}),
    "blend_weight": ({"method": "blend", "blend_weight": 0.9}, {"method": "blend", "blend_weight": 0.1}),
    "routing": ({"routing": "random"}, {}),
    "top_k": ({"top_k": 1}, {}),
    "router_form": (LINEAR, {}),
    "router_init": ({**LINEAR, "router_init": "random"}, LINEAR),
    "router_scale": ({**LINEAR, "router_scale": False}, LINEAR),
    "router_lr": ({"router_lr": 0.5}, {}),
    "gate_prototypes": ({**LINEAR, "gate_prototypes": "true-class"}, LINEAR),
    "gate_target": ({**LINEAR, "gate_target": "two-hot"}, LINEAR),
    "tau_gate": ({"tau_gate": 1.0}, {}),
    "gate_softness": ({"gate_softness": 1.0}, {}),
    "router_loss": ({"router_loss": "mse"}, {}),
    "renormalise_mix": ({"renormalise_mix": False}, {}),
    "tau_class": ({"tau_class": 0.5}, {}),
    "lambda_router": ({"lambda_router": 3.0}, {}),
    "text_target": ({"text_target": "mean-template"}, {}),
    "text_classes": ({"text_classes": "all"}, {}),
    "extra_class_names": ({"text_classes": "all", "extra_class_names": ("quiet zebra",)}, {"text_classes": "all"}),
    "tau_text": ({"tau_text": 0.5}, {}),
    "lambda_text": ({"lambda_text": 0.5}, {}),
    "text_offset": ({"text_offset": True}, {}),
    "tune_layer_norm": ({**ONLINE, "tune_layer_norm": True}, ONLINE),
    "layer_norm_lr": (
        {**ONLINE, "tune_layer_norm": True, "layer_norm_lr": 1.0},
        {**ONLINE, "tune_layer_norm": True},
    ),
    "drop_full_stop": ({"drop_full_stop": True}, {}),
    "views": ({"views": 2}, {}),
    "view_scale": ({"views": 2, "view_scale": (0.9, 1.0)}, {"views": 2}),
    "lr": ({"lr": 0.01}, {}),
    "epochs": ({"epochs": 4}, {}),
    "batch_size": ({"batch_size": 4}, {}),
    "momentum": ({"momentum": 0.5}, {}),
    "weight_decay": ({"weight_decay": 0.5}, {}),
    "warmup_epochs": ({"warmup_epochs": 0}, {}),
    "warmup_lr": ({"warmup_lr": 1e-3}, {}),
    "clip_norm": ({"clip_norm": 1e-3}, {}),
    "min_steps": ({"min_steps": 40}, {"min_steps": 0}),
    "drop_last": ({"batch_size": 7, "drop_last": False, "min_steps": 0}, {"batch_size": 7, "min_steps": 0}),
}
# The label of the other settings; number formats, which a CPU does not have (tests/mixture/test_objective.py); and what
# is read when classes are named, not when prompts are learned (tests/methods/test_mixture.py).
ELSEWHERE = {"preset", "precision", "template_share"}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    names = [name.replace(" ", "_") for name in CLASSNAMES]
    counts = {f"{part}/{name}": 8 for part in ("train", "val", "test") for name in names}
    return {**write_world(folder), "data": put_classes(folder / "photos", counts)}


@pytest.fixture(scope="module")
def learned(world, tmp_path_factory):
    """Trains with some settings, once for each."""
    known = {}

    def tensors(settings):
        key = repr(sorted(settings.items()))
        if key not in known:
            config = preset("recommended", **{**BASE, **settings})
            known[key] = train(plan_for(world, tmp_path_factory.mktemp("run"), config, classes="base")).tensors
        return known[key]

    return tensors


def test_no_setting_is_left_out():
    assert {field.name for field in fields(Config)} == set(OTHER) | ELSEWHERE


@pytest.mark.parametrize("name", OTHER)
def test_another_value_learns_something_else(learned, name):
    changed, compared = OTHER[name]
    other, base = learned(changed), learned(compared)
    same_shapes = other.keys() == base.keys() and all(other[k].shape == base[k].shape for k in other)
    assert not same_shapes or any(not torch.equal(other[k], base[k]) for k in other)


def test_tuned_layer_norms_are_not_the_backbones_own(learned, world):
    from mocoop.backbone.backbone import load_backbone

    own = load_backbone(f"local-dir:{world['backbone']}", device="cpu").block_layer_norms()
    tuned = {k.removeprefix("image."): v for k, v in learned(OTHER["tune_layer_norm"][0]).items() if k[:6] == "image."}
    assert tuned.keys() == own.keys()
    assert any(not torch.equal(tuned[name], own[name]) for name in own)
