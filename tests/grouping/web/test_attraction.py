"""The images that the templates of each group fit best, against the trainer's own gate."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

from mocoop.backbone.backbone import load_backbone
from mocoop.backbone.hard_features import hard_features
from mocoop.data.features import image_features
from mocoop.data.sources import open_dataset
from mocoop.grouping.clustering.embed import EmbedderChoice
from mocoop.grouping.keep import texts_of
from mocoop.grouping.web.attraction import MOST_SHOWN, Attraction
from mocoop.grouping.web.kept import Kept
from mocoop.grouping.web.session import Session
from mocoop.miniclip.scenes import write_scenes
from mocoop.mixture.router import group_prototypes, reference_gate

GROUPS = [
    {"id": "plain", "templates": ["a satellite image of {}.", "a satellite photo of {}."]},
    {"id": "night", "templates": ["a satellite image of {} at night."]},
    {"id": "sketch", "templates": ["a map drawing of {}."]},
]


@pytest.fixture(scope="module")
def tiles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiles")
    write_scenes(folder, train=1, val=0, test=1, seed=3)
    return folder


@pytest.fixture
def session(written):
    path = written("groups.json", json.dumps({"schema_version": 1, "domain": "tiles", "groups": GROUPS}))
    return Session.open(str(path), Kept(path))


def test_the_images_of_a_group_are_those_that_the_reference_gate_gives_it(session, tiles):
    attraction = Attraction(session, EmbedderChoice(backbone="miniclip"), tiles, 1000)
    backbone, names, features = attraction._look()
    told = attraction._shared(session.document, backbone, names, features)

    dataset, plain = open_dataset(tiles), load_backbone("miniclip", device="cpu", precision="float32")
    images = {path: n for n, path in enumerate(example.path for example in dataset.train)}
    x = image_features(plain, dataset.train, cache=None).features[0]
    x = torch.nn.functional.normalize(torch.tensor(np.array(x, dtype=float)), dim=-1)
    hard = [one.double() for one in hard_features(plain, [texts_of(group) for group in GROUPS], dataset.classnames)]
    prototypes = group_prototypes(hard)
    shares = reference_gate(x - x.mean(dim=0), prototypes, 1 / plain.logit_scale)  # (N, E)
    assert set(images) == set(attraction._paths)
    for place, group in enumerate(GROUPS):
        best = shares[:, place].topk(MOST_SHOWN)
        assert [one["share"] for one in told[group["id"]]] == pytest.approx(best.values.tolist(), abs=2e-3)
        for one in told[group["id"]]:
            own = shares[images[attraction._paths[one["number"]]], place]
            assert one["share"] == pytest.approx(float(own), abs=2e-3)


def test_small_copies_are_jpegs_and_what_is_gone_is_none(session, tiles):
    attraction = Attraction(session, EmbedderChoice(backbone="miniclip"), tiles, 3)
    attraction._look()
    assert len(attraction._paths) == 3
    assert Image.open(io.BytesIO(attraction.small(0))).format == "JPEG"
    assert attraction.small(3) is None
    attraction._paths[1] = tiles / "gone.png"
    assert attraction.small(1) is None


def test_the_thread_tells_what_it_found_and_looks_again_after_a_change(session, tiles):
    attraction = Attraction(session, EmbedderChoice(backbone="miniclip"), tiles, 8)
    attraction.start()
    for _ in range(600):
        if attraction.as_dict()["groups"]:
            break
        attraction._thread.join(0.05)
    assert attraction.as_dict()["told"].startswith("8 images of ")
    before = attraction.number
    session.do({"operation": "add", "texts": ["a drawn plan of {}."], "to": "sketch"}, 1)
    for _ in range(600):
        if attraction.number > before:
            break
        attraction._thread.join(0.05)
    assert "a drawn plan of {}." in attraction._means
    assert attraction.end()


def test_images_that_cannot_be_had_are_told(session, tmp_path):
    attraction = Attraction(session, EmbedderChoice(backbone="miniclip"), tmp_path / "nothing", 8)
    attraction._run()
    assert attraction.as_dict()["told"].startswith("no images: ")
