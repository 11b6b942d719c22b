"""The command line `mocoop-groups`: make group files, check them, look at them.

Results go to stdout or to `-o FILE`, everything else to stderr. Nothing heavy is imported here; `--help` is quick.
"""

from __future__ import annotations

from typing import NoReturn

import click

from mocoop import cli
from mocoop.grouping.commands.answers import cache
from mocoop.grouping.commands.audit import validate
from mocoop.grouping.commands.change import add, lock, merge, move, remove, rename, set_init, split
from mocoop.grouping.commands.cluster import cluster
from mocoop.grouping.commands.control import control
from mocoop.grouping.commands.diff import diff
from mocoop.grouping.commands.doctor import doctor
from mocoop.grouping.commands.edit import edit
from mocoop.grouping.commands.exchange import export, import_
from mocoop.grouping.commands.generate import generate
from mocoop.grouping.commands.look import bank, domains, paper, schema, show
from mocoop.grouping.commands.measure import compare, stats
from mocoop.grouping.commands.plot import plot
from mocoop.grouping.commands.review import review


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@cli.options
def groups() -> None:
    """Make, check and look at files of template groups, one group for each expert of a mixture.

    \b
    mocoop-groups generate --domain "satellite imagery" -o groups.json
    mocoop-groups show groups.json
    mocoop-groups validate groups.json
    mocoop train --groups groups.json --data DIR -o run/
    """


for command in (generate, cluster, validate, stats, compare, plot, show, domains, bank, paper, schema):
    groups.add_command(command)

for command in (review, edit, add, remove, rename, move, merge, split, set_init, lock, diff):
    groups.add_command(command)

for command in (control, import_, export, cache, doctor):
    groups.add_command(command)


def main() -> NoReturn:
    """Entry point of `mocoop-groups`."""
    cli.run(groups, "mocoop-groups")
