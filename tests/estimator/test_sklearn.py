"""The classifier among scikit-learn's tools, joblib, pandas and Optuna: on features, without a backbone."""

from __future__ import annotations

import copy
import io
import pickle
import warnings

import joblib
import numpy as np
import optuna
import pandas as pd
import pytest
import sklearn
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from mocoop import MoCoOpClassifier
from mocoop.errors import ConfigError, DataError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 5)) + 2 * np.repeat(np.eye(3, 5), 20, axis=0)
Y = np.repeat(["dog", "airport", "sea snake"], 20)
FAILS: dict[str, str] = {}  # checks that cannot pass, each with its reason; docs/python.md lists the same


def probe(**changes):
    return MoCoOpClassifier(**{"method": "linear-probe", "backbone": None, "device": "cpu", **changes})


@parametrize_with_checks([probe()], expected_failed_checks=lambda _estimator: FAILS)
@pytest.mark.filterwarnings("ignore")
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


def test_it_is_scikit_learns_logistic_regression():
    ours, theirs = probe().fit(X, Y), LogisticRegression(max_iter=1000).fit(X.astype(np.float32), Y)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-4)
    assert (ours.classes_ == theirs.classes_).all()


def test_a_setting_at_a_time():
    model = probe(settings={"probe_c": 1.0})
    assert model.get_params()["settings__probe_c"] == 1.0
    assert model.set_params(settings__probe_c=3.0, settings__template="a {}.").settings == {
        "probe_c": 3.0,
        "template": "a {}.",
    }
    assert "settings__probe_c" not in model.get_params(deep=False)
    with pytest.raises(ConfigError, match="did you mean 'probe_c'"):
        model.set_params(settings__prob_c=3.0)
    with pytest.raises(ValueError, match="Invalid parameter 'setings'"):
        model.set_params(setings=3)


def test_a_clones_settings_are_its_own():
    model = probe(settings={"probe_c": 1.0})
    sklearn.clone(model).set_params(settings__probe_c=3.0)
    assert model.settings == {"probe_c": 1.0}


def test_grid_search_through_a_pipeline():
    pipeline = make_pipeline(StandardScaler(), probe())
    search = GridSearchCV(pipeline, {"mocoopclassifier__settings__probe_c": np.logspace(-6, 0, 3)}, cv=3).fit(X, Y)
    scores = [
        cross_val_score(make_pipeline(StandardScaler(), probe(settings={"probe_c": float(c)})), X, Y, cv=3).mean()
        for c in np.logspace(-6, 0, 3)
    ]
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], scores)
    assert search.best_params_ == {"mocoopclassifier__settings__probe_c": np.logspace(-6, 0, 3)[int(np.argmax(scores))]}


def test_a_value_that_was_set_is_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        probe(settings={"probe_c": 1.0}).fit(X, Y)
    with pytest.warns(UserWarning, match="linear probe: C = 1, the default"):
        probe().fit(X, Y)


def test_optuna_searches_settings():
    def objective(trial):
        model = probe().set_params(settings__probe_c=trial.suggest_float("c", 1e-9, 1.0, log=True))
        return cross_val_score(model, X, Y, cv=2).mean()

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=1))
    study.optimize(objective, n_trials=4)
    assert study.best_value == max(trial.value for trial in study.trials) > 0.6


@pytest.mark.slow
def test_joblib_runs_it_in_processes_and_brings_errors_back():
    alone = cross_val_score(probe(), X, Y, cv=2)
    np.testing.assert_array_equal(cross_val_score(probe(), X, Y, cv=2, n_jobs=2), alone)
    with pytest.raises(DataError, match="one class only"):
        joblib.Parallel(n_jobs=2)(joblib.delayed(probe().fit)(X, ["a"] * 60) for _ in range(2))


def joblib_copy(model):
    file = io.BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    return joblib.load(file)


