"""The demonstration's plan, its results, and the commands to repeat it.

`story.py` runs it, `page.py` makes its page; both share only what is here.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mocoop import cli
from mocoop.config import Config, preset
from mocoop.data.sources import Dataset, Example
from mocoop.groupfile.groups import GroupFile
from mocoop.miniclip.scenes import style_of
from mocoop.reporting.plots import BaseNewResult
from mocoop.runs.evaluate import Evaluation, harmonic_mean
from mocoop.runs.run import Run

MIXTURE, ONE_PROMPT = "mocoop", "coop"
RESULTS, REPORT, GROUPS, CLASSES = "demo.json", "report.html", "groups.json", "classes.txt"
SCENES, RUNS, PICTURES = "scenes", "runs", "pictures"


@dataclass(frozen=True, kw_only=True)
class DemoPlan:
    """Where the demonstration is written and how large it is. Tiles are counted per class and style."""

    out: Path
    force: bool = False
    domain: str = "satellite imagery"
    backbone: str = "miniclip"
    seeds: tuple[int, ...] = (1, 2, 3)
    shots: int = 16
    train_tiles: int = 4
    test_tiles: int = 6
    epochs: int | None = None

    def config(self, method: str) -> Config:
        """The settings of the mixture, or of a single prompt."""
        changes: dict[str, Any] = {} if self.epochs is None else {"epochs": self.epochs}
        return preset("recommended", method, **changes)

    def run_path(self, method: str, seed: int) -> Path:
        """The run folder of a training run."""
        return self.out / RUNS / f"{method}-seed{seed}"


@dataclass(frozen=True)
class Trained:
    """One training run of a method and its results on the base and the new classes."""

    run: Run
    seed: int
    base: Evaluation
    new: Evaluation

    @property
    def h(self) -> float:
        """Their harmonic mean."""
        return harmonic_mean(self.base.accuracy, self.new.accuracy)


@dataclass(frozen=True)
class Routing:
    """How often (percent of test tiles) the first expert is the group that names the tile's style."""

    what: str
    percent: float
    deviation: float | None


@dataclass(frozen=True)
class DemoResults:
    """Everything the report shows."""

    plan: DemoPlan
    groups: GroupFile
    dataset: Dataset
    methods: tuple[BaseNewResult, ...]
    routing: tuple[Routing, ...]
    mixtures: tuple[Trained, ...]
    predictions: tuple[dict[str, Any], ...]
    photographs: tuple[dict[str, Any], ...]  # `demo.photographs`
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: what `mocoop demo --json` prints."""
        return {
            "status": "finished",
            "backbone": self.plan.backbone,
            "notes": list(self.mixtures[0].run.info["notes"]),
            "domain": self.groups.domain,
            "seeds": list(self.plan.seeds),
            "shots": self.plan.shots,
            "methods": [asdict(method) for method in self.methods],
            "routing": [asdict(one) for one in self.routing],
            "predictions": list(self.predictions),
            "photographs": list(self.photographs),
            "commands": demo_commands(self.plan),
            "report": str(self.plan.out / REPORT),
            "seconds": round(self.seconds, 1),
        }


def demo_commands(plan: DemoPlan) -> list[str]:
    """The commands that repeat every step of the demonstration, in order."""

    def at(*names: str) -> str:
        return cli.command_path(plan.out.joinpath(*names))

    epochs = "" if plan.epochs is None else f" --epochs {plan.epochs}"
    backbone = f"--backbone {cli.command_path(plan.backbone)}"
    tail = f"--classes base --shots {plan.shots} {backbone}{epochs}"
    tiles = f"--train {plan.train_tiles} --val 1 --test {plan.test_tiles}"
    commands = [
        f"mocoop scenes -o {at(SCENES)} {tiles}",
        f"mocoop-groups {shlex.join(generate_arguments(plan))}",
    ]
    for method, what in ((MIXTURE, f"--groups {at(GROUPS)}"), (ONE_PROMPT, f"--method {ONE_PROMPT}")):
        for seed in plan.seeds:
            run = at(RUNS, f"{method}-seed{seed}")
            commands += [
                f"mocoop train {what} --data {at(SCENES)} {tail} --seed {seed} -o {run}",
                f"mocoop eval {run} --data {at(SCENES)} --classes base --classes new",
            ]
    run = at(RUNS, f"{MIXTURE}-seed{plan.seeds[0]}")
    return [
        *commands,
        f"mocoop show {run}",
        f"ls {at(SCENES, 'test')} | tr _ ' ' > {at(CLASSES)}",
        f"mocoop predict {run} --classes-file {at(CLASSES)} {at(SCENES, 'test')}",
    ]


def generate_arguments(plan: DemoPlan) -> list[str]:
    """All groups of the domain."""
    return ["generate", "--domain", plan.domain, "-o", str(plan.out / GROUPS)]


def expert_use_by_style(trained: Sequence[Trained], experts: int) -> tuple[list[str], list[list[float]]]:
    """The styles of the test tiles, and for each the share of tiles (S, E) whose first expert is each group."""
    counts: dict[str, list[int]] = {}
    for one in trained:
        for style, first in styles_and_experts(one):
            counts.setdefault(style, [0] * experts)[first] += 1
    return list(counts), [[count / sum(row) for count in row] for row in counts.values()]


def styles_and_experts(trained: Trained) -> list[tuple[str, int]]:
    """(style, first expert) of every test tile, base and new."""
    return [
        (tile_style(example), first)
        for evaluation in (trained.base, trained.new)
        for example, first in zip(evaluation.examples, evaluation.first_expert, strict=True)
    ]


def tile_style(example: Example) -> str:
    """The style in a tile's file name; empty for other files."""
    return style_of(example.path or "") or ""
