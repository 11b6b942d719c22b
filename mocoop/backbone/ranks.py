"""Several processes that train one run, on one machine or many: `torchrun -m mocoop train ...`.

Every process (rank) has the whole model and takes every step; what costs time is shared. Each encodes the prompts of
its part of the classes and the images of its part of the data set, and gets the others' features. So losses and
parameters are those of one process up to rounding, whatever the number of ranks. Only the first rank writes and speaks.
Without torchrun there is one rank, and nothing here communicates.

E experts, C classes, D joint width, R ranks.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from mocoop.errors import MoCoOpError, TrainingStopped, UsageError

Made = TypeVar("Made")
_TORCHRUN = ("RANK", "MASTER_ADDR", "MASTER_PORT")  # what it tells each process, beside WORLD_SIZE
PATIENCE = timedelta(hours=1)  # one rank may encode many images while the others wait


def count() -> int:
    """R."""
    return dist.get_world_size() if dist.is_initialized() else 1


def number() -> int:
    """This process, 0 to R - 1."""
    return dist.get_rank() if dist.is_initialized() else 0


@contextlib.contextmanager
def joined() -> Iterator[bool]:
    """Join the processes that torchrun started, for the time of the context; gives whether this is the first rank.

    A rank whose neighbour ends raises TrainingStopped.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1" or dist.is_initialized():
        yield number() == 0
        return
    _check_environment()
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=PATIENCE)
    try:
        yield number() == 0
        dist.barrier()  # rank 0 may still be writing: torchrun would end it with the others
    except MoCoOpError:
        raise
    except RuntimeError as error:  # torch has no type of its own for a lost connection
        if not _is_lost(error):
            raise
        raise TrainingStopped(
            f"rank {number()}: another process of the training ended", "see its message; the same command goes on"
        ) from error
    finally:
        dist.destroy_process_group()


def _check_environment() -> None:
    """Whether what torchrun tells each process is there and can be. Raises UsageError."""
    given = {name: os.environ.get(name, "") for name in ("WORLD_SIZE", *_TORCHRUN)}
    hint = "start several processes by torchrun, or unset WORLD_SIZE"
    if missing := [name for name in _TORCHRUN if not given[name]]:
        raise UsageError(f"WORLD_SIZE is {given['WORLD_SIZE']}, but {missing[0]} is not set", hint)
    for name in ("WORLD_SIZE", "RANK", "MASTER_PORT"):
        if not (given[name].isascii() and given[name].isdigit()):
            raise UsageError(f"{name} is {given[name]!r}, and no number", hint)
    if int(given["RANK"]) >= int(given["WORLD_SIZE"]):
        raise UsageError(f"RANK is {given['RANK']} of {given['WORLD_SIZE']} processes, counted from 0", hint)


def _is_lost(error: RuntimeError) -> bool:
    return any(word in str(error).lower() for word in ("connection", "gloo", "nccl", "timed out", "socket"))


def gathered(make: Callable[[], Made]) -> list[Made]:
    """What every rank makes, in their order, on every rank. An error of ours on one rank is raised on all."""
    if count() == 1:
        return [make()]
    mine: Made | MoCoOpError
    try:
        mine = make()
    except MoCoOpError as error:
        mine = error
    everyone: list[Any] = [None] * count()
    dist.all_gather_object(everyone, mine)
    for one in everyone:
        if isinstance(one, MoCoOpError):
            raise one
    return everyone


def from_first(make: Callable[[], Made]) -> Made:
    """What the first rank makes, on every rank."""
    if count() == 1:
        return make()
    made: list[Any] = [make() if number() == 0 else None]
    dist.broadcast_object_list(made, src=0)
    found: Made = made[0]
    return found


def any_of(mine: bool) -> bool:
    """Whether it is true on any rank."""
    if count() == 1:
        return mine
    flag = torch.tensor(float(mine), device="cuda" if dist.get_backend() == "nccl" else "cpu")
    dist.all_reduce(flag)
    return bool(flag > 0)


def bounds(items: int) -> list[tuple[int, int]]:
    """Which items each rank takes: parts that differ by at most one."""
    return list(pairwise(items * rank // count() for rank in range(count() + 1)))


class SharedEncoder:
    """An encoder of which each rank computes some classes; all get all features and the gradient of all ranks."""

    def __init__(self, mine: Callable[[Tensor | None], Tensor], parts: Sequence[tuple[int, int]]) -> None:
        self._mine, self._parts = mine, parts

    def __call__(self, ctx: Tensor | None = None) -> Tensor:
        """Features (E, C, D) of ctx (M, W), which must be the same on every rank."""
        part = self._mine(None if ctx is None else _WholeGradient.apply(ctx))
        features: Tensor = _AllClasses.apply(part, self._parts)
        return features


def parts_of_classes(classes: int) -> list[tuple[int, int]]:
    """`bounds` of C classes. Raises UsageError if there are fewer than ranks."""
    if classes < count():
        raise UsageError(f"{count()} processes cannot share {classes} classes", "start fewer with --nproc-per-node")
    return bounds(classes)


class _WholeGradient(torch.autograd.Function):
    """The identity; backwards, the sum over ranks, as each knows the gradient through its own classes only."""

    @staticmethod
    def forward(_context: Any, ctx: Tensor) -> Tensor:
        return ctx.view_as(ctx)

    @staticmethod
    def backward(_context: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        whole = gradient.contiguous().clone()
        dist.all_reduce(whole)
        return whole


class _AllClasses(torch.autograd.Function):
    """Features (E, C, D) of all ranks' parts; backwards, the gradient of the own part, as all have the same loss."""

    @staticmethod
    def forward(context: Any, part: Tensor, parts: Sequence[tuple[int, int]]) -> Tensor:
        context.mine = parts[number()]
        widest = max(stop - start for start, stop in parts)
        padded = part.new_zeros(part.shape[0], widest, part.shape[2])  # collectives want equal shapes
        padded[:, : part.shape[1]] = part
        everyone = [torch.empty_like(padded) for _ in parts]
        dist.all_gather(everyone, padded)
        return torch.cat([one[:, : stop - start] for one, (start, stop) in zip(everyone, parts, strict=True)], dim=1)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        start, stop = context.mine
        return gradient[:, start:stop], None
