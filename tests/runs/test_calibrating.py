"""A training's calibration: on which images, what then changes, and what a run without one does."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from worlds import CLASSNAMES, plan_for, write_world

from mocoop import MoCoOpClassifier
from mocoop.certainty.calibration import Calibration
from mocoop.certainty.conformal import prediction_sets
from mocoop.certainty.doubt import doubt_of
from mocoop.certainty.temperature import tempered
from mocoop.config import preset
from mocoop.data.dataset import Example
from mocoop.data.sources import open_dataset
from mocoop.data.splits import few_shot
from mocoop.errors import CheckpointError
from mocoop.files import sha256_file
from mocoop.runs.calibrating import TOO_EQUAL, calibrate, held_out
from mocoop.runs.evaluate import evaluate
from mocoop.runs.predict import predict_features
from mocoop.runs.record import CALIBRATION, RUN, write_record
from mocoop.runs.run import Run
from mocoop.runs.train import train
from mocoop.training.trainer import Listener


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def run(world, tmp_path_factory):
    return train(plan_for(world, tmp_path_factory.mktemp("runs") / "run", shots=2))


@pytest.fixture(scope="module")
def base(world, tmp_path_factory):
    return train(plan_for(world, tmp_path_factory.mktemp("runs") / "base", shots=2, classes="base"))


def features_of(world, split):
    with np.load(world["data"]) as file:
        mine = file["split"] == split
        return torch.from_numpy(file["features"][mine]), file["labels"][mine]


def test_it_is_fitted_on_all_images_of_the_classes_that_are_neither_trained_on_nor_test_images(run, base, world):
    data = open_dataset(world["data"])
    drawn = few_shot(data, 2, 1)
    left = [example for example in (*data.train, *data.val) if example not in drawn.train]
    assert run.calibration.images == len(left) == 60 - 12
    assert base.calibration.images == sum(example.label < 3 for example in left)
    x, y = torch.from_numpy(data.features[[example.row for example in left]]), [example.label for example in left]
    given = run.classifier(calibrated=False).predict(x).probabilities.numpy()
    assert Calibration.fit(given, np.array(y), CLASSNAMES) == run.calibration


def test_stored_features_are_read_a_few_at_a_time(run, world, monkeypatch):
    monkeypatch.setattr("mocoop.runs.calibrating.ROWS", 7)
    data = open_dataset(world["data"])
    drawn = few_shot(data, 2, 1)
    left = [example for example in (*data.train, *data.val) if example not in drawn.train]
    predictor, backbone = run.classifier(calibrated=False), run.load_backbone()
    found = calibrate(predictor, backbone, data, left, chosen=0, cache=None, listener=Listener())
    assert found.temperature == pytest.approx(run.calibration.temperature, rel=1e-4)
    for mine, theirs in zip(found.scores, run.calibration.scores, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-5)


def test_probabilities_are_calibrated_and_no_answer_changes(run, world):
    x, _ = features_of(world, "test")
    before = run.classifier(calibrated=False).predict(x).probabilities
    after = run.classifier().predict(x).probabilities
    np.testing.assert_allclose(after, tempered(before.numpy(), run.calibration.temperature), atol=1e-6)
    assert run.calibration.temperature != pytest.approx(1, abs=0.05)
    assert torch.equal(before.argmax(-1), after.argmax(-1))


def test_other_classes_have_the_temperature_and_no_sets(base, world):
    result = evaluate(base, open_dataset(world["data"]), classes="new")
    assert result.certainty.temperature == base.calibration.temperature
    assert result.certainty.sets == ()
    assert [sets.coverage for sets in evaluate(base, open_dataset(world["data"])).certainty.sets] == [80, 90, 95]


def test_sets_and_not_sure_stand_in_the_rows(run, world):
    doubt = doubt_of(run.calibration, "run", coverage=0.8, unsure_below=0.99)
    plain = list(predict_features(run, world["data"]))
    rows = list(predict_features(run, world["data"], doubt=doubt))
    limits = run.calibration.limits(0.8)
    with np.load(world["data"]) as file:
        probabilities = run.classifier().predict(torch.from_numpy(file["features"])).probabilities.numpy()
    inside = prediction_sets(probabilities, limits)
    assert 1 < inside.sum(1).mean() < len(CLASSNAMES)
    for row, without, p, held in zip(rows, plain, probabilities, inside, strict=True):
        assert row["set"] == [CLASSNAMES[c] for c in (-p).argsort() if held[c]]
        assert row.get("unsure", False) == (p.max() < 0.99)
        assert {key: row[key] for key in without} == without
    assert any("unsure" in row for row in rows)


def test_python_gives_the_same_probabilities_and_saves_the_calibration(run, world, tmp_path):
    x, _ = features_of(world, "test")
    loaded = MoCoOpClassifier.load(run.path)
    np.testing.assert_array_equal(loaded.predict_proba(x.numpy()), run.classifier().predict(x).probabilities)
    assert Run.open(loaded.save(tmp_path / "again")).calibration == run.calibration


def test_a_run_without_one_opens_and_its_probabilities_are_as_they_were(run, world, tmp_path):
    folder = copied(run, tmp_path)
    (folder / CALIBRATION).unlink()
    info = json.loads((folder / RUN).read_text())
    del info["files"][CALIBRATION]
    write_record(folder, info)
    old, x = Run.open(folder), features_of(world, "test")[0]
    assert old.calibration is None
    assert torch.equal(
        old.classifier().predict(x).probabilities, run.classifier(calibrated=False).predict(x).probabilities
    )
    certainty = evaluate(old, open_dataset(world["data"])).certainty
    assert (certainty.temperature, certainty.sets, certainty.ece) == (None, (), certainty.ece_before)


@pytest.mark.parametrize("known", [False, True])
def test_a_changed_file_is_refused(run, tmp_path, known):
    folder = copied(run, tmp_path)
    (folder / CALIBRATION).write_text(json.dumps(run.calibration.to_dict() | {"temperature": -1}))
    if known:  # its hash fits, its content does not
        info = json.loads((folder / RUN).read_text())
        info["files"][CALIBRATION] = sha256_file(folder / CALIBRATION)
        write_record(folder, info)
    with pytest.raises(CheckpointError, match="temperature cannot be" if known else "has changed"):
        Run.open(folder).classifier()


class Notices(Listener):
    def __init__(self):
        self.said = []

    def notice(self, text):
        self.said.append(text)


def test_without_enough_images_there_is_none_and_a_note_says_why(world, tmp_path):
    listener = Notices()
    found = train(plan_for(world, tmp_path / "run", shots=8), listener)
    assert found.calibration is None
    told = [note for note in found.info["notes"] if note.startswith("no calibration")]
    assert len(told) == 1
    assert "12 can be used" in told[0]
    assert "fewer --shots" in told[0]
    assert told[0] in listener.said


def test_images_that_settings_were_chosen_on_and_copies_of_training_images_are_left_out():
    data = open_dataset_of_rows(12)
    drawn = few_shot(data, 2, 1)
    chosen = data.train[:1] if data.train[0] not in drawn.train else data.train[-1:]
    found = held_out(drawn, data, chosen, {copy_of(data, data.train[3])}, 1)
    assert not {*found} & {*drawn.train, *chosen, data.train[3]}
    assert {*found} == {*data.train} - {*drawn.train, *chosen, data.train[3]}


def open_dataset_of_rows(count):
    from mocoop.data.dataset import Dataset

    features = np.arange(count * 3, dtype=np.float32).reshape(count, 3)
    rows = tuple(Example(None, row % 2, row) for row in range(count))
    return Dataset(name="rows", classnames=("a", "b"), train=rows, val=(), test=(), features=features)


def copy_of(data, example):
    from mocoop.data.leaks import content

    return content(data, example)


def copied(run, folder):
    import shutil

    return shutil.copytree(run.path, folder / "run")


def test_a_probe_of_a_heavy_penalty_is_calibrated_too(world, tmp_path):
    def probe(c):
        config = preset("recommended", "linear-probe", probe_c=c)
        return train(plan_for(world, tmp_path / f"{c:g}", config, groups=None, shots=2))

    heavy, heaviest = probe(1e-4), probe(1e-8)
    measured = evaluate(heavy, open_dataset(world["data"])).certainty
    assert heavy.calibration.temperature < 0.01
    assert measured.ece < 5 < 50 < measured.ece_before
    assert TOO_EQUAL not in heavy.info["notes"]
    assert TOO_EQUAL in heaviest.info["notes"]
