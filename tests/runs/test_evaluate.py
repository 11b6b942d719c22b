"""Measuring a run: the numbers, which classes they are on, and test images that cannot be read."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from datafiles import put_classes
from worlds import CLASSNAMES, plan_for, write_world

from mocoop.config import preset
from mocoop.data.sources import open_dataset
from mocoop.errors import DataError
from mocoop.runs.evaluate import evaluate, harmonic_mean
from mocoop.runs.train import train
from mocoop.training.trainer import Listener


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def data(world):
    return open_dataset(world["data"])


@pytest.fixture(scope="module")
def runs(world, tmp_path_factory):
    """A run trained on the base classes and one trained on all."""
    folder = tmp_path_factory.mktemp("runs")
    config = preset("recommended", epochs=20, lr=0.05, batch_size=16, lambda_text=0.1)
    return {part: train(plan_for(world, folder / part, config, classes=part)) for part in ("base", "all")}


def by_hand(run, world):
    """Guesses and first experts on all test features, without `evaluate`."""
    with np.load(world["data"]) as file:
        test = file["split"] == "test"
        features, labels = file["features"][test], file["labels"][test]
    prediction = run.classifier().predict(torch.from_numpy(features))
    return labels, prediction.probabilities.argmax(-1).numpy(), prediction.gate.argmax(-1).numpy()


def test_accuracy_and_expert_use_are_those_counted_by_hand(runs, data, world):
    labels, guesses, first = by_hand(runs["all"], world)
    result = evaluate(runs["all"], data)
    assert result.classes == "all"
    assert result.accuracy == pytest.approx(100 * (labels == guesses).mean())
    assert result.accuracy > 50  # chance is 17
    for label, one in enumerate(result.per_class):
        mine = labels == label
        assert (one.name, one.images, one.correct) == (CLASSNAMES[label], 10, int((guesses[mine] == label).sum()))
        assert one.accuracy == pytest.approx(10 * one.correct)
        assert one.expert_use == pytest.approx([(first[mine] == expert).mean() for expert in range(3)])
    assert result.predictions == tuple(guesses)
    assert result.first_expert == tuple(first)


@pytest.mark.parametrize(
    ("trained_on", "asked", "names", "seen"),
    [
        ("base", None, CLASSNAMES[:3], True),
        ("base", "new", CLASSNAMES[3:], False),
        ("base", "all", CLASSNAMES, False),
        ("all", None, CLASSNAMES, True),
        ("all", "base", CLASSNAMES[:3], True),
        ("all", "new", CLASSNAMES[3:], True),
    ],
)
def test_which_classes_are_measured_and_whether_they_were_seen(runs, data, trained_on, asked, names, seen):
    result = evaluate(runs[trained_on], data, classes=asked)
    assert tuple(one.name for one in result.per_class) == names
    assert result.images == 10 * len(names)
    assert result.seen_in_training is seen


def test_the_record_is_json_without_the_image_by_image_lists(runs, data):
    record = json.loads(json.dumps(evaluate(runs["all"], data).to_dict()))
    assert record.keys() == {
        "classes",
        "accuracy",
        "images",
        "skipped",
        "seen_in_training",
        "per_class",
        "training_free",
        "images_in_data",
        "scores",
        "certainty",
        "baselines",
        "missing_baselines",
    }
    assert record["per_class"][0].keys() == {"name", "images", "correct", "accuracy", "expert_use"}


def test_a_class_without_test_images_has_no_accuracy(runs, data):
    without_dogs = replace(data, test=tuple(example for example in data.test if example.label != 0))
    dog = evaluate(runs["all"], without_dogs).per_class[0]
    assert (dog.images, dog.accuracy, sum(dog.expert_use)) == (0, None, 0)


def test_other_classes_than_those_of_the_training_are_refused(runs, data):
    renamed = replace(data, classnames=("dog", "airfield", *CLASSNAMES[2:]))
    with pytest.raises(DataError, match="did not have: airfield; missing: airport"):
        evaluate(runs["all"], renamed)
    more = replace(data, classnames=(*CLASSNAMES[1:], "lake"), keys=())
    with pytest.raises(DataError, match="did not have: lake; missing: dog "):
        evaluate(runs["all"], more)


class Notices(Listener):
    def __init__(self):
        self.said = []

    def notice(self, text):
        self.said.append(text)


def test_a_test_set_that_lacks_classes_is_measured_on_those_it_has(runs, data, world):
    """Its classes stand in another order and case; the answers are still among all classes of the training."""
    kept = [4, 1, 0]
    order = {label: place for place, label in enumerate(kept)}
    some = tuple(e._replace(label=order[e.label]) for e in data.test if e.label in order)
    part = replace(
        data, classnames=tuple(CLASSNAMES[label].upper() for label in kept), keys=(), test=some, train=(), val=()
    )
    listener = Notices()
    result = evaluate(runs["all"], part, listener=listener)
    labels, guesses, _ = by_hand(runs["all"], world)
    mine = np.isin(labels, kept)
    assert result.images == mine.sum() == 30
    assert result.accuracy == pytest.approx(100 * (labels == guesses)[mine].mean())
    assert [row.name for row in result.per_class] == list(CLASSNAMES)
    assert [row.images for row in result.per_class] == [10, 10, 0, 0, 10, 0]
    said = [text for text in listener.said if text.startswith("no images of")]
    assert said == [
        f"no images of {CLASSNAMES[2]}, {CLASSNAMES[3]}, {CLASSNAMES[5]}: measured on the 3 classes of features; "
        "the answers are among all 6"
    ]
    assert evaluate(runs["all"], part, classes="base").images == 20


def test_classes_in_another_order_are_found_by_name(runs, data):
    """Two sources of one data set may number the classes differently."""
    turned = replace(
        data,
        classnames=CLASSNAMES[::-1],
        keys=CLASSNAMES[::-1],
        **{
            part: tuple(example._replace(label=5 - example.label) for example in data.split(part))
            for part in ("train", "val", "test")
        },
    )
    assert evaluate(runs["all"], turned).to_dict() == evaluate(runs["all"], data).to_dict()


def test_data_without_test_images_is_refused(runs, data):
    with pytest.raises(DataError, match="no test images of the new classes"):
        evaluate(runs["base"], replace(data, test=()), classes="new")


def test_harmonic_mean():
    assert harmonic_mean(80.0, 60.0) == pytest.approx(68.5714, abs=1e-4)
    assert harmonic_mean(50.0, 50.0) == 50.0
    assert harmonic_mean(0.0, 0.0) == harmonic_mean(70.0, 0.0) == 0.0


@pytest.fixture(scope="module")
def pictures(world, tmp_path_factory):
    """A run on two classes of pictures; 20 test pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    counts = {f"{part}/{name}": n for part, n in (("train", 2), ("test", 10)) for name in ("dog", "airport")}
    photos = put_classes(folder / "photos", counts)
    config = preset("recommended", epochs=1, batch_size=4)
    return train(plan_for(world, folder / "run", config, data=photos, shots=2)), photos


