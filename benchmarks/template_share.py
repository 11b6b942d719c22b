"""What templates should say about classes that were not trained on: `template_share`, with a mixture trained once.

    python benchmarks/template_share.py [--clip-space FOLDER] [--photographs UCMERCED] [--scenes] [--test] [--seeds 3]

Without --test the first half of the base classes is trained and its other half named, on validation images: what a
setting is chosen by. With --test the base classes are trained, and base and new classes tested. CLIP's space (8
shots, the paper's groups, clip_space.py tells of the folder), UC Merced with photoclip and drawn tiles with miniclip
(16 shots, groups from the bank). A line a seed, then the means: accuracy on the classes trained on, and on the others.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from mocoop.backbone.backbone import Backbone, load_backbone
from mocoop.backbone.hard_features import text_cache
from mocoop.bench.cell import BASE_TO_NEW, TUNE, Cell
from mocoop.bench.data import SCENES, BenchData, open_bench_data
from mocoop.bench.run_cell import learn_cell, parts, ready
from mocoop.cli import say, show_table
from mocoop.data.cache import FeatureCache
from mocoop.data.sources import DataSettings
from mocoop.groupfile.curator import call_curator
from mocoop.groupfile.groups import GroupFile, load_groups, paper_groups
from mocoop.methods import method_named

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
MANY = 128  # validation images a class, or as many as there are


@dataclass(frozen=True)
class World:
    """A data set, the groups and backbone for it, and the shots to draw."""

    data: BenchData
    groups: GroupFile
    backbone: Backbone
    shots: int


def worlds(options: argparse.Namespace) -> Iterator[World]:
    if options.clip_space:
        backbone = load_backbone(f"local-dir:{options.clip_space / 'text_tower'}", device="cpu")
        for name in ("caltech101", "ucf101"):
            data = open_bench_data(name, options.clip_space / f"{name}.npz")
            yield World(data, load_groups(paper_groups(name)), backbone, 8)
    if options.photographs:
        data = open_bench_data("ucmerced", options.photographs, DataSettings(class_names=options.class_names))
        yield World(data, from_bank(), load_backbone("photoclip", device="cpu"), 16)
    if options.scenes:
        yield World(open_bench_data(SCENES, None), from_bank(), load_backbone("miniclip", device="cpu"), 16)


def from_bank() -> GroupFile:
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "groups.json"
        call_curator(["generate", "--domain", "satellite imagery", "-o", str(made)])
        return load_groups(made)


def measured(world: World, seed: int, *, test: bool) -> tuple[float, list[float]]:
    """Accuracy in % on the classes trained on, and on the others at each share."""
    name, where = world.data.name, {world.data.name: world.data}
    cell = (
        Cell(BASE_TO_NEW, name, "mocoop", world.shots, seed)
        if test
        else Cell(TUNE, name, "mocoop", world.shots, seed, classes="base-halves", val_shots=MANY)
    )
    cache = FeatureCache()
    _, fitted, drawn = learn_cell(ready(cell, where, world.groups, world.backbone), where, world.backbone, cache)
    accuracies = []
    for _, (source, part) in parts(cell, where, drawn):
        x = source.features(world.backbone, part.test, cache)
        labels = torch.tensor([example.label for example in part.test])
        found = []
        for share in SHARES:
            learned = replace(fitted.learned, config=fitted.learned.config.replace(template_share=share))
            method = method_named("mocoop")
            h = method.class_features(learned, part.classnames, world.backbone, cache=text_cache())
            right = method.predictor(learned, part.classnames, h, None).predict(x).probabilities.argmax(-1) == labels
            found.append(100 * float(right.float().mean()))
        accuracies.append(found)
    known, others = accuracies
    return known[0], others


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip-space", type=Path)
    parser.add_argument("--photographs", type=Path)
    parser.add_argument("--class-names", type=Path, default=Path("docs/examples/ucmerced_names.json"))
    parser.add_argument("--scenes", action="store_true")
    parser.add_argument("--test", action="store_true", help="base and new classes on test images")
    parser.add_argument("--seeds", type=int, default=3, help="seeds 1 to N")
    options = parser.parse_args()
    rows = []
    for world in worlds(options):
        found = [measured(world, seed, test=options.test) for seed in range(1, options.seeds + 1)]
        for seed, (known, others) in enumerate(found, start=1):
            say(f"{world.data.name}, seed {seed}: {known:.2f}; " + "  ".join(f"{other:.2f}" for other in others))
        means = [statistics.fmean(values) for values in zip(*(others for _, others in found), strict=True)]
        known = statistics.fmean(known for known, _ in found)
        told = [f"{other:.2f} ({2 * known * other / (known + other):.2f})" for other in means]
        rows.append((world.data.name, len(found), f"{known:.2f}", *told))
    show_table(("data set", "seeds", "trained on %", *(f"share {share:g}: others % (H)" for share in SHARES)), rows)


if __name__ == "__main__":
    main()
