"""What photoclip knows, measured on words and pictures that were kept out of its training.

Held-out pictures are of things whose names no training picture has; they are told among the held-out names only. All
of it is of the training's own kinds (stamps, clip art, emoji, drawn land): real sets of photographs are measured in
docs/photoclip.md.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mocoop.photoclip import texttower
from mocoop.photoclip.gallery import Shown
from mocoop.photoclip.looks import WORDINGS
from mocoop.photoclip.words import WordNet, bank_templates, imagenet


def held_out(name: str, share: float = 0.15) -> bool:
    """Whether pictures of this name are kept out of training: by its hash, so always the same."""
    return zlib.crc32(name.encode()) % 1000 < 1000 * share


@dataclass(frozen=True)
class Scorecard:
    """Accuracies from 0 to 1 by what they are of; printing it gives a table."""

    rows: Mapping[str, float]

    def facts(self) -> dict[str, str]:
        """The numbers as text, for the metadata of the weights."""
        return {f"score.{name}": f"{value:.4f}" for name, value in self.rows.items()}

    def __str__(self) -> str:
        return "\n".join(f"  {name:58}{100 * value:6.1f}" for name, value in self.rows.items())


def of_words(model: Any, names: Sequence[str], targets: Tensor) -> dict[str, float]:
    """Names kept out of the distillation: how near their teacher's vectors (N, W) they land, in the half of words."""
    found = F.normalize(texttower.features(model, names)[:, : targets.shape[1]], dim=-1)
    targets = F.normalize(targets, dim=-1)
    right = (found @ targets.T).argmax(1) == torch.arange(len(names))
    templates = bank_templates()[::24]
    some = names[:200]
    texts = [template.replace("{}", name) for template in templates for name in some]
    filled = texttower.features(model, texts)
    own = (filled @ texttower.features(model, some).T).argmax(1) == torch.arange(len(some)).repeat(len(templates))
    return {
        "held-out names: cosine to the teacher": float((found * targets).sum(1).mean()),
        f"held-out names: nearest of {len(names)}": float(right.float().mean()),
        f"held-out names in {len(templates)} bank templates: own name nearest of 200": float(own.float().mean()),
    }


def of_pictures(model: Any, features: Tensor, shown: Sequence[Shown], sources: Sequence[str]) -> dict[str, float]:
    """Held-out pictures (N, 1280): which name, of the held-out ones; which look; and drawn land, of its classes."""
    image = F.normalize(model.visual.head(features), dim=-1)
    found: dict[str, float] = {}
    things = [place for place, one in enumerate(shown) if one.thing >= 0]
    names = sorted({shown[place].names[0] for place in things})
    found |= _told(model, image, shown, things, names, "a {look} of a {}.", lambda place: shown[place].look)
    land = [place for place, one in enumerate(shown) if one.thing < 0 and sources[place] == "drawn"]
    if land:
        classes = sorted({shown[place].names[0] for place in land})
        found |= _told(model, image, shown, land, classes, "a satellite photo of {}.", lambda _: "drawn land")
    looks = tuple(WORDINGS)
    text = torch.stack(
        [texttower.features(model, [form.replace("{}", "thing") for form in WORDINGS[look]]).mean(0) for look in looks]
    )
    told = (image @ F.normalize(text, dim=-1).T).argmax(1)
    own = torch.tensor([looks.index(one.look) for one in shown])
    found[f"look, of {len(looks)}"] = float((told == own).float().mean())
    return found


def of_classes(model: Any, features: Tensor, classes: Tensor, net: WordNet) -> dict[str, float]:
    """Made-up features of ImageNet's classes, of 1,000."""
    names = [net.synsets[wnid].words[0] if wnid in net.synsets else "thing" for wnid in imagenet()]
    text = texttower.features(model, [f"a photo of a {name}." for name in names])
    told = (F.normalize(model.visual.head(features), dim=-1) @ text.T).argmax(1)
    return {"made-up features of ImageNet's classes, of 1000": float((told == classes).float().mean())}


def _told(
    model: Any, image: Tensor, shown: Sequence[Shown], places: list[int], names: list[str], template: str, kind: Any
) -> dict[str, float]:
    plain = "a photo of a {}." if "{look}" in template else template
    text = texttower.features(model, [plain.replace("{}", name) for name in names])
    told = (image[places] @ text.T).argmax(1).tolist()
    right: dict[str, list[bool]] = {}
    for place, answer in zip(places, told, strict=True):
        for group in dict.fromkeys(("all", kind(place))):
            right.setdefault(group, []).append(names[answer] == shown[place].names[0])
    return {f"{group}: {len(one)} pictures, of {len(names)} names": sum(one) / len(one) for group, one in right.items()}
