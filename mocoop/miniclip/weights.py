"""miniclip's weights as shipped: half precision, and only the token table rows that were trained.

CLIP's vocabulary has 49408 tokens, the captions of the drawn tiles use a few hundred. The other rows are regenerated
on loading: the mean of the trained rows plus noise with their deviation, from a fixed seed. So a word not seen in
training still has its own vector, of the norm its text tower expects, the same on every machine: two unknown class
names stay two classes, although the words mean nothing to it. (The mean row alone would make them one class;
untrained rows are far smaller than the trained ones.) `seen_tokens` lists the trained tokens.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mocoop.errors import BackboneError
from mocoop.files import atomic_write, ordered_metadata, sha256_file

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS = Path(str(files("mocoop.miniclip").joinpath("miniclip.safetensors")))

_TABLE = "token_embedding.weight"
_SEEN_IDS, _SEEN_ROWS = "seen_tokens.ids", "seen_tokens.rows"
_MEAN, _DEVIATION = "unseen_tokens.mean", "unseen_tokens.deviation"
_ROWS_SEED = 20240
_REBUILD = "reinstall mocoop, or train it again: python -m mocoop.miniclip.pretrain"


def config() -> dict[str, Any]:
    """miniclip's model configuration, as open_clip's `CLIP(**config())` takes it; a fresh one each time."""
    text = files("mocoop.miniclip").joinpath("miniclip.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


def pack(
    path: Path, state: Mapping[str, Tensor], seen_ids: Sequence[int], facts: Mapping[str, str] | None = None
) -> None:
    """Write trained weights. `state` is the model's, its token table holding the rows of `seen_ids` only, in order.

    `facts` (seed, steps, accuracy, ...) go into the file's metadata. Raises StorageError, ValueError.
    """
    import torch
    from safetensors.torch import save

    rows = state[_TABLE].float()
    if len(rows) != len(seen_ids):
        raise ValueError(f"{len(rows)} token rows for {len(seen_ids)} tokens")
    tensors = {name: _halved(tensor) for name, tensor in state.items() if name != _TABLE}
    tensors[_SEEN_IDS] = torch.tensor(seen_ids, dtype=torch.int32)
    tensors[_SEEN_ROWS] = _halved(rows)
    tensors[_MEAN], tensors[_DEVIATION] = _halved(rows.mean(0)), _halved(rows.std(0))
    atomic_write(path, ordered_metadata(save(tensors, dict(facts or {}))))


def state_dict(path: Path = WEIGHTS) -> dict[str, Tensor]:
    """The whole model's float32 weights, with a row for every token. Raises BackboneError."""
    import torch

    tensors = _read(path)
    state = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    ids, rows = state.pop(_SEEN_IDS), state.pop(_SEEN_ROWS)
    mean, deviation = state.pop(_MEAN), state.pop(_DEVIATION)
    shape = (config()["text_cfg"]["vocab_size"], rows.shape[1])
    noise = torch.from_numpy(np.random.Generator(np.random.PCG64(_ROWS_SEED)).standard_normal(shape, np.float32))
    table = (mean + deviation * noise).half().float()  # rounded, so that machines do not differ in the last bit
    table[ids.long()] = rows
    return {**state, _TABLE: table}


def seen_tokens(path: Path = WEIGHTS) -> frozenset[int]:
    """The ids of the tokens seen in training. Raises BackboneError."""
    return frozenset(_read(path)[_SEEN_IDS].tolist())


def sha256(path: Path = WEIGHTS) -> str:
    """The hash of the file, which runs and caches record. Raises StorageError."""
    return sha256_file(path)


def facts(path: Path = WEIGHTS) -> dict[str, str]:
    """The file's record of its training: seed, steps, accuracies. Raises BackboneError."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return dict(file.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise _unreadable(path, error) from error


def _halved(tensor: Tensor) -> Tensor:
    """A contiguous half-precision copy; scalars and integers keep their type."""
    keep = tensor.ndim == 0 or not tensor.is_floating_point()
    return (tensor.detach().clone() if keep else tensor.detach().half()).contiguous()


def _read(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise _unreadable(path, error) from error
    missing = {_SEEN_IDS, _SEEN_ROWS, _MEAN, _DEVIATION} - tensors.keys()
    if missing:
        raise BackboneError(f"{path} holds no miniclip weights: {', '.join(sorted(missing))} missing", _REBUILD)
    return tensors


def _unreadable(path: Path, error: Exception) -> BackboneError:
    return BackboneError(f"cannot read miniclip's weights, {path}: {error}", _REBUILD)
