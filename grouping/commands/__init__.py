"""The command line `mocoop-groups`: make, check and inspect group files.

Results go to stdout or to `-o FILE`, everything else to stderr. No heavy imports here, so that `--help` is fast.
"""

from __future__ import annotations

from itertools import chain
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
from mocoop.grouping.commands.undo import redo, undo

SECTIONS = {
    "Make": (generate, cluster),
    "Look and check": (show, validate, stats, plot),
    "Change": (review, edit, add, remove, rename, move, merge, split, set_init, lock, undo, redo),
    "Compare and control": (diff, compare, control),
    "In and out": (import_, export),
    "What comes with it": (domains, bank, paper, schema),
    "This machine": (doctor, cache),
}


class _Sectioned(click.Group):
    """A command line whose help lists the commands under headings."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the sections, with all descriptions aligned in one column."""
        widest = max(map(len, self.commands))
        room = formatter.width - widest - 6
        for heading, commands in SECTIONS.items():
            with formatter.section(heading):
                named = [(str(command.name), command.get_short_help_str(room)) for command in commands]
                formatter.write_dl([(name.ljust(widest), told) for name, told in named])


@click.group(cls=_Sectioned, context_settings={"help_option_names": ["-h", "--help"]})
@cli.options
def groups() -> None:
    """Make, check and look at files of template groups, one group for each expert of a mixture.

    \b
    mocoop-groups generate --domain "satellite imagery" -o groups.json
    mocoop-groups show groups.json
    mocoop-groups validate groups.json
    mocoop train --groups groups.json --data DIR -o run/
    """


for command in chain.from_iterable(SECTIONS.values()):
    groups.add_command(command)


def main() -> NoReturn:
    """Entry point of `mocoop-groups`."""
    cli.run(groups, "mocoop-groups")
