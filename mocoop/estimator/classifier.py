"""The classifier: fit, predict, transform, save and load, with scikit-learn's conventions.

What X may be is in `inputs.py`, labels and weights in `targets.py`. A saved classifier is a run folder: `mocoop show`
and `mocoop predict` read it too, and a run folder of `mocoop train` can be loaded here. N images, C classes, D width of
image features.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import validate_data
from torch import Tensor

from mocoop.backbone.hard_features import text_cache
from mocoop.certainty.calibration import FEWEST, Calibration
from mocoop.certainty.conformal import prediction_sets
from mocoop.config import Config, check_names, preset
from mocoop.data.classnames import final_names
from mocoop.data.dataset import Example
from mocoop.data.features import FeatureCache, image_features, picture_features, unreadable_images
from mocoop.data.reading import Reading
from mocoop.data.survey import find_reading, reading_of_pictures
from mocoop.data.views import ViewPlan
from mocoop.errors import ConfigError, DataError, UsageError
from mocoop.estimator.inputs import Images, read_images
from mocoop.estimator.targets import check_all_weigh, read_known_labels, read_labels, read_weights
from mocoop.groupfile.groups import GroupFile, dump_groups, load_groups, parse_groups
from mocoop.methods import method_named
from mocoop.mixture.classifier import Tempered
from mocoop.training.inputs import Inputs, cached_batches, files_sha256, online_batches
from mocoop.training.method import Method, Samples
from mocoop.training.progress import training_progress
from mocoop.training.trainer import Held, Listener, Listeners

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mocoop.backbone.backbone import Backbone
    from mocoop.mixture.classifier import Prediction, Predictor
    from mocoop.runs.fitting import Fitted
    from mocoop.training.trainer import Batch

Groups = GroupFile | Mapping[str, Any] | str | os.PathLike[str]
_NESTED = "settings__"  # before a setting's name, for searches that set one at a time


class MoCoOpClassifier(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A mixture of prompts as a classifier, and its backbone as a transformer of images to features.

    X is paths, pictures or features, as `mocoop.estimator.inputs` reads them.

    Args:
        groups: a group file's path, its document as a dictionary, or a `GroupFile`; not needed by methods with one
            prompt.
        method: a method's name, as in `mocoop train --method`.
        backbone: a name as in `mocoop train --backbone`, or a loaded `Backbone`; None: X is always features, of any
            width, for a method that reads no text (linear-probe).
        pretrained: weights of the backbone, if its name needs them.
        quick_gelu: the activation, for a weights file that does not state it.
        preset: "recommended", "paper" or "official".
        settings: changes to the preset, by field of `mocoop.config.Config`, such as {"epochs": 50}. `set_params` takes
            one of them as `settings__epochs`.
        class_names: readable names by label; a label without one is its own name. Where X brings labels whose names
            are other numbers, y must be given, to say which of the two is meant.
        seed: for the training order, the views and a random router.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        cache: cache the features of image files.
        callbacks: listeners (`mocoop.Listener`) that hear the training's steps, such as those of
            `mocoop.training.loggers`.
        verbose: show progress on stderr.

    Attributes after `fit` or `load`:
        classes_: the labels, sorted; the columns of `predict_proba`.
        class_names_: their names, as given to the text tower.
        n_features_in_: D, the width of image features.
        feature_names_in_: names of the columns, if `fit` got features in a DataFrame.
        history_: the log of each step (`mocoop.training.trainer.StepLog`).
        validation_history_: the validation data after each epoch (`mocoop.training.trainer.ValidationLog`).
    """

    def __init__(
        self,
        groups: Groups | None = None,
        *,
        method: str = "mocoop",
        backbone: str | Backbone | None = "photoclip",
        pretrained: str | None = None,
        quick_gelu: bool | None = None,
        preset: str = "recommended",
        settings: Mapping[str, Any] | None = None,
        class_names: Mapping[Any, str] | None = None,
        seed: int = 1,
        device: str = "auto",
        cache: bool = True,
        callbacks: Sequence[Listener] | None = None,
        verbose: bool | int = False,
    ) -> None:
        self.groups = groups
        self.method = method
        self.backbone = backbone
        self.pretrained = pretrained
        self.quick_gelu = quick_gelu
        self.preset = preset
        self.settings = settings
        self.class_names = class_names
        self.seed = seed
        self.device = device
        self.cache = cache
        self.callbacks = callbacks
        self.verbose = verbose

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters by name; `deep` adds each of `settings` as `settings__NAME`."""
        params: dict[str, Any] = super().get_params(deep=deep)
        if deep and isinstance(self.settings, Mapping):
            params |= {f"{_NESTED}{name}": value for name, value in self.settings.items()}
        return params

    def set_params(self, **params: Any) -> MoCoOpClassifier:
        """Set parameters; `settings__NAME` sets one of `settings`. Raises ConfigError for one that does not exist."""
        nested = {name.removeprefix(_NESTED): params.pop(name) for name in list(params) if name.startswith(_NESTED)}
        super().set_params(**params)
        if nested:
            check_names(nested)
            self.settings = {**(self.settings or {}), **nested}
        return self

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, validation_data: Any = None) -> MoCoOpClassifier:
        """Train on all images or features X with labels y (N): no shots are drawn.

        Args:
            X: paths, pictures or features.
            y: labels; None: those that a data set X brings along.
            sample_weight: how much each image counts (N,), 0 or more: in the class loss, in the router's and in the
                linear probe's. One of weight 2 counts as two, one of weight 0 is left out.
            validation_data: (X, y) of other images. They are measured after each epoch (`validation_history_`). Methods
                that choose settings on val, such as the linear probe, choose them on these; for the others they
                calibrate the probabilities, if there are 20 or more.

        Raises:
            DataError: X and y do not match, there are fewer than two classes, or images cannot be read.
            UsageError: the method lacks groups, or knows no weights.
            GroupFileError, ConfigError, BackboneError: invalid parameters.
            TrainingStopped: the loss is not finite.
        """
        from mocoop.runs.fitting import fit
        from mocoop.runs.run import new_record

        config = self._config()
        method = method_named(config.method)
        images = read_images(X)
        classes, encoded = read_labels(_given_labels(images, y))
        _check_count(len(images), len(encoded))
        if y is None and self.class_names:
            _check_numbers(images)
        names, notes = self._names(classes, images)
        weights = read_weights(sample_weight, len(encoded))
        if weights is not None:
            check_all_weigh(weights, encoded, classes)
            kept = np.flatnonzero(weights)
            images, encoded, weights = images.only(kept), encoded[kept], weights[kept]
        given = _groups(self.groups, names) if self.groups is not None and method.reads_groups else None
        groups = method.groups(given, config)
        backbone = self._open_backbone(config, images)
        unknown = method.texts(config, groups, names)
        notes = notes if unknown else []  # names that no text tower reads may be anything
        shots = int(np.bincount(encoded).max())
        reading, read_notes = _reading(images)
        notes = [*notes, *read_notes]
        config, epochs = config.scheduled(shots, len(encoded))
        held = self._held(validation_data, classes, config, backbone, reading)
        batch, data, plain = self._batches(images, encoded, config, backbone, epochs, reading)
        record = new_record(
            config=config,
            shots=shots,
            seed=self.seed,
            split_seed=0,
            classes="all",
            classnames=names,
            all_classnames=names,
            backbone=backbone,
            groups=groups,
            groups_name=None,
            data={
                "name": "fit(X, y)",
                "images": len(encoded),
                "skipped": [],
                "notes": notes,
                "reading": reading.to_dict(),
                **data,
                **_hashes(images),
            },
            unknown_words=backbone.unknown_words(unknown),
        ) | {"labels": classes.tolist()}
        with self._listening(groups.ids) as listener:
            listener.planned(record)
            fitted = fit(
                backbone,
                groups,
                batch,
                torch.from_numpy(encoded),
                names,
                config,
                seed=self.seed,
                epochs=epochs,
                samples=lambda: _samples(plain(), encoded, held),
                listener=listener,
                text_cache=text_cache() if self.cache else None,
                weights=None if weights is None else torch.from_numpy(weights),
                held=held,
            )
        told = () if self.verbose else fitted.notes  # progress has printed them
        for note in (*self._unused(method, config), *backbone.notes, *notes, *told):
            warnings.warn(_in_python(note), UserWarning, stacklevel=2)
        self._fitted, self._record, self._groups, self._reading = fitted, record, groups, reading
        self._ready, self._calibration = _Ready(backbone), _calibrated(method, fitted, backbone, held)
        self._use(classes, names)
        if images.features is not None:
            validate_data(self, X, skip_check_array=True)  # takes the names of the columns
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float32]:
        """Probabilities (N, C) of the classes, in the order of `classes_`. Raises DataError.

        They are calibrated if there were validation images for it, or if the run that was loaded is.
        """
        probabilities: NDArray[np.float32] = self._predict(X).probabilities.numpy()
        return probabilities

    def predict(self, X: Any) -> NDArray[Any]:
        """The most probable label of each image (N,). Raises DataError."""
        probabilities = self.predict_proba(X)
        chosen: NDArray[Any] = self.classes_[probabilities.argmax(axis=1)]
        return chosen

    def predict_set(self, X: Any, coverage: float = 0.9) -> NDArray[np.bool_]:
        """Which classes cannot be ruled out (N, C), so that the true one is in the set of that share of images.

        That holds for images like those of the calibration, whatever was learned (`mocoop.certainty.conformal`).

        Raises UsageError without a calibration, with too few images in it, and for other classes than those trained on.
        """
        if not 0 < coverage < 1:
            raise UsageError(f"coverage is {coverage!r}", "give a share between 0 and 1")
        self._check_fitted()
        if self._calibration is None:
            remedy = "fit with validation_data= (20 images or more, and not a method that chooses settings on them)"
            raise UsageError("there is no calibration, without which no set can promise anything", remedy)
        if self.class_names_ != self._calibration.classnames:
            raise UsageError("the calibration is of the classes trained on", "leave set_classes out")
        return prediction_sets(self.predict_proba(X), self._calibration.limits(coverage))

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Image features (N, D), not normalised, as `fit` and `predict` take them. Raises DataError."""
        self._check_fitted()
        features: NDArray[np.float32] = self._features(self._read(X), ViewPlan(), self._backbone, self._reading)[0]
        return features

    def expert_weights(self, X: Any) -> NDArray[np.float32]:
        """The gate's weights (N, E) of the experts, 0 for those not chosen, in the groups' order. Raises DataError."""
        weights: NDArray[np.float32] = self._predict(X).gate.numpy()
        return weights

    def set_classes(self, class_names: Sequence[str], labels: Sequence[Any] | None = None) -> MoCoOpClassifier:
        """Predict other classes from now on, given their names, and their labels if those differ. Nothing is trained.

        Labels keep the given order; `save` still writes the classes trained on. Raises DataError.
        """
        self._check_fitted()
        if isinstance(class_names, str) or not all(isinstance(name, str) for name in class_names):
            raise DataError(f"class_names is {class_names!r}", "give a list of names")
        if len(class_names) < 2:
            raise DataError(f"{len(class_names)} class", "give two names or more")
        names, _ = final_names(list(class_names))
        kept = list(labels) if labels is not None else list(class_names)
        if len(kept) != len(names) or len(set(kept)) != len(kept):
            raise DataError(f"{len(names)} classes and {len(kept)} labels", "give one label a class, all different")
        self._use(np.array(kept), names)
        return self

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write a run folder. Raises UsageError if it is not empty, StorageError."""
        from mocoop.runs.run import save_run

        self._check_fitted()
        folder = Path(path)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(f"{folder} is not empty", "choose a new folder")
        return save_run(folder, self._fitted, self._groups, self._record, self._calibration).path

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, device: str = "auto", cache: bool = True) -> MoCoOpClassifier:
        """Load a run folder written by `save` or `mocoop train`. The backbone is loaded on first use.

        Raises CheckpointError if the folder is missing, unfinished or damaged.
        """
        from mocoop.runs.fitting import Fitted
        from mocoop.runs.run import Run

        run = Run.open(Path(path))
        stored = run.info["backbone"]
        labels = run.info.get("labels", list(run.classnames))
        changes = {name: run.config.to_dict()[name] for name in run.method.read(run.config)}
        loaded = cls(
            run.groups if run.method.reads_groups else None,
            method=run.config.method,
            backbone=stored["name"],
            pretrained=stored["pretrained"],
            quick_gelu=stored["quick_gelu"] if stored["pretrained"] else None,
            preset=run.config.preset,
            settings=changes,
            class_names=dict(zip(labels, run.classnames, strict=True)),
            seed=run.info["seed"],
            device=device,
            cache=cache,
        )
        loaded._record, loaded._groups, loaded._reading = run.info, run.groups, run.reading
        loaded._ready, loaded._calibration = _Ready(), run.calibration
        loaded._fitted = Fitted(
            learned=run.learned,
            class_features=run.stored_features,
            history=run.history(),
            seconds=run.info["training"]["seconds"],
            notes=(),  # they are in the record already
            collapse=run.info.get("collapse"),
        )
        loaded._use(np.array(labels), run.classnames)
        return loaded

    # Fitted state: what was learned, and the text features of the classes predicted now. `_ready` is never pickled.
    _fitted: Fitted
    _record: dict[str, Any]
    _reading: Reading
    _groups: GroupFile
    _calibration: Calibration | None
    _class_features: Tensor | None
    _ready: _Ready

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]  # what image towers give
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_fitted")

    @property
    def _n_features_out(self) -> int:
        return int(self._record["backbone"]["embed_dim"])

    def _use(self, labels: NDArray[Any], names: Sequence[str]) -> None:
        fitted: Fitted = self._fitted
        method, features = method_named(fitted.learned.config.method), fitted.class_features
        if tuple(names) != fitted.learned.classnames:
            method.check_classes(fitted.learned, names)
            features = method.class_features(fitted.learned, names, self._backbone())
        self._class_features, self._ready.classifier = features, None
        self.classes_, self.class_names_ = labels, tuple(names)
        self.n_features_in_ = self._n_features_out
        self.history_, self.validation_history_ = fitted.history, list(fitted.validation)

    def _check_fitted(self) -> None:
        if not self.__sklearn_is_fitted__():
            raise NotFittedError("this MoCoOpClassifier is not fitted yet: call fit(X, y), or MoCoOpClassifier.load")

    def _read(self, X: Any) -> Images:
        """X, with features of the width and the columns of the training. Raises DataError."""
        images = read_images(X)
        if images.features is not None:
            try:
                validate_data(self, X, reset=False, skip_check_array=True)
            except ValueError as error:
                raise DataError(" ".join(str(error).split()), "give the features it was fitted on") from error
        return images

    def _predict(self, X: Any) -> Prediction:
        features = self.transform(X)  # (N, D)
        return self._classifier().predict(torch.from_numpy(np.array(features)))

    def _classifier(self) -> Predictor:
        if self._ready.classifier is None:
            learned = self._fitted.learned
            method = method_named(learned.config.method)
            backbone = self._backbone() if method.conditional else None
            predictor = method.predictor(learned, self.class_names_, self._class_features, backbone)
            found = self._calibration
            self._ready.classifier = Tempered(predictor, found.temperature) if found else predictor
        return self._ready.classifier

    def _backbone(self) -> Backbone:
        from mocoop.runs.run import open_backbone

        if self._ready.backbone is None and not isinstance(self.backbone, str | None):
            self._ready.backbone = self.backbone
        if self._ready.backbone is None:
            learned = self._fitted.learned
            opened = open_backbone(self._record, learned, self.device, precision=learned.config.precision)
            for note in opened.notes:
                warnings.warn(_in_python(note), UserWarning, stacklevel=2)
            self._ready.backbone = opened
        return self._ready.backbone

    def _open_backbone(self, config: Config, images: Images) -> Backbone:
        from mocoop.backbone.backbone import FEATURES, load_backbone

        name: Any = self.backbone
        if name is None:
            if images.features is None:
                raise ConfigError("backbone is None, and X holds images", "name a backbone, or give features (N, D)")
            name = f"{FEATURES}{images.features.shape[1]}"
        if not isinstance(name, str):
            given: Backbone = name
            return given
        return load_backbone(
            name, self.pretrained, device=self.device, precision=config.precision, quick_gelu=self.quick_gelu
        )

    @contextlib.contextmanager
    def _listening(self, group_ids: Sequence[str]) -> Iterator[Listener]:
        """The callbacks, and progress on stderr if asked for, as one listener. Raises ConfigError."""
        callbacks = list(self.callbacks or ())
        if odd := [one for one in callbacks if not isinstance(one, Listener)]:
            raise ConfigError(f"callbacks holds {type(odd[0]).__name__}", "subclass mocoop.Listener")
        if not self.verbose:
            yield Listeners(callbacks)
            return
        with training_progress(group_ids if len(group_ids) > 1 else ()) as progress:
            yield Listeners([progress, *callbacks])

    def _config(self) -> Config:
        settings = {
            name: value.item() if isinstance(value, np.generic) else value  # a search's grid is NumPy's
            for name, value in (self.settings or {}).items()
        }
        if settings.get("method", self.method) != self.method:
            raise ConfigError("settings name another method", "choose it with method=")
        if settings.pop("preset", self.preset) != self.preset:
            raise ConfigError("settings name another preset", "choose it with preset=, so that results name it")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise ConfigError(f"seed is {self.seed!r}", "give a whole number of 0 or more")
        config = preset(self.preset, settings.pop("method", self.method), **settings)
        return method_named(config.method).settle(config)

    def _unused(self, method: Method, config: Config) -> list[str]:
        """A note on given settings that have no effect, as `mocoop train` prints it."""
        unused = method.unused(list(self.settings or {}), config)
        if self.groups is not None and not method.reads_groups:
            unused.append("groups")
        return [f"the method {method.name} does not use {', '.join(unused)}"] if unused else []

    def _names(self, classes: NDArray[Any], images: Images) -> tuple[tuple[str, ...], list[str]]:
        keys = [str(label) for label in classes]
        known = self.class_names or {label: name for label, name in (images.names or {}).items() if label in classes}
        given = {str(label): name for label, name in known.items()} if known else None
        return final_names(keys, given=given)

    def _held(
        self, given: Any, classes: NDArray[Any], config: Config, backbone: Backbone, reading: Reading
    ) -> Held | None:
        """The validation images. Raises DataError."""
        if given is None:
            return None
        if not isinstance(given, tuple | list) or len(given) != 2:
            raise DataError("validation_data is not (X, y)", "give the images and their labels as a pair")
        images = read_images(given[0])
        labels = read_known_labels(_given_labels(images, given[1]), classes)
        _check_count(len(images), len(labels))
        fresh = functools.partial(self._features, images, ViewPlan(), lambda: backbone, reading)
        if config.tune_layer_norm:  # the image tower learns: its features change, and its fingerprint does not yet
            return Held(lambda: torch.from_numpy(np.array(fresh(cache=False)[0])), torch.from_numpy(labels))
        features = torch.from_numpy(np.array(fresh()[0]))  # (M, D)
        if features.shape[1] != backbone.embed_dim:
            raise _wrong_width(features.shape[1], backbone.embed_dim)
        return Held(lambda: features, torch.from_numpy(labels))

    def _batches(
        self,
        images: Images,
        labels: NDArray[np.int64],
        config: Config,
        backbone: Backbone,
        epochs: int,
        reading: Reading,
    ) -> tuple[Batch, dict[str, Any], Callable[[], NDArray[np.float32]]]:
        """Training batches, the record of the data, and the plain features (N, D)."""
        if config.views == "online":
            if images.paths is None:
                raise ConfigError("views = 'online' reads image files at every step", "give X as a list of paths")
            examples = [Example(path, int(label)) for path, label in zip(images.paths, labels, strict=True)]
            unreadable_images(examples, reading=reading)  # all unreadable images are named before the first step
            batch = online_batches(backbone, examples, self.seed, config, reading=reading)
            plain = functools.partial(self._features, images, ViewPlan(), lambda: backbone, reading)
            return batch, {"sha256": files_sha256(examples)}, lambda: plain()[0]
        count = epochs if config.views == "epochs" else config.views
        plan = ViewPlan(count=int(count), seed=self.seed, scale=config.view_scale)
        features = self._features(images, plan, lambda: backbone, reading)
        if features.shape[-1] != backbone.embed_dim:
            raise _wrong_width(features.shape[-1], backbone.embed_dim)
        inputs = Inputs(features, tuple(Example(None, int(label)) for label in labels))
        return cached_batches(inputs, backbone.device), {"sha256": inputs.sha256}, lambda: features[0]

    def _features(
        self,
        images: Images,
        plan: ViewPlan,
        backbone: Callable[[], Backbone],
        reading: Reading,
        *,
        cache: bool = True,
    ) -> NDArray[np.float32]:
        """Features (V, N, D) of any kind of X; arrays pass through without a backbone."""
        if images.paths is not None:
            examples = [Example(path, 0) for path in images.paths]
            kept = FeatureCache() if self.cache and cache else None
            features: NDArray[np.float32] = image_features(
                backbone(), examples, plan, reading=reading, cache=kept, notice=_warn
            ).features
            return features
        if images.pictures is not None:
            return picture_features(backbone(), images.pictures, plan, reading=reading, notice=_warn)
        if plan.count:
            raise ConfigError("features have no pixels to draw views from", "set views = 0, or give images")
        assert images.features is not None
        return images.features[None]


class _Ready:
    """What is made on first use from what was learned: the open backbone, and the classifier of the classes now.

    A pickle or a copy of an estimator has none of it, and makes it again.
    """

    def __init__(self, backbone: Backbone | None = None) -> None:
        self.backbone: Backbone | None = backbone
        self.classifier: Predictor | None = None

    def __reduce__(self) -> tuple[type[_Ready], tuple[()]]:
        return _Ready, ()


def _calibrated(method: Method, fitted: Fitted, backbone: Backbone, held: Held | None) -> Calibration | None:
    """On validation images that nothing was chosen on, if there are enough."""
    if held is None or method.chooses_on_val or len(held.labels) < FEWEST:
        return None
    names = fitted.learned.classnames
    predictor = method.predictor(fitted.learned, names, fitted.class_features, backbone)
    probabilities = predictor.predict(held.features()).probabilities.cpu().numpy()
    return Calibration.fit(probabilities, held.labels.numpy(), names)


def _given_labels(images: Images, y: Any) -> Any:
    """y, or the labels that came with X. Raises DataError without either."""
    if y is not None:
        return y
    if images.labels is None:
        raise DataError("MoCoOpClassifier requires y to be passed, but the target y is None", "give a label an image")
    return images.labels


def _check_numbers(images: Images) -> None:
    """Raises DataError if X calls a label by another number, for class names by number could then mean either.

    Folders that are numbers are sorted as text by torchvision, "10" before "2", and integers by `class_encode_column`.
    """
    for label, name in (images.names or {}).items():
        if str(name).isdecimal() and int(name) != label:
            raise DataError(
                f"X calls the label {label} {name!r}, so class_names by number could mean either",
                "give y as well, the labels by which class_names goes",
            )


def _reading(images: Images) -> tuple[Reading, list[str]]:
    """The rule for the depth of X, found from X itself, and notes on it."""
    if images.paths is not None:
        return find_reading(images.paths)
    return reading_of_pictures(images.pictures or ())


def _warn(note: str) -> None:
    warnings.warn(_in_python(note), UserWarning, stacklevel=2)


def _in_python(note: str) -> str:
    """A note that speaks of the command line's options, with the names that they have here."""
    named = re.sub(r"--backbone (\S+) --pretrained (\S+)", r'backbone="\1", pretrained="\2"', note)
    return re.sub(r"--([a-z][a-z-]*)", lambda option: option[1].replace("-", "_"), named)


