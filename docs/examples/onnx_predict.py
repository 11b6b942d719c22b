"""Classify pictures with a file of `mocoop export`: onnxruntime, NumPy and Pillow are all it needs.

python onnx_predict.py model.onnx photo.jpg ...
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

model = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
about = json.loads(model.get_modelmeta().custom_metadata_map["mocoop"])
image = about["image"]
height, width = image["size"]
assert (image["resize_mode"], height) == ("shortest", width), "another way of resizing: see docs/export.md"
resampling = {"bicubic": Image.BICUBIC, "bilinear": Image.BILINEAR, "random": Image.BICUBIC}[image["interpolation"]]

for path in sys.argv[2:]:
    picture = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    long = int(width * max(picture.size) / min(picture.size))  # the short side becomes the model's, then the centre
    picture = picture.resize((width, long) if picture.width <= picture.height else (long, width), resampling)
    left, top = round((picture.width - width) / 2), round((picture.height - height) / 2)
    pixels = np.asarray(picture.crop((left, top, left + width, top + height)))  # (H, W, 3) uint8
    if about["pixels"] == "float32":
        values = (pixels.astype(np.float32) / np.float32(255) - np.float32(image["mean"])) / np.float32(image["std"])
        pixels = values.transpose(2, 0, 1)
    probabilities, gates, top_classes, _ = model.run(None, {"pixels": pixels[None]})
    best, expert = top_classes[0, 0], about["experts"][gates[0].argmax()]
    print(f"{path}\t{about['classes'][best]}\t{probabilities[0, best]:.4f}\t{expert['id']} {gates[0].max():.0%}")
