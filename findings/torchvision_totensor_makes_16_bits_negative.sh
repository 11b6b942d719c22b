#!/usr/bin/env bash
# torchvision says that v2.ToTensor and what replaces it, v2.ToImage and v2.ToDtype(float32, scale=True), are equivalent. Of a
# 16-bit PNG, as satellites' bands and depth maps are stored, they make other numbers: ToTensor reads the pixels as signed,
# so that from 32,768 on the brightest become the darkest, and does not scale them. PILToTensor gives the values stored.
#
# Seen with torchvision 0.29.1, torch 2.14.1, Pillow 13.0.0, Python 3.11 on Linux x86-64:
#   torchvision 0.29.1+cu130: pixels stored [1000, 32767, 32768, 65535], Pillow's mode I;16
#   ToTensor [1000, 32767, -32768, -1], torch.int16; PILToTensor [1000, 32767, 32768, 65535], torch.uint16
#   ToImage and ToDtype [0.0153, 0.5, 0.5, 1.0], torch.float32
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "torchvision==0.29.1" "torch==2.14.1" \
  "pillow==13.0.0" "numpy==2.4.0"
"$folder/venv/bin/python" - <<'PYTHON'
import io
import sys
import warnings

import numpy as np
import torch
import torchvision
from PIL import Image
from torchvision.transforms import PILToTensor, ToTensor, v2

warnings.simplefilter("ignore")  # v2.ToTensor says what replaces it
stored = np.array([[1000, 32767, 32768, 65535]], np.uint16)
png = io.BytesIO()
Image.fromarray(stored).save(png, "PNG")
image = Image.open(png)
old = ToTensor()(image)
assert (v2.ToTensor()(image) == old).all()
plain = PILToTensor()(image)
new = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])(image)
print(f"torchvision {torchvision.__version__}: pixels stored {stored[0].tolist()}, Pillow's mode {image.mode}")
print(f"ToTensor {old[0, 0].tolist()}, {old.dtype}; PILToTensor {plain[0, 0].tolist()}, {plain.dtype}")
scaled = [round(value, 4) for value in new[0, 0].tolist()]
print(f"ToImage and ToDtype {scaled}, {new.dtype}")
negative = old[0, 0].tolist() == [1000, 32767, -32768, -1]
sys.exit(0 if negative and plain[0, 0].tolist() == stored[0].tolist() and scaled == [0.0153, 0.5, 0.5, 1.0] else 1)
PYTHON
