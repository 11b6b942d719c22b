"""From a cell's predictions to its row: accuracy, calibration, expert use, and how it was trained."""

from __future__ import annotations

import datetime
import functools
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mocoop.bench.cell import Ready
from mocoop.bench.rows import FORMAT, Row
from mocoop.certainty.measures import calibration_error, confidence_bins
from mocoop.config import Config
from mocoop.methods import method_named
from mocoop.miniclip.styles import STYLES
from mocoop.mixture.classifier import Prediction
from mocoop.runs.fitting import Fitted
from mocoop.runs.scores import Scores, percent_right, result_notes, scores_of

if TYPE_CHECKING:
    from mocoop.backbone.backbone import Backbone


@dataclass(frozen=True)
class Measurement:
    """One part's predictions: the classes, the true labels (N,), and the predictions."""

    classnames: tuple[str, ...]
    labels: Tensor
    styles: tuple[str | None, ...]
    prediction: Prediction

    @property
    def accuracy(self) -> float:
        """Percent."""
        return percent_right(self.prediction.probabilities.argmax(-1), self.labels)

    @functools.cached_property
    def scores(self) -> Scores:
        """What stands beside the accuracy."""
        return scores_of(self.prediction.probabilities.argmax(-1), self.labels, self.classnames)

    @property
    def loss(self) -> float:
        """Mean cross-entropy, nats."""
        likely = self.prediction.probabilities.gather(1, self.labels[:, None]).clamp_min(1e-12)
        return -float(likely.log().mean())


def new_row(
    one: Ready,
    config: Config,
    fitted: Fitted,
    backbone: Backbone,
    measured: Mapping[str, Measurement | None],
    accuracy: Mapping[str, float | None],
    notes: Sequence[str],
    groups_file: str | None,
    images: int,
) -> Row:
    """The row of a cell; `measured` by part, `accuracy` also with values derived from them."""
    cell = one.cell
    found = {name: part for name, part in measured.items() if part is not None}
    ids = one.groups.ids
    return {
        "format": FORMAT,
        "key": one.key,
        "protocol": cell.protocol,
        "ablation": cell.ablation,
        "dataset": cell.dataset,
        "method": cell.method,
        "title": method_named(cell.method).title,
        "preset": cell.preset,
        "budget": cell.budget,
        "setting": cell.setting,
        "changes": dict(cell.changes),
        "tuned": dict(cell.tuned),
        "classes": cell.train_on,
        "shots": cell.shots,
        "val_shots": cell.val_shots,
        "seed": cell.seed,
        "backbone": {
            "name": backbone.name,
            "pretrained": backbone.pretrained,
            "fingerprint": backbone.fingerprint,
            "stand_in": backbone.stand_in,
        },
        "groups": {
            "sha256": one.groups.sha256,
            "file": groups_file,
            "domain": one.groups.domain,
            "ids": list(ids),
            "kind": cell.group_kind,
        },
        "config": config.to_dict(),
        "accuracy": dict(accuracy),
        "scores": {name: part.scores.to_dict() for name, part in found.items()},
        "loss": {name: part.loss for name, part in found.items()},
        "images": {name: len(part.labels) for name, part in found.items()},
        "training": {
            "images": images,
            "epochs": fitted.history[-1].epoch + 1 if fitted.history else 0,
            "steps": len(fitted.history),
            "seconds": round(fitted.seconds, 3),
            "loss": fitted.history[-1].loss if fitted.history else None,
            "reference_first": list(fitted.history[-1].reference_use) if fitted.history else [],
        },
        "calibration": {name: _calibration(part) for name, part in found.items()},
        "expert_use": {name: _expert_use(part, len(ids)) for name, part in found.items()}
        if found and len(ids) > 1
        else None,
        "router": _router(found, ids) if found and len(ids) > 1 else None,
        "collapse": fitted.collapse,
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("mocoop", "torch", "open_clip_torch")},
        },
        "device": str(backbone.device),
        "precision": backbone.precision,
        "threads": torch.get_num_threads(),
        "finished": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "notes": [*notes, *(note for name, part in found.items() for note in result_notes(part.scores, (), name))],
    }


def _calibration(part: Measurement) -> dict[str, Any]:
    """Confidence bins, and the expected calibration error in percent."""
    given = part.prediction.probabilities.cpu().numpy(), part.labels.cpu().numpy()
    return {"ece": 100 * calibration_error(*given), "bins": [list(one) for one in confidence_bins(*given)]}


def _expert_use(part: Measurement, experts: int) -> dict[str, list[float]]:
    """For each class, the share of its images by first expert."""
    first = part.prediction.gate.argmax(-1)
    use = {}
    for number, name in enumerate(part.classnames):
        mine = first[part.labels == number]
        if len(mine):
            shares = torch.bincount(mine, minlength=experts).double() / len(mine)
            use[name] = [round(share, 6) for share in shares.tolist()]
    return use


def _router(found: Mapping[str, Measurement], ids: Sequence[str]) -> dict[str, Any]:
    """Mean entropy of the router in nats, the share of the images by first expert, and how often the first expert
    names the tile's style, in percent."""
    gates = torch.cat([part.prediction.router for part in found.values()])
    first = torch.cat([part.prediction.gate for part in found.values()]).argmax(-1).tolist()
    styles = [style for part in found.values() for style in part.styles]
    named = [
        ids[expert] == STYLES[style].aspect
        for expert, style in zip(first, styles, strict=True)
        if style in STYLES and STYLES[style].aspect in ids
    ]
    entropy = -(gates * gates.clamp_min(1e-12).log()).sum(-1).mean()
    return {
        "entropy": float(entropy),
        "first": [round(first.count(expert) / len(first), 6) for expert in range(len(ids))],
        "style_named": 100 * sum(named) / len(named) if named else None,
    }
