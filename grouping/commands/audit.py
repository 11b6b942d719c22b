"""The commands that judge a group file: `validate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mocoop import cli
from mocoop.errors import GroupFileError
from mocoop.grouping.commands.shared import FILE, TEXT_FILE, class_names, stdin_or

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mocoop.findings import Finding


@click.command()
@click.argument("paths", metavar="FILE...", nargs=-1, required=True, type=FILE)
@click.option("--strict", is_flag=True, help="Warnings fail too (exit code 1).")
@click.option("--classes", type=TEXT_FILE,
              help="Class names, one a line: exact token counts, and wording that clashes with them.")  # fmt: skip
@click.option("--context-length", type=click.IntRange(min=3), default=77, show_default=True,
              help="Tokens the backbone takes.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON object with every finding.")
def validate(paths: tuple[str, ...], strict: bool, classes: Path | None, context_length: int, as_json: bool) -> int:
    """Check group files: every problem at once, where it is and how to mend it.

    Exit code 3 with any error, 0 otherwise; with --strict, 1 where there are warnings only. `-` reads stdin.

    \b
    mocoop-groups validate groups.json
    mocoop-groups validate *.json --classes classes.txt --strict
    """
    names = class_names(classes)
    findings = [finding for path in paths for finding in _check(path, names, context_length)]
    severities = {finding.severity for finding in findings}
    if as_json:
        click.echo(json.dumps({"format": 1, "findings": [finding.as_dict() for finding in findings]}, indent=2))
    else:
        for finding in findings:
            click.echo(cli.printable(f"{finding.severity}: {finding}"))
        cli.say(_verdict(len(paths), findings))
    if "error" in severities:
        return GroupFileError.exit_code
    return 1 if strict and "warning" in severities else 0


def _check(path: str, names: Sequence[str] | None, context_length: int) -> list[Finding]:
    """All findings of one file; one that cannot be read gives a finding too."""
    from mocoop.groups import check, load_groups

    given = stdin_or(path)
    if given:
        return check(given[0], source=given[1], class_names=names, context_length=context_length)
    try:
        return list(load_groups(path, class_names=names, context_length=context_length).findings)
    except GroupFileError as error:
        if not error.findings:
            raise
        return list(error.findings)


def _verdict(files: int, findings: list[Finding]) -> str:
    counts = {kind: sum(f.severity == kind for f in findings) for kind in ("error", "warning", "info")}
    told = ", ".join(f"{n} {kind}{'s' if n != 1 and kind != 'info' else ''}" for kind, n in counts.items() if n)
    return f"{files} file{'s' if files != 1 else ''} checked: {told or 'nothing to mend'}"
