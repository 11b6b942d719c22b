"""The scikit-learn style Python interface: `MoCoOpClassifier(groups).fit(X, y).predict_proba(X)`.

X is a list of image paths, a list of Pillow images, or an array of image features (N, D). A saved classifier is a
run folder: `mocoop show` and `mocoop predict` read it too, and a run folder of `mocoop train` can be loaded here.
"""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import NotFittedError
from torch import Tensor

from mocoop.backbone.hard_features import text_cache
from mocoop.config import Config, preset
from mocoop.data.classnames import final_names
from mocoop.data.dataset import Example
from mocoop.data.features import FeatureCache, image_features, picture_features, unreadable_images
from mocoop.data.reading import Reading
from mocoop.data.survey import find_reading, reading_of_pictures
from mocoop.data.views import ViewPlan
from mocoop.errors import ConfigError, DataError, UsageError
from mocoop.groupfile.groups import GroupFile, dump_groups, load_groups, parse_groups
from mocoop.methods import method_named
from mocoop.mixture.classifier import Tempered
from mocoop.training.inputs import Inputs, cached_batches, files_sha256, online_batches
from mocoop.training.method import Method, Samples

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    from mocoop.backbone.backbone import Backbone
    from mocoop.certainty.calibration import Calibration
    from mocoop.mixture.classifier import Prediction, Predictor
    from mocoop.runs.fitting import Fitted
    from mocoop.training.trainer import Batch

Groups = GroupFile | Mapping[str, Any] | str | os.PathLike[str]


class MoCoOpClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A mixture of prompts as a classifier.

    Args:
        groups: a group file's path, its document as a dictionary, or a `GroupFile`; not needed by methods with one
            prompt.
        method: a method's name, as in `mocoop train --method`.
        backbone: a name as in `mocoop train --backbone`, or a loaded `Backbone`.
        pretrained: weights of the backbone, if its name needs them.
        quick_gelu: the activation, for a weights file that does not state it.
        preset: "recommended", "paper" or "official".
        settings: changes to the preset, by field of `mocoop.config.Config`, such as {"epochs": 50}.
        class_names: readable names by label; a label without one is its own name.
        seed: for the training order, the views and a random router.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        cache: cache the features of image files.

    Attributes after `fit` or `load`:
        classes_: the labels, sorted; the columns of `predict_proba`.
        class_names_: their names, as given to the text tower.
        n_features_in_: D, the width of image features.
        history_: the log of each step (`mocoop.training.trainer.StepLog`).
    """

    def __init__(
        self,
        groups: Groups | None = None,
        *,
        method: str = "mocoop",
        backbone: str | Backbone = "photoclip",
        pretrained: str | None = None,
        quick_gelu: bool | None = None,
        preset: str = "recommended",
        settings: Mapping[str, Any] | None = None,
        class_names: Mapping[Any, str] | None = None,
        seed: int = 1,
        device: str = "auto",
        cache: bool = True,
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

    def fit(self, X: Any, y: Iterable[Any]) -> MoCoOpClassifier:
        """Train on all images or features X with labels y (N): no shots are drawn.

        Raises:
            DataError: X and y do not match, there are fewer than two classes, or images cannot be read.
            GroupFileError, ConfigError, BackboneError: invalid parameters.
            TrainingStopped: the loss is not finite.
        """
        from mocoop.runs.fitting import fit
        from mocoop.runs.run import new_record

        config = self._config()
        method = method_named(config.method)
        images = _at_hand(X)
        classes, encoded = _labels(y)
        names, notes = self._names(classes)
        given = _groups(self.groups, names) if self.groups is not None and method.reads_groups else None
        groups = method.groups(given, config)
        backbone = self._open_backbone(config)
        shots = int(np.bincount(encoded).max())
        self._reading, read_notes = _reading(images)
        notes = [*notes, *read_notes]
        config, epochs = config.scheduled(shots, len(encoded))
        batch, data, samples = self._batches(images, encoded, config, backbone, epochs)
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
                "reading": self._reading.to_dict(),
                **data,
                **_hashes(images),
            },
            unknown_words=backbone.unknown_words(method.texts(config, groups, names)),
        ) | {"labels": [label.item() if isinstance(label, np.generic) else label for label in classes]}
        fitted = fit(
            backbone,
            groups,
            batch,
            torch.from_numpy(encoded),
            names,
            config,
            seed=self.seed,
            epochs=epochs,
            samples=samples,
            text_cache=text_cache() if self.cache else None,
        )
        for note in (*self._unused(method, config), *backbone.notes, *notes, *fitted.notes):
            warnings.warn(note, UserWarning, stacklevel=2)
        self._fitted, self._record, self._groups, self._backbone = fitted, record, groups, backbone
        self._calibration = None
        self._use(classes, names)
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float32]:
        """Probabilities (N, C) of the classes, in the order of `classes_`. Raises DataError.

        They are calibrated if the classifier was loaded from a run that is.
        """
        probabilities: NDArray[np.float32] = self._predict(X).probabilities.numpy()
        return probabilities

    def predict(self, X: Any) -> NDArray[Any]:
        """The most probable label of each image (N,). Raises DataError."""
        probabilities = self.predict_proba(X)
        chosen: NDArray[Any] = self.classes_[probabilities.argmax(axis=1)]
        return chosen

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
        loaded._record, loaded._groups, loaded._backbone = run.info, run.groups, None
        loaded._reading = run.reading
        loaded._calibration = run.calibration
        loaded._open_stored = lambda: run.load_backbone(device)
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

    # Fitted state: what was learned, and the classes predicted now.
    _fitted: Fitted
    _record: dict[str, Any]
    _reading: Reading
    _groups: GroupFile
    _calibration: Calibration | None
    _backbone: Backbone | None
    _open_stored: Callable[[], Backbone]
    _classifier: Predictor

    def _use(self, labels: NDArray[Any], names: Sequence[str]) -> None:
        fitted: Fitted = self._fitted
        method = method_named(fitted.learned.config.method)
        known = tuple(names) == fitted.learned.classnames
        if not known:
            method.check_classes(fitted.learned, names)
        backbone = self._ready_backbone() if not known or method.conditional else None
        features = fitted.class_features
        if not known and backbone is not None:
            features = method.class_features(fitted.learned, names, backbone)
        predictor = method.predictor(fitted.learned, names, features, backbone)
        found = self._calibration
        self._classifier = Tempered(predictor, found.temperature) if found else predictor
        self.classes_, self.class_names_ = labels, tuple(names)
        self.n_features_in_ = int(self._record["backbone"]["embed_dim"])
        self.history_ = fitted.history

    def _check_fitted(self) -> None:
        if not hasattr(self, "_fitted"):
            raise NotFittedError("this MoCoOpClassifier is not fitted yet: call fit(X, y), or MoCoOpClassifier.load")

    def _predict(self, X: Any) -> Prediction:
        self._check_fitted()
        features = self._features(_at_hand(X), ViewPlan(), self._ready_backbone)[0]  # (N, D)
        if features.shape[1] != self.n_features_in_:
            raise _wrong_width(features.shape[1], self.n_features_in_)
        return self._classifier.predict(torch.from_numpy(np.array(features)))

    def _ready_backbone(self) -> Backbone:
        if self._backbone is None:
            self._backbone = self._open_stored()
            for note in self._backbone.notes:
                warnings.warn(note, UserWarning, stacklevel=2)
        return self._backbone

    def _open_backbone(self, config: Config) -> Backbone:
        from mocoop.backbone.backbone import load_backbone

        if isinstance(self.backbone, str):
            return load_backbone(
                self.backbone,
                self.pretrained,
                device=self.device,
                precision=config.precision,
                quick_gelu=self.quick_gelu,
            )
        return self.backbone

    def _config(self) -> Config:
        settings = dict(self.settings or {})
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

    def _names(self, classes: NDArray[Any]) -> tuple[tuple[str, ...], list[str]]:
        keys = [str(label) for label in classes]
        given = {str(label): name for label, name in self.class_names.items()} if self.class_names else None
        return final_names(keys, given=given)

    def _batches(
        self, images: Any, labels: NDArray[np.int64], config: Config, backbone: Backbone, epochs: int
    ) -> tuple[Batch, dict[str, Any], Callable[[], Samples]]:
        """Training batches, the record of the data, and the features for methods that take no steps."""
        if config.views == "online":
            paths = _paths(images)
            if paths is None:
                raise ConfigError("views = 'online' reads image files at every step", "give X as a list of paths")
            _check_count(len(paths), len(labels))
            examples = [Example(path, int(label)) for path, label in zip(paths, labels, strict=True)]
            unreadable_images(examples, reading=self._reading)  # all unreadable images are named before the first step
            plain = functools.partial(self._features, images, ViewPlan(), lambda: backbone)
            batch = online_batches(backbone, examples, self.seed, config, reading=self._reading)
            return batch, {"sha256": files_sha256(examples)}, lambda: _samples(plain()[0], labels)
        count = epochs if config.views == "epochs" else config.views
        plan = ViewPlan(count=int(count), seed=self.seed, scale=config.view_scale)
        features = self._features(images, plan, lambda: backbone)
        if features.shape[-1] != backbone.embed_dim:
            raise _wrong_width(features.shape[-1], backbone.embed_dim)
        _check_count(features.shape[1], len(labels))
        inputs = Inputs(features, tuple(Example(None, int(label)) for label in labels))
        return cached_batches(inputs, backbone.device), {"sha256": inputs.sha256}, lambda: _samples(features[0], labels)

    def _features(self, images: Any, plan: ViewPlan, backbone: Callable[[], Backbone]) -> NDArray[np.float32]:
        """Features (V, N, D) of any kind of X; arrays pass through without a backbone."""
        paths, pictures = _paths(images), _pictures(images)
        if paths is not None:
            cache = FeatureCache() if self.cache else None
            examples = [Example(path, 0) for path in paths]
            features: NDArray[np.float32] = image_features(
                backbone(), examples, plan, reading=self._reading, cache=cache, notice=_warn
            ).features
            return features
        if pictures is not None:
            return picture_features(backbone(), pictures, plan, reading=self._reading, notice=_warn)
        if plan.count:
            raise ConfigError("features have no pixels to draw views from", "set views = 0, or give images")
        return _feature_array(images)[None]


def _reading(images: Any) -> tuple[Reading, list[str]]:
    """The rule for the depth of X, found from X itself, and notes on it."""
    if (paths := _paths(images)) is not None:
        return find_reading(paths)
    return reading_of_pictures(_pictures(images) or ())


def _warn(note: str) -> None:
    warnings.warn(note, UserWarning, stacklevel=2)


def _hashes(images: Any) -> dict[str, list[str]]:
    """The hashes of image files or of rows of features, as run.json keeps them; none for Pillow images."""
    from mocoop.runs.measured import sha256_of

    if (paths := _paths(images)) is not None:
        return {"images_sha256": sha256_of(paths)}
    if _pictures(images) is not None:
        return {}
    return {"images_sha256": sha256_of(list(_feature_array(images)))}


def _samples(features: NDArray[np.float32], labels: NDArray[np.int64]) -> Samples:
    """Features as `Samples`, all of them for training: `fit` has no val."""
    x, y = torch.from_numpy(np.array(features)), torch.from_numpy(labels)
    return Samples(x, y, x[:0], y[:0])


def _labels(y: Iterable[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The sorted distinct labels, and each example's index into them (N,). Raises DataError."""
    given = np.asarray(y if isinstance(y, np.ndarray) else list(y))
    if given.ndim != 1 or len(given) == 0:
        raise DataError(f"y has the shape {given.shape}", "give one label an image, in one list")
    if given.dtype.kind not in "iuUSbO" or (given.dtype.kind == "O" and not all(isinstance(v, str) for v in given)):
        raise DataError(f"y holds {given.dtype}", "give class names or whole numbers")
    classes, encoded = np.unique(given, return_inverse=True)
    if len(classes) < 2:
        raise DataError(f"y has one class only, {classes[0]!r}", "two classes or more are needed")
    return classes, encoded.astype(np.int64)


