"""Every kind of image tower that a run may have, exported and asked on pictures; and the example in an environment of
its own, which has onnxruntime, Pillow and NumPy and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from exports import difference, drawn_classifier
from PIL import Image
from towers import CONFIGS, small_model

from mocoop.backbone.backbone import Backbone, load_backbone
from mocoop.backbone.preprocessing import preprocess_of
from mocoop.backbone.pretrained import build_model
from mocoop.data.reading import Reading
from mocoop.data.views import centre_view
from mocoop.export.check import ALLOWED, compare
from mocoop.export.engine import Engine
from mocoop.export.graph import ImageClassifier
from mocoop.export.onnx import write_onnx
from mocoop.export.record import Record
from mocoop.export.writing import drawn_sample

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "onnx_predict.py"


def backbone_of(model, config):
    pixels = preprocess_of(model, {})
    return Backbone("a test's", None, model, config, pixels, lambda *_: None, "", torch.device("cpu"), "float32")


def random_backbone(name):
    """A model of open_clip's list with random weights; its text tower is left out, and is not exported anyway."""
    config = open_clip.get_model_config(name)
    torch.manual_seed(0)
    return backbone_of(build_model({**config, "text_cfg": {**CONFIGS["clip"]["text_cfg"], "vocab_size": 100}}), config)


def record_for(backbone, classifier, **changes):
    values = {
        "classnames": classifier.classnames,
        "templates": {one: (f"{one} {{}}",) for one in classifier.group_ids},
        "preprocess": backbone.preprocess,
        "reading": Reading(),
    }
    return Record(**{**values, **changes})


def exported(backbone, path, **changes):
    """The path of a model of a drawn classifier on a backbone, and what comparing it found."""
    classifier = drawn_classifier(backbone)
    record = record_for(backbone, classifier, **changes)
    given = backbone.preprocess if record.pixels == "uint8" else None
    write_onnx(path, ImageClassifier(backbone, classifier, top=5, preprocess=given).eval(), record)
    images = drawn_sample(4).images
    allowed = ALLOWED[record.precision]
    found = compare(Engine(path).predict, backbone, classifier, images, pixels=record.pixels, allowed=allowed)
    return found, allowed


@pytest.mark.slow
def test_the_backbone_for_photographs(tmp_path):
    """The other that comes along, miniclip, is what the example below runs."""
    found, _ = exported(
        load_backbone("photoclip", device="cpu", precision="float32"), tmp_path / "model.onnx", pixels="uint8"
    )
    assert found.beyond == 0
    assert found.largest_difference < 1e-4


@pytest.mark.slow
def test_a_tower_that_gives_more_than_one_feature(tmp_path):
    found, _ = exported(backbone_of(small_model("coca"), CONFIGS["coca"]), tmp_path / "model.onnx")
    assert found.largest_difference < 1e-4


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """The Python of an environment with onnxruntime, Pillow and NumPy only; or why there is none."""
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = str(folder / "bin" / "python")
    wanted = [f"{name}=={version(name)}" for name in ("onnxruntime", "pillow", "numpy")]
    quiet = ["--quiet", "--disable-pip-version-check", "--no-compile", "--retries", "0"]
    done = subprocess.run(
        [python, "-m", "pip", "install", *quiet, *wanted], capture_output=True, text=True, check=False
    )
    if done.returncode:
        return None, f"no package index to install {' '.join(wanted)} from: {done.stderr.strip().splitlines()[-1]}"
    listed = subprocess.run([python, "-m", "pip", "list", "--format", "json"], capture_output=True, check=True).stdout
    assert "torch" not in {one["name"] for one in json.loads(listed)}
    return python, None


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    found = []
    for number, image in enumerate(drawn_sample(4).images):
        found.append(tmp_path_factory.mktemp("pictures") / f"{number}.png")
        image.crop((0, 0, 64, 40 + number)).save(found[-1])
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "pixels"),
    [("miniclip", "float32"), ("ViT-B-32", "float32"), ("RN50", "uint8"), ("ViT-B-16-SigLIP", "uint8")],
)
def test_the_example_runs_them_in_a_bare_environment(bare, pictures, tmp_path, name, pixels):
    """miniclip, and towers of full size with random weights."""
    embedded = name == "miniclip"
    backbone = load_backbone(name, device="cpu", precision="float32") if embedded else random_backbone(name)
    model = tmp_path / "model.onnx"
    found, _ = exported(backbone, model, pixels=pixels)
    assert found.images == 4
    assert found.largest_difference < 1e-4
    python, why = bare
    if why:
        pytest.skip(why)
    views = np.stack([centre_view(Image.open(path).convert("RGB"), backbone.preprocess) for path in pictures])
    known = drawn_classifier(backbone).predict(backbone.encode_images(torch.from_numpy(views)))
    alone = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    command = [python, str(EXAMPLE), str(model), *map(str, pictures)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=alone)
    assert done.returncode == 0, done.stderr
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    best = known.probabilities.max(-1)
    assert [row[0] for row in rows] == list(map(str, pictures))
    assert [row[1] for row in rows] == [f"class {c}" for c in best.indices.tolist()]
    assert difference([float(row[2]) for row in rows], best.values.numpy()) < 1e-4
    assert [row[3].split()[0] for row in rows] == [f"expert{e}" for e in known.gate.argmax(-1).tolist()]
