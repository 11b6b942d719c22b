"""Seconds to get image features with an empty cache, and again with a full one.

Decoding and augmenting are timed alone as well (an encoder that does nothing), with one thread and with several.

    python benchmarks/feature_cache.py [--images 256] [--views 4] [--backbone miniclip] [--folder IMAGES]
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from mocoop.backbone.backbone import Backbone, load_backbone
from mocoop.data.cache import FeatureCache
from mocoop.data.dataset import Example
from mocoop.data.features import ImageEncoder, image_features
from mocoop.data.images import list_images
from mocoop.data.views import ViewPlan


class NoTower:
    """The preprocessing of a backbone with nothing behind it."""

    def __init__(self, backbone: Backbone) -> None:
        self.fingerprint, self.preprocess, self.embed_dim = "none", backbone.preprocess, backbone.embed_dim

    def encode_images(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.new_ones(len(pixels), self.embed_dim)


def draw_images(folder: Path, count: int) -> list[Path]:
    """JPEGs of 256 x 256 smooth noise, about as hard to decode as satellite tiles."""
    rng, paths = np.random.default_rng(0), []
    for number in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8))
        paths.append(folder / f"{number:05d}.jpg")
        coarse.resize((256, 256), Image.Resampling.BICUBIC).save(paths[-1], quality=90)
    return paths


def seconds(encoder: ImageEncoder, paths: list[Path], views: int, cache: FeatureCache | None, workers: int) -> float:
    start = time.perf_counter()
    examples = [Example(path, 0) for path in paths]
    image_features(encoder, examples, ViewPlan(count=views, scale=(0.3, 1.0)), cache=cache, workers=workers)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--views", type=int, default=4, help="0: one centre view")
    parser.add_argument("--backbone", default="miniclip")
    parser.add_argument("--folder", type=Path, help="take images from here")
    options = parser.parse_args()
    backbone, several = load_backbone(options.backbone), min(8, (os.cpu_count() or 1) + 1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        paths = (
            list(list_images(options.folder).images)[: options.images]
            if options.folder
            else draw_images(folder, options.images)
        )
        views = len(paths) * max(1, options.views)
        print(f"{platform.machine()}, {os.cpu_count()} cores, {backbone.name} on {backbone.device}: {views:,} views")
        seconds(NoTower(backbone), paths[:8], options.views, None, 1)  # imports
        for workers in (1, several):
            spent = seconds(NoTower(backbone), paths, options.views, None, workers)
            print(f"decode and augment, {workers} thread(s): {spent:7.2f} s  {views / spent:8.0f} views/s")
        cache = FeatureCache(folder / "cache")
        for state in ("empty", "full"):
            spent = seconds(backbone, paths, options.views, cache, several)
            print(f"features, {state} cache: {spent:16.2f} s  {views / spent:8.0f} views/s")


if __name__ == "__main__":
    main()
