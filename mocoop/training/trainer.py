"""The training loop: order, step, log, save. It reads from top to bottom and knows no files but its checkpoints.

Everything that varies is a function of (seed, epoch, step): the order of the images, the view of each. There is no
random state to save, so a run that is killed and resumed takes the same steps, to the same bits on a CPU.
"""

from __future__ import annotations

import math
import re
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mocoop.backbone import ranks
from mocoop.config import Config
from mocoop.errors import CheckpointError, TrainingStopped
from mocoop.files import crash_point
from mocoop.mixture.objective import Terms
from mocoop.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

Batch = Callable[[int, Tensor], Tensor]  # (epoch, image numbers (B,)) -> normalised image features (B, D)
Step = Callable[..., Terms]  # image features (B, D), labels (B,), and weights (B,) if images have any -> loss terms
HELD_AT_ONCE = 1024  # validation images of one forward pass
OTHER_BITS = (
    "{out} was begun with features of the same {what} that differ from those of now in their last bits: another number "
    "of threads, processor or version of PyTorch made them"
)
SAME_BITS = "go on where it was started, with its cache of features, or add --force to start anew"
NO_RATES: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class StepLog:
    """What is known after one step.

    `expert_use` and `reference_use` are shares of the epoch's images so far, by first expert and by the first group of
    the reference gate; the latter is empty where no router learns.
    """

    epoch: int
    step: int
    steps: int
    loss: float
    class_loss: float
    router_loss: float
    text_loss: float
    accuracy: float
    gate_entropy: float
    lr: float
    expert_use: tuple[float, ...]
    reference_use: tuple[float, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """Plain JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ValidationLog:
    """What is known of the validation images after an epoch: mean cross-entropy, and the share that is right."""

    epoch: int
    step: int
    loss: float
    accuracy: float


@dataclass(frozen=True)
class Held:
    """Validation images, measured after each epoch; nothing is chosen by them here.

    `features` gives them (M, D), not normalised, on the CPU, as the image tower makes them now; labels (M,).
    """

    features: Callable[[], Tensor]
    labels: Tensor
    at_once: int = HELD_AT_ONCE


class Listener:
    """Hears what happens during training; every method does nothing here. Subclass to show or log progress."""

    def planned(self, record: Mapping[str, Any]) -> None:
        """What will be trained, as run.json records it: method, config, seed, backbone, groups, data."""

    def stage(self, text: str) -> None:
        """A new stage of the work begins."""

    def notice(self, text: str) -> None:
        """Something the user should read."""

    def features(self, done: int, total: int) -> None:
        """So many images of so many have been encoded."""

    def started(self, epochs: int, steps: int, resumed_step: int) -> None:
        """The loop begins: epochs, steps in all, and the step it resumes after (0: from the start)."""

    def step(self, log: StepLog) -> None:
        """One step was taken."""

    def validated(self, log: ValidationLog) -> None:
        """The validation images, if there are any, were measured: after each epoch, or once if no steps are taken."""

    def ended(self, whole: bool) -> None:
        """The training is over; `whole` unless it was stopped or failed."""


class Listeners(Listener):
    """Several listeners as one: each hears everything, in their order."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self._all = tuple(listeners)

    def planned(self, record: Mapping[str, Any]) -> None:
        """Passed on."""
        for one in self._all:
            one.planned(record)

    def stage(self, text: str) -> None:
        """Passed on."""
        for one in self._all:
            one.stage(text)

    def notice(self, text: str) -> None:
        """Passed on."""
        for one in self._all:
            one.notice(text)

    def features(self, done: int, total: int) -> None:
        """Passed on."""
        for one in self._all:
            one.features(done, total)

    def started(self, epochs: int, steps: int, resumed_step: int) -> None:
        """Passed on."""
        for one in self._all:
            one.started(epochs, steps, resumed_step)

    def step(self, log: StepLog) -> None:
        """Passed on."""
        for one in self._all:
            one.step(log)

    def validated(self, log: ValidationLog) -> None:
        """Passed on."""
        for one in self._all:
            one.validated(log)

    def ended(self, whole: bool) -> None:
        """Passed on."""
        for one in self._all:
            one.ended(whole)


class Checkpoints(Protocol):
    """Where training is saved and resumed from."""

    def save(self, step: int, tensors: Mapping[str, Tensor], history: list[StepLog], frozen: str) -> None:
        """Keep the state after a step, the log up to it, and the hash of the frozen features that led to it."""

    def load(self, shapes: Mapping[str, torch.Size], frozen: str) -> tuple[Checkpoint, list[StepLog]] | None:
        """The newest good state that fits `shapes` and `frozen`, and the log up to it, or None."""


class Trainer:
    """SGD with momentum over `parameters`, cosine over epochs after a constant warm-up (as CoOp).

    Args:
        parameters: what is learned, by name.
        step_terms: computes the loss terms of a batch.
        batch: gives the image features of an epoch's images.
        labels: (N,), on the device.
        weights: of the images (N,), above 0, on the device; only their ratios count. None: all the same.
        held: validation images, measured after each epoch.
        rates: parameters that learn at a rate of their own, as a factor of the schedule's.
        frozen: hash of the frozen features that the steps use; a state that came of others is not taken up.
        epoch_ended: gets the log up to the end of each epoch.
    """

    def __init__(
        self,
        parameters: Mapping[str, nn.Parameter],
        step_terms: Step,
        batch: Batch,
        labels: Tensor,
        config: Config,
        *,
        epochs: int,
        seed: int,
        weights: Tensor | None = None,
        held: Held | None = None,
        rates: Mapping[str, float] = NO_RATES,
        frozen: str = "",
        epoch_ended: Callable[[Sequence[StepLog]], None] = lambda _history: None,
    ) -> None:
        self._epoch_ended, self._frozen = epoch_ended, frozen
        self._parameters = dict(parameters)
        self._step_terms, self._batch, self._labels, self._config = step_terms, batch, labels, config
        self._weights = None if weights is None else weights / weights.mean()
        self.epochs, self._seed, self._held = epochs, seed, held
        self.steps_per_epoch = config.steps_an_epoch(len(labels))
        factors = sorted({rates.get(name, 1.0) for name in parameters})
        groups = [
            {"params": [p for name, p in parameters.items() if rates.get(name, 1.0) == factor], "factor": factor}
            for factor in factors
        ]
        self._optimiser = torch.optim.SGD(
            groups,
            lr=config.lr,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
        )
        self._scaler = torch.amp.GradScaler(labels.device.type, enabled=config.precision == "float16")
        self.history: list[StepLog] = []
        self.validation: list[ValidationLog] = []

    @property
    def steps(self) -> int:
        """Steps in all."""
        return self.epochs * self.steps_per_epoch

    def run(self, listener: Listener, checkpoints: Checkpoints | None = None) -> None:
        """Train to the end, from the last checkpoint where there is one.

        Raises:
            TrainingStopped: the loss is not finite; the parameters are those of the step before.
            KeyboardInterrupt: asked to stop; the step was finished and saved first.
        """
        done = self._resume(checkpoints, listener)
        listener.started(self.epochs, self.steps, done)
        with _stop_requests() as stop:
            for epoch in range(done // self.steps_per_epoch, self.epochs):
                done = self._epoch(epoch, done, listener, checkpoints, stop)

    def _epoch(
        self, epoch: int, done: int, listener: Listener, checkpoints: Checkpoints | None, stop: threading.Event
    ) -> int:
        lr = self._set_lr(epoch)
        use, reference_use = self._use_so_far(epoch, done)
        images, config = len(self._labels), self._config
        batches = epoch_batches(self._seed, epoch, images, config.batch_size, drop_last=config.drop_last)
        for index in batches[done - epoch * self.steps_per_epoch :]:
            terms = self._take_step(epoch, index, done + 1)
            done += 1
            use = _counted(use, terms.mixed.gate)
            reference_use = _counted(reference_use, terms.reference)
            log = self._log(epoch, done, terms, self._labels[index], use, reference_use, lr)
            self.history.append(log)
            listener.step(log)
            crash_point("after-step", done)
            ending = ranks.any_of(stop.is_set())  # all end after the same step
            if checkpoints is not None and (ending or done % self.steps_per_epoch == 0):
                checkpoints.save(done, self._state(), self.history, self._frozen)
            if ending:
                raise KeyboardInterrupt
        self._epoch_ended(self.history)
        if self._held is not None:
            self.validation.append(self._validated(epoch, done, self._held))
            listener.validated(self.validation[-1])
        return done

    def _validated(self, epoch: int, step: int, held: Held) -> ValidationLog:
        """Cross-entropy and share of right answers of the validation images under the parameters as they are."""
        x, labels = F.normalize(held.features().float(), dim=-1), held.labels
        loss, right = 0.0, 0
        for part in torch.arange(len(labels)).split(held.at_once):
            terms = self._step_terms(x[part].to(self._labels.device), labels[part].to(self._labels.device))
            loss += terms.class_term.item() * len(part)
            right += int((terms.mixed.similarities.argmax(-1).cpu() == labels[part]).sum())
        return ValidationLog(epoch, step, loss / len(labels), right / len(labels))

    def _use_so_far(self, epoch: int, done: int) -> tuple[Tensor | None, Tensor | None]:
        """Images by first expert and by the reference gate (E,), in the steps an interrupted epoch took before."""
        images = (done - epoch * self.steps_per_epoch) * self._config.batch_size
        if not images:
            return None, None
        last = self.history[-1]
        shares = (last.expert_use, last.reference_use)
        used, reference = ((torch.tensor(share) * images).round().long() if share else None for share in shares)
        return used, reference

    def _take_step(self, epoch: int, index: Tensor, step: int) -> Terms:
        with _enough_memory(step):
            weights = () if self._weights is None else (self._weights[index],)
            terms = self._step_terms(self._batch(epoch, index), self._labels[index], *weights)
        if not bool(terms.total.isfinite()):
            raise TrainingStopped(
                f"the loss is {terms.total.item()} at step {step}; stopped before the parameters changed",
                f"lower --lr (now {self._config.lr:g}) or use --preset recommended",
            )
        self._optimiser.zero_grad(set_to_none=True)
        with _enough_memory(step):
            self._scaler.scale(terms.total).backward()
        self._scaler.unscale_(self._optimiser)
        norm = nn.utils.clip_grad_norm_(list(self._parameters.values()), self._config.clip_norm or math.inf)
        if not bool(norm.isfinite()) and not self._scaler.is_enabled():  # a float16 scaler skips such a step itself
            raise TrainingStopped(
                f"the gradient is not finite at step {step}; stopped before the parameters changed",
                f"lower --lr (now {self._config.lr:g}) or use --precision float32",
            )
        self._scaler.step(self._optimiser)
        self._scaler.update()
        return terms

    def _set_lr(self, epoch: int) -> float:
        lr = learning_rate(self._config, epoch, self.epochs)
        for group in self._optimiser.param_groups:
            group["lr"] = lr * group["factor"]
        return lr

    def _log(
        self,
        epoch: int,
        step: int,
        terms: Terms,
        labels: Tensor,
        use: Tensor | None,
        reference_use: Tensor | None,
        lr: float,
    ) -> StepLog:
        mixed = terms.mixed
        router = mixed.router_logits.detach().float().softmax(-1)
        entropy = -(router * router.clamp_min(1e-12).log()).sum(-1).mean()
        correct = (mixed.similarities.argmax(-1) == labels).float().mean()
        loss, class_loss, router_loss, text_loss, accuracy, gate_entropy = torch.stack(
            [terms.total, terms.class_term, terms.router_term, terms.text_term, correct, entropy]
        ).tolist()  # one transfer from the device
        return StepLog(
            epoch=epoch,
            step=step,
            steps=self.steps,
            loss=loss,
            class_loss=class_loss,
            router_loss=router_loss,
            text_loss=text_loss,
            accuracy=accuracy,
            gate_entropy=gate_entropy,
            lr=lr,
            expert_use=_shares(use),
            reference_use=_shares(reference_use),
        )

    def _state(self) -> dict[str, Tensor]:
        state = {name: parameter.detach() for name, parameter in self._parameters.items()}
        for name, parameter in self._parameters.items():
            momentum = self._optimiser.state.get(parameter, {}).get("momentum_buffer")
            state[f"momentum.{name}"] = torch.zeros_like(parameter) if momentum is None else momentum
        return state

    def _resume(self, checkpoints: Checkpoints | None, listener: Listener) -> int:
        shapes = {name: tensor.shape for name, tensor in self._state().items()}
        found = ranks.from_first(lambda: checkpoints.load(shapes, self._frozen) if checkpoints is not None else None)
        if found is None:
            return 0
        checkpoint, self.history = found
        for fault in checkpoint.passed_over:
            listener.notice(f"a damaged checkpoint was passed over: {fault}")
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                parameter.copy_(checkpoint.tensors[name])
                momentum = checkpoint.tensors[f"momentum.{name}"].to(parameter.device)
                self._optimiser.state[parameter]["momentum_buffer"] = momentum.clone()
        return checkpoint.step


def _counted(before: Tensor | None, gate: Tensor | None) -> Tensor | None:
    """Images by first expert (E,), with those of a gate (B, E) added; None where there is no gate."""
    if gate is None:
        return None
    first = torch.bincount(gate.argmax(-1).cpu(), minlength=gate.shape[-1])
    return first if before is None else before + first


def _shares(counts: Tensor | None) -> tuple[float, ...]:
    return () if counts is None else tuple((counts / counts.sum()).tolist())


def learning_rate(config: Config, epoch: int, epochs: int) -> float:
    """The rate of an epoch: `warmup_lr` first, then a cosine over `epochs` counted from the end of the warm-up.

    CoOp's schedule recounts after warm-up, so that the last rate is a little above 0. A training as short as its
    warm-up keeps one epoch at the full rate.
    """
    warmup = min(config.warmup_epochs, epochs - 1)
    if epoch < warmup:
        return min(config.warmup_lr, config.lr)
    return config.lr * 0.5 * (1 + math.cos(math.pi * (epoch - warmup) / epochs))


def epoch_batches(seed: int, epoch: int, images: int, batch_size: int, *, drop_last: bool = True) -> list[Tensor]:
    """The image numbers of each batch of an epoch, a function of seed and epoch alone."""
    generator = torch.Generator().manual_seed((seed * 1_000_003 + epoch) % 2**63)
    order = torch.randperm(images, generator=generator)
    if images < batch_size or not drop_last:
        return list(order.split(batch_size))
    return list(order[: images - images % batch_size].split(batch_size))


class FolderCheckpoints:
    """Checkpoints and the step log in a run folder."""

    def __init__(
        self, folder: Path, write_log: Callable[[list[StepLog]], None], read_log: Callable[[int], list[StepLog]]
    ):
        self._folder, self._write_log, self._read_log = folder, write_log, read_log

    def save(self, step: int, tensors: Mapping[str, Tensor], history: list[StepLog], frozen: str) -> None:
        """Write the log, then the checkpoint that counts on it."""
        self._write_log(history)
        save_checkpoint(self._folder, step, tensors, {"frozen": frozen})

    def load(self, shapes: Mapping[str, torch.Size], frozen: str) -> tuple[Checkpoint, list[StepLog]] | None:
        """The newest good checkpoint and the log up to its step. Raises CheckpointError."""
        checkpoint = load_checkpoint(self._folder, shapes)
        if checkpoint is None:
            return None
        if checkpoint.meta.get("frozen", frozen) != frozen:  # earlier versions kept none
            raise CheckpointError(OTHER_BITS.format(out=self._folder.parent, what="templates"), SAME_BITS)
        history = self._read_log(checkpoint.step)
        if len(history) != checkpoint.step:
            raise CheckpointError(
                f"the log of {self._folder.parent} has {len(history)} of {checkpoint.step} steps",
                "start again with --force",
            )
        return checkpoint, history


@contextmanager
def _enough_memory(step: int) -> Iterator[None]:
    """Turns an allocator's error into one that says what helps; the parameters are those of the step before."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not re.search(r"out of memory|can't allocate memory", str(error)):
            raise
        raise TrainingStopped(
            f"not enough memory at step {step}; stopped before the parameters changed",
            "use a smaller --batch-size, fewer groups or classes, or a machine with more memory",
        ) from error


@contextmanager
def _stop_requests() -> Iterator[threading.Event]:
    """Turns the first Ctrl-C or SIGTERM into an event that the loop reads after its step; a second one acts at once."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(number: int, _frame: object) -> None:
        if stop.is_set():
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
