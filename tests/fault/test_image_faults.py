"""A folder of one image of every kind, all named .jpg: which are told, and which are read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from attacks import bomb_png
from datafiles import encoded, pixels
from PIL import Image
from tinyencoder import TinyEncoder, examples_of

from mocoop.data.features import image_features
from mocoop.errors import DataError


def animated(kind: str) -> bytes:
    return encoded(pixels(0), kind, save_all=True, append_images=[Image.fromarray(pixels(1))])


BAD = {
    "nothing": b"",
    "text": b"an image, honestly\n",
    "cut JPEG": encoded(pixels(), "JPEG")[:-300],
    "cut PNG": encoded(pixels(), "PNG")[:-300],
    "PNG without its last bytes": encoded(pixels(), "PNG")[:-13],
    "bomb": bomb_png(50_000, 50_000),
    "strip": encoded(Image.new("L", (1, 30_000)), "PNG"),
    "GIF": encoded(pixels(), "GIF"),
    "animated GIF": animated("GIF"),
    "animated WebP": animated("WEBP"),
    "TIFF of two pages": animated("TIFF"),
    "SVG": b"<svg xmlns='http://www.w3.org/2000/svg'><rect width='9' height='9'/></svg>",
    "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    "FITS": b"SIMPLE  =                    T / a header\n" + b" " * 2880,
}
EXIF = Image.Exif()
EXIF[0x0112] = 6
GOOD = {
    "one pixel": encoded(pixels(0, 1, 1), "PNG"),
    "CMYK": encoded(Image.fromarray(pixels()).convert("CMYK"), "JPEG"),
    "palette and alpha": encoded(Image.fromarray(pixels()).convert("P"), "PNG", transparency=0),
    "16 bits": encoded(np.arange(0, 65536, 16, dtype=np.uint16).reshape(64, 64), "PNG"),
    "turned by EXIF": encoded(pixels(), "JPEG", exif=EXIF),
    "TIFF named .jpg": encoded(pixels(), "TIFF"),
    "dark 16 bits": encoded(np.arange(4096, dtype=np.uint16).reshape(64, 64), "PNG"),
    "BMP named .jpg": encoded(pixels(), "BMP"),
}


def put_all(folder: Path, contents: dict[str, bytes]) -> list[Path]:
    """One file a kind, all named .jpg."""
    folder.mkdir()
    for name, content in contents.items():
        (folder / f"{name}.jpg").write_bytes(content)
    return [folder / f"{name}.jpg" for name in contents]


def test_every_bad_kind_named_jpg_is_told_by_path_and_reason_and_every_good_one_read(tmp_path):
    bad, good = put_all(tmp_path / "bad", BAD), put_all(tmp_path / "good", GOOD)
    examples = examples_of([*bad, *good])
    with pytest.raises(DataError) as caught:
        image_features(TinyEncoder(), examples, cache=None)
    assert all(str(path) in str(caught.value) for path in bad)
    assert not any(str(path) in str(caught.value) for path in good)
    found = image_features(TinyEncoder(), examples, cache=None, on_bad_image="skip")
    assert [path for path, why in found.skipped if why] == bad
    assert [examples[i].path for i in found.kept] == good
    assert np.isfinite(found.features).all()
