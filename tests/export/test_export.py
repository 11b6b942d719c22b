"""Exported models: they answer as the run does, say what they are, and are refused where they would not."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from exports import difference, sample_of, small_run, some_pictures, written
from worlds import CLASSNAMES, GROUPS

from mocoop.commands import export as export_command
from mocoop.data.images import open_image
from mocoop.data.views import centre_crop, centre_view
from mocoop.errors import DataError, UsageError
from mocoop.export import check
from mocoop.export import onnx as writing_onnx
from mocoop.export.engine import Engine
from mocoop.export.record import KEY, Record
from mocoop.export.writing import drawn_sample, export_run, without_folders
from mocoop.runs.predict import predict_images


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return small_run(tmp_path_factory.mktemp("world"), top_k=2)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return some_pictures(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def plain(run, tmp_path_factory):
    return written(run, tmp_path_factory.mktemp("plain") / "model.onnx")


@pytest.fixture(scope="module")
def of_bytes(run, tmp_path_factory):
    return written(run, tmp_path_factory.mktemp("bytes") / "model.onnx", pixels="uint8", precision="float16")


@pytest.fixture(scope="module")
def small(run, photos, tmp_path_factory):
    sample = sample_of(photos, [0, 1, 2, 3, 4])
    return written(run, tmp_path_factory.mktemp("int8") / "model.onnx", precision="int8", sample=sample, tolerance=0.5)


def eager(run, photos):
    """Probabilities, gates and features of the run itself."""
    backbone = run.load_backbone("cpu", precision="float32")
    views = np.stack([centre_view(open_image(path), backbone.preprocess) for path in photos])
    features = backbone.encode_images(torch.from_numpy(views))
    prediction = run.classifier().predict(features)
    return prediction.probabilities.numpy(), prediction.gate.numpy(), features.numpy()


class TestAnswers:
    def test_the_outputs_are_the_runs_for_any_number_of_images(self, run, plain, photos):
        probabilities, gates, features = eager(run, photos)
        session = onnxruntime.InferenceSession(plain.path, providers=["CPUExecutionProvider"])
        preprocess = run.load_backbone("cpu", precision="float32").preprocess
        views = np.stack([centre_view(open_image(path), preprocess) for path in photos])
        for count in (1, 2, 5):
            found = session.run(None, {"pixels": views[:count]})
            assert [one.shape for one in found] == [(count, 6), (count, 3), (count, 5), (count, 24)]
            assert difference(found[0], probabilities[:count]) < 1e-4
            assert difference(found[1], gates[:count]) < 1e-4
            assert (found[2] == (-probabilities[:count]).argsort(-1)[:, :5]).all()
            assert difference(found[3], features[:count]) < 1e-4
        assert ((gates > 0).sum(-1) == 2).all()

    def test_bytes_of_a_crop_give_the_same_within_half_precision(self, run, plain, of_bytes, photos):
        probabilities, gates, _ = eager(run, photos)
        session = onnxruntime.InferenceSession(of_bytes.path, providers=["CPUExecutionProvider"])
        preprocess = run.load_backbone("cpu", precision="float32").preprocess
        crops = np.stack([centre_crop(open_image(path), preprocess) for path in photos])
        assert crops.dtype == np.uint8
        found = session.run(None, {"pixels": crops})
        assert difference(found[0], probabilities) < 0.02
        assert difference(found[1], gates) < 0.02
        assert difference(found[0], probabilities) > 0, "weights in half precision are not the same weights"
        assert of_bytes.bytes < 0.7 * plain.bytes

    @pytest.mark.slow
    def test_eight_bits_come_close_and_the_cost_is_said(self, run, small, photos):
        probabilities, _, _ = eager(run, photos)
        answer = Engine(small.path).predict(np.stack([Engine(small.path).pixels(path) for path in photos]))
        assert 1e-6 < difference(answer.probabilities, probabilities) < 0.2
        right = (probabilities.argmax(-1) == np.arange(5)).mean()
        assert small.checked.accuracy_before == pytest.approx(100 * right)
        assert small.checked.accuracy_after is not None
        graph = onnx.load(small.path).graph
        kinds = [node.op_type for node in graph.node]
        assert kinds.count("MatMulInteger") >= 8
        assert {"Einsum", "TopK"} <= set(kinds), "the classifier stays as it is"


class TestRecord:
    def test_the_metadata_says_what_is_needed(self, run, plain):
        meta = onnxruntime.InferenceSession(plain.path).get_modelmeta().custom_metadata_map
        said = json.loads(meta[KEY])
        assert said["classes"] == list(CLASSNAMES)
        assert said["experts"] == [{"id": one["id"], "templates": one["templates"]} for one in GROUPS["groups"]]
        assert said["image"]["size"] == [32, 32]
        assert said["image"]["resize_mode"] == "shortest"
        assert said["about"]["temperature"] == pytest.approx(run.config.class_temperature(run.learned.logit_scale))
        assert said["about"]["experts_per_image"] == 2
        assert said["pixels"] == said["precision"] == "float32"

    def test_it_is_read_back_as_it_was(self, plain, of_bytes):
        for one in (plain, of_bytes):
            assert Record.from_json(one.record.to_json().encode(), "x") == one.record
            assert Engine(one.path).record == one.record

    def test_it_names_files_without_their_folders(self):
        kept = ("hf-hub:ORG/REPO", "ViT-B-16", "openai", "see docs/export.md; 1/2")
        assert [without_folders(text) for text in kept] == list(kept)
        assert without_folders("local-dir:/home/me/models/tiny") == "local-dir:tiny"
        assert without_folders("openai=/data/a b.pt") == "openai=a b.pt"
        assert without_folders("/a/b/open_clip_config.json says no mean") == "open_clip_config.json says no mean"


class TestRefused:
    def test_a_model_that_answers_otherwise_is_not_written(self, run, plain, tmp_path, monkeypatch):
        def copied(path, *_):
            shutil.copy(plain.path, path)
            return Engine(path).predict

        monkeypatch.setattr("mocoop.export.writing._written", copied)
        other = run.load_backbone("cpu", precision="float32")
        assert export_run(run, other, tmp_path / "model.onnx", drawn_sample(4)).path.exists()
        with torch.no_grad():
            other.model.visual.proj.mul_(torch.linspace(0.5, 1.5, other.embed_dim))
        with pytest.raises(DataError, match=r"differs from the run by up to .*: 12 of 12 images by more than 0.001"):
            export_run(run, other, tmp_path / "other.onnx", drawn_sample(12))
        assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]

    def test_a_smaller_format_may_differ_by_what_is_allowed(self):
        found = check.Checked(100, 0.15, 5, 97.0, None, None)
        check.refuse_if_different(found, check.ALLOWED["int8"], "int8")
        with pytest.raises(DataError, match=r"6 of 100 images by more than 0.1 \(5 % may\)"):
            check.refuse_if_different(replace(found, beyond=6), check.ALLOWED["int8"], "int8")
        with pytest.raises(DataError, match="nothing was written") as caught:
            check.refuse_if_different(found, check.ALLOWED["float16"], "float16")
        assert "--tolerance" in caught.value.hint

    def test_no_number_is_a_difference(self, run, photos):
        backbone = run.load_backbone("cpu", precision="float32")

        def broken(pixels):
            return np.full((len(pixels), 6), np.nan, np.float32), np.zeros((len(pixels), 3), np.float32)

        found = check.compare(
            broken,
            backbone,
            run.classifier(),
            sample_of(photos).images,
            pixels="float32",
            allowed=check.ALLOWED["int8"],
        )
        assert found.beyond == len(photos)

    def test_an_expert_at_the_border_may_change_places(self):
        router = np.array([[0.5, 0.25001, 0.24999], [0.5, 0.3, 0.2]], np.float32)
        gate = np.array([[0.6, 0.4, 0.0], [0.6, 0.4, 0.0]], np.float32)
        assert check._undecided(router, gate).tolist() == [True, False]
        assert check._undecided(router, np.ones_like(gate)).tolist() == [False, False]

    def test_prompts_that_depend_on_the_image_are_not_exported(self, tmp_path):
        run = small_run(tmp_path, "cocoop")
        with pytest.raises(UsageError, match="CoCoOp makes its prompts anew for each image"):
            written(run, tmp_path / "model.onnx")

    def test_a_tower_too_large_for_one_file_is_refused_before_it_is_traced(self, run, plain, tmp_path, monkeypatch):
        monkeypatch.setattr(writing_onnx, "MAX_BYTES", 1000)
        with pytest.raises(UsageError, match=r"one ONNX file holds 2") as caught:
            written(run, tmp_path / "model.onnx")
        assert "float16" in caught.value.hint


class TestOtherMethods:
    @pytest.mark.slow
    @pytest.mark.parametrize("method", ["linear-probe", "tip-adapter", "blend"])
    def test_what_reads_images_of_its_own_is_exported_as_well(self, photos, tmp_path, method, capsys):
        run = small_run(tmp_path, method)
        made = written(run, tmp_path / "model.onnx")
        export_command._print(made)
        assert ("experts, weights in" in capsys.readouterr().out) is (method == "blend")
        probabilities, gates, _ = eager(run, photos)
        engine = Engine(made.path)
        answer = engine.predict(np.stack([engine.pixels(path) for path in photos]))
        assert difference(answer.probabilities, probabilities) < 1e-4
        assert difference(answer.gates, gates) < 1e-4
        backbone = run.load_backbone("cpu", precision="float32")
        ours, theirs = list(engine.predict_images(photos)), list(predict_images(run, photos, backbone=backbone))
        assert [one["class"] for one in ours] == [one["class"] for one in theirs]
        names = [[expert["id"] for expert in one["experts"]] for one in ours]
        assert names == [[expert["id"] for expert in one["experts"]] for one in theirs]
        assert any(names) is (method == "blend")

    @pytest.mark.slow
    def test_torch_export_is_the_same_module_with_the_record(self, run, photos, tmp_path):
        made = written(run, tmp_path / "model.pt2", form="torch-export")
        extra = {"mocoop.json": ""}
        program = torch.export.load(made.path, extra_files=extra).module()
        assert Record.from_json(extra["mocoop.json"].encode(), "x") == made.record
        preprocess = run.load_backbone("cpu", precision="float32").preprocess
        views = np.stack([centre_view(open_image(path), preprocess) for path in photos])
        probabilities, gates, features = eager(run, photos)
        for count in (1, 5):
            found = program(torch.from_numpy(views[:count]))
            for one, known in zip((found[0], found[1], found[3]), (probabilities, gates, features), strict=True):
                assert difference(one.detach().numpy(), known[:count]) < 1e-5
