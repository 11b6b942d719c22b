"""The command `mocoop bench`: protocols and ablations on data sets, one row per cell in one file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mocoop import cli
from mocoop.commands.shared import (
    FILE,
    cluster_of,
    cluster_options,
    device_options,
    names_by_position,
    numbers_of,
    parse_reading,
    reading_options,
    resumable,
    source_options,
    words_of,
)
from mocoop.config import METHODS, PRESETS, settings_by_name
from mocoop.errors import MoCoOpError, UsageError

if TYPE_CHECKING:
    from mocoop.bench.runner import BenchPlan

_PROTOCOLS = ("base-to-new", "few-shot", "cross-dataset", "domain-shift", "ablations")
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command(short_help="Compare methods on data sets by a protocol.")
@click.argument("protocol", type=click.Choice(_PROTOCOLS))
@click.option("--data-root", type=_FOLDER, help="The folder of CoOp's data sets.")
@click.option("--data", "others", type=click.Path(exists=True, path_type=Path), multiple=True,
              help="Any other data set, as in mocoop train; repeatable.")  # fmt: skip
@click.option("--datasets", help="Some of them by name, with commas, or all; scenes are the drawn tiles.  [default: "
              "all that is given, else scenes]")  # fmt: skip
@source_options
@reading_options
@click.option("--groups", help="A group file for all, or the word paper: each data set's own from the paper.")
@click.option("--methods", help="Some methods, with commas.  [default: all]")
@click.option("--ablation", "ablations", multiple=True, help="One of the ablations named above; repeatable.  [default: "
              "all]")  # fmt: skip
@click.option("--seeds", default="1,2,3", show_default=True, help="Seeds, with commas.")
@click.option("--shots", help="Images a class, with commas.  [default: 16; few-shot: 1,2,4,8,16]")
@click.option("--preset", type=click.Choice(list(PRESETS)), default="recommended", show_default=True,
              help="Settings: ours, each paper's, or the released code's.")  # fmt: skip
@click.option("--budget", type=click.Choice(["small"]), help="small: 30 epochs at batch 32 for every method.")
@click.option("--set", "settings", metavar="NAME=VALUE", multiple=True, help="Any setting, for every cell.")
@click.option("--tuned", type=click.Path(exists=True, dir_okay=False, path_type=Path), multiple=True,
              help="Rows of mocoop tune: every method with the settings that did best in them.")  # fmt: skip
@click.option("--source", default="imagenet", show_default=True, help="Trained on in cross-dataset and domain-shift.")
@click.option("--backbone", help="As in mocoop train.  [default: photoclip, and miniclip for the drawn tiles]")
@click.option("--pretrained", help="Its weights: a tag, a file, or TAG=FILE.")
@click.option("--quick-gelu/--no-quick-gelu", default=None, help="Activation of a weights file that does not tell.")
@click.option("--jobs", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes that share the work.")
@cluster_options
@device_options
@click.option("--no-cache", is_flag=True, help="Compute all features afresh and keep none.")
@click.option("--dry-run", is_flag=True, help="List the cells, and which are there already.")
@click.option("-o", "--out", type=FILE, required=True, help="The results file, JSON Lines; it is added to.")
def bench(protocol: str, out: Path, jobs: int, dry_run: bool, **options: Any) -> None:
    """Compare methods on data sets by a protocol, or by the paper's ablations.

    Each cell (data set, method, setting, shots, seed) becomes a row of the results file. What is there is not run
    again, so the same command goes on where it was stopped; several may run at once. `mocoop report` makes the page.

    Ablations: components, top-k, grouping (random groups), router-loss, experts, lambda-router, lambda-text, position,
    init-position, routing, inference-time.

    \b
    mocoop bench base-to-new --groups groups.json --budget small -o results.jsonl
    mocoop bench base-to-new --data-root DATA --datasets eurosat,dtd --groups paper \\
        --methods zero-shot,coop,mocoop --backbone ViT-B-16 --pretrained openai -o results.jsonl
    mocoop bench few-shot --data photos/ --groups groups.json --shots 1,4,16 --dry-run -o results.jsonl
    mocoop bench base-to-new --groups groups.json --tuned tune.jsonl -o results.jsonl
    mocoop bench ablations --ablation top-k --ablation grouping --groups groups.json -o results.jsonl
    mocoop bench few-shot --data photos/ --groups groups.json --engine ray --address auto -o results.jsonl
    """
    from mocoop.bench.cluster import run_on_ray
    from mocoop.bench.runner import list_cells, run_plan

    cluster = cluster_of(options)
    if cluster is not None and jobs > 1:
        raise UsageError("--jobs are processes of this machine", "give --workers with --engine ray")
    plan = _plan(protocol, out, options)
    if dry_run:
        found = list(list_cells(plan))
        cli.show_table(("cell", "state"), [(str(cell), "there" if done else "to do") for cell, done in found])
        there = sum(done for _, done in found)
        cli.say(f"{len(found)} cells: {there} there, {len(found) - there} to do")
        return
    with resumable():
        done = run_plan(plan, jobs) if cluster is None else run_on_ray(plan, _say, **cluster)
    cli.say(f"{done.cells} cells, {done.found} of them there before")
    if out.is_file():  # there is at least one row, new or old
        cli.say(f"next: mocoop report {cli.command_path(out)} -o report.html")
        click.echo(out)
    if done.failures:
        raise MoCoOpError(f"{len(done.failures)} cells failed", "the lines above name them")


def _say(note: str) -> None:
    cli.say(f"note: {note}")


def _tuned(searches: tuple[Path, ...], preset: str, groups: Mapping[str, Path]) -> dict[str, dict[str, Any]]:
    """The settings that the searches chose, by method. Raises UsageError if they have nothing for the preset.

    `groups` are the data sets' group files; it is noted if a search had others.
    """
    from mocoop.bench.rows import read_rows
    from mocoop.bench.tuning import ALL_CONSTANT, best_of, of_other_groups, told
    from mocoop.groupfile.groups import load_groups

    rows = [row for path in searches for row in read_rows(path)]
    found = {method: best for method in METHODS if (best := best_of(rows, method, preset)) is not None}
    if searches and not found:
        raise UsageError(
            f"no search of the preset {preset} is in {cli.command_path(searches[0])}", "mocoop tune writes them"
        )
    for method, best in found.items():
        cli.say(f"{method}: {told(best.candidate.changes)}")
        if best.constant:
            _say(f"{method}: {ALL_CONSTANT}")
    now = {name: load_groups(path).sha256 for name, path in groups.items()} if searches else {}
    if others := of_other_groups(rows, preset, now):
        _say(f"{', '.join(others)} was tuned with other groups than these, which its settings may not suit")
    return {method: dict(best.candidate.changes) for method, best in found.items()}


def _plan(protocol: str, out: Path, options: dict[str, Any]) -> BenchPlan:
    """Build the plan from the options. Raises UsageError, DataError."""
    from mocoop.bench.data import SCENES, find_data
    from mocoop.bench.protocols import ABLATIONS, INFERENCE, Comparison, ablation_cells, cells_of, trainable
    from mocoop.bench.runner import BenchPlan, group_files
    from mocoop.groupfile.groups import load_groups

    data = find_data(options["data_root"], options["others"], words_of(options["datasets"]))
    options["names_by_position"] = any(names_by_position(options, path) for path in data.values() if path is not None)
    groups = group_files(options["groups"], list(data))
    if options["ablations"] and protocol != "ablations":
        raise UsageError("--ablation goes with the protocol ablations", "write mocoop bench ablations --ablation ...")
    methods = words_of(options["methods"]) or list(METHODS)
    for method in methods:
        if method not in METHODS:
            raise UsageError(f"no method is called {method!r}", f"there are {', '.join(METHODS)}")
    what = Comparison(
        datasets=list(data),
        methods=methods,
        seeds=numbers_of("--seeds", options["seeds"]),
        shots=numbers_of("--shots", options["shots"], 1) if options["shots"] else None,
        preset=options["preset"],
        budget=options["budget"],
        source=options["source"],
        changes=settings_by_name(options["settings"]),
        tuned=_tuned(options["tuned"], options["preset"], groups),
    )
    if protocol == "ablations":
        if not groups:
            raise UsageError("ablations of the mixture need a group file", "give one with --groups")
        cells = [
            cell
            for name in options["ablations"] or (*ABLATIONS, INFERENCE)
            for dataset in trainable(list(data))
            for cell in ablation_cells(
                name, replace(what, datasets=[dataset]), len(load_groups(groups[dataset]).groups)
            )
        ]
    else:
        cells = cells_of(protocol, what)  # type: ignore[arg-type]
    return BenchPlan(
        cells=tuple(cells),
        data=data,
        results=out,
        groups=groups,
        backbone=options["backbone"] or ("miniclip" if set(data) == {SCENES} else "photoclip"),
        pretrained=options["pretrained"],
        device=options["device"],
        precision=options["precision"] or "auto",
        quick_gelu=options["quick_gelu"],
        threads=options["threads"],
        class_names=options["class_names"],
        names_by_position=options["names_by_position"],
        columns=options["columns"],
        follow_links=options["follow_links"],
        use_cache=not options["no_cache"],
        **parse_reading(options),
    )


COMMANDS = (bench,)
