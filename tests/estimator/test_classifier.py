"""The scikit-learn interface: fit, predict, save and load, other classes, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from datafiles import pixels
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from worlds import CLASSNAMES, GROUPS, write_world

from mocoop import MoCoOpClassifier
from mocoop.errors import CheckpointError, ConfigError, DataError, GroupFileError, TrainingStopped, UsageError
from mocoop.runs.run import Run

# These trainings are too short for a router to settle; what warns of it is tested in test_fitting.py.
pytestmark = pytest.mark.filterwarnings("ignore:the router")

SETTINGS = {"epochs": 40, "lr": 0.05, "batch_size": 16, "lambda_text": 0.1}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def data(world):
    with np.load(world["data"]) as arrays:
        return arrays["features"], np.array(CLASSNAMES)[arrays["labels"]]


def classifier(world, **changes):
    values = {"backbone": f"local-dir:{world['backbone']}", "device": "cpu", "settings": SETTINGS, "cache": False}
    return MoCoOpClassifier(world["groups"], **{**values, **changes})


@pytest.fixture(scope="module")
def fitted(world, data):
    return classifier(world).fit(data[0][::2], data[1][::2])


@pytest.fixture(scope="module")
def untrained_score(world, data):
    """What the templates reach with a learning rate of nothing, on the held-out half."""
    idle = classifier(world, settings={"epochs": 1, "lr": 1e-9}).fit(data[0][::2], data[1][::2])
    return idle.score(data[0][1::2], data[1][1::2])


def put_pictures(folder, per_class=4):
    """Red and blue pictures with noise: paths and labels."""
    paths, labels = [], []
    for label, channel in (("red sand", 0), ("blue water", 2)):
        for number in range(per_class):
            picture = pixels(number, 40, 48) // 4
            picture[..., channel] += 150
            path = folder / f"{label} {number}.png"
            Image.fromarray(picture).save(path)
            paths.append(path)
            labels.append(label)
    return paths, labels


def test_it_learns_from_features_and_gives_probabilities_by_sorted_label(fitted, data, untrained_score):
    features, labels = data[0][1::2], data[1][1::2]
    probabilities = fitted.predict_proba(features)
    assert list(fitted.classes_) == sorted(CLASSNAMES)
    assert probabilities.shape == (60, 6)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert (fitted.predict(features) == fitted.classes_[probabilities.argmax(axis=1)]).all()
    assert fitted.score(features, labels) > untrained_score + 0.3
    assert fitted.n_features_in_ == 24
    assert len(fitted.history_) == 40 * 3


def test_expert_weights_are_those_of_all_experts(fitted, data):
    weights = fitted.expert_weights(data[0][:5])
    assert weights.shape == (5, 3)
    assert (weights > 0).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)


def test_tensors_and_lists_of_rows_are_features_too(fitted, data):
    expected = fitted.predict_proba(data[0][:3])
    for same in (torch.from_numpy(data[0][:3]), data[0][:3].tolist()):
        np.testing.assert_allclose(fitted.predict_proba(same), expected, atol=1e-6)


def test_whole_numbers_are_labels_when_they_have_names(world, data, untrained_score):
    numbers = np.array([CLASSNAMES.index(name) + 10 for name in data[1]])
    names = {label + 10: name for label, name in enumerate(CLASSNAMES)}
    model = classifier(world, class_names=names).fit(data[0][::2], numbers[::2])
    assert model.class_names_ == CLASSNAMES
    assert set(model.predict(data[0])) <= set(numbers)
    assert model.score(data[0][1::2], numbers[1::2]) > untrained_score + 0.3


def test_paths_and_pictures_of_the_same_images_agree(world, tmp_path):
    paths, labels = put_pictures(tmp_path)
    pictures = [Image.open(path) for path in paths]
    model = classifier(world).fit(paths, labels)
    np.testing.assert_allclose(model.predict_proba(paths), model.predict_proba(pictures), atol=1e-5)
    again = classifier(world).fit(pictures, labels)
    np.testing.assert_allclose(again.predict_proba(paths), model.predict_proba([str(p) for p in paths]), atol=1e-5)


@pytest.mark.parametrize("views", [2, "epochs", "online"])
def test_views_are_drawn_from_paths(world, tmp_path, views):
    paths, labels = put_pictures(tmp_path)
    model = classifier(world, settings={"epochs": 2, "views": views, "view_scale": (0.5, 1.0)}).fit(paths, labels)
    assert model.predict_proba(paths).shape == (8, 2)


def test_views_of_pictures_differ_from_the_centre_view(world, tmp_path):
    paths, labels = put_pictures(tmp_path)
    pictures = [Image.open(path) for path in paths]
    plain, viewed = (
        classifier(world, settings={"epochs": 1, "lr": 0.05, "views": views}).fit(pictures, labels)
        for views in (0, "epochs")
    )
    assert plain.history_[0].loss != viewed.history_[0].loss


def test_the_official_preset_tunes_the_image_tower_and_predicts_with_it(world, tmp_path):
    paths, labels = put_pictures(tmp_path)
    model = classifier(world, preset="official", settings={"epochs": 2, "lr": 1.0}).fit(paths, labels)
    saved = MoCoOpClassifier.load(model.save(tmp_path / "run"), device="cpu", cache=False)
    np.testing.assert_allclose(saved.predict_proba(paths), model.predict_proba(paths), atol=1e-6)
    assert any(name.startswith("image.") for name in Run.open(tmp_path / "run").tensors)


def test_what_is_saved_and_loaded_predicts_the_same_without_its_backbone(fitted, data, tmp_path, world):
    folder = fitted.save(tmp_path / "run")
    (world["backbone"] / "open_clip_model.safetensors").rename(tmp_path / "away")
    try:
        loaded = MoCoOpClassifier.load(folder, device="cpu")
        np.testing.assert_array_equal(loaded.predict_proba(data[0]), fitted.predict_proba(data[0]))
    finally:
        (tmp_path / "away").rename(world["backbone"] / "open_clip_model.safetensors")
    assert list(loaded.classes_) == list(fitted.classes_)
    assert loaded.settings["epochs"] == 40
    assert [log.loss for log in loaded.history_] == [log.loss for log in fitted.history_]


def test_a_loaded_classifier_can_be_saved_and_fitted_again(fitted, data, tmp_path):
    loaded = MoCoOpClassifier.load(fitted.save(tmp_path / "one"), device="cpu", cache=False)
    again = MoCoOpClassifier.load(loaded.save(tmp_path / "two"), device="cpu")
    np.testing.assert_array_equal(again.predict_proba(data[0]), fitted.predict_proba(data[0]))
    assert Run.open(tmp_path / "one").info["notes"] == Run.open(tmp_path / "two").info["notes"]
    refitted = loaded.fit(data[0][::2], data[1][::2])
    np.testing.assert_array_equal(refitted.predict_proba(data[0]), fitted.predict_proba(data[0]))


def test_whole_numbers_survive_saving(world, data, tmp_path):
    numbers = np.array([CLASSNAMES.index(name) for name in data[1]])
    model = classifier(world, class_names=dict(enumerate(CLASSNAMES))).fit(data[0], numbers)
    loaded = MoCoOpClassifier.load(model.save(tmp_path / "run"), device="cpu")
    assert loaded.predict(data[0]).dtype.kind == "i"
    assert (loaded.predict(data[0]) == model.predict(data[0])).all()


def test_a_run_of_the_command_line_can_be_loaded(world, data, tmp_path):
    from worlds import plan_for

    from mocoop.runs.train import train

    run = train(plan_for(world, tmp_path / "run"))
    loaded = MoCoOpClassifier.load(run.path, device="cpu")
    expected = run.classifier().predict(torch.from_numpy(data[0])).probabilities.numpy()
    np.testing.assert_allclose(loaded.predict_proba(data[0]), expected, atol=1e-6)
    assert tuple(loaded.classes_) == CLASSNAMES


def test_other_classes_at_test_time(world, data):
    model = classifier(world).fit(data[0][::2], data[1][::2])
    model.set_classes(["quiet zebra", "dog", "sea snake"])
    assert model.predict_proba(data[0]).shape == (120, 3)
    assert set(model.predict(data[0])) <= {"quiet zebra", "dog", "sea snake"}
    model.set_classes(["quiet zebra", "dog"], labels=[7, 3])
    assert set(model.predict(data[0])) <= {7, 3}
    with pytest.raises(DataError, match="2 classes and 1 labels"):
        model.set_classes(["quiet zebra", "dog"], labels=[7])


def test_a_trained_class_has_the_same_text_features_under_set_classes(world, data):
    model = classifier(world).fit(data[0][::2], data[1][::2])
    before = model.predict_proba(data[0])
    after = model.set_classes(list(model.classes_)).predict_proba(data[0])
    np.testing.assert_allclose(after, before, atol=1e-5)


def test_it_is_an_estimator_that_clones_and_cross_validates(world, data):
    model = classifier(world, settings={"epochs": 2})
    assert clone(model).get_params() == model.get_params()
    assert model.set_params(seed=5).seed == 5
    assert len(cross_val_score(model, data[0], data[1], cv=2)) == 2


def test_the_same_seed_gives_the_same_probabilities(world, data):
    one, same, other = (classifier(world, seed=seed).fit(*data).predict_proba(data[0]) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_groups_may_be_a_path_a_document_or_a_group_file(world, data):
    from mocoop.groupfile.groups import load_groups

    given = (str(world["groups"]), GROUPS, load_groups(world["groups"]))
    settings = {"epochs": 1}
    results = [
        classifier(world, settings=settings).set_params(groups=g).fit(*data).predict_proba(data[0]) for g in given
    ]
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_before_fit_every_use_says_so(world, tmp_path):
    model = classifier(world)
    for use in (
        lambda: model.predict([[0.0] * 24]),
        lambda: model.set_classes(["a", "b"]),
        lambda: model.save(tmp_path),
    ):
        with pytest.raises(NotFittedError, match="call fit"):
            use()


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((2, 7), np.float32) + 1, ["a", "b"], "7 wide, the backbone's 24"),
        (np.ones((3, 24), np.float32), ["a", "b"], "X has 3 images and y 2 labels"),
        (np.ones((2, 24), np.float32), ["a", "a"], "one class only"),
        (np.ones((2, 24), np.float32), [0.5, 1.5], "y holds float64"),
        (np.ones((2, 24), np.float32), [], r"y should be a 1d array, and has the shape \(0,\)"),
        (np.full((2, 24), np.nan, np.float32), ["a", "b"], "X contains NaN"),
        (np.ones(24, np.float32), ["a", "b"], "Expected 2D array, got 1D array"),
        (["a.png", 3], ["a", "b"], "neither paths, nor pictures"),
        ("photo.png", ["a", "b"], "X is one path"),
        (["no such file.png", "nor this.png"], ["a", "b"], r"no such file\.png"),
        (np.ones((2, 24), np.float32), ["dog", "DOG"], "one and the same name"),
    ],
)
def test_data_that_cannot_be_learned_from_is_refused(world, images, labels, message):
    with pytest.raises(DataError, match=message):
        classifier(world).fit(images, labels)


def test_settings_and_groups_are_checked(world, data):
    with pytest.raises(ConfigError, match="did you mean 'epochs'"):
        classifier(world, settings={"epoch": 3}).fit(*data)
    with pytest.raises(ConfigError, match="draw views"):
        classifier(world, settings={"views": 3}).fit(*data)
    with pytest.raises(ConfigError, match="image files at every step"):
        classifier(world, settings={"views": "online"}).fit(*data)
    with pytest.raises(GroupFileError, match="domain"):
        MoCoOpClassifier({"schema_version": 1, "groups": []}).fit(*data)


def test_features_of_another_width_are_refused_at_prediction(fitted):
    with pytest.raises(DataError, match="X has 5 features, but MoCoOpClassifier is expecting 24"):
        fitted.predict(np.ones((2, 5), np.float32))


def test_saving_never_overwrites_and_loading_needs_a_run(fitted, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="is not empty"):
        fitted.save(tmp_path)
    with pytest.raises(CheckpointError, match="not a run folder"):
        MoCoOpClassifier.load(tmp_path)


def test_a_failed_fit_leaves_the_old_state(world, data):
    model = classifier(world).fit(*data)
    before = model.predict_proba(data[0])
    with pytest.raises(DataError):
        model.fit(data[0], data[1][:5])
    np.testing.assert_array_equal(model.predict_proba(data[0]), before)


def test_a_loaded_classifier_keeps_the_names_of_its_labels_when_fitted_again(world, data, tmp_path):
    numbers = np.array([CLASSNAMES.index(name) for name in data[1]])
    model = classifier(world, class_names=dict(enumerate(CLASSNAMES))).fit(data[0], numbers)
    loaded = MoCoOpClassifier.load(model.save(tmp_path / "run"), device="cpu", cache=False).fit(data[0], numbers)
    assert loaded.class_names_ == CLASSNAMES
    np.testing.assert_array_equal(loaded.predict_proba(data[0]), model.predict_proba(data[0]))


def test_numbers_without_names_are_learned_with_a_warning(world, data):
    with pytest.warns(UserWarning, match=r"the class names are numbers, .*: see class_names$"):
        classifier(world, settings={"epochs": 1}).fit(data[0], np.arange(120) % 3)


def test_warnings_speak_of_arguments_not_of_options():
    from mocoop.backbone.backbone import SMALL_MODEL_NOTE
    from mocoop.estimator.classifier import _in_python

    assert _in_python(SMALL_MODEL_NOTE).endswith('use e.g. backbone="ViT-B-16", pretrained="openai"')
    assert _in_python("give readable ones with --class-names") == "give readable ones with class_names"
    assert _in_python("well-known - or not") == "well-known - or not"


def test_a_stopped_training_leaves_the_backbone_as_it_was(world, tmp_path):
    from mocoop.backbone.backbone import load_backbone

    paths, labels = put_pictures(tmp_path)
    backbone = load_backbone(f"local-dir:{world['backbone']}", device="cpu")
    before = {name: value.detach().clone() for name, value in backbone.block_layer_norms().items()}
    settings = {"epochs": 6, "lr": 1e30, "weight_decay": 0.5, "clip_norm": None, "warmup_epochs": 0}
    with pytest.raises(TrainingStopped):
        classifier(world, backbone=backbone, preset="official", settings=settings).fit(paths, labels)
    after = backbone.block_layer_norms()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert not any(value.requires_grad for value in after.values())


def test_a_generator_of_pictures_is_read_once(world, tmp_path):
    paths, labels = put_pictures(tmp_path)
    model = classifier(world, settings={"epochs": 1}).fit((Image.open(path) for path in paths), labels)
    assert model.predict_proba(iter(paths)).shape == (8, 2)


@pytest.mark.parametrize(
    ("names", "message"),
    [([], "0 class"), (["one"], "1 class"), ([1, 2], "give a list of names"), ("river", "give a list of names")],
)
def test_other_classes_are_two_names_or_more(fitted, names, message):
    with pytest.raises(DataError, match=message):
        fitted.set_classes(names)


def test_what_is_no_collection_is_refused(fitted):
    with pytest.raises(DataError, match="X is NoneType"):
        fitted.predict(None)


@pytest.mark.parametrize("changes", [{"settings": {"preset": "paper"}}, {"seed": "a"}, {"seed": -1}])
def test_settings_that_would_mislabel_or_break_a_run_are_refused(world, data, changes):
    with pytest.raises(ConfigError):
        classifier(world, **changes).fit(*data)


def test_deep_pictures_are_read_by_the_scale_of_the_training_pictures_and_so_after_loading(world, tmp_path):
    plain, deep, pictures = [], [], []
    for number in range(8):
        grey = np.random.default_rng(number).integers(0, 256, (16, 16), dtype=np.uint8)
        wide = grey.astype(np.uint16) << 4 | grey.astype(np.uint16) >> 4  # 12 bits
        plain.append(tmp_path / f"plain{number}.png")
        deep.append(tmp_path / f"deep{number}.png")
        pictures.append(Image.fromarray(wide))
        Image.fromarray(grey).save(plain[-1])
        pictures[-1].save(deep[-1])
    labels = ["dog", "airport"] * 4
    expected = classifier(world).fit(plain, labels).predict_proba(plain)
    for given in (deep, pictures):
        with pytest.warns(UserWarning, match="use 12 bits"):
            model = classifier(world).fit(given, labels)
        assert (model.predict_proba(given) == expected).all()
    loaded = MoCoOpClassifier.load(model.save(tmp_path / "run"), device="cpu")
    assert (loaded.predict_proba(deep) == expected).all()
