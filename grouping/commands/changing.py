"""Shared parts of the commands that change a group file: their options, and applying a change to the file.

The changes are in `mocoop.grouping.editing.edit`. A command passes one here; it is validated, summarised on one line,
recorded in the provenance with its time, and written to its destination.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mocoop import cli
from mocoop.errors import UsageError
from mocoop.grouping.commands.shared import FILE, OUT, print_json, say_notice, stdin_or

if TYPE_CHECKING:
    from mocoop.groupfile.findings import Finding
    from mocoop.groupfile.groups import GroupFile
    from mocoop.grouping.editing.inplace import Opened

    Document = dict[str, Any]


@dataclass(frozen=True)
class Writing:
    """The file to change, and where the result goes."""

    path: str
    out: Path | None
    force: bool
    dry_run: bool
    as_json: bool

    def apply(self, step: str, change: Callable[[Document], Document]) -> bool:
        """Read the file, change it, report the change and write it; False if nothing changed.

        Raises GroupFileError if the file is invalid before or after the change, UsageError, StorageError.
        """
        from mocoop.groupfile.groups import dump_groups, parse_groups
        from mocoop.grouping.editing.byhand import stamped
        from mocoop.grouping.editing.diff import differences, one_line
        from mocoop.grouping.provenance import now

        opened = self.opened()
        document = change(opened.document)
        changes = differences(opened.document, document)
        told = one_line(changes)
        if changes:
            document = stamped(document, step, told, now())
        self._tell(told, opened.file, parse_groups(dump_groups(document), source=self.path))
        if self.as_json:
            print_json(changed=bool(changes), written=not self.dry_run, changes=[c.as_dict() for c in changes])
        if not self.dry_run and (changes or self.out is not None):
            self._write(opened, document, step, told)
        return bool(changes)

    def opened(self) -> Opened:
        """The file to change, from stdin if the path is -. Raises GroupFileError."""
        from mocoop.groupfile.groups import parse_groups
        from mocoop.grouping.editing.inplace import Opened, open_groups

        given = stdin_or(self.path)
        return Opened("-", given[0], parse_groups(given[0], source=given[1])) if given else open_groups(self.path)

    def _tell(self, told: str, before: GroupFile, after: GroupFile) -> None:
        prefix = "would change " if self.dry_run else ""
        click.echo(cli.printable(f"{prefix}{self.path}: {told}"), err=not self.dry_run or self.as_json)
        for finding in _new_findings(before, after):
            cli.say(f"{finding.severity}: {finding.code} {finding.message} ({finding.hint})")

    def put(self, data: bytes, step: str, told: str) -> None:
        """Write bytes where -o says, valid or not. Raises UsageError, StorageError."""
        from mocoop.grouping.editing.inplace import write_anew

        if self.out is None or str(self.out) == "-":
            if self.as_json:
                raise UsageError("the file and --json cannot both go to stdout", "give the file a name with -o FILE")
            click.echo(data, nl=False)
        elif os.path.lexists(self.out) and not self.force:
            raise UsageError(f"{self.out} exists already", "choose another name, or overwrite it with --force")
        else:
            say_notice(write_anew(self.out, data, command=step, told=f"written anew from {self.path}: {told}"))

    def _write(self, opened: Opened, document: Document, step: str, told: str) -> None:
        from mocoop.groupfile.groups import dump_groups
        from mocoop.grouping.editing.inplace import write_document

        if self.out is None and self.path != "-":
            say_notice(write_document(opened, document, command=step, told=told).notice)
        else:
            self.put(dump_groups(document), step, told)


def changes_file(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the argument FILE and the options -o, --force, --dry-run and --json, passed on as one `writing`."""

    @click.argument("path", metavar="FILE", type=FILE)
    @click.option("-o", "--out", type=OUT, help="Write there, and leave FILE as it is.")
    @click.option("--force", is_flag=True, help="Overwrite the file of -o.")
    @click.option("--dry-run", is_flag=True, help="Only say what would change.")
    @click.option("--json", "as_json", is_flag=True, help="The changes as one JSON object.")
    @wraps(command)
    def wrapped(path: str, out: Path | None, force: bool, dry_run: bool, as_json: bool, **others: Any) -> Any:
        return command(writing=Writing(path, out, force, dry_run, as_json), **others)

    return wrapped


def _new_findings(before: GroupFile, after: GroupFile) -> list[Finding]:
    """Warnings that the change introduced, including that the metrics no longer match."""
    known = {(finding.code, finding.message) for finding in before.findings}
    told = [finding for finding in after.findings if finding.severity == "warning" or finding.code == "G120"]
    return [finding for finding in told if (finding.code, finding.message) not in known]
