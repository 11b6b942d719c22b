"""The interface of a method: what it learns, from what, and the resulting classifier.

A method is a small file in `mocoop.methods`. It gets a `Task`, learns (with the shared training loop, if it takes
steps) and returns `Learned`; from that it makes a `Predictor` for any class names it supports. Data sets, run folders
and the command line use methods only through this module. B images, E experts, C classes, D joint width.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Protocol

from torch import Tensor, nn

from mocoop.backbone.hard_features import hard_features
from mocoop.config import TEXT_LOSS, Config
from mocoop.data.templates import PLAIN, own_template
from mocoop.errors import DataError, UsageError
from mocoop.groupfile.groups import Group, GroupFile, dump_groups, parse_groups
from mocoop.mixture.classifier import Learned, Predictor
from mocoop.training.trainer import NO_RATES, Step

if TYPE_CHECKING:
    from mocoop.backbone.backbone import Backbone
    from mocoop.data.cache import FeatureCache

_NEVER_UNUSED = frozenset({"method", "preset", "precision"})  # labels, and the number format of the image features


@dataclass(frozen=True)
class Samples:
    """Image features (N, D), not normalised, and labels (N,), of train and of val.

    `val` is empty if the data set has none.
    """

    train: Tensor
    train_labels: Tensor
    val: Tensor
    val_labels: Tensor


@dataclass(frozen=True)
class Task:
    """What to learn: the classes, the groups, and the settings."""

    backbone: Backbone
    groups: GroupFile
    classnames: tuple[str, ...]
    config: Config
    seed: int
    samples: Callable[[], Samples]
    plain: Callable[[], Tensor]  # only the training images' features (N, D), as in `samples`
    stage: Callable[[str], None]
    notice: Callable[[str], None]
    text_cache: FeatureCache | None = None
    weights: Tensor | None = None  # of the training images (N,), above 0; None: all the same
    frozen: hashlib._Hash = field(default_factory=hashlib.sha256)  # of all text features that `hard_features` gave

    def hard_features(self, groups: Sequence[Sequence[str]], classnames: Sequence[str]) -> list[Tensor]:
        """For each group, the frozen features (T_g, C, D) of its templates, which a resumed training must find again.

        Their last bits depend on the number of threads, the processor and the version of PyTorch.
        """
        found = hard_features(self.backbone, groups, classnames, cache=self.text_cache)
        for features in found:
            self.frozen.update(features.cpu().numpy().tobytes())
        return found


class Loop(Protocol):
    """The training loop (`mocoop.training.trainer`) over the task's images."""

    def __call__(
        self, parameters: Mapping[str, nn.Parameter], step: Step, rates: Mapping[str, float] = NO_RATES
    ) -> None:
        """Train `parameters`; `rates` has factors on the learning rate by name. Raises TrainingStopped."""


