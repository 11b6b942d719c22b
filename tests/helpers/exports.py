"""What the tests of exported models share: small worlds' runs, written once, and pictures to ask about."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from datafiles import encoded, pixels
from PIL import Image
from worlds import config_of, plan_for, write_world

from mocoop.backbone.backbone import Backbone
from mocoop.export.writing import Exported, Sample, drawn_sample, export_run
from mocoop.mixture.classifier import Classifier
from mocoop.runs.run import Run
from mocoop.runs.train import train


def small_run(folder: Path, method: str = "mocoop", **changes: object) -> Run:
    """A run of a few steps with a tiny vision transformer."""
    folder.mkdir(parents=True, exist_ok=True)
    return train(plan_for(write_world(folder), folder / "run", config_of(method, **changes)))


def written(run: Run, out: Path, **options: object) -> Exported:
    """The run exported, compared on a few drawn tiles unless a sample is given."""
    sample = options.pop("sample", None) or drawn_sample(12)
    backbone = run.load_backbone("cpu", precision="float32")
    return export_run(run, backbone, out, sample, **options)


def some_pictures(folder: Path, count: int = 5) -> list[Path]:
    """Pictures of several sizes and formats."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for number in range(count):
        kind = ("PNG", "JPEG", "WEBP")[number % 3]
        path = folder / f"{number}.{kind.lower()}"
        smooth = Image.fromarray(pixels(number, 9, 7)).resize((40 + 30 * number, 70), Image.Resampling.BICUBIC)
        path.write_bytes(encoded(smooth, kind))
        found.append(path)
    return found


def drawn_classifier(backbone: Backbone, *, experts: int = 3, classes: int = 5, top_k: int = 2) -> Classifier:
    """A mixture with features of nothing, spread as those of real ones: near each other, at CLIP's temperature."""
    random = torch.Generator().manual_seed(0)
    common = torch.randn(backbone.embed_dim, generator=random)
    h = F.normalize(common + 0.5 * torch.randn(experts, classes, backbone.embed_dim, generator=random), dim=-1)
    return Classifier(
        classnames=tuple(f"class {c}" for c in range(classes)),
        group_ids=tuple(f"expert{e}" for e in range(experts)),
        h=h,
        router_weight=20 * torch.randn(experts, backbone.embed_dim, generator=random),
        router_bias=torch.zeros(experts),
        top_k=top_k,
        renormalise_mix=True,
        tau=0.01,
    )


def sample_of(paths: list[Path], labels: list[int] | None = None) -> Sample:
    return Sample([Image.open(path).convert("RGB") for path in paths], labels, "pictures")


def difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.abs(np.asarray(ours) - np.asarray(theirs)).max())
