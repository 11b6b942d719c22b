"""What mixture, routing and grouping are worth on real photographs in known styles, with photoclip.

    python benchmarks/styles.py FOLDER --class-names NAMES.json

FOLDER is a data set of photographs, as `mocoop train --data` takes it. Each is rendered in eight looks (sketch,
cartoon, painting, ...), and there is one group a look: the bank's templates of that aspect, which photoclip was not
trained on as such. Two protocols of `mocoop bench`, preset `recommended`:

    base-to-new    trained on base classes, each training picture in one look, in turn; tested on all looks
    domain-shift   trained on photographs as they are; tested on each look

Printed are accuracies, differences paired by seed with Student's t interval at 95 %, and how often the reference gate's
first group is the look that the picture was rendered in. With -o the rows are kept, and what is there is not run again.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from mocoop.backbone.backbone import Backbone, load_backbone
from mocoop.backbone.hard_features import hard_features
from mocoop.bench.cell import BASE_TO_NEW, SHIFT, Cell
from mocoop.bench.groupkinds import RANDOM
from mocoop.bench.rows import read_rows
from mocoop.bench.runner import BenchPlan, run_plan
from mocoop.cli import show_table
from mocoop.data.dataset import Dataset, Example
from mocoop.data.features import picture_features
from mocoop.data.images import open_image
from mocoop.data.sources import open_dataset
from mocoop.groupfile.groups import GroupFile, dump_groups, parse_groups
from mocoop.grouping.bank import load_bank
from mocoop.mixture.router import group_prototypes, reference_gate
from mocoop.photoclip.looks import RENDER
from mocoop.reporting.statistics import Paired, paired_differences

ASPECT = {  # of the bank, for each look
    "photo": "plain_photo", "sketch": "line_drawing", "cartoon": "computer_graphics", "painting": "painting_and_print",
    "blurred": "focus_and_motion", "lowres": "low_resolution", "grey": "colour_treatment", "dark": "light_and_exposure",
}  # fmt: skip
LOOKS = tuple(ASPECT)
TEMPLATES = 6  # of each aspect, the bank's first
MIXED = "mixed"
MIXTURE = "mixture"
LINES: dict[str, dict[str, Any]] = {  # how a line is called, and what its cells are
    "zero-shot": {"method": "zero-shot"},
    "zero-shot, all templates": {"method": "zero-shot-ensemble"},
    "gated ensembles": {"method": "gated-zero-shot"},
    "CoOp": {"method": "coop"},
    "LASP": {"method": "lasp"},
    "uniform": {"changes": {"routing": "uniform"}},
    "reference gate, fixed": {"changes": {"routing": "reference"}},
    "random groups": {"group_kind": RANDOM},
    MIXTURE: {},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--class-names", type=Path)
    parser.add_argument("--seeds", type=int, default=6, help="seeds 1 to N")
    parser.add_argument("--shots", type=int, default=16)
    parser.add_argument("--train", type=int, default=24, help="at most so many training pictures a class are rendered")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("-o", "--out", type=Path, help="keep the rows here")
    options = parser.parse_args()
    backbone = load_backbone("photoclip")
    dataset = open_dataset(options.data, class_names=options.class_names)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        groups = folder / "looks.json"
        groups.write_bytes(dump_groups(look_groups()))
        features = write_features(dataset, backbone, folder, options.train)
        out = options.out or folder / "rows.jsonl"
        done = run_plan(plan(options, folder, groups, out), options.jobs)
        rows = read_rows(out)
    report(rows, options.seeds)
    print_gate(backbone, parse_groups(dump_groups(look_groups()), source="looks"), dataset.classnames, features)
    sys.exit(1 if done.failures else 0)


def look_groups() -> dict[str, Any]:
    """A group a look, of the bank's templates."""
    bank = load_bank()
    groups = []
    for look, aspect in ASPECT.items():
        templates = [str(text) for text in bank.aspect(aspect).templates[:TEMPLATES]]
        groups.append({"id": look, "init": templates[0], "templates": templates})
    return {"schema_version": 1, "domain": "photographs in looks", "groups": groups}


def write_features(dataset: Dataset, backbone: Backbone, folder: Path, most: int) -> dict[str, np.ndarray]:
    """A .npz a look, and one of all; returns the features (N, D) of the test pictures in each look."""
    learned = [("train", example) for example in first_of_each(dataset.train, most)]
    learned += [("val", example) for example in dataset.val]
    tests = {look: [("test", example, look) for example in dataset.test] for look in LOOKS}
    files = {look: [(*one, LOOKS[0]) for one in learned] + test for look, test in tests.items()}
    in_turn = [(*one, LOOKS[place % len(LOOKS)]) for place, one in enumerate(learned)]
    files[MIXED] = in_turn + [one for test in tests.values() for one in test]
    features = encode({(example, look) for rows in files.values() for _, example, look in rows}, backbone)
    for name, rows in files.items():
        np.savez(
            folder / f"{name}.npz",
            features=np.stack([features[example, look] for _, example, look in rows]),
            labels=np.array([example.label for _, example, _ in rows]),
            split=np.array([split for split, _, _ in rows]),
            classnames=np.array(dataset.classnames),
        )
    return {look: np.stack([features[example, look] for _, example, _ in test]) for look, test in tests.items()}


