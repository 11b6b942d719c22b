"""A calibrated run leaves torch with its calibration: the same probabilities, sets and doubt, one image or many."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from exports import sample_of, some_pictures, written
from servers import form, serving
from worlds import config_of, plan_for, write_world

from mocoop.bulk.jobs import prepare
from mocoop.bulk.local import predict_here
from mocoop.bulk.predictor import Options
from mocoop.bulk.progress import Progress
from mocoop.certainty.doubt import doubt_of
from mocoop.errors import StorageError
from mocoop.export.engine import Engine
from mocoop.export.record import KEY
from mocoop.runs.predict import predict_images
from mocoop.runs.train import train


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    return train(plan_for(write_world(folder), folder / "run", config_of("mocoop"), shots=2))


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return some_pictures(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def model(run, photos, tmp_path_factory):
    return written(run, tmp_path_factory.mktemp("model") / "model.onnx", sample=sample_of(photos)).path


@pytest.fixture(scope="module")
def expected(run, photos):
    doubt = doubt_of(run.calibration, "run", coverage=0.8, unsure_below=0.9)
    return list(predict_images(run, photos, top=6, doubt=doubt))


def same(rows, expected):
    for row, one in zip(rows, expected, strict=True):
        assert (row["class"], row["set"], row.get("unsure")) == (one["class"], one["set"], one.get("unsure"))
        assert row["probability"] == pytest.approx(one["probability"], abs=1e-4)


def test_the_file_holds_the_calibration_and_answers_with_it(run, model, photos, expected):
    engine = Engine(model)
    assert engine.calibration == run.calibration
    assert engine.calibration.temperature != pytest.approx(1, abs=0.05)
    doubt = doubt_of(engine.calibration, "model", coverage=0.8, unsure_below=0.9)
    same(engine.predict_images(photos, top=6, doubt=doubt), expected)


def test_the_server_answers_with_sets_and_doubt(model, photos, expected):
    with serving(model, "--coverage", 0.8, "--unsure-below", 0.9) as server:
        body, kind = form(*((path.name, path.read_bytes()) for path in photos))
        status, answer = server.ask("/predict?top=6", body, kind)[:2]
    assert status == 200
    same(answer["predictions"], expected)


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_very_many_have_them_too(run, photos, expected, tmp_path, form):
    options = Options(run.path, device="cpu", coverage=0.8, unsure_below=0.9)
    job = prepare(options, str(photos[0].parent), tmp_path / "out", form=form)
    predict_here(job, Progress(job, say=lambda _line: None), lambda _note: None)
    if form == "jsonl":
        rows = [json.loads(line) for line in job.parts.path(0).read_text().splitlines()]
    else:
        rows = pytest.importorskip("pyarrow.parquet").read_table(job.parts.path(0)).to_pylist()
    same(rows, expected)


@pytest.mark.parametrize("changes", [{"temperature": 0}, {"classes": ["dog"]}, {"scores": [[2.0]] * 6}, {"format": 9}])
def test_a_calibration_that_cannot_be_is_refused(model, tmp_path, changes):
    proto = onnx.load(model)
    (kept,) = [one for one in proto.metadata_props if one.key == KEY]
    document = json.loads(kept.value)
    document["calibration"] |= changes
    kept.value = json.dumps(document)
    onnx.save(proto, tmp_path / "model.onnx")
    with pytest.raises(StorageError, match="its description cannot be used"):
        Engine(tmp_path / "model.onnx")


def test_a_file_of_an_earlier_version_has_none(model, tmp_path):
    proto = onnx.load(model)
    (kept,) = [one for one in proto.metadata_props if one.key == KEY]
    document = json.loads(kept.value)
    del document["calibration"]
    kept.value = json.dumps(document)
    onnx.save(proto, tmp_path / "model.onnx")
    old, pixels = Engine(tmp_path / "model.onnx"), np.zeros((1, *Engine(model).record.input_shape), np.float32)
    assert old.calibration is None
    np.testing.assert_array_equal(old.predict(pixels).probabilities, Engine(model).predict(pixels).probabilities)
