"""A small world to train in: separable features, a tiny local backbone, a group file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from towers import write_clip_folder

from mocoop.config import METHODS, Config, preset
from mocoop.methods import method_named
from mocoop.runs.train import TrainingPlan

STEPPING = [name for name in METHODS if method_named(name).learns and name not in ("linear-probe", "tip-adapter")]
CLASSNAMES = ("dog", "airport", "sea snake", "annual crop land", "grand piano", "black swan")
GROUPS = {
    "schema_version": 1,
    "domain": "things",
    "groups": [
        {"id": "plain", "templates": ["a photo of a {}.", "a picture of a {}."]},
        {"id": "blurry", "templates": ["a blurry photo of a {}."]},
        {"id": "texture", "templates": ["{} texture."]},
    ],
}


def write_features(path: Path, *, per_class: int = 20, dim: int = 24, seed: int = 0) -> Path:
    """Features of six classes around six centres, as an .npz that `--data` takes."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(len(CLASSNAMES), dim))
    labels = np.repeat(np.arange(len(CLASSNAMES)), per_class)
    features = centres[labels] + 0.3 * rng.normal(size=(len(labels), dim))
    split = np.array(["train", "test"])[np.arange(len(labels)) % 2]
    np.savez(path, features=features.astype(np.float32), labels=labels, classnames=np.array(CLASSNAMES), split=split)
    return path


def write_world(folder: Path, family: str = "clip") -> dict[str, Path]:
    """A model folder, a feature file and a group file."""
    groups = folder / "groups.json"
    groups.write_text(json.dumps(GROUPS))
    return {
        "backbone": write_clip_folder(folder / "tiny", family),
        "data": write_features(folder / "features.npz"),
        "groups": groups,
    }


def plan_for(world: dict[str, Path], out: Path, config: Config | None = None, **changes: object) -> TrainingPlan:
    """A quick training plan in a world."""
    values = {
        "groups": world["groups"],
        "data": world["data"],
        "out": out,
        "config": config or preset("recommended", epochs=3, batch_size=16, lr=0.05),
        "shots": 8,
        "backbone": f"local-dir:{world['backbone']}",
        "device": "cpu",
        "use_cache": False,
    }
    return TrainingPlan(**{**values, **changes})


def config_of(method: str, **changes: object) -> Config:
    """A method's preset with a quick schedule, if it takes steps."""
    quick = {"epochs": 3, "batch_size": 8, "lr": 0.05} if method in STEPPING else {}
    return preset("recommended", method, **quick, **changes)
