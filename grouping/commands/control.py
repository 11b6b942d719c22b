"""`mocoop-groups control`: the same file with its meaning removed, for ablations."""

from __future__ import annotations

from pathlib import Path

import click

from mocoop import cli
from mocoop.grouping.commands.shared import FILE, deliver, force_option, load, out_option


@click.command()
@click.argument("path", metavar="FILE", type=FILE)
@click.option("--kind", type=click.Choice(["random", "shuffled-init", "waffle"]), required=True,
              help="What is taken out: the grouping, the choice of inits, or the meaning of the words.")  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed gives another control.")
@out_option
@force_option
def control(path: str, kind: str, seed: int, out: Path | None, force: bool) -> None:
    """Write a control of a file, to see whether its groups help.

    Train on both files and compare. random deals the templates into groups of the same sizes; shuffled-init starts each
    expert from another member; waffle puts random words for what the templates describe (after Roth et al. 2023). The
    same call gives the same file, to the byte.

    \b
    mocoop-groups control groups.json --kind random --seed 1 -o random-1.json
    mocoop-groups control groups.json --kind waffle -o waffle.json
    """
    from mocoop.grouping.control import control_of

    made = control_of(load(path), kind, seed)
    for notice in made.notices:
        cli.say(notice)
    deliver(made.document, out, force)
