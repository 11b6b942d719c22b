"""Inference time (Table 6): seconds for one batch of 100 images, one method at a time.

The time does not depend on what was learned, so the training before it is short. The image tower is timed
separately: it is the same for all methods.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import torch

from mocoop.bench.cell import Ready
from mocoop.bench.data import BenchData
from mocoop.bench.measuring import new_row
from mocoop.bench.rows import Row
from mocoop.bench.run_cell import learn_cell
from mocoop.data.cache import FeatureCache
from mocoop.methods import method_named

if TYPE_CHECKING:
    from mocoop.backbone.backbone import Backbone

IMAGES = 100
_REPEATS = 5


def time_cell(
    one: Ready,
    data: Mapping[str, BenchData],
    backbone: Backbone,
    *,
    cache: FeatureCache | None = None,
    groups_file: str | None = None,
) -> Row:
    """Train briefly and time predicting 100 images from their features: the best of five. Raises as training does."""
    config, fitted, drawn = learn_cell(one, data, backbone, cache)
    predictor = method_named(config.method).predictor(
        fitted.learned, fitted.learned.classnames, fitted.class_features, backbone
    )
    examples = data[one.cell.dataset].dataset.test[:IMAGES]
    x = data[one.cell.dataset].features(backbone, examples, cache)
    x = x.repeat(-(-IMAGES // len(x)), 1)[:IMAGES]
    pixels = torch.zeros(IMAGES, 3, *backbone.preprocess.size)
    row = new_row(one, config, fitted, backbone, {}, {}, fitted.notes, groups_file, len(drawn.train))
    row["seconds_per_100"] = _least(lambda: predictor.predict(x))
    row["image_tower_seconds_per_100"] = _least(lambda: backbone.encode_images(pixels))
    return row


def _least(run: Callable[[], object]) -> float:
    run()
    taken = []
    for _ in range(_REPEATS):
        began = time.perf_counter()
        run()
        taken.append(time.perf_counter() - began)
    return min(taken)
