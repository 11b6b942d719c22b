"""The command that checks group files by rules and optionally by meaning, and can fix some problems: `validate`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from mocoop import cli
from mocoop.errors import GroupFileError, UsageError
from mocoop.grouping.commands.embedding import EmbedderOptions, choice, embedder_options
from mocoop.grouping.commands.measure import named
from mocoop.grouping.commands.shared import FILE, class_names, say_notice, stdin_or

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mocoop.groupfile.findings import Finding


@dataclass(frozen=True)
class Checking:
    """What files are checked against; `embedder` is None unless meanings are compared too."""

    names: tuple[str, ...] | None
    context_length: int
    embedder: EmbedderOptions | None


@click.command()
@click.argument("paths", metavar="FILE...", nargs=-1, required=True, type=FILE)
@click.option("--strict", is_flag=True, help="Warnings fail too (exit code 1).")
@click.option("--context-length", type=click.IntRange(min=3), default=77, show_default=True,
              help="Tokens the backbone takes.")  # fmt: skip
@click.option("--embed", is_flag=True,
              help="Compare meanings too: near twins, misfits, groups alike (G107 to G109).")  # fmt: skip
@embedder_options
@click.option("--fix", is_flag=True,
              help="Mend spaces, curly quotes, full stops and exact twins of a group, in the file.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON object with every finding.")
def validate(
    paths: tuple[str, ...],
    strict: bool,
    context_length: int,
    embed: bool,
    embedder: EmbedderOptions,
    fix: bool,
    as_json: bool,
) -> int:
    """Check group files, and say how to mend each problem.

    Every problem is told at once, with its place. Exit code 3 with any error, 0 otherwise; with --strict, 1 where there
    are warnings only. `-` reads stdin. With --fix, what is told is what was mended and what is left then. Class names
    (--classes) give exact token counts and show wording that clashes with them.

    \b
    mocoop-groups validate groups.json
    mocoop-groups validate *.json --classes classes.txt --strict
    mocoop-groups validate groups.json --embed --backbone ViT-B-16 --pretrained openai
    mocoop-groups validate groups.json --fix
    """
    _refuse_unused(embed, embedder, fix, paths)
    checking = Checking(class_names(embedder.classes), context_length, embedder if embed else None)
    fixed = [{"source": path, "done": done} for path in paths if fix for done in _fix(path)]
    findings = [finding for path in paths for finding in _check(path, checking)]
    if as_json:
        listed: dict[str, Any] = {"fixed": fixed} if fix else {}
        content = {"format": 1, **listed, "findings": [finding.as_dict() for finding in findings]}
        click.echo(json.dumps(content, indent=2))
    else:
        for entry in fixed:
            click.echo(cli.printable(f"fixed: {entry['source']}: {entry['done']}"))
        for finding in findings:
            click.echo(cli.printable(f"{finding.severity}: {finding}"))
        cli.say(_verdict(len(paths), findings))
    return _exit_code(findings, strict)


def _refuse_unused(embed: bool, embedder: EmbedderOptions, fix: bool, paths: Sequence[str]) -> None:
    """Raises UsageError for options that would have no effect or are not possible."""
    if not embed and named(embedder):
        raise UsageError("a way to compare meanings was named, but not --embed", "add --embed")
    if fix and "-" in paths:
        raise UsageError("--fix mends a file in its place; stdin has none", "give the file's path")


def _check(path: str, checking: Checking) -> list[Finding]:
    """All findings about one file; an unreadable file gives a finding too."""
    from mocoop.groupfile.groups import check, read_groups

    try:
        data, source = stdin_or(path) or (read_groups(path), path)
    except GroupFileError as error:
        return list(error.findings)
    findings = check(data, source=source, class_names=checking.names, context_length=checking.context_length)
    if checking.embedder is None:
        return findings
    if any(finding.severity == "error" for finding in findings):
        cli.say(f"{source}: meanings are not compared while there are errors")
        return findings
    return _with_meaning(data, source, findings, checking.embedder)


def _with_meaning(data: bytes, source: str, findings: list[Finding], embedder: EmbedderOptions) -> list[Finding]:
    from mocoop.groupfile.groups import parse_groups, with_problems
    from mocoop.grouping.measuring.audit import embedding_problems
    from mocoop.grouping.measuring.meaning import vectors_of

    file = parse_groups(data, source=source)
    seen = vectors_of(file, choice(embedder, file.class_kind))
    for notice in seen.embedding.notices:
        cli.say(notice)
    problems = embedding_problems(file, seen.embedding, seen.means)
    return with_problems(data, findings, problems, source)


def _fix(path: str) -> list[str]:
    """Fix a file in place and return what was done. A file that would still be invalid is not written."""
    from mocoop.groupfile.groups import MAX_BYTES, dump_groups, parse_groups, read_groups
    from mocoop.grouping.editing.inplace import write_bytes
    from mocoop.grouping.provenance import now, with_step
    from mocoop.grouping.tidy import tidied
    from mocoop.strictjson import parse

    try:
        data = read_groups(path)
    except GroupFileError:
        return []  # the check says why
    parsed = parse(data, max_bytes=MAX_BYTES)
    if parsed.faults or not isinstance(parsed.value, dict):
        return []
    document, done = tidied(parsed.value)
    if not done:
        return []
    try:
        parse_groups(dump_groups(document), source=path)
    except GroupFileError:
        cli.say(f"{path}: nothing was mended, since errors would be left that only a person can mend")
        return []
    told = f"{len(done)} mended"
    document = with_step(document, "fix", at=now(), change=told)
    say_notice(write_bytes(path, dump_groups(document), before=data, command="validate --fix", told=told).notice)
    return done


def _exit_code(findings: Sequence[Finding], strict: bool) -> int:
    severities = {finding.severity for finding in findings}
    if "error" in severities:
        return GroupFileError.exit_code
    return 1 if strict and "warning" in severities else 0


def _verdict(files: int, findings: list[Finding]) -> str:
    counts = {kind: sum(f.severity == kind for f in findings) for kind in ("error", "warning", "info")}
    told = ", ".join(f"{n} {kind}{'s' if n != 1 and kind != 'info' else ''}" for kind, n in counts.items() if n)
    return f"{files} file{'s' if files != 1 else ''} checked: {told or 'nothing to mend'}"
