"""What a method is: what it learns, from what, and the classifier that comes of it.

A method is a small file in `mocoop.methods`. It gets a `Task`, learns (with the one training loop, where it takes
steps) and gives back `Learned`; from that it makes a `Predictor` for any class names it can. Data sets, run folders
and the command line know methods through this page alone. B images, E experts, C classes, D joint width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from torch import Tensor, nn

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
    """Image features (N, D) as the backbone gives them, not normalised, and labels (N,); of train and of val.

    `val` is empty where the data set has none.
    """

    train: Tensor
    train_labels: Tensor
    val: Tensor
    val_labels: Tensor


@dataclass(frozen=True)
class Task:
    """What is to be learned: the classes, from what groups, with which settings."""

    backbone: Backbone
    groups: GroupFile
    classnames: tuple[str, ...]
    config: Config
    seed: int
    samples: Callable[[], Samples]
    plain: Callable[[], Tensor]  # the training images' features (N, D) alone, as in `samples`
    stage: Callable[[str], None]
    notice: Callable[[str], None]
    text_cache: FeatureCache | None = None


class Loop(Protocol):
    """The training loop (`mocoop.training.trainer`) over the task's images, ready to go."""

    def __call__(
        self, parameters: Mapping[str, nn.Parameter], step: Step, rates: Mapping[str, float] = NO_RATES
    ) -> None:
        """Train `parameters`, those named in `rates` at so many times the learning rate. Raises TrainingStopped."""


class Method(ABC):
    """One method. What it does not read of the settings is named to the user and changes nothing."""

    name: ClassVar[str]
    title: ClassVar[str]  # as tables call it
    settings: ClassVar[frozenset[str]]  # the fields of `Config` that it reads
    fixed: ClassVar[Mapping[str, object]] = {}  # fields that it sets itself, so that a record says what was done
    reads_groups: ClassVar[bool] = False
    learns: ClassVar[bool] = True
    terms: ClassVar[Mapping[str, str]] = {}  # fields of `StepLog` beside the loss, and how people call them here
    conditional: ClassVar[bool] = False  # whether its text side depends on the image, so that predicting needs it

    def settle(self, config: Config) -> Config:
        """The settings as this method goes by them."""
        return config.replace(**self.fixed)

    def adapt(self, config: Config, dataset: str, shots: int) -> Config:
        """The settings with what the recipe takes from the data set where none is named: its own template."""
        return config if config.template else config.replace(template=own_template(dataset, self.name))

    def read(self, config: Config) -> list[str]:
        """The settings that make a difference to this method beside the others, in their order."""
        config = self.settle(config)
        return [name for name in config.to_dict() if name in self.settings - self.idle(config)]

    def unused(self, names: Sequence[str], config: Config) -> list[str]:
        """Which of some settings change nothing here: those not read at all, and those that others put out of use."""
        read = self.read(config)
        return [name for name in names if name not in read and name not in _NEVER_UNUSED]

    def idle(self, config: Config) -> set[str]:
        """Settings that others put out of use."""
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
        """The groups as this method reads them, an expert each; a method that reads none makes its own of one template.

        Raises UsageError where it needs some and there are none.
        """
        if not self.reads_groups:
            return one_group([self.template(config)], domain=self.title)
        if given is None:
            raise UsageError(
                f"the method {self.name} needs a group file", "name one; `mocoop-groups generate` makes it"
            )
        return given

    def template(self, config: Config) -> str:
        """The one template of a method that reads no groups."""
        return config.template or PLAIN

    def texts(self, config: Config, groups: GroupFile, classnames: Sequence[str]) -> list[str]:
        """Every text that the text tower reads: templates, words that ctx starts from, class names."""
        templates = [text for group in groups.groups for text in group.texts] if self.reads_groups else []
        own = [config.template or PLAIN] if "template" in self.settings else []
        words = [config.ctx_init] if "ctx_init" in self.settings and config.ctx_init else []
        return [*templates, *own, *words, *classnames, *config.extra_class_names]

    def start(self, config: Config, group: Group) -> str | None:
        """What the ctx of a group's expert starts from, for people; None where none is learned."""
        return None

    def why_not(self, learned: Learned, classnames: Sequence[str]) -> str | None:
        """Why some classes cannot be named after a training; None where they can."""
        return None

    @abstractmethod
    def learn(self, task: Task, loop: Loop) -> Learned:
        """Learn. Raises what the settings, templates and class names give reason for, and TrainingStopped."""

    @abstractmethod
    def class_features(
        self, learned: Learned, classnames: Sequence[str], backbone: Backbone, *, cache: FeatureCache | None = None
    ) -> Tensor | None:
        """(E, C, D): all of the text side that a predictor needs, to be kept beside the run; None where there is none.

        `cache` keeps frozen features of templates. Raises DataError for classes that cannot be named (`why_not`).
        """

    @abstractmethod
    def predictor(
        self, learned: Learned, classnames: Sequence[str], features: Tensor | None, backbone: Backbone | None
    ) -> Predictor:
        """The classifier of some classes, from their `class_features`.

        Raises UsageError where the prompts depend on the image and there is no backbone.
        """

    def check_classes(self, learned: Learned, classnames: Sequence[str]) -> None:
        """Raises DataError with the reason for classes that cannot be named."""
        if reason := self.why_not(learned, classnames):
            raise DataError(reason, "name classes that it was trained on, or train another method")


def one_group(templates: Sequence[str], *, domain: str) -> GroupFile:
    """A group file of one group, for methods with one expert. Templates that stand there twice count once."""
    group = {"id": "prompt", "templates": list(dict.fromkeys(templates))}
    return parse_groups(dump_groups({"schema_version": 1, "domain": domain, "groups": [group]}), source="the templates")


def pooled(given: GroupFile) -> GroupFile:
    """One group of all templates."""
    return one_group([text for group in given.groups for text in group.texts], domain=given.domain)