@pytest.fixture
def break_pictures(pictures):
    """Cuts so many test pictures short, and mends them afterwards."""
    whole = {}

    def break_some(count):
        for path in sorted((pictures[1] / "test").rglob("*.png"))[:count]:
            path.write_bytes(whole.setdefault(path, path.read_bytes())[:-30])

    yield break_some
    for path, content in whole.items():
        path.write_bytes(content)


def test_an_unreadable_test_picture_is_named(pictures, break_pictures):
    run, photos = pictures
    break_pictures(1)
    with pytest.raises(DataError, match=r"1 of 20 images cannot be read: .*airport/00\.png"):
        evaluate(run, open_dataset(photos))


def test_a_tenth_of_the_test_pictures_may_be_skipped_and_no_more(pictures, break_pictures):
    run, photos = pictures
    break_pictures(2)
    result = evaluate(run, open_dataset(photos), on_bad_image="skip")
    assert (result.images, result.skipped) == (18, 2)
    assert [one.images for one in result.per_class] == [8, 10]
    break_pictures(3)
    with pytest.raises(DataError, match="3 of 20 test images cannot be read") as refused:
        evaluate(run, open_dataset(photos), on_bad_image="skip")
    assert "--max-skipped" in refused.value.hint
    assert evaluate(run, open_dataset(photos), on_bad_image="skip", max_skipped=0.5).skipped == 3


def test_progress_hears_of_the_pictures(pictures):
    heard = []

    class Ear(Listener):
        def features(self, done, total):
            heard.append((done, total))

    evaluate(pictures[0], open_dataset(pictures[1]), listener=Ear())
    assert heard[-1] == (20, 20)


@pytest.mark.parametrize(("routing", "said"), [("uniform", False), ("learned", True)])
def test_experts_that_are_never_first_are_told_of_a_router_that_learns(world, data, tmp_path, routing, said):
    """One test image has one first expert; equal weights have none."""
    config = preset("recommended", epochs=1, batch_size=16, routing=routing)
    run = train(plan_for(world, tmp_path / "run", config))
    one = evaluate(run, replace(data, test=data.test[:1]))
    assert any("never the first expert" in note for note in one.notes) is said
    if not said:
        assert not any("never the first expert" in note for note in run.info["notes"])


def test_the_share_of_all_images_is_counted_over_all_splits_and_of_these_classes(runs, data):
    assert evaluate(runs["all"], data).images_in_data == 120
    assert evaluate(runs["base"], data, classes="new").images_in_data == 60
