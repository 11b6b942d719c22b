"""What `min_steps` and `drop_last` are worth where images are few: small sets cut out of larger ones.

    python benchmarks/few_images.py --clip-space DATA_FOLDER --photographs UCMERCED_FOLDER

From each data set (CLIP's own features of ucf101 as for clip_space.py, whose caltech101 is too easy for this; UC Merced
and the drawn tiles as the embedded backbone sees them) a class is drawn by the seed, and the mixture is trained to tell
it from the one or four that look most like it, on 1, 4 and 16 shots. Printed is the accuracy on their test images under
each schedule; and differences to the schedule of epochs alone, paired by data set, classes, shots and seed, with
Student's t interval at 95 %.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mocoop.backbone.backbone import load_backbone
from mocoop.bench.cell import FEW_SHOT, Cell
from mocoop.bench.data import open_bench_data
from mocoop.bench.rows import Row, read_rows
from mocoop.bench.runner import BenchPlan, run_plan
from mocoop.cli import show_table
from mocoop.config import FULL_SHOTS, preset
from mocoop.data.cache import FeatureCache
from mocoop.data.dataset import Dataset
from mocoop.data.sources import DataSettings
from mocoop.groupfile.groups import paper_groups, save_groups
from mocoop.grouping.generate import Wanted, generate_from_bank
from mocoop.reporting.statistics import paired_differences

ALONE = "epochs alone"
KEPT = "last batch kept"
STEPS = {ALONE: 0, KEPT: 0, "50 steps": 50, "100 steps": 100, "200 steps": 200}  # whatever the shots
BY_SHOTS = {1: ALONE, 4: "50 steps", 16: "200 steps"}  # what min_steps = 200 comes to
CLASSES, SHOTS = (2, 5), (1, 4, 16)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip-space", type=Path, required=True)
    parser.add_argument("--photographs", type=Path, required=True)
    parser.add_argument("--class-names", type=Path, default=Path("docs/examples/ucmerced_names.json"))
    parser.add_argument("--seeds", type=int, default=4, help="seeds 1 to N")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("-o", "--out", type=Path, help="keep the rows here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = options.out or Path(folder) / "rows.jsonl"
        plans = [in_clip_space(options, Path(folder), out), on_images(options, Path(folder), out)]
        failed = sum(len(run_plan(plan, options.jobs).failures) for plan in plans)
        report(read_rows(out))
    sys.exit(1 if failed else 0)


def in_clip_space(options: argparse.Namespace, folder: Path, out: Path) -> BenchPlan:
    dataset = open_bench_data("ucf101", options.clip_space / "ucf101.npz").dataset
    assert dataset.features is not None
    data = dict(cuts("ucf101", dataset, np.asarray(dataset.features), options.seeds, folder))
    return plan(
        data, dict.fromkeys(data, paper_groups("ucf101")), f"local-dir:{options.clip_space / 'text_tower'}", out
    )


def on_images(options: argparse.Namespace, folder: Path, out: Path) -> BenchPlan:
    group_file = folder / "groups.json"
    save_groups(group_file, generate_from_bank(Wanted("satellite imagery")).document)
    backbone, data = load_backbone(), dict[str, Path]()
    for source, where, names in (("scenes", None, None), ("ucmerced", options.photographs, options.class_names)):
        found = open_bench_data(source, where, DataSettings(class_names=names))
        examples = [*found.dataset.train, *found.dataset.test]
        features = found.features(backbone, examples, FeatureCache(folder / "cache")).numpy()
        data |= dict(cuts(source, found.dataset, features, options.seeds, folder))
    return plan(data, dict.fromkeys(data, group_file), "miniclip", out)


def cuts(source: str, dataset: Dataset, features: np.ndarray, seeds: int, folder: Path) -> Iterator[tuple[str, Path]]:
    """Files of features of a few classes of a data set, by name; `features` has its train rows, then its test rows."""
    examples = [(example.label, part) for part in ("train", "test") for example in dataset.split(part)]
    labels, parts = np.array([label for label, _ in examples]), np.array([part for _, part in examples])
    if dataset.features is not None:
        features = features[np.array([example.row for part in ("train", "test") for example in dataset.split(part)])]
    units = features / np.linalg.norm(features.astype(np.float32), axis=1, keepdims=True)
    means = np.stack([units[(labels == c) & (parts == "train")].mean(0) for c in range(len(dataset.classnames))])
    for seed in range(1, seeds + 1):
        for classes in CLASSES:
            first = int(np.random.default_rng(seed).integers(len(means)))
            drawn = np.argsort(-means @ means[first])[:classes]  # itself, and those that look most like it
            kept, path = np.isin(labels, drawn), folder / f"{source}-{classes}-{seed}.npz"
            np.savez(
                path,
                features=features[kept],
                labels=np.array([list(drawn).index(label) for label in labels[kept]]),
                classnames=np.array([dataset.classnames[label] for label in drawn]),
                split=parts[kept],
            )
            yield path.stem, path


def plan(data: dict[str, Path], groups: Any, backbone: str, out: Path) -> BenchPlan:
    cells = [
        Cell(
            protocol=FEW_SHOT,
            dataset=name,
            method="mocoop",
            shots=shots,
            seed=int(name.rpartition("-")[2]),
            setting=schedule,
            changes=changes(schedule, shots),
        )
        for name in data
        for shots in SHOTS
        for schedule in STEPS
    ]
    return BenchPlan(cells=tuple(cells), data=data, results=out, groups=groups, backbone=backbone)


def changes(schedule: str, shots: int) -> dict[str, Any]:
    return {"min_steps": STEPS[schedule] * FULL_SHOTS // shots, "drop_last": schedule == ALONE}


def report(rows: list[Row]) -> None:
    """Rows are found by their epochs and batches: schedules that come to the same for some images are run once."""
    accuracy, images = {}, {}
    for row in rows:
        where, drop_last = (row["dataset"], row["shots"]), row["config"]["drop_last"]
        accuracy[where, row["training"]["epochs"], drop_last] = row["accuracy"]["all"]
        images[where] = row["training"]["images"]
    found: dict[str, dict[tuple[str, int], float]] = {name: {} for name in STEPS}
    for name, by_cell in found.items():
        for (dataset, shots), count in images.items():
            config, epochs = preset("recommended", **changes(name, shots)).scheduled(shots, count)
            by_cell[dataset, shots] = accuracy[(dataset, shots), epochs, config.drop_last]
    kinds = sorted({(dataset.rpartition("-")[0], shots) for dataset, shots in found[ALONE]})
    table = [
        (f"{source} classes", f"{shots}", *(f"{mean(found[name], source, shots):.1f}" for name in STEPS))
        for source, shots in kinds
    ]
    show_table(("data set", "shots", *STEPS), table)
    found["min_steps = 200"] = {key: found[BY_SHOTS[key[1]]][key] for key in found[ALONE]}
    for shots in (*SHOTS, None):
        for name in found:
            if name != ALONE:
                print(f"{f'{shots} shots' if shots else 'all'}: {name} - {ALONE}: {difference(found, name, shots)}")


def difference(found: Mapping[str, Mapping[Any, float]], name: str, shots: int | None) -> str:
    """Of one schedule to the epochs alone, in points, with its interval."""
    one, other = ({key: value for key, value in found[which].items() if shots in (key[1], None)}
                  for which in (name, ALONE))  # fmt: skip
    paired = paired_differences(one, other)
    assert paired is not None
    if paired.interval is None:
        return f"{paired.mean:+.2f}"
    return f"{paired.mean:+.2f} ({paired.interval[0]:+.2f} to {paired.interval[1]:+.2f})"


def mean(found: dict[tuple[str, int], float], source: str, shots: int) -> float:
    return statistics.fmean(
        value for (dataset, some), value in found.items() if dataset.rpartition("-")[0] == source and some == shots
    )


if __name__ == "__main__":
    main()
