"""The mixture in CLIP's own space: real CLIP image features, logit scale 100, two data sets.

    python benchmarks/clip_space.py DATA_FOLDER

DATA_FOLDER holds caltech101.npz, ucf101.npz and text_tower/ (features of CLIP ViT-B/32 and an open_clip model folder
whose text tower lives in their space). Each method as the preset `recommended` has it is trained on 8 shots of the base
classes with the paper's groups, and measured on the test images of base and new. Printed are base, new, H, the router's
entropy and the shares of first experts; and differences of H, paired by data set and seed, with Student's t interval at
95 %. With -o the rows are kept, and what is there is not run again.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mocoop.bench.cell import BASE_TO_NEW, Cell
from mocoop.bench.groupkinds import RANDOM
from mocoop.bench.protocols import LINEAR_ROUTER
from mocoop.bench.rows import read_rows
from mocoop.bench.runner import BenchPlan, group_files, run_plan
from mocoop.bench.tuning import chosen
from mocoop.cli import show_table
from mocoop.methods import method_named
from mocoop.reporting.statistics import Paired, paired_differences

DATASETS = ("caltech101", "ucf101")
MIXTURE = "mixture"
ALONE = {"template_share": 0.0}  # prompts are compared as they are: templates could help any of them on new classes
LINES: dict[str, dict[str, Any]] = {  # how a line is called, and what its cells are
    "zero-shot": {"method": "zero-shot"},
    "LASP": {"method": "lasp"},
    "CoOp": {"method": "coop"},
    "uniform": {"changes": {"routing": "uniform", **ALONE}},
    "random groups": {"group_kind": RANDOM, "changes": ALONE},
    MIXTURE: {"changes": ALONE},
}
MORE: dict[str, dict[str, Any]] = {
    "KgCoOp": {"method": "kgcoop"},
    "ProGrad": {"method": "prograd"},
    "gated zero-shot": {"method": "gated-zero-shot"},
    "reference gate, fixed": {"changes": {"routing": "reference", **ALONE}},
    "linear router, K = 2": {"changes": {**LINEAR_ROUTER, **ALONE}},
    "preset paper": {"preset": "paper", "changes": {"views": 0}},  # 200 epochs
    "preset official": {"preset": "official", "changes": {"views": 0, "tune_layer_norm": False}},
}
ONE_SEED = ("preset paper", "preset official")  # minutes each


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=6, help="seeds 1 to N")
    parser.add_argument("--shots", type=int, default=8)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--more", action="store_true", help="other methods, controls and presets too")
    parser.add_argument("--tuned", type=Path, metavar="SEARCH", help="also each method at what this search chose")
    parser.add_argument("-o", "--out", type=Path, help="keep the rows here")
    options = parser.parse_args()
    needed = [*(options.data / f"{name}.npz" for name in DATASETS), options.data / "text_tower"]
    if missing := [str(path) for path in needed if not path.exists()]:
        print(f"skipped: {', '.join(missing)} is not there")
        return
    lines = LINES | (MORE if options.more else {}) | (tuned_lines(options.tuned) if options.tuned else {})
    with tempfile.TemporaryDirectory() as folder:
        out = options.out or Path(folder) / "rows.jsonl"
        done = run_plan(plan(options, lines, out), options.jobs)
        rows = read_rows(out)
    report(rows, lines, options.seeds)
    sys.exit(1 if done.failures else 0)


def tuned_lines(search: Path) -> dict[str, dict[str, Any]]:
    """The methods for which a search on validation images chose other settings than the preset's."""
    rows = read_rows(search)
    found = {method: chosen(rows, method, "recommended") for method in ("lasp", "coop", "kgcoop", "prograd", "mocoop")}
    return {
        f"{method_named(method).title}, tuned": {"method": method, "changes": changes, "tuned": changes}
        for method, changes in found.items()
        if changes
    }


def plan(options: argparse.Namespace, lines: Mapping[str, Mapping[str, Any]], out: Path) -> BenchPlan:
    cells = [
        Cell(
            **{"protocol": BASE_TO_NEW, "dataset": dataset, "method": "mocoop", "shots": options.shots, "seed": seed}
            | {"setting": name} | dict(line)
        )
        for seed in range(1, options.seeds + 1)
        for dataset in DATASETS
        for name, line in lines.items()
        if seed == 1 or name not in ONE_SEED
    ]  # fmt: skip
    return BenchPlan(
        cells=tuple(cells),
        data={name: options.data / f"{name}.npz" for name in DATASETS},
        results=out,
        groups=group_files("paper", DATASETS),
        backbone=f"local-dir:{options.data / 'text_tower'}",
    )


def report(rows: Sequence[Mapping[str, Any]], lines: Mapping[str, Any], seeds: int) -> None:
    table, found = [], {}
    for name in lines:
        mine = {(row["dataset"], row["seed"]): row for row in rows if row["setting"] == name and row["seed"] <= seeds}
        found[name] = {cell: row["accuracy"]["H"] for cell, row in mine.items()}
        for dataset in DATASETS:
            table.append((name, dataset, *summary([row for (where, _), row in mine.items() if where == dataset])))
    show_table(
        ("method", "data set", "base %", "new %", "H %", "entropy", "first experts, % of images, each seed"), table
    )
    mixture = found[MIXTURE]
    for name in lines:
        if name != MIXTURE:
            print(f"mixture - {name}: {told(paired_differences(mixture, found[name]))}")
    lasp, uniform = (told(paired_differences(mixture, found[name])) for name in ("LASP", "uniform"))
    print(f"mixture - LASP: {lasp}; mixture - uniform: {uniform}")


def summary(rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Means over seeds, and each seed's shares of first experts of a tenth and more."""
    accuracies = [f"{statistics.fmean(row['accuracy'][part] for row in rows):.2f}" for part in ("base", "new", "H")]
    routers = [row["router"] for row in rows if row["router"]]
    if not routers:
        return *accuracies, "", ""
    entropy = f"{statistics.fmean(router['entropy'] for router in routers):.3f}"
    shares = ["/".join(f"{100 * share:.0f}" for share in router["first"]) for router in routers]
    return *accuracies, entropy, " ".join(shares)


def told(difference: Paired | None) -> str:
    if difference is None or difference.interval is None:
        return "-"
    low, high = difference.interval
    return f"{difference.mean:+.2f} ({low:+.2f} to {high:+.2f})"


if __name__ == "__main__":
    main()