@pytest.mark.parametrize("copied", [copy.deepcopy, joblib_copy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_of_a_fitted_model_predicts_the_same(copied):
    model = probe().fit(X, Y)
    again = copied(model)
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert again.get_params() == model.get_params()
    assert [str(name) for name in again.classes_] == ["airport", "dog", "sea snake"]


def test_the_columns_of_a_data_frame_are_remembered():
    frame = pd.DataFrame(X, columns=list("abcde"))
    model = probe().fit(frame, pd.Series(Y, index=range(5, 65)))
    assert list(model.feature_names_in_) == list("abcde")
    assert list(model.get_feature_names_out()) == [f"mocoopclassifier{n}" for n in range(5)]
    np.testing.assert_array_equal(model.predict(frame), probe().fit(X, Y).predict(X))
    with pytest.raises(DataError, match="feature names should match"):
        model.predict(frame[list("edcba")])
    assert not hasattr(model.fit(X, Y), "feature_names_in_")


@pytest.mark.parametrize(
    ("y", "labels"),
    [
        (np.repeat([2.0, 0.0, 1.0], 20), [0, 1, 2]),
        (np.repeat([True, False, True], 20), [False, True]),
        (pd.Categorical(Y), sorted(set(Y))),
    ],
)
def test_labels_of_any_kind(y, labels):
    assert probe().fit(X, y).classes_.tolist() == labels


class TestWeights:
    def test_an_image_of_weight_2_counts_as_two_and_one_of_weight_0_as_none(self):
        counts = RNG.integers(0, 3, 60)
        weighed = probe().fit(X, Y, sample_weight=counts)
        repeated = probe().fit(np.repeat(X, counts, axis=0), np.repeat(Y, counts))
        np.testing.assert_allclose(weighed.predict_proba(X), repeated.predict_proba(X), atol=1e-4)
        assert np.abs(weighed.predict_proba(X) - probe().fit(X, Y).predict_proba(X)).max() > 1e-3

    @pytest.mark.parametrize(
        ("weights", "message"),
        [
            (np.ones(59), r"shape \(59,\), X 60 images"),
            (np.ones((60, 1)), r"shape \(60, 1\)"),
            (np.full(60, np.nan), "not finite"),
            (-np.ones(60), "below 0"),
            (np.repeat([1.0, 0.0, 1.0], 20), "zero for all images of the class 'airport'"),
        ],
    )
    def test_weights_that_cannot_be_are_refused(self, weights, message):
        with pytest.raises(DataError, match=message):
            probe().fit(X, Y, sample_weight=weights)


class TestValidation:
    def test_the_probe_chooses_its_penalty_on_the_validation_data(self):
        model = probe().fit(X[::2], Y[::2], validation_data=(X[1::2], Y[1::2]))
        assert model._record["config"]["probe_c"] is None
        (log,) = model.validation_history_
        assert log.accuracy == pytest.approx(model.score(X[1::2], Y[1::2]))
        chosen = model.predict_proba(X[1::2])[np.arange(30), np.searchsorted(model.classes_, Y[1::2])]
        assert log.loss == pytest.approx(-np.log(chosen).mean(), rel=1e-4)
        plain = probe().fit(X[::2], Y[::2])
        assert plain.validation_history_ == []
        assert log.accuracy >= plain.score(X[1::2], Y[1::2])

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            (X, "is not"),
            ((X[:2], ["dog", "cat"]), "has the label 'cat'"),
            ((X[:2], ["dog"]), "X has 2 images and y 1 labels"),
            ((X[:2, :3], ["dog", "dog"]), "3 wide, the backbone's 5"),
        ],
    )
    def test_validation_data_that_cannot_be_is_refused(self, given, message):
        with pytest.raises(DataError, match=message):
            probe().fit(X, Y, validation_data=given)


def test_images_need_a_backbone(tmp_path):
    with pytest.raises(ConfigError, match="backbone is None, and X holds images"):
        probe().fit(["a.png", "b.png"], ["a", "b"])


def test_a_probe_of_features_is_a_run_folder_too(tmp_path):
    model = probe().fit(X, Y)
    loaded = MoCoOpClassifier.load(model.save(tmp_path / "run"), device="cpu")
    assert loaded.backbone == "features:5"
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