def first_of_each(examples: Sequence[Example], most: int) -> list[Example]:
    """At most so many examples of each class, in their order."""
    taken: Counter[int] = Counter()
    found = []
    for example in examples:
        taken[example.label] += 1
        if taken[example.label] <= most:
            found.append(example)
    return found


def encode(wanted: set[tuple[Example, str]], backbone: Backbone) -> dict[tuple[Example, str], np.ndarray]:
    """Features (D,) of pictures rendered in looks."""
    pairs = sorted(wanted, key=lambda pair: (str(pair[0]), pair[1]))
    found: dict[tuple[Example, str], np.ndarray] = {}
    for start in range(0, len(pairs), 64):
        part = pairs[start : start + 64]
        features = picture_features(backbone, [rendered(example, look) for example, look in part])[0]
        found.update(zip(part, features, strict=True))
        print(f"\r{len(found)} of {len(pairs)} pictures", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return found


def rendered(example: Example, look: str) -> Image.Image:
    """One photograph in a look; it depends on the file's name and the look only."""
    assert example.path is not None
    seed = [LOOKS.index(look), *example.path.name.encode()]
    return RENDER[look](open_image(example.path), np.random.default_rng(seed))


def plan(options: argparse.Namespace, folder: Path, groups: Path, out: Path) -> BenchPlan:
    cells = [
        Cell(**{"method": "mocoop", "shots": options.shots, "seed": seed, "setting": name} | protocol | dict(line))
        for seed in range(1, options.seeds + 1)
        for protocol in (
            {"protocol": BASE_TO_NEW, "dataset": MIXED},
            {"protocol": SHIFT, "dataset": LOOKS[0], "targets": LOOKS[1:]},
        )
        for name, line in LINES.items()
    ]
    return BenchPlan(
        cells=tuple(cells),
        data={name: folder / f"{name}.npz" for name in (MIXED, *LOOKS)},
        results=out,
        groups=dict.fromkeys((MIXED, *LOOKS), groups),
        backbone="photoclip",
    )


def report(rows: Sequence[Mapping[str, Any]], seeds: int) -> None:
    rows = [row for row in rows if row["seed"] <= seeds]
    mixed = {name: [row for row in rows if row["setting"] == name and row["protocol"] == BASE_TO_NEW] for name in LINES}
    shifted = {name: [row for row in rows if row["setting"] == name and row["protocol"] == SHIFT] for name in LINES}
    parts = ("base", "new", "H")
    print("trained on all looks:")
    show_table(("method", *(f"{part} %" for part in parts)), [(name, *means(mixed[name], parts)) for name in LINES])
    print("trained on photographs:")
    columns = tuple(key for key in shifted[MIXTURE][0]["accuracy"])
    show_table(("method", *columns), [(name, *means(shifted[name], columns)) for name in LINES])
    others = [key for key in columns if key in LOOKS[1:]]
    parts_of = (("H, all looks", mixed, ["H"]), ("mean of the other looks", shifted, others))
    for title, found, keys in parts_of:
        by_seed = {
            name: {row["seed"]: statistics.fmean(row["accuracy"][key] for key in keys) for row in some}
            for name, some in found.items()
        }
        for name in LINES:
            if name != MIXTURE:
                print(f"{title}: mixture - {name}: {told(paired_differences(by_seed[MIXTURE], by_seed[name]))}")


def means(rows: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> list[str]:
    return [f"{statistics.fmean(row['accuracy'][key] for row in rows):.2f}" for key in keys]


def told(difference: Paired | None) -> str:
    if difference is None or difference.interval is None:
        return "-"
    low, high = difference.interval
    return f"{difference.mean:+.2f} ({low:+.2f} to {high:+.2f})"


def print_gate(
    backbone: Backbone, groups: GroupFile, classnames: Sequence[str], features: Mapping[str, np.ndarray]
) -> None:
    """How often the group that the reference gate puts first is the look of the picture (chance: 1 of 8)."""
    hard = hard_features(backbone, [group.texts for group in groups.groups], classnames)
    prototypes = group_prototypes(hard)
    rows, right = [], []
    for look, some in features.items():
        x = torch.nn.functional.normalize(torch.from_numpy(some).float(), dim=-1)
        first = reference_gate(x, prototypes, 1 / backbone.logit_scale).argmax(dim=-1)
        shares = torch.bincount(first, minlength=len(LOOKS)) / len(first)
        right.append(float(shares[LOOKS.index(look)]))
        rows.append((look, *(f"{100 * share:.0f}" for share in shares.tolist())))
    print("first group of the reference gate, % of the test pictures of a look:")
    show_table(("look", *LOOKS), rows)
    print(f"right: {100 * statistics.fmean(right):.1f} % (chance {100 / len(LOOKS):.1f})")


if __name__ == "__main__":
    main()
