"""Frozen features of hand-written templates: `HP[g][i, c]` of docs/method.md, computed once, cached by content.

They depend only on the backbone, the templates and the class names, so all seeds and settings of a group file share
one cache entry. T templates, C classes, D joint width.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mocoop.data.cache import FeatureCache, Stored
from mocoop.files import sha256_bytes

if TYPE_CHECKING:
    from mocoop.backbone.backbone import Backbone

_FORMAT = 2  # increased whenever the same key would give different numbers


def text_cache() -> FeatureCache:
    """The cache of hard features, next to that of image features."""
    return FeatureCache(kind="text")


def hard_features(
    backbone: Backbone,
    groups: Sequence[Sequence[str]],
    classnames: Sequence[str],
    *,
    cache: FeatureCache | None = None,
) -> list[Tensor]:
    """For each group, the normalised features (T_g, C, D) of its templates with every class name, on the device.

    Without a `cache` they are recomputed. A template that is in two groups is encoded once.
    """
    templates = list(dict.fromkeys(template for group in groups for template in group))

    def encode() -> Stored:
        return Stored(_encode(backbone, templates, classnames), {"templates": templates, "classes": list(classnames)})

    identity = [_FORMAT, backbone.fingerprint, templates, list(classnames)]
    key = sha256_bytes(json.dumps(identity).encode())
    stored = encode() if cache is None else cache.fetch(key, encode)
    table = torch.from_numpy(np.array(stored.array)).to(backbone.device)  # (T, C, D)
    places = {template: place for place, template in enumerate(templates)}
    return [table[[places[template] for template in group]] for group in groups]


@torch.no_grad()
def _encode(backbone: Backbone, templates: Sequence[str], classnames: Sequence[str]) -> np.ndarray:
    features = backbone.text.prepare(backbone.prompts.rows(templates, classnames))()
    unit: np.ndarray = F.normalize(features.float(), dim=-1).cpu().numpy()
    return unit
