"""The demonstration: `mocoop scenes` and `mocoop demo`."""

from __future__ import annotations

from pathlib import Path

import click

from mocoop import cli
from mocoop.commands.shared import FOLDER, SEED, json_option, print_json
from mocoop.errors import UsageError


@click.command(short_help="Draw the demonstration's data.")
@click.option("-o", "--out", type=FOLDER, required=True, help="A new or empty folder.")
@click.option("--train", type=click.IntRange(min=1), default=4, show_default=True,
              help="Training tiles a class and style.")  # fmt: skip
@click.option("--val", type=click.IntRange(min=0), default=1, show_default=True, help="Validation tiles.")
@click.option("--test", type=click.IntRange(min=1), default=6, show_default=True, help="Test tiles.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Which tiles.")
def scenes(out: Path, train: int, val: int, test: int, seed: int) -> None:
    """Write the demonstration's data: drawn satellite-like tiles as folders of classes.

    They are drawings, no photographs; the file names carry the visual style.

    \b
    mocoop scenes -o scenes/
    """
    if out.is_dir() and any(out.iterdir()):
        raise UsageError(f"{out} is not empty", "choose a new folder")

    from mocoop.miniclip.scenes import write_scenes

    write_scenes(out, train=train, val=val, test=test, seed=seed)
    cli.say("next: mocoop-groups generate --domain 'satellite imagery' -o groups.json")
    cli.say(f"      mocoop train --groups groups.json --data {cli.command_path(out)} --classes base -o run")
    click.echo(out)


@click.command(short_help="From groups to a report with pictures, in minutes.")
@click.option("-o", "--out", type=FOLDER, required=True, help="Where everything goes.")
@click.option("--force", is_flag=True, help="Replace an earlier demonstration.")
@json_option
def demo(out: Path, force: bool, as_json: bool) -> None:
    """The whole story in a few minutes: groups, training, evaluation, prediction and a report with pictures.

    It runs on drawn tiles with miniclip, a stand-in: the numbers say that the method runs, not how well it does.

    \b
    mocoop demo -o demo/
    """
    from mocoop.demo.results import DemoPlan
    from mocoop.demo.story import run_demo
    from mocoop.reporting.printing import print_demo

    results = run_demo(DemoPlan(out=out, force=force))
    if as_json:
        print_json(results)
    else:
        print_demo(results)


COMMANDS = (demo, scenes)
