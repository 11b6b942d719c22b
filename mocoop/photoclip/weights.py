"""photoclip's weights as shipped: at most 25 MB, full precision in use.

The image tower is stored in half precision. The token table, the text tower's matrices and the projection are stored
in 8 bits with a scale a row; their vectors stay in single precision.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mocoop.errors import BackboneError
from mocoop.files import atomic_write, ordered_metadata, sha256_file

if TYPE_CHECKING:
    from open_clip import CLIP
    from torch import Tensor, nn

WEIGHTS = Path(str(files("mocoop.photoclip").joinpath("photoclip.safetensors")))
MEAN_AND_DEVIATION = 0.5  # of pixels, in all three colours

_SCALE = ".row_scale"
_TRUNK = "visual.trunk."
_REBUILD = "reinstall mocoop, or train it again: python -m mocoop.photoclip.pretrain"


def config() -> dict[str, Any]:
    """photoclip's model configuration, as open_clip's `CLIP(**config())` takes it; a fresh one each time."""
    document: dict[str, Any] = json.loads(files("mocoop.photoclip").joinpath("photoclip.json").read_text("utf-8"))
    return document


def untrained(**changes: Any) -> CLIP:
    """photoclip's model with random weights; `changes` replace parts of its configuration."""
    from mocoop.openclip import complete, open_clip

    complete("timm")  # the image tower is timm's
    return open_clip.CLIP(**{**config(), **changes})


def pack(path: Path, state: Mapping[str, Tensor], facts: Mapping[str, str] | None = None) -> None:
    """Write a trained model's weights; `facts` go into the file's metadata. Raises StorageError."""
    from safetensors.torch import save

    tensors: dict[str, Tensor] = {}
    for name, tensor in state.items():
        tensor = tensor.detach()
        if tensor.ndim and name.startswith((_TRUNK, "positional_embedding")):
            tensors[name] = tensor.half().contiguous()
        elif tensor.ndim == 2:
            scale = (tensor.abs().amax(1, keepdim=True) / 127).clamp_min(1e-7).half()  # 0 stays 0
            tensors[name] = (tensor / scale.float()).round().clamp(-127, 127).char().contiguous()
            tensors[name + _SCALE] = scale.contiguous()
        else:
            tensors[name] = tensor.clone().contiguous()
    atomic_write(path, ordered_metadata(save(tensors, dict(facts or {}))))


def state_dict(path: Path = WEIGHTS) -> dict[str, Tensor]:
    """The model's weights in single precision. Raises BackboneError."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise _unreadable(path, error) from error
    scales = {name.removesuffix(_SCALE): tensor for name, tensor in tensors.items() if name.endswith(_SCALE)}
    state = {}
    for name, tensor in tensors.items():
        if name in scales:
            state[name] = tensor.float().mul_(scales[name].float())
        elif not name.endswith(_SCALE):
            state[name] = tensor.float() if tensor.is_floating_point() else tensor
    if "token_embedding.weight" not in scales:
        raise BackboneError(f"{path} holds no photoclip weights", _REBUILD)
    return state


def fold_batch_norms(tower: nn.Module) -> None:
    """Put each batch normalisation of a frozen tower of timm's into the convolution before it, in place.

    Its scale and shift are fixed, so the convolution can apply them: the same features but for rounding, without a
    second pass over every map.
    """
    from timm.layers import BatchNormAct2d
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_weights

    for layer in tower.modules():
        for (_, before), (name, norm) in itertools.pairwise(list(layer.named_children())):
            if isinstance(before, nn.Conv2d) and isinstance(norm, BatchNormAct2d):
                statistics = norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
                before.weight, before.bias = fuse_conv_bn_weights(before.weight, before.bias, *statistics)
                setattr(layer, name, norm.act)


def sha256(path: Path = WEIGHTS) -> str:
    """The hash of the file, which runs and caches record. Raises StorageError."""
    return sha256_file(path)


def facts(path: Path = WEIGHTS) -> dict[str, str]:
    """The file's record of its training. Raises BackboneError."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return dict(file.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> BackboneError:
    return BackboneError(f"cannot read photoclip's weights, {path}: {error}", _REBUILD)
