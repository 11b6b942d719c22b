"""TIFFs as Earth observation writes them, made from 8-bit RGB pictures so that the right pixels are known.

Each kind takes a picture (H, W, 3) uint8 and gives the bytes of a file.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image


def tiff(values: np.ndarray, **options: Any) -> bytes:
    """A TIFF of some values (H, W), (H, W, S), or (S, H, W) with planarconfig="separate"."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, **options)
    return buffer.getvalue()


def near_infrared(picture: np.ndarray) -> np.ndarray:
    """A fourth band (H, W) uint8 of its own: dark where the picture is bright."""
    return 255 - picture.max(axis=-1)


def four_bands(picture: np.ndarray, **options: Any) -> bytes:
    """Red, green, blue, near infrared, band 4 flagged as alpha as common writers do."""
    values = np.dstack([picture, near_infrared(picture)])
    return tiff(values, photometric="rgb", extrasamples=["unassalpha"], **options)


def twelve_bits(picture: np.ndarray) -> np.ndarray:
    """The picture's values over 12 bits, in 16."""
    wide = picture.astype(np.uint16)
    return wide << 4 | wide >> 4


def thirteen_bands(picture: np.ndarray) -> bytes:
    """Sentinel-2's order: blue is band 2, green 3, red 4; each band in a plane of its own."""
    bands = np.random.default_rng(1).integers(0, 4096, (13, *picture.shape[:2])).astype(np.uint16)
    bands[[3, 2, 1]] = np.moveaxis(twelve_bits(picture), -1, 0)
    return tiff(bands, photometric="minisblack", planarconfig="separate", compression="deflate", predictor=True)


def cloud_optimised(picture: np.ndarray) -> bytes:
    """Tiles, two overviews and a mask in the same file, as GDAL's COG driver lays them out (BigTIFF)."""
    buffer = io.BytesIO()
    half = np.ascontiguousarray(picture[::2, ::2])
    with tifffile.TiffWriter(buffer, bigtiff=True) as file:
        common = {"photometric": "rgb", "compression": "lzw", "tile": (16, 16), "metadata": None}
        file.write(picture, predictor=True, **common)
        mask = np.ones(picture.shape[:2], bool)
        file.write(mask, photometric="mask", subfiletype=4, tile=(16, 16), compression="deflate", metadata=None)
        file.write(half, subfiletype=1, **common)
        file.write(np.ascontiguousarray(half[::2, ::2]), subfiletype=1, **common)
    return buffer.getvalue()


def reflectance(picture: np.ndarray) -> bytes:
    """float32 from 0 to 1."""
    return tiff((picture / 255).astype(np.float32), photometric="rgb", compression="deflate", predictor=3)


def twelve_in_sixteen(picture: np.ndarray) -> bytes:
    """12 bits in 16, colour."""
    return tiff(twelve_bits(picture), photometric="rgb")


KINDS: dict[str, tuple[Callable[[np.ndarray], bytes], tuple[str, ...]]] = {
    "four uint8 bands": (four_bands, ()),
    "thirteen uint16 bands": (thirteen_bands, ("--bands", "4,3,2")),
    "cloud-optimised": (cloud_optimised, ()),
    "float32 reflectance": (reflectance, ()),
    "12 bits in 16": (twelve_in_sixteen, ()),
}


def converted(photos: Path, target: Path, kind: Callable[[np.ndarray], bytes]) -> Path:
    """A copy of a tree of pictures with each as a .tif of a kind."""
    for path in sorted(photos.rglob("*.png")):
        to = target / path.relative_to(photos).with_suffix(".tif")
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_bytes(kind(np.asarray(Image.open(path).convert("RGB"))))
    return target
