"""Shared parts of the commands: options, reading a group file or stdin, writing the result."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mocoop import cli
from mocoop.errors import UsageError

if TYPE_CHECKING:
    from mocoop.groupfile.groups import Group, GroupFile

FILE = click.Path(readable=False, allow_dash=True)  # the loader reports files that cannot be read
TEXT_FILE = click.Path(path_type=Path)
OUT = click.Path(dir_okay=False, writable=False, allow_dash=True, path_type=Path)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
out_option = click.option("-o", "--out", type=OUT, help="Where the group file goes; stdout if left out.")
force_option = click.option("--force", is_flag=True, help="Overwrite the file.")


def group_count(text: str) -> int | None:
    """Parse a number of groups; None for auto. Raises UsageError."""
    if text == "auto":
        return None
    if not re.fullmatch("[0-9]{1,9}", text):
        raise UsageError(f"--groups is {text!r}", "give a number or auto")
    return int(text)


def deliver(document: dict[str, Any], out: Path | None, force: bool) -> None:
    """Check a group file and write it to stdout or to a file; for a file, suggest the next commands."""
    from mocoop.groupfile.groups import dump_groups, parse_groups
    from mocoop.grouping.editing.inplace import write_anew

    if out is None or str(out) == "-":
        data = dump_groups(document)
        parse_groups(data, source="<generated>")
        click.echo(data, nl=False)  # as bytes, so that the output does not depend on the locale
        return
    if os.path.lexists(out) and not force:
        raise UsageError(f"{out} exists already", "choose another name, or overwrite it with --force")
    data = dump_groups(document)
    groups = parse_groups(data, source=str(out)).groups
    counts = f"{len(groups)} groups, {sum(len(group.templates) for group in groups)} templates"
    command = str(click.get_current_context().info_name)
    notice = write_anew(out, data, command=command, told=f"written anew: {counts}")
    path = cli.command_path(out)
    cli.say(f"{path}: {counts}")
    say_notice(notice)
    cli.say(f"next: mocoop-groups show {path}   then: mocoop train --groups {path} --data DIR -o run")


def say_notice(notice: str | None) -> None:
    """Say why a change that was written cannot be undone, if so."""
    if notice:
        cli.say(notice)


def print_json(**content: Any) -> None:
    """Print one JSON object to stdout, with its format number."""
    click.echo(json.dumps({"format": 1, **content}, indent=2))


def class_names(path: Path | None) -> tuple[str, ...] | None:
    """Class names from a text file, one per line. Raises DataError."""
    if path is None:
        return None
    from mocoop.data.classnames import read_list

    return read_list(path)


def stdin_or(path: str) -> tuple[bytes, str] | None:
    """The contents of stdin if the path is -; reads just enough to detect that it is too large."""
    from mocoop.groupfile.groups import MAX_BYTES

    return (sys.stdin.buffer.read(MAX_BYTES + 1), "<stdin>") if path == "-" else None


def load(path: str) -> GroupFile:
    """Load a group file, from stdin if the path is -. Raises GroupFileError."""
    from mocoop.groupfile.groups import load_groups, parse_groups

    given = stdin_or(path)
    return parse_groups(given[0], source=given[1]) if given else load_groups(path)


def group_named(file: GroupFile, group_id: str) -> Group:
    """The group with the given id. Raises UsageError that lists the ids."""
    for group in file.groups:
        if group.id == group_id:
            return group
    raise UsageError(f"no group is called {group_id!r}", f"there are {', '.join(g.id for g in file.groups)}")
