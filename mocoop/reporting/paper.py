"""The paper's numbers, shown next to ours for data sets and methods in the paper.

They are in paper_tables.json, with their source and oddities of the printed values. The paper used CLIP's ViT-B/16
with 16 shots.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Collection, Iterable, Mapping
from importlib.resources import files
from typing import Any

from mocoop.reporting.results import Line
from mocoop.runs.evaluate import harmonic_mean

BACKBONE = "ViT-B-16, openai"
SHOTS = 16
TIMED_ON = "caltech101"
DATASETS = {
    "imagenet": "ImageNet", "caltech101": "Caltech101", "oxford_pets": "OxfordPets", "stanford_cars": "StanfordCars",
    "oxford_flowers": "Flowers102", "food101": "Food101", "fgvc_aircraft": "FGVCaircraft", "sun397": "SUN397",
    "dtd": "DTD", "eurosat": "EuroSAT", "ucf101": "UCF101",
}  # fmt: skip
METHODS = {
    "zero-shot": "CLIP", "coop": "CoOp", "cocoop": "CoCoOp", "prograd": "ProGrad", "kgcoop": "KgCoOp",
    "mocoop": "MoCoOp",
}  # fmt: skip
Accuracies = Mapping[str, float]  # percent: base, new, H


def source() -> str:
    """The source of the numbers."""
    return str(_tables()["source"])


def base_to_new(method: str, dataset: str) -> Accuracies | None:
    """Table 1: a method on a data set, both under our names."""
    return _row("base_to_new", DATASETS.get(dataset, ""), METHODS.get(method, ""))


def base_to_new_average(method: str, datasets: Collection[str]) -> Accuracies | None:
    """Table 1's average over just these data sets; None if one is missing. H is that of the averages."""
    if set(datasets) == set(DATASETS):
        return _row("base_to_new", "Average", METHODS.get(method, ""))
    return _average([base_to_new(method, dataset) for dataset in sorted(datasets)])


def ablation(table: str, dataset: str, label: str) -> Accuracies | None:
    """A table of ablations: a row by the paper's label, outside the data sets in one table, inside in others."""
    name = DATASETS.get(dataset, "")
    return _row(table, label, name) or _row(table, name, label)


def ablation_average(table: str, datasets: Collection[str], label: str) -> Accuracies | None:
    """A row's average over just these data sets; None if the table lacks one of them."""
    return _average([ablation(table, dataset, label) for dataset in sorted(datasets)])


def inference_seconds(method: str) -> float | None:
    """Table 6: seconds for 100 images."""
    found = _tables()["inference_time"].get(METHODS.get(method, ""))
    return found["seconds"] if found else None


def published_averages() -> dict[str, tuple[float, float, float]]:
    """Averages over the eleven data sets that other authors published: base, new, H."""
    table: dict[str, Accuracies] = _tables()["base_to_new"]["Average"]
    averages = {name: (row["base"], row["new"], row["H"]) for name, row in table.items()}
    others = {name: (row[0], row[1], row[2]) for name, row in _tables()["published_averages"].items() if name != "what"}
    return dict(sorted({**averages, **others}.items(), key=lambda item: item[1][2]))


def note(lines: Iterable[Line]) -> str:
    """The source of the paper's numbers, and how the results shown with them differ."""
    found = list(lines)
    backbones = sorted({line.backbone for line in found} - {BACKBONE})
    budgets = sorted({line.budget for line in found} - {"as the preset"})
    presets = sorted({line.preset for line in found} - {"paper"})
    differ = [
        f"{what} {', '.join(words)}"
        for what, words in (("backbone", backbones), ("budget", budgets), ("preset", presets))
        if words
    ]
    text = f"The columns named paper are as printed by {source()}: CLIP's ViT-B/16, 16 shots."
    if not differ:
        return text
    return f"{text} The results here differ from that: {'; '.join(differ)}. So the paper's are for orientation only."


def is_harmonic(row: Accuracies) -> bool:
    """Whether the printed H can be the harmonic mean of the printed base and new, with all three rounded to 0.01."""
    half = 0.005
    least, most = (harmonic_mean(row["base"] + shift, row["new"] + shift) for shift in (-half, half))
    return least - half <= row["H"] <= most + half


def oddities(word: str) -> list[str]:
    """Oddities of a printed table: the remarks that begin with this word."""
    return [note for note in _tables()["notes"] if note.lower().startswith(word.lower())]


def _row(table: str, *keys: str) -> Accuracies | None:
    found: Any = _tables()[table]
    for key in keys:
        found = found.get(key, {})
    return found or None


def _average(rows: list[Accuracies | None]) -> Accuracies | None:
    found = [row for row in rows if row]
    if not found or len(found) < len(rows):
        return None
    base, new = (sum(row[part] for row in found) / len(found) for part in ("base", "new"))
    return {"base": base, "new": new, "H": harmonic_mean(base, new)}


@functools.cache
def _tables() -> dict[str, Any]:
    text = files("mocoop.reporting").joinpath("paper_tables.json").read_text(encoding="utf-8")
    tables: dict[str, Any] = json.loads(text)
    return tables
