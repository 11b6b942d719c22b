"""The search behind the preset `recommended`: every method's learning rate and one setting of its own.

By `mocoop tune`, all with the same budget: the same rates, seeds and number of trainings. Trained is the first half
of the *base* classes, chosen by H over both halves, on images that no table shows: drawn tiles of another seed than
the scenes', and training images of a folder, such as UC Merced's, that are not among the shots. So neither a test
image nor a new class is looked at. With --more, the mixture's other settings follow, each alone.

    python benchmarks/search.py -o docs/results/search-scenes.jsonl
    python benchmarks/search.py --data ucmerced --class-names docs/examples/ucmerced_names.json \\
        -o docs/results/search-ucmerced.jsonl
    python benchmarks/search.py --clip-space FOLDER --rates 0.005,0.02,0.1 --seeds 11,12,13 \\
        --methods coop,kgcoop,prograd,lasp,mocoop -o docs/results/search-clip.jsonl

FOLDER is that of `benchmarks/clip_space.py`: both of its data sets, with the paper's groups and 8 shots. A training
that is in the file is not run again. `mocoop report` makes a table of what was tried.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

RATES = "0.005,0.02,0.1,0.5,2"
OWN = {  # a setting of the method's own, beside the rate; CoCoOp has none
    "coop": "ctx_init=a photo of a,null",
    "cocoop": None,
    "kgcoop": "lambda_knowledge=1,8",
    "prograd": "lambda_projection=0.5,1",
    "lasp": "lambda_text=1,5",
    "mocoop": "lambda_text=1,5",
}
# What else the mixture may be asked
MORE = ("routing=uniform,random,reference", "gate_softness=1,2,8", "top_k=1,2", "lambda_router=0,1",
        "lambda_text=0,0.3", "router_lr=0.02,0.5", "router_loss=kl-reversed,mse", "router_form=linear")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a data set as in mocoop train; left out: drawn tiles")
    parser.add_argument("--class-names", type=Path)
    parser.add_argument("--clip-space", type=Path, metavar="FOLDER", help="both data sets there, instead of --data")
    parser.add_argument("--rates", default=RATES)
    parser.add_argument("--methods", default=",".join(OWN))
    parser.add_argument("--seeds", default="11,12,13,14,15,16")
    parser.add_argument("--more", action="store_true", help="try the mixture's other settings, each alone")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("-o", "--out", type=Path, required=True)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        common = ["--classes", "base-halves", "--val-shots", "128", "--trainings", "99", "--threads", "1",
                  "-o", str(options.out)]  # fmt: skip
        sources = in_clip_space(options.clip_space) if options.clip_space else [on_images(options, Path(folder))]
        if options.more:
            tried = [["--try", one] for one in MORE]
        else:
            tried = [["--try", f"lr={options.rates}", "--method", name, *(["--try", own] if (own := OWN[name]) else [])]
                     for name in options.methods.split(",")]  # fmt: skip
        each = [[*source, *words, "--seeds", seed]
                for source in sources for words in tried for seed in options.seeds.split(",")]  # fmt: skip
        with ThreadPoolExecutor(options.jobs) as pool:
            list(pool.map(lambda words: run("mocoop", "tune", *common, *words), each))
    print(f"next: mocoop report {options.out} -o search.html")


def on_images(options: argparse.Namespace, folder: Path) -> list[str]:
    """A folder of images, or drawn tiles that no table shows, with groups from the bank."""
    groups, data = folder / "groups.json", options.data or folder / "development"
    run("mocoop.grouping.commands", "generate", "--domain", "satellite imagery", "-o", str(groups))
    if options.data is None:
        run("mocoop", "scenes", "-o", str(data), "--seed", "1", "--train", "4", "--val", "12", "--test", "1")
    names = ["--class-names", str(options.class_names)] if options.class_names else []
    return ["--data", str(data), "--groups", str(groups), *names]


def in_clip_space(folder: Path) -> list[list[str]]:
    """Both data sets of CLIP features, with the paper's groups."""
    tower = ["--groups", "paper", "--shots", "8", "--backbone", f"local-dir:{folder / 'text_tower'}"]
    return [["--data", str(folder / f"{name}.npz"), *tower] for name in ("caltech101", "ucf101")]


def run(module: str, *words: str) -> None:
    """Run a command, which must succeed; its progress is seen, its tables are for `mocoop report` to make."""
    subprocess.run([sys.executable, "-m", module, *words], stdout=subprocess.DEVNULL, check=True)


if __name__ == "__main__":
    main()