def _hashes(images: Images) -> dict[str, list[str]]:
    """The hashes of image files or of rows of features, as run.json keeps them; none for pictures."""
    from mocoop.runs.measured import sha256_of

    if images.paths is not None:
        return {"images_sha256": sha256_of(list(images.paths))}
    if images.features is None:
        return {}
    return {"images_sha256": sha256_of(list(images.features))}


def _samples(features: NDArray[np.float32], labels: NDArray[np.int64], held: Held | None) -> Samples:
    """Plain features of train, and of the validation images if there are any."""
    x, y = torch.from_numpy(np.array(features)), torch.from_numpy(labels)
    return Samples(x, y, x[:0], y[:0]) if held is None else Samples(x, y, held.features(), held.labels)


def _groups(given: Groups, class_names: Sequence[str]) -> GroupFile:
    """The groups, checked against the class names. Raises GroupFileError."""
    if isinstance(given, GroupFile):
        given = given.document
    if isinstance(given, Mapping):
        return parse_groups(dump_groups(dict(given)), source="groups", class_names=class_names)
    return load_groups(given, class_names=class_names)


def _check_count(images: int, labels: int) -> None:
    if images != labels:
        raise DataError(f"X has {images} images and y {labels} labels", "give one label an image")


def _wrong_width(width: int, expected: int) -> DataError:
    return DataError(
        f"the features are {width} wide, the backbone's {expected}",
        "use the backbone they were made with; or backbone=None for a linear probe",
    )
