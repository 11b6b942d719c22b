"""What `min_steps` and `drop_last` are worth where images are few: small sets cut out of larger ones.

    python benchmarks/few_images.py --clip-space DATA_FOLDER --photographs UCMERCED_FOLDER

From each data set (CLIP's own features of caltech101 and ucf101 as for clip_space.py; UC Merced and the drawn tiles
as the embedded backbone sees them) 2 and 5 classes are drawn by the seed, and the mixture is trained on 1, 4 and 16
shots of them. Printed is the accuracy on their test images under each schedule; and differences to the schedule of
epochs alone, paired by data set, classes, shots and seed, with Student's t interval at 95 %.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mocoop.backbone.backbone import load_backbone
from mocoop.bench.cell import FEW_SHOT, Cell
from mocoop.bench.data import open_bench_data
from mocoop.bench.rows import Row, read_rows
from mocoop.bench.runner import BenchPlan, run_plan
from mocoop.cli import show_table
from mocoop.data.cache import FeatureCache
from mocoop.data.dataset import Dataset
from mocoop.groupfile.groups import paper_groups, save_groups
from mocoop.grouping.generate import Wanted, generate_from_bank
from mocoop.reporting.statistics import paired_differences

ALONE = "epochs alone"
SCHEDULES: dict[str, dict[str, Any]] = {
    ALONE: {"min_steps": 0, "drop_last": True},
    "last batch kept": {"min_steps": 0, "drop_last": False},
    "100 steps": {"min_steps": 100, "drop_last": False},
    "200 steps": {"min_steps": 200, "drop_last": False},
}
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
    data, groups = {}, {}
    for source in ("caltech101", "ucf101"):
        dataset = open_bench_data(source, options.clip_space / f"{source}.npz").dataset
        assert dataset.features is not None
        cut = dict(cuts(source, dataset, dataset.features, options.seeds, folder))
        data |= cut
        groups |= dict.fromkeys(cut, paper_groups(source))
    return plan(data, groups, f"local-dir:{options.clip_space / 'text_tower'}", out)


def on_images(options: argparse.Namespace, folder: Path, out: Path) -> BenchPlan:
    group_file = folder / "groups.json"
    save_groups(group_file, generate_from_bank(Wanted("satellite imagery")).document)
    backbone, data = load_backbone(), {}
    for source, where, names in (("scenes", None, None), ("ucmerced", options.photographs, options.class_names)):
        found = open_bench_data(source, where, class_names=names)
        examples = [*found.dataset.train, *found.dataset.test]
        features = found.features(backbone, examples, FeatureCache(folder / "cache")).numpy()
        data |= dict(cuts(source, found.dataset, features, options.seeds, folder))
    return plan(data, dict.fromkeys(data, group_file), "miniclip", out)


def cuts(source: str, dataset: Dataset, features: np.ndarray, seeds: int, folder: Path) -> Iterator[tuple[str, Path]]:
    """Files of features of a few classes of a data set, by name; `features` has its train rows, then its test rows."""
    examples = [(example.label, part) for part in ("train", "test") for example in dataset.split(part)]
    labels, parts = np.array([label for label, _ in examples]), np.array([part for _, part in examples])
    rows = [example.row for part in ("train", "test") for example in dataset.split(part)]
    features = features[rows] if dataset.features is not None else features
    for seed in range(1, seeds + 1):
        for classes in CLASSES:
            drawn = np.random.default_rng(seed).permutation(len(dataset.classnames))[:classes]
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
            changes=changes,
        )
        for name in data
        for shots in SHOTS
        for schedule, changes in SCHEDULES.items()
    ]
    return BenchPlan(cells=tuple(cells), data=data, results=out, groups=groups, backbone=backbone)


def report(rows: list[Row]) -> None:
    found = {name: {(row["dataset"], row["shots"]): row["accuracy"]["all"] for row in rows if row["setting"] == name}
             for name in SCHEDULES}  # fmt: skip
    kinds = sorted({(dataset.rpartition("-")[0], shots) for dataset, shots in found[ALONE]})
    table = [
        (f"{source} classes", f"{shots}", *(f"{mean(found[name], source, shots):.1f}" for name in SCHEDULES))
        for source, shots in kinds
    ]
    show_table(("data set", "shots", *SCHEDULES), table)
    for shots in (*SHOTS, None):
        for name in SCHEDULES:
            if name == ALONE:
                continue
            one, other = ({key: value for key, value in found[which].items() if shots in (key[1], None)}
                          for which in (name, ALONE))  # fmt: skip
            difference = paired_differences(one, other)
            assert difference is not None
            assert difference.interval is not None
            low, high = difference.interval
            where = "all" if shots is None else f"{shots} shots"
            print(f"{where}: {name} - {ALONE}: {difference.mean:+.2f} ({low:+.2f} to {high:+.2f})")


def mean(found: dict[tuple[str, int], float], source: str, shots: int) -> float:
    return statistics.fmean(
        value for (dataset, some), value in found.items() if dataset.rpartition("-")[0] == source and some == shots
    )


if __name__ == "__main__":
    main()
