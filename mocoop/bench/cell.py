"""A cell of a comparison: one training run and its evaluation, keyed by everything that its numbers depend on."""

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

# Classes trained on, by name: whether they are the base classes, and whether only the first half of those, with the
# second half as a proxy for unseen classes.
TrainedOn = Literal["all", "base", "halves", "base-halves"]

# Training budgets by name: what they change in a preset. Every method trained in steps gets the same number of image
# passes and the same batch size, so that no method trains longer. Without views no image tower is tuned.
BUDGETS: dict[str, dict[str, Any]] = {
    "small": {"epochs": 30, "batch_size": 32, "views": 0, "warmup_epochs": 1, "tune_layer_norm": False},
}


@dataclass(frozen=True)
class Cell:
    """What is trained and on what. `setting` names `changes` in tables; `targets` are evaluated besides `dataset`."""

    protocol: Protocol
    dataset: str
    method: str
    shots: int
    seed: int
    preset: str = "recommended"
    budget: str | None = None
    setting: str = DEFAULT
    changes: Mapping[str, Any] = field(default_factory=dict)
    tuned: Mapping[str, Any] = field(default_factory=dict)  # the part of `changes` that a search chose
    group_kind: str = "own"
    ablation: str | None = None
    targets: tuple[str, ...] = ()
    classes: TrainedOn | None = None  # trained on; None: as in the protocol
    val_shots: int | None = None  # images per class that settings are chosen on; None: CoOp's min(shots, 4)

    def config(self, data: str, template: str | None = None) -> Config:
        """All settings as the method uses them. The cell's own changes override the budget.

        Args:
            data: the data set's name in CoOp's layout, or any other name.
            template: the data set's own template, if the name does not determine it.
        """
        method = method_named(self.method)
        limits = BUDGETS[self.budget] if self.budget and method.learns else {}
        chosen = preset(self.preset, self.method, **{"template": template, **limits, **self.changes})
        return method.adapt(method.settle(chosen), data, self.shots)

    def budget_note(self, config: Config) -> str | None:
        """A readable note of what the budget changed in the preset; None if nothing."""
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
    """A cell with everything to run it: settings, the groups its method uses, and the key of its row."""

    cell: Cell
    config: Config
    groups: GroupFile
    key: str


def _told(value: Any) -> str:
    return "by shots" if value is None else str(value)


def key_of(cell: Cell, config: Config, groups: GroupFile, data: Mapping[str, str], backbone: str, images: int) -> str:
    """The key of a cell's row: equal for cells whose numbers must be equal, whatever their names in tables.

    Args:
        groups: the groups the method uses (`Method.groups`).
        data: the identity of each data set used.
        backbone: the fingerprint of the backbone.
        images: the number of training images.
    """
    scheduled, _ = config.scheduled(cell.shots, images)
    identity = scheduled.to_dict()
    del identity["preset"]
    # These came after results had been measured: where they change no number, they change no key.
    for name in ("tip_alpha", "tip_beta", "blend_weight"):
        if identity[name] is None:
            del identity[name]
    if identity["template_share"] == 0:
        del identity["template_share"]
    if scheduled is config:
        del identity["min_steps"]
    if identity["drop_last"]:
        del identity["drop_last"]
    drawn = [cell.shots, cell.seed, cell.train_on, cell.val_shots]
    return cell_key([FORMAT, cell.protocol, dict(data), drawn, groups.sha256, backbone, identity])
