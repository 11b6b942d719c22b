"""`mocoop auto` against the best method in hindsight, and the blend against the mixture and the probe alone.

    python benchmarks/auto.py auto --data ucmerced=FOLDER --data scenes --keep FOLDER -o rows.jsonl
    python benchmarks/auto.py blend --data ucmerced=FOLDER --keep FOLDER -o rows.jsonl
    python benchmarks/auto.py report -o rows.jsonl

Data sets: `ucmerced=FOLDER`; `scenes`, drawn tiles; `fabric`, the simulated pictures of conformal-clip-data;
`caltech101=FOLDER` and `ucf101=FOLDER`, the folder of clip_space.py. Their images are encoded once into the folder of
--keep, where the answers of trained mixtures stay too.

`auto`: the pick of `mocoop auto`, by cross-validation on the shots, beside the accuracy of every method on the test
images after training on all of them. `blend`: mixture, probe and blend on the test images by shots; the blend's weight
is sought on val. What is in the rows is not run again.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mocoop.auto.choose import TRIED, choose, material_of
from mocoop.auto.material import Material
from mocoop.auto.race import Clock
from mocoop.backbone.backbone import Backbone, load_backbone
from mocoop.bench.data import SCENES, BenchData, open_bench_data
from mocoop.cli import say, show_table
from mocoop.data.sources import DataSettings
from mocoop.groupfile.curator import call_curator
from mocoop.groupfile.groups import GroupFile, load_groups, paper_groups
from mocoop.methods import method_named
from mocoop.methods.blend import shares_of

NAMES = Path("docs/examples/ucmerced_names.json")
DOMAINS = {"ucmerced": "satellite imagery", SCENES: "satellite imagery", "fabric": "woven fabric inspection"}
PARTS = ("mocoop", "linear-probe")


@dataclass(frozen=True)
class World:
    """A data set as features, its backbone and its groups."""

    data: BenchData
    backbone: Backbone
    groups: GroupFile

    def material(self, shots: int, seed: int) -> Material:
        return material_of(self.data, self.backbone, self.groups, shots, seed)

    @property
    def test(self) -> tuple[Tensor, Tensor]:
        """Features and labels of the test images."""
        examples = self.data.dataset.test
        return self.data.features(self.backbone, examples, None), torch.tensor([one.label for one in examples])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("auto", "blend", "report"))
    parser.add_argument("--data", action="append", default=[], metavar="NAME[=FOLDER]")
    parser.add_argument("--seeds", type=int, default=5, help="seeds 1 to N")
    parser.add_argument("--shots", help="a comma-separated list; auto: 4, blend: 1,2,4,8,16")
    parser.add_argument(
        "--minutes", type=float, default=5, help="of the processor, so that other work on it is no matter"
    )
    parser.add_argument("--keep", type=Path, default=Path("auto-benchmark"))
    parser.add_argument("-o", "--out", type=Path, required=True)
    options = parser.parse_args()
    if options.what != "report":
        options.keep.mkdir(parents=True, exist_ok=True)
        shots = options.shots or {"auto": "4", "blend": "1,2,4,8,16"}[options.what]
        for one in options.data:
            name, _, folder = one.partition("=")
            world = opened(name, Path(folder) if folder else None, options.keep)
            for seed in range(1, options.seeds + 1):
                for number in map(int, shots.split(",")):
                    for what in ("auto", "hindsight") if options.what == "auto" else ("blend",):
                        once(options, world, what, name, number, seed)
    report(list(rows_of(options.out)))


def once(options: argparse.Namespace, world: World, what: str, name: str, shots: int, seed: int) -> None:
    """One row, unless it is there."""
    key = {"what": what, "dataset": name, "shots": shots, "seed": seed}
    key |= {"minutes": options.minutes} if what == "auto" else {}
    if any(key.items() <= row.items() for row in rows_of(options.out)):
        return
    if what == "auto":
        found = picked(world.material(shots, seed), options.minutes)
    elif what == "hindsight":
        found = hindsight(world, world.material(shots, seed))
    else:
        found = blended(world, shots, seed, options.keep / f"{name}-{shots}-{seed}.npz")
    row = {**key, **found}
    say(json.dumps({name: value for name, value in row.items() if name != "tried"}))
    with options.out.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def picked(material: Material, minutes: float) -> dict[str, Any]:
    """What `mocoop auto` picks, and what it saw."""
    clock = Clock.start(60 * minutes, time.process_time)
    choice = choose(material, clock)
    seconds = round(clock.seconds - clock.left, 1)
    tried = [{**one.to_dict(), "lower": choice.lower.get(one.name)} for one in choice.entries]
    return {"picked": choice.winner.name, "tried": tried, "seconds": seconds}


def hindsight(world: World, material: Material) -> dict[str, Any]:
    """The accuracy of every method on the test images, after training on all shots."""
    x, labels = world.test
    learned, accuracy = {}, {}
    for name in TRIED:
        fitted = material.learn(name, torch.arange(len(material.samples.train_labels)), parts=learned)
        learned[name] = fitted.learned
        accuracy[name] = 100 * float(material.right(fitted, x, labels).float().mean())
    return {"test": accuracy, "images": len(labels)}


def blended(world: World, shots: int, seed: int, kept: Path) -> dict[str, Any]:
    """Mixture, probe and blend on the test images."""
    if not kept.is_file():
        keep_answers(world, world.material(shots, seed), kept)
    with np.load(kept) as file:
        found = {name: torch.from_numpy(file[name]) for name in file.files}
    labels = found["y|test"]
    words, images = (found[f"{part}|test"] for part in PARTS)
    shares, weight = torch.tensor([0.5, 0.5]), 0.5
    if "y|val" in found:
        shares, weight = shares_of(*(found[f"{part}|val"] for part in PARTS), found["y|val"])
    guesses = {"mocoop": words, "linear-probe": images, "blend": shares[0] * words + shares[1] * images}
    accuracy = {name: 100 * float((one.argmax(1) == labels).float().mean()) for name, one in guesses.items()}
    return {"test": accuracy, "weight": weight, "images": len(labels), "val": len(found.get("y|val", ()))}


def keep_answers(world: World, material: Material, kept: Path) -> None:
    """Train both on all shots, and keep their log-probabilities of val and of the test images."""
    x, labels = world.test
    parts = {"val": (material.samples.val, material.samples.val_labels), "test": (x, labels)}
    found = {}
    for name in PARTS:
        fitted = material.learn(name, torch.arange(len(material.samples.train_labels)))
        method = method_named(name)
        predictor = method.predictor(fitted.learned, material.classnames, fitted.class_features, world.backbone)
        for part, (features, which) in parts.items():
            if len(which):
                log = predictor.predict(features).probabilities.clamp_min(1e-30).log()
                found[f"{name}|{part}"], found[f"y|{part}"] = log.numpy(), which.numpy()
    np.savez(kept, **found)


def opened(name: str, folder: Path | None, keep: Path) -> World:
    """A data set, its images encoded once into `keep`."""
    if name in ("caltech101", "ucf101"):
        assert folder is not None, f"--data {name}=FOLDER"
        backbone, path = load_backbone(f"local-dir:{folder / 'text_tower'}"), folder / f"{name}.npz"
        return World(open_bench_data(name, path), backbone, load_groups(paper_groups(name)))
    backbone = load_backbone("miniclip" if name == SCENES else "photoclip")
    path, groups = keep / f"{name}.npz", keep / f"{name}.json"
    if not path.is_file():
        encode(name, folder, backbone, path)
    if not groups.is_file():
        call_curator(["generate", "--domain", DOMAINS[name], "--backend", "bank", "-o", str(groups)])
    return World(open_bench_data(name, path), backbone, load_groups(groups))


def encode(name: str, folder: Path | None, backbone: Backbone, path: Path) -> None:
    """The features of a folder of images, with its splits."""
    if name == "fabric":
        spec = importlib.util.find_spec("conformal_clip_data")
        assert spec is not None, "pip install conformal-clip-data"
        assert spec.origin is not None
        folder = Path(spec.origin).parent / "data" / "textile_images" / "simulated"
    found = open_bench_data(name, folder, DataSettings(class_names=NAMES if name == "ucmerced" else None))
    parts = [(part, one) for part in ("train", "val", "test") for one in found.dataset.split(part)]
    np.savez(
        path,
        features=found.features(backbone, [one for _, one in parts], None).numpy(),
        labels=np.array([one.label for _, one in parts]),
        classnames=np.array(found.dataset.classnames),
        split=np.array([part for part, _ in parts]),
    )


def rows_of(path: Path) -> Iterator[dict[str, Any]]:
    """The rows so far."""
    if path.is_file():
        yield from map(json.loads, path.read_text(encoding="utf-8").splitlines())


def report(rows: list[dict[str, Any]]) -> None:
    """Means over seeds: the pick beside zero-shot and the best in hindsight; the blend beside its parts."""
    lines = []
    tests = {(row["dataset"], row["shots"], row["seed"]): row["test"] for row in rows if row["what"] == "hindsight"}
    tried = [row for row in rows if row["what"] == "auto" and (row["dataset"], row["shots"], row["seed"]) in tests]
    for name, shots, minutes in sorted({(row["dataset"], row["shots"], row["minutes"]) for row in tried}):
        alike = [row for row in tried if (row["dataset"], row["shots"], row["minutes"]) == (name, shots, minutes)]
        mine = [{"picked": row["picked"], "test": tests[name, shots, row["seed"]]} for row in alike]
        means = {method: statistics.fmean(row["test"][method] for row in mine) for method in TRIED}
        best = max(means, key=lambda method: means[method])  # the best single method over the seeds
        pick = statistics.fmean(row["test"][row["picked"]] for row in mine)
        worst = min(row["test"][row["picked"]] - row["test"]["zero-shot"] for row in mine)
        lines.append(
            (name, shots, f"{minutes:g}", len(mine), f"{pick:.1f}", f"{means[best]:.1f} {best}",
             f"{pick - means[best]:+.1f}", f"{means['zero-shot']:.1f}", f"{worst:+.1f}",
             " ".join(row["picked"] for row in mine))
        )  # fmt: skip
    if lines:
        show_table(
            ("data set", "shots", "minutes", "seeds", "pick %", "best in hindsight %", "pick - best", "zero-shot %",
             "least pick - zero-shot", "picked"), lines
        )  # fmt: skip
    lines = []
    for name, shots in sorted({(row["dataset"], row["shots"]) for row in rows if row["what"] == "blend"}):
        mine = [row for row in rows if (row["what"], row["dataset"], row["shots"]) == ("blend", name, shots)]
        means = {part: statistics.fmean(row["test"][part] for row in mine) for part in (*PARTS, "blend")}
        hull = max(means[part] for part in PARTS)
        weights = " ".join(f"{row['weight']:.2f}" for row in mine)
        told = [f"{means[part]:.1f}" for part in (*PARTS, "blend")]
        lines.append((name, shots, len(mine), *told, f"{means['blend'] - hull:+.1f}", weights))
    if lines:
        show_table(("data set", "shots", "seeds", "mixture %", "probe %", "blend %", "blend - hull", "weights"), lines)


if __name__ == "__main__":
    main()
