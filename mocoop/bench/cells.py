"""A cell of a comparison: one training and its evaluation, named by everything that its numbers depend on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from mocoop.bench.rows import FORMAT, cell_key
from mocoop.config import Config, preset
from mocoop.groupfile.groups import GroupFile
from mocoop.methods import method_named

Protocol = Literal["base-to-new", "few-shot", "cross-dataset", "domain-shift", "inference-time", "tune"]
BASE_TO_NEW: Final = "base-to-new"
FEW_SHOT: Final = "few-shot"
CROSS: Final = "cross-dataset"
SHIFT: Final = "domain-shift"
TIME: Final = "inference-time"
TUNE: Final = "tune"
DEFAULT = "default"

# Classes trained on, by name: whether they are the base classes, and whether of those only the first half, while the
# second half stands in for classes that nobody has named yet.
TrainedOn = Literal["all", "base", "halves", "base-halves"]

# Limits on training by name: what they change of a preset. The same image passes for every method that takes steps,
# and the same batch, so that no method is measured at a length of its own. Without views no image tower is tuned.
BUDGETS: dict[str, dict[str, Any]] = {
    "small": {"epochs": 30, "batch_size": 32, "views": 0, "warmup_epochs": 1, "tune_layer_norm": False},
}


@dataclass(frozen=True)
class Cell:
    """What is trained and on what. `setting` is how tables call `changes`; `targets` are evaluated beside `dataset`."""

    protocol: Protocol
    dataset: str
    method: str
    shots: int
    seed: int
    preset: str = "recommended"
    budget: str | None = None
    setting: str = DEFAULT
    changes: Mapping[str, Any] = field(default_factory=dict)
    tuned: Mapping[str, Any] = field(default_factory=dict)  # those of `changes` that a search chose
    group_kind: str = "own"
    ablation: str | None = None
    targets: tuple[str, ...] = ()
    classes: TrainedOn | None = None  # trained on; None: as the protocol has it
    val_shots: int | None = None  # images a class that settings are chosen on; None: CoOp's min(shots, 4)

    def config(self, data: str, template: str | None = None) -> Config:
        """Every setting, as the method goes by them. A budget gives way to what the cell itself changes.

        Args:
            data: the data set's name in CoOp's layout, or any other.
            template: its own template, where the name does not tell.
        """
        method = method_named(self.method)
        limits = BUDGETS[self.budget] if self.budget and method.learns else {}
        chosen = preset(self.preset, self.method, **{"template": template, **limits, **self.changes})
        return method.adapt(method.settle(chosen), data, self.shots)

    def budget_note(self, config: Config) -> str | None:
        """What the budget made different of the preset, for people; None where nothing is."""
        if self.budget is None:
            return None
        as_is = replace(self, budget=None).config("", config.template)
        names = [name for name in BUDGETS[self.budget] if getattr(as_is, name) != getattr(config, name)]
        changes = ", ".join(f"{name} {getattr(config, name)} (preset: {_told(getattr(as_is, name))})" for name in names)
        return f"budget {self.budget}: {changes}" if names else None

    @property
    def train_on(self) -> TrainedOn:
        """The classes trained on."""
        return self.classes or ("base" if self.protocol in (BASE_TO_NEW, TIME) else "all")

    def __str__(self) -> str:
        setting = "" if self.setting == DEFAULT else f" ({self.setting})"
        return f"{self.protocol}  {self.dataset}  {self.method}{setting}  {self.shots} shots  seed {self.seed}"


@dataclass(frozen=True)
class Ready:
    """A cell with what it needs: settings, groups as its method reads them, and the key of its row."""

    cell: Cell
    config: Config
    groups: GroupFile
    key: str


def _told(value: Any) -> str:
    return "by shots" if value is None else str(value)


def key_of(cell: Cell, config: Config, groups: GroupFile, data: Mapping[str, str], backbone: str) -> str:
    """The name of a cell's row: equal for cells whose numbers must be equal, whatever tables call them.

    Args:
        groups: as the method reads them.
        data: the identity of each data set that is read.
        backbone: its fingerprint.
    """
    identity = config.to_dict()
    del identity["preset"]
    drawn = [cell.shots, cell.seed, cell.train_on, cell.val_shots]
    return cell_key([FORMAT, cell.protocol, dict(data), drawn, groups.sha256, backbone, identity])
