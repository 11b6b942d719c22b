"""MoCoOp: a mixture of prompts for vision-language models, started from groups of hand-written templates.

`import mocoop` is cheap: the names below are imported on first use, so reading a group file does not need
torch. The command line is `mocoop` (train, eval, predict) and `mocoop-groups` (make group files).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from mocoop.backbone.backbone import Backbone, load_backbone
    from mocoop.config import Config, preset
    from mocoop.data.sources import Dataset, open_dataset
    from mocoop.errors import MoCoOpError
    from mocoop.estimator import MoCoOpClassifier
    from mocoop.groupfile.groups import GroupFile, load_groups
    from mocoop.training.trainer import Listener

_HOME = {
    "Backbone": "mocoop.backbone.backbone",
    "Config": "mocoop.config",
    "Dataset": "mocoop.data.sources",
    "GroupFile": "mocoop.groupfile.groups",
    "Listener": "mocoop.training.trainer",
    "MoCoOpClassifier": "mocoop.estimator",
    "MoCoOpError": "mocoop.errors",
    "load_backbone": "mocoop.backbone.backbone",
    "load_groups": "mocoop.groupfile.groups",
    "open_dataset": "mocoop.data.sources",
    "preset": "mocoop.config",
}

__all__ = [
    "Backbone",
    "Config",
    "Dataset",
    "GroupFile",
    "Listener",
    "MoCoOpClassifier",
    "MoCoOpError",
    "load_backbone",
    "load_groups",
    "open_dataset",
    "preset",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its module on first use (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'mocoop' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
