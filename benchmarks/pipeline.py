"""From picture files to features against the image tower alone on random tensors, in one process and in turn.

1.00 means that reading, decoding and resizing cost nothing beside the tower. The pictures are drawn and saved as JPEG.

    python benchmarks/pipeline.py [--backbone photoclip] [--images 128] [--side 500] [--repeats 3] [--threads N]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from mocoop.backbone.backbone import load_backbone
from mocoop.data.dataset import Example
from mocoop.data.features import image_features

BATCH = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="photoclip")
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--side", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    backbone = load_backbone(options.backbone)
    pixels = torch.randn(BATCH, 3, *backbone.preprocess.size)
    with tempfile.TemporaryDirectory() as folder:
        examples = [Example(path, 0) for path in written(Path(folder), options.images, options.side)]
        alone: list[float] = []
        files: list[float] = []
        for turn in range(options.repeats + 1):
            began = time.perf_counter()
            for start in range(0, options.images, BATCH):
                backbone.encode_images(pixels[: min(BATCH, options.images - start)])
            between = time.perf_counter()
            image_features(backbone, examples, cache=None, batch_size=BATCH)
            if turn:  # the first warms up
                alone.append(between - began)
                files.append(time.perf_counter() - between)
    tower, whole = statistics.median(alone), statistics.median(files)
    where = f"{backbone.device}, {options.threads} threads"
    print(f"{options.backbone}, {options.images} JPEGs of {options.side} pixels, {where}")
    print(f"tower alone {1000 * tower / options.images:.1f} ms an image")
    print(f"from files {1000 * whole / options.images:.1f} ms an image")
    print(f"share of the tower's speed: {tower / whole:.2f}")


def written(folder: Path, images: int, side: int) -> list[Path]:
    """Pictures of smooth noise, as compressible as photographs."""
    rng = np.random.default_rng(0)
    paths = []
    for number in range(images):
        coarse = Image.fromarray(rng.integers(0, 256, (side // 8 + 1, side // 8 + 1, 3), dtype=np.uint8))
        paths.append(folder / f"{number}.jpg")
        coarse.resize((side, side), Image.Resampling.BICUBIC).save(paths[-1], quality=90)
    return paths


if __name__ == "__main__":
    main()
