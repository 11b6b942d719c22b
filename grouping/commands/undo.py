"""The commands `mocoop-groups undo` and `redo`: the last changes of a group file, taken back and done again."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING

import click

from mocoop import cli
from mocoop.errors import UsageError
from mocoop.grouping.commands.changing import Writing, changes_file
from mocoop.grouping.commands.shared import print_json

if TYPE_CHECKING:
    from mocoop.grouping.editing.inplace import Restored
    from mocoop.grouping.editing.journal import Step

STEPS = click.option("--steps", type=click.IntRange(min=1), default=1, show_default=True, help="How many changes.")


@click.command()
@changes_file
@STEPS
@click.option("--list", "listed", is_flag=True, help="List the changes that are kept, and undo nothing.")
def undo(writing: Writing, steps: int, listed: bool) -> None:
    """Take the last change of a group file back, to the byte.

    Any change by these commands can be undone: also those of edit and review, and a file written anew with --force. The
    last 200 changes of a file are kept outside its folder (in $MOCOOP_STATE, or the system's folder for such things).
    A file that something else has changed since is left as it is; -o writes what it held before to another file.

    \b
    mocoop-groups undo groups.json
    mocoop-groups undo groups.json --list
    mocoop-groups undo groups.json --steps 3 --dry-run
    """
    from mocoop.grouping.editing import inplace

    _refuse_stdin(writing)
    if listed:
        _list(writing)
    elif writing.out is not None:
        restored = inplace.earlier(writing.path, steps)
        if not writing.dry_run:
            writing.put(restored.data, "undo", f"before {restored.steps[-1].command}")
        _tell(writing, restored, "undone there")
    else:
        _tell(writing, inplace.undo(writing.path, steps, write=not writing.dry_run), "undone")


@click.command()
@changes_file
@STEPS
def redo(writing: Writing, steps: int) -> None:
    """Do a change again that undo took back.

    A new change ends that: what was taken back before it is gone.

    \b
    mocoop-groups redo groups.json
    """
    from mocoop.grouping.editing import inplace

    _refuse_stdin(writing)
    restored = inplace.redo(writing.path, steps, write=not writing.dry_run and writing.out is None)
    if writing.out is not None and not writing.dry_run:
        writing.put(restored.data, "redo", f"after {restored.steps[-1].command}")
    _tell(writing, restored, "done again" if writing.out is None else "done again there")


def _refuse_stdin(writing: Writing) -> None:
    if writing.path == "-":
        raise UsageError("stdin has no changes to undo", "give the path of a group file")


def _tell(writing: Writing, restored: Restored, what: str) -> None:
    """Say which steps were taken back or done again, the first of them first."""
    would = "would be " if writing.dry_run else ""
    for step in restored.steps:
        told = f"{writing.path}: {would}{what}: {step.command}, {_when(step)}: {step.told}"
        click.echo(cli.printable(told), err=not writing.dry_run or writing.as_json)
    if writing.as_json:
        print_json(written=not writing.dry_run, steps=list(map(asdict, restored.steps)))


def _list(writing: Writing) -> None:
    """The steps that are kept, the latest first: what undo takes back next stands first among those done."""
    from mocoop.grouping.editing.inplace import history_of

    history, unchanged = history_of(writing.path)
    states = ["done"] * history.done + ["undone"] * (len(history.steps) - history.done)
    if writing.as_json:
        steps = [{**asdict(step), "state": state} for step, state in zip(history.steps, states, strict=True)]
        print_json(as_left=unchanged, steps=steps[::-1])
        return
    rows = [(_when(s), s.command, state, s.told) for s, state in zip(history.steps, states, strict=True)]
    cli.show_table(("when", "command", "state", "what it did"), rows[::-1])
    if history.done and not unchanged:
        cli.say(f"{writing.path} was changed by something else after that, so nothing can be undone in it; -o can")


def _when(step: Step) -> str:
    """The time of a step here, to the minute."""
    try:
        return f"{datetime.fromisoformat(step.at.replace('Z', '+00:00')).astimezone():%Y-%m-%d %H:%M}"
    except ValueError:
        return step.at
