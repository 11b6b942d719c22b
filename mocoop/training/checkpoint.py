"""Checkpoints: safetensors and JSON, atomic, hashed, never a pickle.

A checkpoint is a new folder `step-N` with `state.safetensors` and `state.json`, followed by one atomic rename of the
pointer `latest`. A run killed at any moment leaves the old checkpoint or the new one. The hash of the tensors is in
the JSON, because safetensors itself does not detect a flipped byte.
"""

from __future__ import annotations

import math
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mocoop.errors import CheckpointError
from mocoop.files import (
    atomic_write,
    crash_point,
    ordered_metadata,
    os_error,
    read_bytes,
    read_json,
    sha256_file,
    write_json,
)

KEEP = 2  # the newest good one, and one fallback
_MAX_POINTER_BYTES = 1 << 10
_STEP = re.compile(r"step-(\d+)")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The content of a checkpoint, and why newer ones were skipped."""

    step: int
    tensors: dict[str, Tensor]
    meta: dict[str, Any]
    passed_over: tuple[str, ...] = ()


def save_checkpoint(folder: Path, step: int, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
    """Write the checkpoint of a step and point `latest` at it; all but the last two are removed."""
    target = folder / f"step-{step:08d}"
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise os_error(error, "make", target) from error
    save_tensors(target / "state.safetensors", tensors)
    write_json(target / "state.json", {**meta, "step": step, "sha256": sha256_file(target / "state.safetensors")})
    crash_point("before-pointer", step)
    atomic_write(folder / "latest", f"{target.name}\n")
    crash_point("after-pointer", step)
    kept = [each for each in _steps(folder) if each <= step][:KEEP]  # damaged newer ones do not count
    for other in set(_steps(folder)) - set(kept):
        shutil.rmtree(folder / f"step-{other:08d}", ignore_errors=True)  # a leftover folder is harmless


def load_checkpoint(folder: Path, shapes: Mapping[str, torch.Size]) -> Checkpoint | None:
    """The newest checkpoint that is complete and matches `shapes`, or None if there are no checkpoints.

    Damaged ones are skipped and named. Raises CheckpointError if there are checkpoints but none is good.
    """
    if not (folder / "latest").is_file():
        return None
    pointer = read_bytes(folder / "latest", max_bytes=_MAX_POINTER_BYTES, what="pointer", error=CheckpointError)
    pointed = pointer.decode(errors="replace").strip()
    newest = int(match[1]) if (match := _STEP.fullmatch(pointed)) else math.inf
    faults: list[str] = []
    for step in (s for s in _steps(folder) if s <= newest):
        path = folder / f"step-{step:08d}"
        try:
            meta = read_json(path / "state.json", what="checkpoint", error=CheckpointError)
            if not isinstance(meta, dict) or meta.get("step") != step or not isinstance(meta.get("sha256"), str):
                raise CheckpointError(f"{path / 'state.json'} does not describe step {step}")
            tensors = load_tensors(path / "state.safetensors", meta["sha256"], shapes)
            return Checkpoint(step, tensors, meta, tuple(faults))
        except CheckpointError as error:
            faults.append(str(error))
    raise CheckpointError(
        f"no checkpoint in {folder} is whole: {'; '.join(faults) or 'the pointer names none'}",
        "start again with --force, or another output folder",
    )


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors as safetensors, atomically. Raises StorageError and keeps the old file if the disk is full."""
    from safetensors.torch import save

    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    atomic_write(path, ordered_metadata(save(plain, dict(metadata or {}))))


def load_tensors(path: Path, sha256: str | None, shapes: Mapping[str, torch.Size] | None = None) -> dict[str, Tensor]:
    """Read tensors on the CPU, checked against hash, names, shapes, type and finiteness; all faults in one message.

    Raises:
        CheckpointError: missing, truncated, changed since written, not safetensors, or with other tensors.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise CheckpointError(f"{path} is missing")
    if sha256 is not None and sha256_file(path) != sha256:
        raise CheckpointError(
            f"{path} has changed since it was written (its hash differs)", "restore it, or train again"
        )
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} is not a whole safetensors file: {error}", "restore it, or train again"
        ) from error
    faults = _faults(tensors, shapes) if shapes is not None else []
    if faults:
        raise CheckpointError(f"{path} does not fit: {'; '.join(faults)}")
    return tensors


def read_metadata(path: Path) -> dict[str, str]:
    """What a safetensors file says of itself. Raises CheckpointError."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} is not a whole safetensors file: {error}", "restore it, or train again"
        ) from error


def _faults(tensors: Mapping[str, Tensor], shapes: Mapping[str, torch.Size]) -> list[str]:
    faults = [f"{name} is missing" for name in shapes if name not in tensors]
    faults += [f"{name} is not expected" for name in tensors if name not in shapes]
    for name in shapes.keys() & tensors.keys():
        tensor = tensors[name]
        if tensor.shape != shapes[name]:
            faults.append(f"{name} has shape {tuple(tensor.shape)} instead of {tuple(shapes[name])}")
        elif tensor.dtype != torch.float32:
            faults.append(f"{name} is {tensor.dtype} instead of float32")
        elif not bool(tensor.isfinite().all()):
            faults.append(f"{name} holds values that are not finite")
    return sorted(faults)


def _steps(folder: Path) -> list[int]:
    """Steps with a folder, newest first."""
    try:
        names = [_STEP.fullmatch(name) for name in os.listdir(folder)]
    except OSError as error:
        raise os_error(error, "read", folder, CheckpointError) from error
    return sorted((int(match[1]) for match in names if match), reverse=True)
