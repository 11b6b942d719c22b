#!/usr/bin/env bash
# A map over a Hugging Face Dataset that only looks at a picture, to note its width in another column, changes the picture:
# a picture that the function reads is written anew, and a JPEG that came from bytes (as in Parquet) is encoded once
# more, at Pillow's usual quality, with a loss. A map that gives the row as it came keeps every pixel.
# Pictures that came from files do the opposite: what is drawn on one in place, say over a face, is dropped, because such a
# picture is written as the path that it was opened from. A copy has no path, and keeps what was drawn.
#
# Seen with datasets 5.2.0 and Pillow 13.0.0, Python 3.11 on Linux x86-64:
#   a JPEG of 4951 bytes, its width noted: 2730 bytes, pixels changed by up to 23; row as it came: 0
#   a file drawn over in black: brightest value stored 234; a copy drawn over: 0
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "datasets==5.2.0" "pillow==13.0.0" "numpy==2.4.0"
cd "$folder"
HF_HOME="$folder/hf" venv/bin/python - <<'PYTHON' 2>errors.txt || { cat errors.txt && exit 1; }
import io
import sys

import datasets
import numpy as np
import PIL
from PIL import Image, ImageDraw

datasets.disable_progress_bars()
rows, columns = np.mgrid[:96, :128]
waves = np.stack([np.sin(rows * columns / 300), np.cos(rows / 5), np.sin(columns / 7)], -1)
photograph = Image.fromarray(np.uint8(127 + 100 * waves))
jpeg = io.BytesIO()
photograph.save(jpeg, "JPEG", quality=95)
photograph.save("photograph.jpg", quality=95)


def data(source):
    return datasets.Dataset.from_dict({"image": [source]}).cast_column("image", datasets.Image())


def pixels(dataset):
    return np.asarray(dataset[0]["image"], int)


def size(dataset):
    return len(dataset.cast_column("image", datasets.Image(decode=False))[0]["image"]["bytes"])


def noted(row):
    return {"width": row["image"].width}


def blackened(image):
    ImageDraw.Draw(image).rectangle((0, 0, 128, 96), fill="black")
    return {"image": image}


print(f"datasets {datasets.__version__}, Pillow {PIL.__version__}")
kept = data({"bytes": jpeg.getvalue(), "path": None})
looked_at = kept.map(noted)
change = abs(pixels(kept) - pixels(looked_at)).max()
same = abs(pixels(kept) - pixels(kept.map(lambda row: row))).max()
print(
    f"a JPEG of {size(kept)} bytes, its width noted: {size(looked_at)} bytes, pixels changed by up to {change}; "
    f"row as it came: {same}"
)
files = data("photograph.jpg")
drawn = pixels(files.map(lambda row: blackened(row["image"]))).max()
copied = pixels(files.map(lambda row: blackened(row["image"].copy()))).max()
print(f"a file drawn over in black: brightest value stored {drawn}; a copy drawn over: {copied}")
sys.exit(0 if change > 0 and size(looked_at) < size(kept) and same == 0 and drawn > 200 and copied == 0 else 1)
PYTHON
