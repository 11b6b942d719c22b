"""`mocoop-groups diff`: the differences between two group files, by content."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from mocoop import cli
from mocoop.errors import UsageError
from mocoop.grouping.commands.shared import FILE, json_option, load, print_json

if TYPE_CHECKING:
    from mocoop.grouping.editing.diff import Change

_COLOURS = {"added": "green", "group-added": "green", "readmitted": "green", "removed": "red", "group-removed": "red",
            "excluded": "red", "moved": "cyan", "reworded": "yellow"}  # fmt: skip


@click.command()
@click.argument("before", metavar="A", type=FILE)
@click.argument("after", metavar="B", type=FILE)
@click.option("--exit-code", is_flag=True, help="Exit with 1 where the files differ.")
@json_option
def diff(before: str, after: str, exit_code: bool, as_json: bool) -> int:
    """Say what differs between two group files, by meaning.

    Told are templates moved, added, removed or reworded, inits, notes and order. Spelling of the JSON and provenance do
    not count. `-` reads stdin.

    \b
    mocoop-groups diff groups.json edited.json
    git show HEAD:groups.json | mocoop-groups diff - groups.json --exit-code
    """
    from mocoop.grouping.editing.diff import differences

    if before == after == "-":
        raise UsageError("only one of the two can be stdin", "give the other as a file")
    documents = [load(path).document for path in (before, after)]
    changes = differences(*documents)
    if as_json:
        print_json(before=_sizes(documents[0]), after=_sizes(documents[1]), changes=[c.as_dict() for c in changes])
    else:
        for change in changes:
            click.echo(_coloured(change))
        cli.say(_verdict(documents, len(changes)))
    return 1 if exit_code and changes else 0


def _coloured(change: Change) -> str:
    line, colour = cli.printable(change.sentence()), _COLOURS.get(change.kind)
    plain = colour is None or not cli.on_terminal() or os.environ.get("NO_COLOR")
    return line if plain else click.style(line, fg=colour)


def _verdict(documents: list[dict[str, Any]], count: int) -> str:
    if not count:
        return "the same groups and templates"
    was, now = map(_sizes, documents)
    told = f"{count} difference{'s' if count != 1 else ''}"
    return f"{told}; groups {was['groups']} -> {now['groups']}, templates {was['templates']} -> {now['templates']}"


def _sizes(document: dict[str, Any]) -> dict[str, int]:
    groups = document["groups"]
    return {"groups": len(groups), "templates": sum(len(group["templates"]) for group in groups)}
