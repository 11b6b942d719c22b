"""Frozen features of the hand-written templates: HP[g][i, c] of METHOD, computed once and cached by content.

A template's features depend on the backbone, the template and the class names alone, so each template is one entry
of the cache, shared by all group files, seeds and methods.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mocoop.files import atomic_path, sha256_bytes

if TYPE_CHECKING:
    from mocoop.backbone import Backbone

_FORMAT = 1  # raised whenever the same key would mean other numbers


def hard_features(
    backbone: Backbone, groups: Sequence[Sequence[str]], classnames: Sequence[str], *, cache: Path | None = None
) -> list[Tensor]:
    """A group each, the normalised features (T_g, C, D) of its templates with every class name, on the device.

    `cache` is a folder, or None to compute afresh. A damaged entry is computed again.
    """
    templates = list(dict.fromkeys(template for group in groups for template in group))
    known = {
        template: _read(cache, _key(backbone, template, classnames), backbone, classnames) for template in templates
    }
    missing = [template for template, features in known.items() if features is None]
    for template, features in zip(missing, _encode(backbone, missing, classnames), strict=True):
        known[template] = features
        _write(cache, _key(backbone, template, classnames), features)
    found = {template: features for template, features in known.items() if features is not None}
    return [torch.stack([found[template] for template in group]).to(backbone.device) for group in groups]


@torch.no_grad()
def _encode(backbone: Backbone, templates: Sequence[str], classnames: Sequence[str]) -> list[Tensor]:
    if not templates:
        return []
    encoder = backbone.text.prepare(backbone.prompts.rows(templates, classnames))
    with backbone.autocast():
        features = encoder()
    return list(F.normalize(features.float(), dim=-1).cpu())  # T x (C, D)


def _key(backbone: Backbone, template: str, classnames: Sequence[str]) -> str:
    identity = [_FORMAT, backbone.fingerprint, template, list(classnames)]
    return sha256_bytes(json.dumps(identity).encode())


def _path(cache: Path, key: str) -> Path:
    return cache / key[:2] / f"{key}.npy"


def _read(cache: Path | None, key: str, backbone: Backbone, classnames: Sequence[str]) -> Tensor | None:
    if cache is None:
        return None
    try:
        features = np.load(_path(cache, key), allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None  # absent, cut or not ours: compute it again
    fits = features.shape == (len(classnames), backbone.embed_dim) and features.dtype == np.float32
    return torch.from_numpy(features) if fits and bool(np.isfinite(features).all()) else None


def _write(cache: Path | None, key: str, features: Tensor) -> None:
    if cache is None:
        return
    path = _path(cache, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.save(file, features.numpy(), allow_pickle=False)
