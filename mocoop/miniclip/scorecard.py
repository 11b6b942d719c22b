"""miniclip's zero-shot accuracy on the drawn tiles: of classes, by class and style, and of styles.

Held-out tiles come from the same generator as the training tiles, with another seed; shifted tiles have the look of
the downstream set. All are drawings: the scorecard checks a stand-in and proves nothing about CLIP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from mocoop.groupfile.templatetext import fill
from mocoop.miniclip import captions, weights
from mocoop.miniclip.layouts import CLASSES
from mocoop.miniclip.scenes import draw_scenes
from mocoop.miniclip.styles import DOWNSTREAM, STYLES
from mocoop.openclip import open_clip

ZERO_SHOT_TEMPLATE = "a photo of {}."
SHIFTS = (0.3, 0.6, 0.9)
HELD_OUT_SEED, SHIFTED_SEED = 1_000_003, 1_000_033  # differ from training seeds, so that no tile was trained on

_BATCH = 512
_BASE = len(CLASSES) // 2


def normalised(images: Tensor) -> Tensor:
    """Normalise bytes or floats of 0 to 255 (B, 3, H, W) for CLIP's image tower."""
    mean = torch.tensor(open_clip.OPENAI_DATASET_MEAN).view(3, 1, 1)
    std = torch.tensor(open_clip.OPENAI_DATASET_STD).view(3, 1, 1)
    return ((images.float() / 255 - mean) / std).contiguous(memory_format=torch.channels_last)


def load(path: Path = weights.WEIGHTS) -> open_clip.CLIP:
    """The stored model, for inference only. Raises BackboneError."""
    model = open_clip.CLIP(**weights.config())
    model.load_state_dict(weights.state_dict(path))
    return model.eval()


@torch.no_grad()
def image_features(model: open_clip.CLIP, images: NDArray[np.uint8]) -> Tensor:
    """Normalised features (N, D) of tiles (N, 64, 64, 3)."""
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
    parts = [model.encode_image(normalised(part), normalize=True) for part in torch.split(pixels, _BATCH)]
    return torch.cat(parts)


@torch.no_grad()
def text_features(model: open_clip.CLIP, templates: Sequence[str]) -> Tensor:
    """Normalised features (T, C, D) of every template with every class."""
    tokenizer = open_clip.SimpleTokenizer(context_length=model.context_length)
    rows = [tokenizer([fill(template, name) for name in CLASSES]) for template in templates]
    return torch.stack([model.encode_text(row, normalize=True) for row in rows])


def group_prototypes(model: open_clip.CLIP, styles: Sequence[str]) -> Tensor:
    """The mean text feature of each style's group (S, D), normalised: its bank aspect's templates, all classes."""
    groups = [text_features(model, _group(style)).mean((0, 1)) for style in styles]
    return F.normalize(torch.stack(groups), dim=-1)


@dataclass(frozen=True)
class Shifted:
    """Accuracies on a shifted downstream set: classes among all, base or new; styles among the downstream ones."""

    shift: float
    all: float
    base: float
    new: float
    style: float
    by_style: Mapping[str, float]  # accuracy on each style

    def __str__(self) -> str:
        told = "  ".join(f"{name} {100 * value:.0f}" for name, value in self.by_style.items())
        numbers = f"{_percent(self.all)} {_percent(self.base)} {_percent(self.new)} {_percent(self.style)}"
        return f"{self.shift:5.1f} {numbers}   {told}"


@dataclass(frozen=True)
class Scorecard:
    """All accuracies, from 0 to 1; printing it gives the tables."""

    zero_shot: float
    style: float
    by_class: Mapping[str, float]
    by_style: Mapping[str, float]
    told: Mapping[str, float]  # style -> accuracy among all styles
    shifted: tuple[Shifted, ...]

    def facts(self) -> dict[str, str]:
        """The main numbers as text, for the metadata of the weights."""
        found = {"zero_shot.held_out": f"{self.zero_shot:.4f}", "style.held_out": f"{self.style:.4f}"}
        for row in self.shifted:
            found[f"shift_{row.shift}"] = f"base {row.base:.4f} new {row.new:.4f} style {row.style:.4f}"
        return found

    def __str__(self) -> str:
        lines = [f"held-out tiles: zero-shot {_percent(self.zero_shot)}, style {_percent(self.style)}", "", "by class"]
        lines += [f"  {name:20}{_percent(value)}" for name, value in self.by_class.items()]
        lines += ["", "by style               zero-shot  told"]
        lines += [f"  {name:20}{_percent(self.by_style[name])}   {_percent(self.told[name])}" for name in self.by_style]
        lines += ["", "shift    all   base    new  style   styles told, of 8", *map(str, self.shifted)]
        return "\n".join(lines)


def score(model: open_clip.CLIP, *, tiles: int = 10, workers: int = 1) -> Scorecard:
    """Draw held-out and shifted tiles, `tiles` of every class in every style, and score the model on them."""
    names = tuple(STYLES)
    scenes = draw_scenes(tiles, HELD_OUT_SEED, styles=names, workers=workers)
    features = image_features(model, scenes.images)
    classifier = text_features(model, [ZERO_SHOT_TEMPLATE])[0]
    right = (features @ classifier.T).argmax(1).numpy() == scenes.labels
    told = (features @ _style_prompts(model).T).argmax(1).numpy() == scenes.styles
    return Scorecard(
        zero_shot=float(right.mean()),
        style=float(told.mean()),
        by_class=_means(right, scenes.labels, CLASSES),
        by_style=_means(right, scenes.styles, names),
        told=_means(told, scenes.styles, names),
        shifted=tuple(_score_shifted(model, shift, classifier, tiles, workers) for shift in SHIFTS),
    )


def _score_shifted(model: open_clip.CLIP, shift: float, classifier: Tensor, tiles: int, workers: int) -> Shifted:
    scenes = draw_scenes(tiles, SHIFTED_SEED, shift, workers=workers)
    features = image_features(model, scenes.images)
    logits = (features @ classifier.T).numpy()
    told = (features @ group_prototypes(model, DOWNSTREAM).T).argmax(1).numpy() == scenes.styles
    base = scenes.labels < _BASE
    return Shifted(
        shift=shift,
        all=float((logits.argmax(1) == scenes.labels).mean()),
        base=float((logits[base, :_BASE].argmax(1) == scenes.labels[base]).mean()),
        new=float((logits[~base, _BASE:].argmax(1) + _BASE == scenes.labels[~base]).mean()),
        style=float(told.mean()),
        by_style=_means(told, scenes.styles, DOWNSTREAM),
    )


def _group(style: str) -> Sequence[str]:
    return captions.bank()[STYLES[style].aspect]


def _style_prompts(model: open_clip.CLIP) -> Tensor:
    """The mean text feature of all wordings of each style (S, D); two styles may share a bank aspect."""
    wordings = captions.templates()
    return F.normalize(torch.stack([text_features(model, wordings[name]).mean((0, 1)) for name in STYLES]), dim=-1)


def _means(right: NDArray[np.bool_], index: NDArray[np.int64], names: Sequence[str]) -> dict[str, float]:
    return {name: float(right[index == place].mean()) for place, name in enumerate(names)}


def _percent(value: float) -> str:
    return f"{100 * value:6.1f}"