class Method(ABC):
    """One method. Settings that it does not use are reported to the user and have no effect."""

    name: ClassVar[str]
    title: ClassVar[str]  # its name in tables
    settings: ClassVar[frozenset[str]]  # the fields of `Config` that it uses
    fixed: ClassVar[Mapping[str, object]] = {}  # fields that it sets itself, so that records are correct
    reads_groups: ClassVar[bool] = False
    learns: ClassVar[bool] = True
    terms: ClassVar[Mapping[str, str]] = {}  # fields of `StepLog` other than the loss, with their display names
    chooses_on_val: ClassVar[bool] = False  # whether settings are chosen on val, which then cannot calibrate
    weighs: ClassVar[bool] = False  # whether it knows images of different weights (`Task.weights`)
    parts: ClassVar[tuple[str, ...]] = ()  # methods it learns and then joins (`JoinedMethod`)
    conditional: ClassVar[bool] = False  # whether prompts depend on the image, so that prediction needs the text tower

    def settle(self, config: Config) -> Config:
        """The settings as this method uses them."""
        return config.replace(**self.fixed)

    def adapt(self, config: Config, dataset: str, shots: int) -> Config:
        """The settings with the recipe's default for the data set if none is set: its own template."""
        return config if config.template else config.replace(template=own_template(dataset, self.name))

    def read(self, config: Config) -> list[str]:
        """The settings that affect this method, given the values of the others, in their order."""
        config = self.settle(config)
        return [name for name in config.to_dict() if name in self.settings - self.idle(config)]

    def unused(self, names: Sequence[str], config: Config) -> list[str]:
        """Which of some settings have no effect: those not used at all, and those that others disable."""
        read = self.read(config)
        return [name for name in names if name not in read and name not in _NEVER_UNUSED]

    def idle(self, config: Config) -> set[str]:
        """Settings that other settings disable."""
        idle: set[str] = set()
        if config.views == 0:
            idle |= {"view_scale"}
        if not config.tune_layer_norm:
            idle |= {"layer_norm_lr"}
        if config.tau_gate is not None:
            idle |= {"gate_softness"}
        if config.warmup_epochs == 0:
            idle |= {"warmup_lr"}
        if config.ctx_init is not None:
            idle |= {"ctx_tokens"}
        if config.lambda_text == 0:
            idle |= TEXT_LOSS - {"lambda_text"}
        return idle

    def groups(self, given: GroupFile | None, config: Config) -> GroupFile:
        """The groups this method uses, one per expert; a method without groups makes its own from one template.

        Raises UsageError if it needs groups and there are none.
        """
        if not self.reads_groups:
            return one_group([self.template(config)], domain=self.title)
        if given is None:
            raise UsageError(
                f"the method {self.name} needs a group file", "name one; `mocoop-groups generate` makes it"
            )
        return given

    def template(self, config: Config) -> str:
        """The single template of a method without groups."""
        return config.template or PLAIN

    def texts(self, config: Config, groups: GroupFile, classnames: Sequence[str]) -> list[str]:
        """All texts given to the text tower: templates, words that initialise ctx, class names."""
        templates = [text for group in groups.groups for text in group.texts] if self.reads_groups else []
        own = [config.template or PLAIN] if "template" in self.settings else []
        words = [config.ctx_init] if "ctx_init" in self.settings and config.ctx_init else []
        return [*templates, *own, *words, *classnames, *config.extra_class_names]

    def start(self, config: Config, group: Group) -> str | None:
        """A readable form of what initialises the ctx of a group's expert; None if no ctx is learned."""
        return None

    def why_not(self, learned: Learned, classnames: Sequence[str]) -> str | None:
        """Why the trained method cannot name some classes; None if it can."""
        return None

    @abstractmethod
    def learn(self, task: Task, loop: Loop) -> Learned:
        """Learn. Raises errors of the settings, templates and class names, and TrainingStopped."""

    @abstractmethod
    def class_features(
        self, learned: Learned, classnames: Sequence[str], backbone: Backbone, *, cache: FeatureCache | None = None
    ) -> Tensor | None:
        """All text features (E, C, D) that a predictor needs, to be stored with the run; None if there are none.

        `cache` stores frozen features of templates. Raises DataError for classes that cannot be named (`why_not`).
        """

    @abstractmethod
    def predictor(
        self, learned: Learned, classnames: Sequence[str], features: Tensor | None, backbone: Backbone | None
    ) -> Predictor:
        """The classifier of some classes, from their `class_features`.

        Raises UsageError if the prompts depend on the image and there is no backbone.
        """

    def check_classes(self, learned: Learned, classnames: Sequence[str]) -> None:
        """Raises DataError with the reason if the classes cannot be named."""
        if reason := self.why_not(learned, classnames):
            raise DataError(reason, "name classes that it was trained on, or train another method")


class JoinedMethod(Method):
    """A method that is made of others: each of its `parts` learns alone, and what they learned is joined."""

    @abstractmethod
    def joined(self, task: Task, learned: Sequence[Learned]) -> Learned:
        """From what its `parts` learned of the same task, in their order."""


def one_group(templates: Sequence[str], *, domain: str) -> GroupFile:
    """A group file of one group, for methods with one expert. Duplicate templates count once."""
    group = {"id": "prompt", "templates": list(dict.fromkeys(templates))}
    return parse_groups(dump_groups({"schema_version": 1, "domain": domain, "groups": [group]}), source="the templates")


def pooled(given: GroupFile) -> GroupFile:
    """One group of all templates."""
    return one_group([text for group in given.groups for text in group.texts], domain=given.domain)
