"""The search behind the preset `recommended`: every method's learning rate and one setting of its own.

By `mocoop tune`, all with the same budget: the same rates, seeds and number of trainings. Trained is the
first half of the *base* classes, chosen by H over both halves, on images that no table shows: drawn tiles of another
seed than the scenes', and training images of a folder, such as UC Merced's, that are not among the shots. So neither
a test image nor a new class is looked at.

    python benchmarks/search.py -o docs/results/search-scenes.jsonl
    python benchmarks/search.py --data ucmerced --class-names docs/examples/ucmerced_names.json \\
        -o docs/results/search-ucmerced.jsonl

A training that is in the file is not run again. What the files hold is printed as a table: H of each candidate and what
it gains over the preset, paired by seed, with a 95 % interval; `--table` prints it of files that are there.

    python benchmarks/search.py --table docs/results/search-scenes.jsonl docs/results/search-ucmerced.jsonl
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mocoop.bench.rows import read_rows
from mocoop.bench.tuning import measured, told
from mocoop.reporting.statistics import paired_differences

RATES = "0.005,0.02,0.1,0.5,2"
OWN = {  # a setting of the method's own, beside the rate; CoCoOp has none
    "coop": "ctx_init=a photo of a,null",
    "cocoop": None,
    "kgcoop": "lambda_knowledge=1,8",
    "prograd": "lambda_projection=0.5,1",
    "lasp": "lambda_text=1,5",
    "mocoop": "lambda_router=1,5",
}
# What else the mixture may be asked
MORE = ("top_k=1,4,8", "lambda_router=0,0.2,5", "lambda_text=0,0.3,3,5,20", "routing=uniform,random",
        "router_loss=kl-reversed,mse", "renormalise_mix=false", "router_init=random")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a data set as in mocoop train; left out: drawn tiles")
    parser.add_argument("--class-names", type=Path)
    parser.add_argument("--methods", default=",".join(OWN))
    parser.add_argument("--seeds", default="11,12,13,14,15,16")
    parser.add_argument("--more", action="store_true", help="try the mixture's other settings, each alone")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("-o", "--out", type=Path)
    parser.add_argument("--table", type=Path, nargs="+")
    options = parser.parse_args()
    if options.table or options.out is None:
        show(options.table or parser.error("name a file with -o, or some with --table"))
        return
    with tempfile.TemporaryDirectory() as folder:
        groups = Path(folder) / "groups.json"
        run("mocoop.grouping.commands", "generate", "--domain", "satellite imagery", "-o", str(groups))
        data = options.data or Path(folder) / "development"
        if options.data is None:
            run("mocoop", "scenes", "-o", str(data), "--seed", "1", "--train", "4", "--val", "12", "--test", "1")
        common = ["--data", str(data), "--groups", str(groups), "--classes", "base-halves", "--val-shots", "128",
                  "--trainings", "99", "--threads", "1", "-o", str(options.out)]  # fmt: skip
        common += ["--class-names", str(options.class_names)] if options.class_names else []
        if options.more:
            tried = [["--try", one] for one in MORE]
        else:
            tried = [["--try", f"lr={RATES}", "--method", name, *(["--try", own] if (own := OWN[name]) else [])]
                     for name in options.methods.split(",")]  # fmt: skip
        each = [[*words, "--seeds", seed] for words in tried for seed in options.seeds.split(",")]
        with ThreadPoolExecutor(options.jobs) as pool:
            list(pool.map(lambda words: run("mocoop", "tune", *common, *words), each))
    show([options.out])


def show(files: list[Path]) -> None:
    """H of every candidate and its gain over the preset, by method, the best first."""
    found: dict[str, dict[str, dict[tuple[str, int], float]]] = {}
    for row in (row for path in files for row in read_rows(path)):
        cells = found.setdefault(row["method"], {}).setdefault(told(row["changes"]), {})
        cells[row["dataset"], row["seed"]] = measured(row).accuracy
    print(f"{'method':9} {'settings':44} {'seeds':>5} {'H':>7} {'gain':>7}  95 % interval")
    for method, candidates in found.items():
        for name, cells in sorted(candidates.items(), key=lambda item: -statistics.fmean(item[1].values())):
            gain = paired_differences(cells, candidates[told({})])
            low, high = (gain and gain.interval) or (0.0, 0.0)
            print(f"{method:9} {name:44} {len(cells):5} {statistics.fmean(cells.values()):7.2f} "
                  f"{gain.mean if gain else 0:+7.2f}  {low:+.2f} to {high:+.2f}")  # fmt: skip


def run(module: str, *words: str) -> str:
    """What a command prints; it must succeed."""
    done = subprocess.run([sys.executable, "-m", module, *words], text=True, stdout=subprocess.PIPE, check=True)
    return done.stdout


if __name__ == "__main__":
    main()