def _groups(given: Groups, class_names: Sequence[str]) -> GroupFile:
    """The groups, checked against the class names. Raises GroupFileError."""
    if isinstance(given, GroupFile):
        given = given.document
    if isinstance(given, Mapping):
        return parse_groups(dump_groups(dict(given)), source="groups", class_names=class_names)
    return load_groups(given, class_names=class_names)


def _at_hand(images: Any) -> Any:
    """X as something that can be read twice: a generator becomes a list. Raises DataError for a non-collection."""
    if isinstance(images, Iterator):
        return list(images)
    if not isinstance(images, (str, os.PathLike)) and not hasattr(images, "__len__"):
        raise DataError(f"X is {type(images).__name__}", "give paths, Pillow images, or an array of features (N, D)")
    return images


def _paths(images: Any) -> list[Path] | None:
    """X as paths, or None if it is something else."""
    if isinstance(images, (str, os.PathLike)):
        raise DataError("X is one path", "give a list of paths")
    if isinstance(images, np.ndarray) and images.dtype.kind not in "UO":
        return None
    items = list(images)
    return [Path(item) for item in items] if items and all(isinstance(i, (str, os.PathLike)) for i in items) else None


def _pictures(images: Any) -> list[Image.Image] | None:
    """X as Pillow images, or None if it is something else."""
    from PIL import Image

    if isinstance(images, (np.ndarray, Tensor)):
        return None
    items = list(images)
    return items if items and all(isinstance(item, Image.Image) for item in items) else None


def _feature_array(given: Any) -> NDArray[np.float32]:
    """Features (N, D) float32, finite. Raises DataError."""
    try:
        array = np.asarray(given.detach().cpu() if isinstance(given, Tensor) else given)
        features = np.ascontiguousarray(array, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise DataError(
            "X is neither paths, nor images, nor numbers", "give all images in one and the same form"
        ) from error
    if features.ndim != 2 or 0 in features.shape:
        raise DataError(f"X has the shape {features.shape}", "features are (N, D); images come as a list")
    if not np.isfinite(features).all():
        raise DataError("X holds numbers that are not finite", "compute these features again")
    return features


def _check_count(images: int, labels: int) -> None:
    if images != labels:
        raise DataError(f"X has {images} images and y {labels} labels", "give one label an image")


def _wrong_width(width: int, expected: int) -> DataError:
    return DataError(
        f"the features are {width} wide, the backbone's {expected}", "use the backbone they were made with"
    )
