"""Training logged elsewhere: TensorBoard's event files, or Weights & Biases. Both are listeners, and off by default.

`log_to` makes one from the words of `mocoop train --log-to`; from Python they go into `callbacks=`. Both write the same
numbers under the same names (`scalars`). Nothing is opened before there is a number, so a refused training leaves
nothing behind. Keys are the business of wandb, which reads them from the environment; none is read or kept here.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mocoop.errors import StorageError, UsageError
from mocoop.files import check_can_make
from mocoop.training.trainer import Listener, StepLog, ValidationLog

if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import SummaryWriter

TENSORBOARD, WANDB = "tensorboard", "wandb"
PROJECT = "mocoop"  # of Weights & Biases, unless WANDB_PROJECT names another
_ABOUT = ("method", "preset", "shots", "seed", "split_seed", "classes")


def log_to(where: str) -> Listener:
    """The listener of `tensorboard:FOLDER` or `wandb`.

    Raises UsageError, also if its package is missing, and StorageError for a folder that cannot be written.
    """
    kind, _, folder = where.partition(":")
    if kind == TENSORBOARD and folder:
        return TensorBoardLog(folder)
    if where == WANDB:
        return WandbLog()
    raise UsageError(f"{where!r} is no place to log to", f"write {TENSORBOARD}:FOLDER or {WANDB}")


class TensorBoardLog(Listener):
    """Scalars in a folder that `tensorboard --logdir` reads, one folder a training.

    A resumed training goes on in its folder; of steps that were logged twice, the later ones count.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """Raises UsageError if tensorboard is not installed, StorageError for a folder that cannot be written."""
        _require("tensorboard", extra="logging")
        self.folder = Path(folder)
        check_can_make(self.folder)
        self._ids: tuple[str, ...] = ()
        self._resumed = 0
        self._writer: SummaryWriter | None = None

    def planned(self, record: Mapping[str, Any]) -> None:
        """Keep the experts' names."""
        self._ids, self._resumed = tuple(record["groups"]["ids"]), 0

    def started(self, epochs: int, steps: int, resumed_step: int) -> None:
        """Keep the step it goes on after."""
        self._resumed = resumed_step

    def step(self, log: StepLog) -> None:
        """Write the numbers of a step."""
        self._write(scalars(log, self._ids), log.step)

    def validated(self, log: ValidationLog) -> None:
        """Write the numbers of the validation images."""
        self._write(validation_scalars(log), log.step)

    def ended(self, whole: bool) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()
        self._writer = None

    def _write(self, numbers: Mapping[str, float], step: int) -> None:
        writer = self._open()
        for name, value in numbers.items():
            writer.add_scalar(name, value, step)

    def _open(self) -> SummaryWriter:
        if self._writer is None:
            from torch.utils.tensorboard.writer import SummaryWriter

            try:
                self._writer = SummaryWriter(str(self.folder), purge_step=self._resumed + 1)
            except OSError as error:
                raise StorageError(
                    f"{self.folder} cannot be written: {error.strerror}", "log to another folder"
                ) from error
        return self._writer


class WandbLog(Listener):
    """A run of Weights & Biases: settings and numbers, nothing of the images or the terminal.

    What its own variables say counts: WANDB_PROJECT, WANDB_MODE=offline, WANDB_DIR, WANDB_API_KEY.
    """

    def __init__(self) -> None:
        """Raises UsageError if wandb is not installed."""
        _require("wandb", extra="wandb")
        self._ids: tuple[str, ...] = ()
        self._about: dict[str, Any] = {}
        self._run: Any = None

    def planned(self, record: Mapping[str, Any]) -> None:
        """Keep what the run is about, and the experts' names."""
        self._ids = tuple(record["groups"]["ids"])
        self._about = {name: record[name] for name in _ABOUT}
        self._about |= {"backbone": record["backbone"]["name"], "settings": dict(record["config"])}

    def step(self, log: StepLog) -> None:
        """Log the numbers of a step."""
        self._log(scalars(log, self._ids), log.step)

    def validated(self, log: ValidationLog) -> None:
        """Log the numbers of the validation images."""
        self._log(validation_scalars(log), log.step)

    def ended(self, whole: bool) -> None:
        """Close the run, as failed if the training did not come to its end."""
        if self._run is not None:
            self._run.finish(exit_code=0 if whole else 1)
        self._run = None

    def _log(self, numbers: Mapping[str, float], step: int) -> None:
        if self._run is None:
            self._run = self._opened()
        self._run.log(dict(numbers), step=step)

    def _opened(self) -> Any:
        import wandb

        settings = wandb.Settings(
            silent=True,
            console="off",
            save_code=False,
            disable_git=True,
            x_disable_meta=True,
            x_disable_stats=True,
            x_save_requirements=False,
        )
        try:
            return wandb.init(
                project=os.environ.get("WANDB_PROJECT") or PROJECT,
                config=self._about,
                settings=settings,
                reinit="create_new",
            )
        except (wandb.Error, OSError) as error:
            reason = str(error).split("\n")[0][:200]
            raise UsageError(
                f"Weights & Biases cannot be logged to: {reason}", "run `wandb login`, or set WANDB_MODE=offline"
            ) from error


def scalars(log: StepLog, group_ids: tuple[str, ...] = ()) -> dict[str, float]:
    """The numbers of one step by name; of several experts also the share of images that each comes first for."""
    numbers = {
        "loss": log.loss,
        "class_loss": log.class_loss,
        "accuracy": log.accuracy,
        "lr": log.lr,
        "epoch": float(log.epoch + 1),
    }
    numbers |= {name: value for name in ("router_loss", "text_loss") if (value := getattr(log, name))}
    if len(group_ids) < 2 or len(log.expert_use) != len(group_ids):
        return numbers
    uses = {f"expert_use/{name}": share for name, share in zip(group_ids, log.expert_use, strict=True)}
    return numbers | {"gate_entropy": log.gate_entropy} | uses


def validation_scalars(log: ValidationLog) -> dict[str, float]:
    """The numbers of the validation images by name."""
    return {"validation/loss": log.loss, "validation/accuracy": log.accuracy}


def _require(package: str, *, extra: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise UsageError(f"{package} is not installed", f"in the checkout: pip install '.[{extra}]'")
