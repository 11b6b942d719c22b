"""What JPEG's draft sizes would save, and what they would change: why pictures are decoded whole.

A JPEG can be decoded at a half, a quarter or an eighth of its size. For each picture: CPU time of decoding and resizing
it whole, and drafted to at least K times the size that the view is cut from; the cosine of the two features, and the
largest difference of two pixels, in 8-bit steps. The pictures are scikit-learn's two photographs, some of UC Merced's,
both enlarged, and noise, each saved as JPEG (quality 92).

    python benchmarks/jpeg_draft.py UCMERCED [--backbone photoclip] [--images 8] [--threads 1]
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

from mocoop.backbone.backbone import Backbone, load_backbone
from mocoop.data.images import list_images, open_image
from mocoop.data.views import centre_crop, normalised

REPEATS = 3
Made = TypeVar("Made")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ucmerced", type=Path)
    parser.add_argument("--backbone", default="photoclip")
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    backbone = load_backbone(options.backbone)
    print("picture\twhole ms\ttower ms\tK\tdrafted to\tms\tcosine\tlargest difference")
    for name, data in pictures(options.ucmerced, options.images):
        whole, crop = timed(lambda: centre_crop(open_image(data), backbone.preprocess))  # noqa: B023  # called at once
        tower, features = timed(lambda: encoded(backbone, crop))  # noqa: B023
        for times in (2, 3):
            took, (size, drafted) = timed(lambda: draft(backbone, data, times))  # noqa: B023
            cosine = torch.nn.functional.cosine_similarity(features, encoded(backbone, drafted)).item()
            apart = np.abs(crop.astype(int) - drafted).max()
            print(f"{name}\t{whole:.1f}\t{tower:.1f}\t{times}\t{size}\t{took:.1f}\t{cosine:.6f}\t{apart}", flush=True)


def pictures(ucmerced: Path, count: int) -> Iterator[tuple[str, bytes]]:
    """Names and JPEGs."""
    for number, values in enumerate(load_sample_images().images):
        yield f"photograph {number}, 3000 x 2000", jpeg(Image.fromarray(values), (3000, 2000))
    tiles = list_images(ucmerced).images
    for path in tiles[:: max(1, len(tiles) // count)][:count]:
        yield f"{path.stem}, 2000 x 2000", jpeg(open_image(path), (2000, 2000))
    noise = np.random.default_rng(0).integers(0, 256, (2000, 3000, 3), dtype=np.uint8)
    yield "noise, 3000 x 2000", jpeg(Image.fromarray(noise), (3000, 2000))


def jpeg(image: Image.Image, size: tuple[int, int]) -> bytes:
    """The picture at a size."""
    out = io.BytesIO()
    image.resize(size, Image.Resampling.BICUBIC).save(out, "JPEG", quality=92)
    return out.getvalue()


def draft(backbone: Backbone, data: bytes, times: int) -> tuple[str, np.ndarray]:
    """The size a JPEG was decoded at, at least so many times the view's, and the view (H, W, 3) uint8."""
    image = Image.open(io.BytesIO(data))
    ratio = max(side / have for side, have in zip(backbone.preprocess.size[::-1], image.size, strict=True))
    image.draft("RGB", (int(times * ratio * image.width), int(times * ratio * image.height)))
    image.load()
    return f"{image.width} x {image.height}", centre_crop(image, backbone.preprocess)


def encoded(backbone: Backbone, crop: np.ndarray) -> torch.Tensor:
    """Features (1, D)."""
    return backbone.encode_images(torch.from_numpy(normalised(crop, backbone.preprocess)[None]))


def timed(work: Callable[[], Made]) -> tuple[float, Made]:
    """The least CPU time of some runs, ms, and what they gave."""
    times = []
    for _ in range(REPEATS):
        began = time.process_time()
        made = work()
        times.append(time.process_time() - began)
    return 1000 * min(times), made


if __name__ == "__main__":
    main()
