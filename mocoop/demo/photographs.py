"""Two real photographs, which scikit-learn brings along, named by the backbone for photographs; nothing is learned."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from mocoop.backbone.backbone import load_backbone
from mocoop.data.images import open_image
from mocoop.data.templates import PLAIN
from mocoop.data.views import centre_view

NAMES = (
    "flower", "temple", "dog", "car", "airport", "beach", "bicycle", "coffee cup", "mountain", "fish",
)  # fmt: skip
AUTHORS = {
    "china.jpg": "danielbuechele (flickr.com/photos/danielbuechele)",
    "flower.jpg": "vultilion (flickr.com/photos/vultilion)",
}
LICENCE = "CC BY 2.0"


def name_photographs() -> list[dict[str, Any]]:
    """For each photograph its `path`, and `top_k`: the three likeliest of `NAMES` with their probabilities."""
    backbone = load_backbone("photoclip")
    folder = Path(str(files("sklearn.datasets") / "images"))
    paths = [folder / name for name in AUTHORS]
    pixels = torch.stack([torch.from_numpy(centre_view(open_image(path), backbone.preprocess)) for path in paths])
    with torch.no_grad():
        words = F.normalize(backbone.text.prepare(backbone.prompts.rows([PLAIN], NAMES))()[0].cpu(), dim=-1)  # (C, D)
        similarities = F.normalize(backbone.encode_images(pixels), dim=-1) @ words.T  # (B, C)
    best = (backbone.logit_scale * similarities).softmax(-1).topk(3)
    return [
        {
            "path": str(path),
            "top_k": [{"class": NAMES[c], "probability": round(p, 6)} for c, p in zip(places, likely, strict=True)],
        }
        for path, places, likely in zip(paths, best.indices.tolist(), best.values.tolist(), strict=True)
    ]
