#!/usr/bin/env bash
# open_clip's evaluation transform is bicubic with antialiasing, and converts a picture to RGB after resizing it. Pillow
# resizes a picture with a palette (PNG, GIF) or of one bit by the nearest pixel, whatever filter is asked for. So the
# same pixels, saved once with a palette and once without, are given to CLIP as two different pictures, the first as
# if no filter had been named. Converting to RGB before the transform gives both the same.
#
# Seen with open_clip 3.3.0, torchvision 0.29.1, Pillow 13.0.0, Python 3.11 on Linux x86-64:
#   with a palette and in RGB: 7.8; of one bit and in RGB: 107.7
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "open_clip_torch==3.3.0" "torch==2.14.1" \
  "torchvision==0.29.1" "pillow==13.0.0" "numpy==2.4.0"
"$folder/venv/bin/python" - <<'PYTHON'
import io
import sys

import numpy as np
import open_clip
import PIL
import torch
from PIL import Image

transform = open_clip.image_transform(224, is_train=False)
scale = 255 * torch.tensor(open_clip.OPENAI_DATASET_STD).view(3, 1, 1)


def reopened(image):
    png = io.BytesIO()
    image.save(png, "PNG")
    return Image.open(png)


def difference(image):
    """The mean difference in levels of 0 to 255 between a PNG and its pixels in RGB, and that to one converted before."""
    saved, rgb = reopened(image), reopened(image.convert("RGB"))
    assert (np.asarray(saved.convert("RGB")) == np.asarray(rgb)).all()
    given, meant = transform(saved), transform(rgb)
    assert (transform(saved.convert("RGB")) == meant).all()
    return float(((given - meant).abs() * scale).mean())


rows, columns = np.mgrid[:480, :640]
waves = np.stack([np.sin(rows * columns / 700), np.cos(rows / 5), np.sin(columns / 7)], -1)
picture = Image.fromarray(np.uint8(127 + 100 * waves))
palette, one_bit = difference(picture.quantize(256)), difference(picture.convert("1"))
print(f"open_clip {open_clip.__version__}, Pillow {PIL.__version__}: the same pixels, mean difference in levels of 0 to 255")
print(f"with a palette and in RGB: {palette:.1f}; of one bit and in RGB: {one_bit:.1f}")
sys.exit(0 if palette > 2 and one_bit > 20 else 1)
PYTHON
