"""Devices and number formats: `auto|cpu|cuda|mps` to a torch device, and the autocast that goes with it."""

from __future__ import annotations

import contextlib
import copy
from typing import TYPE_CHECKING

import torch
from torch import nn

from mocoop.errors import UsageError

if TYPE_CHECKING:
    from mocoop.config import Precision

_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
_ATTENTION = ("in_proj_weight", "in_proj_bias")  # of nn.MultiheadAttention, which has no layer for them


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
    """The format actually used: "auto" is bfloat16 where the device computes in it, else float32.

    Raises UsageError for float16 on a CPU, which loses range there and gains no speed.
    """
    if precision == "auto":
        return "bfloat16" if has_bfloat16(device) else "float32"
    if precision == "float16" and device.type == "cpu":
        raise UsageError("a CPU does not compute in float16", "use --precision auto, bfloat16 or float32")
    return precision


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 matrices itself: CUDA from Ampere on, a CPU with AVX512-BF16 or AMX."""
    if device.type == "cpu":
        able = torch.cpu.get_capabilities()
        return bool(able.get("avx512_bf16") or able.get("amx_bf16"))
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def with_cast_matrices(frozen: nn.Module, precision: str) -> nn.Module:
    """A copy of a frozen module whose products' weights are in that format; the module itself for float32.

    Autocast would cast them again in every call: its cache holds only weights that require gradients. LayerNorms stay
    in float32, as under autocast.
    """
    if precision == "float32":
        return frozen
    copied = copy.deepcopy(frozen)
    for module in copied.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if isinstance(module, nn.Linear) or name in _ATTENTION:
                parameter.data = parameter.data.to(_DTYPES[precision])
    return copied


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[object]:
    """Autocast to a resolved precision; a no-op for float32."""
    if precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=_DTYPES[precision])
