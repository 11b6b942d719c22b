"""The README's run on real satellite photographs, as it is typed, and the Python interface beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mocoop import MoCoOpClassifier

NAMES = Path(__file__).parent.parent / "docs" / "examples" / "ucmerced_names.json"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("real")


def typed(folder, *command):
    """Run a command in a process of its own; its stdout."""
    environment = {**os.environ, "MOCOOP_CACHE": str(folder / "cache")}
    done = subprocess.run(
        [sys.executable, "-m", *map(str, command)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_photographs_train_evaluate_and_predict_from_the_command_line(test_data, folder):
    photos = test_data / "ucmerced"
    typed(folder, "mocoop.grouping.commands", "generate", "--domain", "satellite imagery", "-o", "groups.json")
    data = ("--data", photos, "--class-names", NAMES)
    train = ("--groups", "groups.json", *data, "--shots", "4", "--epochs", "3", "--seed", "1", "-o", "run")
    summary = json.loads(typed(folder, "mocoop", "train", *train, "--json"))
    assert summary["training"]["steps"] == 3 * (21 * 4 // 32)
    assert summary["backbone"]["name"] == "photoclip"
    record = json.loads(typed(folder, "mocoop", "eval", "run", *data, "--baselines", "--json"))
    (result,) = record["results"]
    assert result["images"] == 420
    assert result["accuracy"] > 25  # chance is 4.8
    assert result["training_free"]["zero-shot, one template"] == pytest.approx(36.43, abs=1)
    harbor = sorted((photos / "test" / "harbor").iterdir())[:5]
    lines = [json.loads(line) for line in typed(folder, "mocoop", "predict", "run", *harbor, "--json").splitlines()]
    assert [line["path"] for line in lines] == [str(path) for path in harbor]
    model = MoCoOpClassifier.load(folder / "run", device="cpu")
    assert [line["class"] for line in lines] == list(model.predict(harbor))
    told = {one["name"]: one["accuracy"] for one in result["per_class"]}
    for label in model.classes_[:4]:
        paths = _test_images(photos, label)
        assert 100 * model.score(paths, [label] * len(paths)) == pytest.approx(told[label])


def _test_images(photos, label):
    names = json.loads(NAMES.read_text())
    (key,) = [key for key, name in names.items() if name == label]
    return sorted((photos / "test" / key).iterdir())
