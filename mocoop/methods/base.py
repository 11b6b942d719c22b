"""What a method is: what it learns, from what, and the classifier that comes of it.

A method is a small file beside this one. It gets a `Task`, learns (with the one training loop, where it takes steps)
and gives back `Learned`; from that it makes a `Predictor` for any class names it can. Data sets, run folders and the
command line know methods through this page alone. B images, E experts, C classes, D joint width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from torch import Tensor, nn

from mocoop.classifier import Learned, Predictor
from mocoop.config import Config
from mocoop.data.templates import PLAIN
from mocoop.errors import UsageError
from mocoop.groups import GroupFile, dump_groups, parse_groups
from mocoop.trainer import Step

if TYPE_CHECKING:
    from mocoop.backbone import Backbone
    from mocoop.data.cache import FeatureCache

OPTIMISER = frozenset(
    {"lr", "epochs", "batch_size", "momentum", "weight_decay", "warmup_epochs", "warmup_lr", "clip_norm", "precision"}
)
VIEWS = frozenset({"views", "view_scale"})
NEVER_UNUSED = frozenset({"method", "preset", "precision"})


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
    stage: Callable[[str], None]
    notice: Callable[[str], None]
    text_cache: FeatureCache | None = None


class Loop(Protocol):
    """The training loop (`mocoop.trainer`) over the task's images, ready to go."""

    def __call__(self, parameters: Mapping[str, nn.Parameter], step: Step, slow: frozenset[str] = frozenset()) -> None:
        """Train `parameters`, those named in `slow` at `layer_norm_lr` of the rate. Raises TrainingStopped."""


class Method(ABC):
    """One method. What it does not read of the settings is named to the user and changes nothing."""

    name: ClassVar[str]
    title: ClassVar[str]  # as tables call it
    settings: ClassVar[frozenset[str]]  # the fields of `Config` that it reads
    fixed: ClassVar[Mapping[str, object]] = {}  # fields that it sets itself, so that a record says what was done
    reads_groups: ClassVar[bool] = False
    learns: ClassVar[bool] = True
    new_classes: ClassVar[bool] = True  # whether it can name classes that it was not trained on

    def settle(self, config: Config) -> Config:
        """The settings as this method goes by them."""
        return config.replace(**self.fixed)

    def unused(self, names: Sequence[str]) -> list[str]:
        """Which of some settings this method does not read."""
        return [name for name in names if name not in self.settings | NEVER_UNUSED]

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

    @abstractmethod
    def learn(self, task: Task, loop: Loop) -> Learned:
        """Learn. Raises what the settings, templates and class names give reason for, and TrainingStopped."""

    @abstractmethod
    def class_features(self, learned: Learned, classnames: Sequence[str], backbone: Backbone) -> Tensor | None:
        """(E, C, D): all of the text side that a predictor needs, to be kept beside the run; None where there is none.

        Raises DataError for classes that this method cannot name.
        """

    @abstractmethod
    def predictor(
        self, learned: Learned, classnames: Sequence[str], features: Tensor | None, backbone: Backbone | None
    ) -> Predictor:
        """The classifier of some classes, from their `class_features`."""


def one_group(templates: Sequence[str], *, domain: str) -> GroupFile:
    """A group file of one group, for methods with one expert. Templates that stand there twice count once."""
    group = {"id": "prompt", "templates": list(dict.fromkeys(templates))}
    return parse_groups(dump_groups({"schema_version": 1, "domain": domain, "groups": [group]}), source="the templates")


def pooled(given: GroupFile) -> GroupFile:
    """One group of all templates."""
    return one_group([text for group in given.groups for text in group.texts], domain=given.domain)
