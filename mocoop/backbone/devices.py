"""Devices and number formats: `auto|cpu|cuda|mps` to a torch device, and the autocast that goes with it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import torch

from mocoop.errors import UsageError

if TYPE_CHECKING:
    from mocoop.config import Precision

_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def resolve_device(name: str = "auto") -> torch.device:
    """The device of a name; "auto" prefers CUDA, then MPS, then the CPU. Raises UsageError if it is not available."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, there in available.items() if there))
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"no device is called {name!r}", "use auto, cpu, cuda, cuda:N or mps") from error
    if not available.get(device.type, False):
        raise UsageError(f"the device {name!r} is not available here", "use --device auto or cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"{name!r}: this machine has {torch.cuda.device_count()} CUDA device(s)", "use cuda:0")
    return device


def resolve_precision(precision: Precision, device: torch.device) -> str:
    """The format actually used: "auto" is bfloat16 on CUDA devices that support it, else float32. CPUs use float32."""
    if device.type == "cpu":
        return "float32"
    if precision == "auto":
        return "bfloat16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "float32"
    return precision


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[object]:
    """Autocast to a resolved precision; a no-op for float32."""
    if precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=_DTYPES[precision])
