"""The command `mocoop tune`: settings, group file and number of experts chosen on validation images only."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mocoop import cli
from mocoop.commands.shared import (
    FILE,
    group_file,
    names_by_position,
    numbers_of,
    parse_reading,
    reading_options,
    source_options,
)
from mocoop.config import METHODS, PRESETS, config_of, setting_text, setting_value, settings_by_name
from mocoop.errors import UsageError

if TYPE_CHECKING:
    from mocoop.bench.tuning import Candidate, Scored


_ONE_ANSWER = "nearly always one answer"


@click.command(short_help="Choose settings on validation images.")
@click.option("--data", type=click.Path(exists=True, path_type=Path), help="As in mocoop train.  [default: the scenes]")
@source_options
@reading_options
@click.option(
    "--groups",
    type=FILE,
    multiple=True,
    help="A group file, or paper as in mocoop train; repeatable, the best one is chosen.",
)
@click.option("--method", type=click.Choice(METHODS), default="mocoop", show_default=True, help="What is trained.")
@click.option("--try", "tried", metavar="NAME=V1,V2,...", multiple=True,
              help="Values of a setting; repeatable. experts=3,5 tries the first groups of a file.")  # fmt: skip
@click.option("--set", "settings", metavar="NAME=VALUE", multiple=True, help="A setting that stays.")
@click.option("--trainings", type=click.IntRange(1), default=24, show_default=True, help="The budget.")
@click.option("--seeds", default="1,2,3", show_default=True, help="Seeds; each halves the candidates.")
@click.option("--shots", type=click.IntRange(1), default=16, show_default=True, help="Training images a class.")
@click.option("--val-shots", type=click.IntRange(1), help="Images a class to choose on, of val and then of unused "
              "training images.  [default: val, 4 at most]")  # fmt: skip
@click.option("--classes", type=click.Choice(["all", "base", "halves", "base-halves"]), default="all",
              show_default=True, help="Train and choose on all or the base classes; halves: train on the first half of "
              "them, choose by H of both.")  # fmt: skip
@click.option("--preset", type=click.Choice(list(PRESETS)), default="recommended", show_default=True,
              help="What the settings start from.")  # fmt: skip
@click.option("--budget", type=click.Choice(["small"]), help="As in mocoop bench.")
@click.option("--backbone", default="photoclip", show_default=True, help="As in mocoop train.")
@click.option("--pretrained", help="Its weights: a tag, a file, or TAG=FILE.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps.")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads.")
@click.option("--no-cache", is_flag=True, help="Compute all features afresh and keep none.")
@click.option("-o", "--out", type=FILE, required=True, help="Every training becomes a row here, and runs once.")
def tune(tried: tuple[str, ...], trainings: int, out: Path, **options: Any) -> None:
    """Choose settings, a group file and a number of experts on validation images; test images are never looked at.

    Every combination of the values, or as many as the budget allows, is tried with the first seed, the better half
    with the second too, and so on. Prints the ranking and the command that trains with the best. Settings with which
    nearly all answers are one class come last, whatever their accuracy.

    \b
    mocoop tune --data photos/ --groups a.json --groups b.json --try top_k=1,2,4 --try lr=0.005,0.02,0.1 -o tune.jsonl
    mocoop tune --data photos/ --groups a.json --try experts=3,5,8 --try lambda_router=0,1,5 -o tune.jsonl
    mocoop tune --data photos/ --method coop --try lr=0.002,0.02 --classes base-halves --val-shots 16 -o tune.jsonl
    """
    from mocoop.bench.data import SCENES
    from mocoop.bench.tuning import ALL_CONSTANT, grid, search

    if options["data"] is not None:
        options["names_by_position"] = names_by_position(options, options["data"])
    options["groups"] = tuple(group_file(one, options["data"] or Path(SCENES)) for one in options["groups"])
    values = values_tried(tried)
    seeds = numbers_of("--seeds", options.pop("seeds"))
    candidates = grid(values, len(options["groups"]))
    for one in candidates:  # checked before anything is trained
        config_of(options["preset"], options["method"], _settings(one, options)[0])
    found = search(candidates, seeds, trainings, _trainer(out, options))
    files = [path.name for path in options["groups"]]
    rows = [
        (str(one.candidate), files[one.candidate.groups] if files else "-", len(one.results),
         f"{one.accuracy:.2f}", f"{one.loss:.4f}", _remark(one))
        for one in found if one.results
    ]  # fmt: skip
    cli.show_table(("settings", "groups", "seeds", f"{_counted(options)} %", "val loss", "remark"), rows)
    if found[0].constant:
        cli.say(f"note: {ALL_CONSTANT}")
    if options["data"] is None:
        cli.say("the scenes as a folder: mocoop scenes -o scenes")
    cli.say(f"train with the best: {_command(found[0], out, options)}")


def values_tried(tried: tuple[str, ...]) -> dict[str, list[Any]]:
    """The values of each setting to try. Raises UsageError."""
    values: dict[str, list[Any]] = {}
    for one in tried:
        name, equals, text = one.partition("=")
        words = [word.strip() for word in text.split(",") if word.strip()]
        if not equals or not words:
            raise UsageError(f"--try {one} tries nothing", "write --try NAME=VALUE,VALUE,...")
        if name in values:
            raise UsageError(f"{name} is tried twice", "give all its values in one --try")
        values[name] = [setting_value(word) for word in words]
    if faults := [value for value in values.get("experts", []) if not isinstance(value, int) or value < 1]:
        raise UsageError(f"experts = {faults[0]} is no number of groups", "give whole numbers of 1 or more")
    return values


def _trainer(out: Path, options: dict[str, Any]) -> Any:
    """A function that trains a candidate with a seed and measures it on val; existing rows are not trained again."""
    from mocoop.bench.cell import TUNE, Cell
    from mocoop.bench.data import SCENES
    from mocoop.bench.groupkinds import FIRST, OWN
    from mocoop.bench.rows import append_row, read_rows
    from mocoop.bench.runner import Bench, BenchPlan
    from mocoop.bench.tuning import Measured, measured
    from mocoop.data.sources import data_name

    data, reading = options["data"], parse_reading(dict(options))
    name = data_name(data) if data is not None else SCENES
    benches: dict[int, Bench] = {}

    def bench_of(groups: int) -> Bench:
        if groups not in benches:
            files = {name: options["groups"][groups]} if options["groups"] else {}
            benches[groups] = Bench(
                BenchPlan(
                    cells=(),
                    data={name: data},
                    results=out,
                    groups=files,
                    backbone=options["backbone"],
                    pretrained=options["pretrained"],
                    device=options["device"],
                    threads=options["threads"],
                    class_names=options["class_names"],
                    names_by_position=options["names_by_position"],
                    columns=options["columns"],
                    follow_links=options["follow_links"],
                    use_cache=not options["no_cache"],
                    **reading,
                ),
                next((bench.backbone for bench in benches.values()), None),
            )
        return benches[groups]

    def train(candidate: Candidate, seed: int) -> Measured:
        changes, experts = _settings(candidate, options)
        cell = Cell(
            protocol=TUNE,
            dataset=name,
            method=options["method"],
            shots=options["shots"],
            seed=seed,
            preset=options["preset"],
            budget=options["budget"],
            setting=str(candidate),
            changes=changes,
            group_kind=OWN if experts is None else f"{FIRST}{experts}",
            classes=options["classes"],
            val_shots=options["val_shots"],
        )
        bench = bench_of(candidate.groups)
        one = bench.ready(cell)
        row = next((row for row in read_rows(out) if row["key"] == one.key), None)
        if row is None:
            row = bench.run(one)
            append_row(out, row)
        found = measured(row)
        same = f", {_ONE_ANSWER}" if found.constant else ""
        cli.say(f"seed {seed}  {candidate}: {_counted(options)} {found.accuracy:.2f} %{same}")
        return found

    return train


def _remark(one: Scored) -> str:
    """With how many seeds a candidate gives one answer; empty if with none."""
    return f"{_ONE_ANSWER}: {one.constant} of {len(one.results)} seeds" if one.constant else ""


def _counted(options: dict[str, Any]) -> str:
    """The name of the measure that candidates are ranked by."""
    return "val H" if options["classes"].endswith("halves") else "val accuracy"


def _settings(candidate: Candidate, options: dict[str, Any]) -> tuple[dict[str, Any], int | None]:
    """The settings a candidate changes, and how many groups of its file it uses (None: all)."""
    changes = {**settings_by_name(options["settings"]), **candidate.changes}
    return changes, changes.pop("experts", None)


def _command(best: Scored, out: Path, options: dict[str, Any]) -> str:
    """The command that trains with the chosen settings; if only the first groups are used, they get their own file."""
    from mocoop.bench.cell import BUDGETS

    changes, experts = _settings(best.candidate, options)
    changes = {**BUDGETS.get(options["budget"], {}), **changes}
    given = {
        "--method": options["method"],
        "--preset": options["preset"],
        "--groups": _groups_file(options["groups"][best.candidate.groups], experts, out) if options["groups"] else None,
        "--data": options["data"] or "scenes",
        "--class-names": options["class_names"],
        "--columns": _columns_text(options["columns"]),
        "--bands": options["bands"],
        "--range": options["value_range"],
        "--shots": options["shots"],
        "--classes": "base" if options["classes"].startswith("base") else "all",
        "--backbone": options["backbone"],
        "--pretrained": options["pretrained"],
    }
    words = [word for name, value in given.items() if value is not None for word in (name, str(value))]
    words += [f"--{name.replace('_', '-')}" for name in ("names_by_position", "follow_links") if options[name]]
    settings = [word for name, value in changes.items() for word in ("--set", f"{name}={setting_text(value)}")]
    return shlex.join(["mocoop", "train", *words, *settings, "-o", "run"])


def _columns_text(columns: dict[str, str] | None) -> str | None:
    """The columns as `--columns` takes them."""
    return None if columns is None else ",".join(f"{role}={column}" for role, column in columns.items())


def _groups_file(groups: Path, experts: int | None, out: Path) -> Path:
    from mocoop.bench.groupkinds import FIRST, groups_of_kind
    from mocoop.groupfile.groups import load_groups, save_groups

    if experts is None:
        return groups
    fewer = out.with_suffix(".groups.json")
    save_groups(fewer, groups_of_kind(load_groups(groups), f"{FIRST}{experts}", 0).document, overwrite=True)
    return fewer


COMMANDS = (tune,)
