"""Training through the Python interface with a backbone: weights, validation data, callbacks, copies, pictures."""

from __future__ import annotations

import copy
import pickle

import datasets
import numpy as np
import pytest
import torchvision
from datafiles import pixels
from PIL import Image
from sklearn.model_selection import cross_val_score
from worlds import CLASSNAMES, STEPPING, write_world

from mocoop import Listener, MoCoOpClassifier, load_backbone
from mocoop.errors import BackboneError, ConfigError, DataError, TrainingStopped, UsageError
from mocoop.runs.run import Run
from mocoop.training.loggers import TensorBoardLog

pytestmark = pytest.mark.filterwarnings("ignore")

QUICK = {"epochs": 2, "lr": 0.05, "batch_size": 512}  # all images in one step


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def data(world):
    with np.load(world["data"]) as arrays:
        return arrays["features"][::4], np.array(CLASSNAMES)[arrays["labels"]][::4]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Class folders of red and blue pictures."""
    root = tmp_path_factory.mktemp("pictures")
    for label, channel in (("red sand", 0), ("blue water", 2)):
        (root / label).mkdir()
        for number in range(3):
            picture = pixels(number, 20, 24) // 4
            picture[..., channel] += 150
            Image.fromarray(picture).save(root / label / f"{number}.png")
    return root


def classifier(world, **changes):
    values = {"backbone": f"local-dir:{world['backbone']}", "device": "cpu", "settings": QUICK, "cache": False}
    return MoCoOpClassifier(world["groups"], **{**values, **changes})


class Recorder(Listener):
    """Keeps what it hears."""

    def __init__(self):
        self.heard = []

    def planned(self, record):
        self.heard.append(("planned", record["method"], record["config"]["lr"]))

    def started(self, epochs, steps, resumed_step):
        self.heard.append(("started", epochs, steps))

    def step(self, log):
        self.heard.append(("step", log.step))

    def validated(self, log):
        self.heard.append(("validated", log.step))

    def ended(self, whole):
        self.heard.append(("ended", whole))


class TestWeights:
    @pytest.mark.parametrize("method", STEPPING)
    def test_an_image_of_weight_2_counts_as_two_and_one_of_weight_0_as_none(self, world, data, method):
        x, y = data
        counts = np.array([2, 1, 0, 1, 1] * 6)
        weighed = classifier(world, method=method).fit(x, y, sample_weight=counts)
        repeated = classifier(world, method=method).fit(np.repeat(x, counts, axis=0), np.repeat(y, counts))
        plain = classifier(world, method=method).fit(x[counts > 0], y[counts > 0])
        np.testing.assert_allclose(weighed.predict_proba(x), repeated.predict_proba(x), atol=1e-5)
        assert np.abs(weighed.predict_proba(x) - plain.predict_proba(x)).max() > 1e-4

    @pytest.mark.parametrize("kind", ["mse", "kl-reversed"])
    def test_the_router_learns_by_the_weights_too(self, world, data, kind):
        x, y = data
        counts = np.array([2, 1, 1, 1, 1] * 6)
        settings = {**QUICK, "router_loss": kind, "lambda_router": 50.0}
        weighed = classifier(world, settings=settings).fit(x, y, sample_weight=counts)
        repeated = classifier(world, settings=settings).fit(np.repeat(x, counts, axis=0), np.repeat(y, counts))
        np.testing.assert_allclose(weighed.expert_weights(x), repeated.expert_weights(x), atol=1e-5)
        assert weighed.history_[0].router_loss == pytest.approx(repeated.history_[0].router_loss, abs=1e-6)

    @pytest.mark.parametrize("method", ["zero-shot", "zero-shot-ensemble", "gated-zero-shot"])
    def test_what_learns_nothing_refuses_weights(self, world, data, method):
        with pytest.raises(UsageError, match=f"the method {method} learns nothing"):
            classifier(world, method=method, settings=None).fit(*data, sample_weight=np.ones(30))


class TestValidation:
    @pytest.mark.parametrize("method", ["mocoop", "cocoop", "prograd", "gated-zero-shot"])
    def test_the_last_measure_is_of_the_model_that_is_left(self, world, data, method):
        x, y = data
        steps = method in STEPPING
        model = classifier(world, method=method, settings={**QUICK, "batch_size": 4} if steps else None)
        model.fit(x[::2], y[::2], validation_data=(x[1::2], y[1::2]))
        log = model.validation_history_[-1]
        chosen = model.predict_proba(x[1::2])[np.arange(15), np.searchsorted(model.classes_, y[1::2])]
        assert log.loss == pytest.approx(-np.log(chosen).mean(), rel=1e-3)
        assert log.accuracy == pytest.approx(model.score(x[1::2], y[1::2]))
        assert [one.step for one in model.validation_history_] == ([3, 6] if steps else [0])

    def test_an_image_tower_that_learns_is_asked_again(self, world, folder):
        paths = sorted(folder.rglob("*.png"))
        labels = [path.parent.name for path in paths]
        model = classifier(world, preset="official", settings={"epochs": 2, "lr": 1.0, "batch_size": 8}, cache=True)
        model.fit(paths, labels, validation_data=(paths, labels))
        chosen = model.predict_proba(paths)[np.arange(6), np.searchsorted(model.classes_, labels)]
        assert model.validation_history_[-1].loss == pytest.approx(-np.log(chosen).mean(), rel=1e-3)


class TestCalibration:
    @pytest.fixture(scope="class")
    def halves(self):
        random = np.random.default_rng(5)
        centres, labels = random.normal(size=(6, 24)), np.repeat(np.arange(6), 10)
        x = (centres[labels] + 0.9 * random.normal(size=(60, 24))).astype(np.float32)
        y = np.array(CLASSNAMES)[labels]
        return (x[::2], y[::2]), (x[1::2], y[1::2])

    @pytest.fixture(scope="class")
    def fitted(self, world, halves):
        return classifier(world).fit(*halves[0], validation_data=halves[1])

    def test_probabilities_are_those_of_one_temperature_fitted_on_the_validation_data(self, world, halves, fitted):
        (train, (x, y)) = halves
        raw = np.log(classifier(world).fit(*train).predict_proba(x).astype(np.float64))
        right = np.searchsorted(fitted.classes_, y)

        def loss(temperature):
            p = np.exp(raw / temperature)
            return -np.log(p / p.sum(1, keepdims=True))[np.arange(30), right].mean()

        grid = np.geomspace(0.05, 20, 4000)
        best = grid[np.argmin([loss(one) for one in grid])]
        assert fitted._calibration.temperature == pytest.approx(best, rel=5e-3)
        p = np.exp(raw / fitted._calibration.temperature)
        np.testing.assert_allclose(fitted.predict_proba(x), p / p.sum(1, keepdims=True), atol=1e-5)

    def test_sets_are_those_of_the_sorted_scores(self, halves, fitted):
        x, y = halves[1]
        p = fitted.predict_proba(x).astype(np.float64)
        scores = sorted(1 - p[np.arange(30), np.searchsorted(fitted.classes_, y)])
        limit = scores[int(np.ceil(31 * 0.8)) - 1]
        expected = 1 - p <= limit + 1e-6  # scores are kept rounded up to six digits
        expected[np.arange(30), p.argmax(1)] = True
        assert (fitted.predict_set(x, 0.8) == expected).all()
        assert fitted.predict_set(x, 0.8)[np.arange(30), np.searchsorted(fitted.classes_, y)].mean() >= 0.8

    def test_it_is_saved_and_loaded(self, fitted, halves, tmp_path):
        loaded = MoCoOpClassifier.load(fitted.save(tmp_path / "run"), device="cpu", cache=False)
        x, _ = halves[1]
        np.testing.assert_allclose(loaded.predict_proba(x), fitted.predict_proba(x), atol=1e-6)
        assert (loaded.predict_set(x) == fitted.predict_set(x)).all()

    @pytest.mark.parametrize("method", ["mocoop", "linear-probe"])
    def test_without_enough_of_them_or_where_they_were_chosen_on_there_is_none(self, world, halves, method):
        (train, (x, y)) = halves
        few = slice(None, 19 if method == "mocoop" else None)
        model = classifier(world, method=method, settings=None if method != "mocoop" else QUICK)
        model.fit(*train, validation_data=(x[few], y[few]))
        with pytest.raises(UsageError, match="there is no calibration"):
            model.predict_set(x)

    def test_what_sets_cannot_be_is_refused(self, fitted, halves):
        x, _ = halves[1]
        with pytest.raises(UsageError, match="coverage is 1"):
            fitted.predict_set(x, 1)
        with pytest.raises(UsageError, match="need more than the 30 images"):
            fitted.predict_set(x, 0.99)
        others = copy.deepcopy(fitted).set_classes(["zebra", "yak"])
        with pytest.raises(UsageError, match="is of the classes trained on"):
            others.predict_set(x)


class TestCallbacks:
    def test_they_hear_the_training(self, world, data):
        heard = Recorder()
        model = classifier(world, callbacks=[Listener(), heard])
        model.fit(*data, validation_data=data)
        assert heard.heard == [
            ("planned", "mocoop", 0.05), ("started", 2, 2),
            ("step", 1), ("validated", 1), ("step", 2), ("validated", 2), ("ended", True),
        ]  # fmt: skip

    def test_they_hear_that_it_failed(self, world, data):
        heard = Recorder()
        with pytest.raises(TrainingStopped):
            classifier(world, callbacks=[heard], settings={**QUICK, "epochs": 4, "lr": 1e30}).fit(*data)
        assert heard.heard[-1] == ("ended", False)

    def test_tensorboard_is_one_of_them(self, world, data, tmp_path):
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        model = classifier(world, callbacks=[TensorBoardLog(tmp_path / "log")]).fit(*data)
        pickle.loads(pickle.dumps(model))
        found = EventAccumulator(str(tmp_path / "log"))
        found.Reload()
        logged = [one.value for one in found.Scalars("loss")]
        assert logged == [pytest.approx(log.loss) for log in model.history_]
        assert {f"expert_use/{name}" for name in ("plain", "blurry", "texture")} <= set(found.Tags()["scalars"])

    def test_what_is_no_listener_is_refused(self, world, data):
        with pytest.raises(ConfigError, match=r"callbacks holds function .*subclass mocoop\.Listener"):
            classifier(world, callbacks=[lambda log: None]).fit(*data)

    @pytest.mark.parametrize("verbose", [False, True])
    def test_verbose_shows_progress_on_stderr(self, world, data, capsys, verbose):
        classifier(world, verbose=verbose).fit(*data)
        shown = capsys.readouterr()
        assert ("epoch 2/2" in shown.err) == verbose
        assert shown.out == ""


class TestCopies:
    @pytest.mark.parametrize("method", ["mocoop", "cocoop"])
    @pytest.mark.parametrize("loaded", [False, True])
    def test_a_fitted_model_is_copied_with_its_backbone(self, world, folder, method, loaded):
        paths = sorted(folder.rglob("*.png"))
        labels = [path.parent.name for path in paths]
        backbone = f"local-dir:{world['backbone']}"
        model = classifier(world, method=method, backbone=load_backbone(backbone, device="cpu") if loaded else backbone)
        expected = model.fit(paths, labels).predict_proba(paths)
        for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            np.testing.assert_array_equal(again.predict_proba(paths), expected)
            again.set_classes(["dog", "airport"])
            assert again.predict_proba(paths).shape == (6, 2)
        assert list(model.classes_) == ["blue water", "red sand"]

    def test_other_classes_are_kept_in_a_copy(self, world, data):
        model = classifier(world).fit(*data).set_classes(["quiet zebra", "dog"], labels=[7, 3])
        again = pickle.loads(pickle.dumps(model))
        np.testing.assert_array_equal(again.predict(data[0]), model.predict(data[0]))

    def test_a_pickle_of_a_named_backbone_does_not_hold_it(self, world, data):
        small = len(pickle.dumps(classifier(world).fit(*data)))
        whole = classifier(world, backbone=load_backbone(f"local-dir:{world['backbone']}", device="cpu"))
        assert small < len(pickle.dumps(whole.fit(*data))) / 2


class TestPictures:
    def test_torchvisions_folder_is_all_that_fit_needs(self, world, folder):
        given = torchvision.datasets.ImageFolder(str(folder))
        model = classifier(world).fit(given)
        assert model.classes_.tolist() == [0, 1]
        assert model.class_names_ == ("blue water", "red sand")
        paths = sorted(folder.rglob("*.png"))
        by_path = classifier(world).fit(paths, [path.parent.name for path in paths])
        np.testing.assert_allclose(model.predict_proba(given), by_path.predict_proba(paths), atol=1e-5)
        arrays = np.stack([np.asarray(Image.open(path)) for path in paths])
        np.testing.assert_allclose(model.predict_proba(arrays), by_path.predict_proba(paths), atol=1e-5)

    def test_a_label_that_the_data_set_calls_by_another_number_is_asked_for(self, world, folder):
        pictures = [image for image, _ in torchvision.datasets.ImageFolder(str(folder))]
        numbers = [2, 2, 2, 10, 10, 10]
        given = datasets.Dataset.from_dict({"image": pictures, "label": numbers}).class_encode_column("label")
        assert list(given["label"]) == [1, 1, 1, 0, 0, 0]  # "10" is before "2"
        probe = {"method": "linear-probe", "settings": None}
        with pytest.raises(
            DataError, match="X calls the label 0 '10', so class_names by number could mean either"
        ) as asked:
            classifier(world, class_names={0: "blue water", 1: "red sand"}, **probe).fit(given)
        assert "give y" in asked.value.hint
        model = classifier(world, class_names={0: "blue water", 1: "red sand"}, **probe).fit(given, given["label"])
        assert (model.classes_.tolist(), model.class_names_) == ([0, 1], ("blue water", "red sand"))
        model = classifier(world, class_names={2: "red sand", 10: "blue water"}, **probe).fit(given, numbers)
        assert (model.classes_.tolist(), model.class_names_) == ([2, 10], ("red sand", "blue water"))
        assert classifier(world, **probe).fit(given).class_names_ == ("10", "2")

    @pytest.mark.parametrize("kind", ["torchvision", "datasets"])
    def test_data_sets_are_split_by_scikit_learn(self, world, folder, kind):
        given = torchvision.datasets.ImageFolder(str(folder))
        if kind == "datasets":
            pictures = [given[place][0] for place in range(6)]
            kinds = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=given.classes)})
            given = datasets.Dataset.from_dict({"image": pictures, "label": given.targets}, features=kinds)["image"]
        model = classifier(world, method="linear-probe", settings=None)
        np.testing.assert_array_equal(cross_val_score(model, given, np.repeat([0, 1], 3), cv=3), [1, 1, 1])

    def test_transform_gives_features_that_stand_for_the_pictures(self, world, folder):
        paths = sorted(folder.rglob("*.png"))
        model = classifier(world).fit(paths, [path.parent.name for path in paths])
        features = model.transform(paths)
        assert (features.shape, features.dtype) == ((6, 24), np.float32)
        np.testing.assert_array_equal(model.predict_proba(features), model.predict_proba(paths))
        again = classifier(world).fit(features, [path.parent.name for path in paths])
        np.testing.assert_allclose(again.predict_proba(features), model.predict_proba(paths), atol=1e-6)


def test_features_without_a_model_have_no_text(world, data):
    with pytest.raises(BackboneError, match="features:24 has no t"):
        classifier(world, backbone=None).fit(*data)


def test_the_command_line_learns_a_probe_of_features_of_any_width(tmp_path, world, data):
    from worlds import plan_for

    from mocoop.config import preset
    from mocoop.runs.train import train

    plan = plan_for(world, tmp_path / "run", preset("recommended", "linear-probe"), backbone="features:24", groups=None)
    run = train(plan)
    loaded = MoCoOpClassifier.load(run.path, device="cpu")
    assert loaded.score(*data) > 0.9
    assert Run.open(run.path).info["backbone"]["name"] == "features:24"
    with pytest.raises(BackboneError, match="features:0"):
        load_backbone("features:0")
