"""Predicting pictures: what is said of each, by which experts, and without the text tower."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from datafiles import encoded, pixels, put_classes
from safetensors.numpy import save_file
from worlds import GROUPS, plan_for, write_world

from mocoop.config import preset
from mocoop.data.images import open_image
from mocoop.data.views import centre_view
from mocoop.errors import DataError
from mocoop.runs.predict import predict_features, predict_images
from mocoop.runs.train import train

CLASSES = ("airport", "dog", "sea snake")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    photos = put_classes(
        folder / "photos",
        {f"{part}/{name}": 4 for part in ("train", "test") for name in ("airport", "dog", "sea_snake")},
    )
    config = preset("recommended", epochs=2, batch_size=4, lr=0.05)
    return train(plan_for(write_world(folder), folder / "run", config, data=photos, shots=4))


@pytest.fixture(scope="module")
def backbone(run):
    return run.load_backbone("cpu")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("new")
    for seed in range(5):
        (folder / f"{seed}.png").write_bytes(encoded(pixels(seed), "PNG"))
    return sorted(folder.iterdir())


def test_a_prediction_says_what_the_classifier_says(run, backbone, photos):
    pictures = [torch.from_numpy(centre_view(open_image(path), backbone.preprocess)) for path in photos]
    expected = run.classifier().predict(backbone.encode_images(torch.stack(pictures)))
    found = list(predict_images(run, photos, backbone=backbone, top=2))
    assert [one["path"] for one in found] == [str(path) for path in photos]
    for row, one in enumerate(found):
        probabilities, gate = expected.probabilities[row], expected.gate[row]
        assert one.keys() == {"path", "class", "probability", "top_k", "experts"}
        assert one["class"] == CLASSES[probabilities.argmax()]
        assert one["probability"] == pytest.approx(float(probabilities.max()), abs=1e-5)
        assert one["top_k"][0] == {"class": one["class"], "probability": one["probability"]}
        assert [guess["probability"] for guess in one["top_k"]] == pytest.approx(
            probabilities.sort(descending=True).values[:2].tolist(), abs=1e-5
        )
        assert {expert["id"]: expert["weight"] for expert in one["experts"]} == {
            run.groups.ids[e]: pytest.approx(float(gate[e]), abs=1e-5) for e in gate.nonzero()[:, 0].tolist()
        }


def test_experts_are_those_chosen_heaviest_first_with_their_templates(run, backbone, photos):
    templates = {group["id"]: group["templates"] for group in GROUPS["groups"]}
    for one in predict_images(run, photos, backbone=backbone):
        weights = [expert["weight"] for expert in one["experts"]]
        assert len(weights) == len(GROUPS["groups"])  # top_k = all
        assert weights == sorted(weights, reverse=True)
        assert sum(weights) == pytest.approx(1, abs=2e-6)
        assert all(expert["templates"] == templates[expert["id"]] for expert in one["experts"])
        assert sum(guess["probability"] for guess in one["top_k"]) == pytest.approx(1, abs=3e-6)  # all three classes
        json.dumps(one)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_batch_size_does_not_matter(run, photos, precision):
    backbone = run.load_backbone("cpu", precision=precision)
    together = list(predict_images(run, photos, backbone=backbone))
    alone = list(predict_images(run, photos, backbone=backbone, batch_size=1))
    assert [one["class"] for one in alone] == [one["class"] for one in together]
    assert [one["probability"] for one in alone] == pytest.approx([one["probability"] for one in together], abs=1e-5)


def test_classes_trained_on_need_no_text_tower(run, photos):
    whole, spoilt = run.load_backbone("cpu"), run.load_backbone("cpu")
    with torch.no_grad():
        for name, parameter in spoilt.model.named_parameters():
            if not name.startswith("visual."):
                parameter.fill_(torch.nan)  # whoever reads the text tower now, gets no number
    expected = list(predict_images(run, photos, backbone=whole))
    assert list(predict_images(run, photos, backbone=spoilt)) == expected
    with pytest.raises(DataError, match="gave values that are no numbers"):
        next(iter(predict_images(run, photos, backbone=spoilt, classnames=["quiet zebra", "dog"])))


def test_other_classes_can_be_asked_for(run, backbone, photos):
    found = list(predict_images(run, photos, backbone=backbone, classnames=["quiet zebra", "dog"]))
    assert {guess["class"] for one in found for guess in one["top_k"]} == {"quiet zebra", "dog"}
    assert all(len(one["top_k"]) == 2 for one in found)


def test_an_unreadable_picture_is_named(run, backbone, photos, tmp_path):
    with pytest.raises(DataError, match=r"1 of 6 images cannot be read: .*missing\.png"):
        list(predict_images(run, [*photos, tmp_path / "missing.png"], backbone=backbone))


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_a_skipped_picture_keeps_its_place_and_says_why(run, backbone, photos, tmp_path, batch_size):
    cut = tmp_path / "cut.png"
    cut.write_bytes(photos[0].read_bytes()[:-20])
    asked = [photos[0], photos[1], tmp_path / "missing.png", cut, photos[2]]  # in twos: a batch of bad ones only
    found = list(predict_images(run, asked, backbone=backbone, batch_size=batch_size, on_bad_image="skip"))
    assert [one["path"] for one in found] == [str(path) for path in asked]
    assert ["error" in one for one in found] == [False, False, True, True, False]
    assert found[2].keys() == {"path", "error"}
    assert "No such file" in found[2]["error"]
    assert str(cut) not in found[3]["error"]


class TestFeatures:
    def rows(self, backbone, photos):
        pictures = [torch.from_numpy(centre_view(open_image(path), backbone.preprocess)) for path in photos]
        return backbone.encode_images(torch.stack(pictures)).numpy()

    def test_rows_of_features_say_what_the_images_say_without_a_backbone(self, run, backbone, photos, tmp_path):
        np.savez(tmp_path / "x.npz", features=self.rows(backbone, photos), paths=np.array([str(p) for p in photos]))
        expected = list(predict_images(run, photos, backbone=backbone))
        found = list(predict_features(run, tmp_path / "x.npz", batch_size=2))
        assert [one["path"] for one in found] == [str(path) for path in photos]
        for mine, other in zip(found, expected, strict=True):
            assert mine["class"] == other["class"]
            assert mine["probability"] == pytest.approx(other["probability"], abs=1e-5)
            assert [e["id"] for e in mine["experts"]] == [e["id"] for e in other["experts"]]

    def test_rows_without_paths_are_numbered_and_other_classes_can_be_named(self, run, backbone, photos, tmp_path):
        path = tmp_path / "x.safetensors"
        save_file({"features": self.rows(backbone, photos)}, path)
        found = list(predict_features(run, path, backbone=backbone, classnames=("cat", "harbour")))
        assert [one["path"] for one in found] == [f"{path} row {row}" for row in range(5)]
        assert {one["class"] for one in found} <= {"cat", "harbour"}

    @pytest.mark.parametrize(
        ("arrays", "said"),
        [
            ({"features": np.ones((2, 7), np.float32)}, "are 7 wide, local-dir:.* makes 24"),
            ({"features": np.full((2, 24), np.nan)}, "NaN or infinity in row 0"),
            ({"labels": np.zeros(2)}, "no features"),
            ({"features": np.ones((2, 24)), "paths": np.array(["a"])}, "1 paths for 2 rows"),
        ],
    )
    def test_a_file_that_cannot_be_used_is_refused(self, run, tmp_path, arrays, said):
        np.savez(tmp_path / "x.npz", **arrays)
        with pytest.raises(DataError, match=said):
            list(predict_features(run, tmp_path / "x.npz"))
