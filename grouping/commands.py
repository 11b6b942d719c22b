"""The command line `mocoop-groups`: make group files, check them, look at them.

Results go to stdout or to `-o FILE`, everything else to stderr. Nothing heavy is imported here; `--help` is quick.
"""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from mocoop import cli
from mocoop.errors import GroupFileError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mocoop.findings import Finding
    from mocoop.grouping.bank import Aspect, Bank
    from mocoop.groups import Group, GroupFile

FILE = click.Path(readable=False, allow_dash=True)  # whether it can be read, the loader finds out and says
TEXT_FILE = click.Path(path_type=Path)
OUT = click.Path(dir_okay=False, writable=False, allow_dash=True, path_type=Path)
MAX_CLASS_BYTES = 16 * 1024 * 1024

_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_out_option = click.option("-o", "--out", type=OUT, help="Where the group file goes; stdout if left out.")
_force_option = click.option("--force", is_flag=True, help="Overwrite the file.")


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


@groups.command()
@click.option("--domain", required=True, help="What the images are of, in plain words.")
@click.option("--backend", type=click.Choice(["auto", "bank"]), default="auto", show_default=True,
              help="Who writes the templates; auto is the bank.")  # fmt: skip
@click.option("--groups", "count", default="auto", show_default=True, help="How many groups, or auto.")
@click.option("--per-group", default=6, show_default=True, help="Templates a group, at most.")
@click.option("--class-kind", help="What the classes are: object, scene, activity, texture, finding or mixed.")
@click.option("--profile", "profiles", multiple=True, help="Overrule the profile that the domain would match.")
@click.option("--supertype", help='What every class is a kind of, such as "land cover".')
@click.option("--classes", type=TEXT_FILE, help="Class names, one a line: templates that contain one are left out.")
@click.option("--general/--no-general", default=True, show_default=True, help="Keep one group of plain wording.")
@_out_option
@_force_option
def generate(
    domain: str,
    backend: str,
    count: str,
    per_group: int,
    class_kind: str | None,
    profiles: tuple[str, ...],
    supertype: str | None,
    classes: Path | None,
    general: bool,
    out: Path | None,
    force: bool,
) -> None:
    """Write a group file for a domain.

    The bank's templates are hand-written; the same call gives the same file, to the byte.

    \b
    mocoop-groups generate --domain "satellite imagery" -o groups.json
    mocoop-groups generate --domain "chest x-rays" --groups 5 --per-group 4
    """
    from mocoop.grouping.generate import generate_from_bank

    if backend == "auto":
        cli.say("backend: bank (hand-written templates, nothing leaves this machine)")
    made = generate_from_bank(
        domain,
        groups=_group_count(count),
        per_group=per_group,
        class_kind=class_kind,
        profiles=profiles,
        supertype=supertype,
        class_names=_class_names(classes) or (),
        include_general=general,
    )
    for notice in made.notices:
        cli.say(notice)
    _deliver(made.document, out, force)


@groups.command()
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
    names = _class_names(classes)
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


@groups.command()
@click.argument("path", metavar="FILE", type=FILE)
@click.option("--group", "group_id", help="One group, with its templates.")
@click.option("--tokens", is_flag=True, help="Token counts before and after the class name.")
@click.option("--json", "as_json", is_flag=True, help="The groups as one JSON object.")
def show(path: str, group_id: str | None, tokens: bool, as_json: bool) -> None:
    """Show the groups of a file; * marks the template that starts the expert.

    \b
    mocoop-groups show groups.json
    mocoop-groups show groups.json --group overhead_night --tokens
    """
    file = _load(path)
    chosen = [_group_named(file, group_id)] if group_id else list(file.groups)
    if as_json:
        _print_json(domain=file.domain, groups=[_plain(group, tokens) for group in chosen])
    elif group_id is None and not tokens:
        heading: tuple[str, ...] = ("group", "title", "templates", "longest (tokens)", "init", "reviewed")
        cli.show_table(heading, map(_group_row, chosen), title=file.domain)
    else:
        heading = ("group", "template", "tokens before", "tokens after") if tokens else ("group", "template")
        cli.show_table(heading, [row for group in chosen for row in _template_rows(group, tokens)], title=file.domain)


@groups.command()
@click.argument("domain", required=False)
@_json_option
def domains(domain: str | None, as_json: bool) -> None:
    """List the domain profiles, or say which one a text would call for and why.

    \b
    mocoop-groups domains
    mocoop-groups domains "thermal drone images"
    """
    from mocoop.grouping.domains import load_profiles, match_domain
    from mocoop.grouping.generate import clean_domain

    if domain is None:
        profiles, found = load_profiles(), {}
    else:
        match = match_domain(clean_domain(domain))
        profiles, found = match.profiles, {p.name: word for p, word in zip(match.profiles, match.words, strict=False)}
        if not found:
            cli.say("no profile matches: the general one serves")
    if as_json:
        _print_json(found=found, profiles=[asdict(profile) for profile in profiles])
        return
    rows = [
        (p.name, p.class_kind, p.suggested_groups, found.get(p.name, ", ".join(p.match)), ", ".join(p.aspects))
        for p in profiles
    ]
    cli.show_table(("profile", "classes are", "groups", "found" if found else "words", "aspects"), rows)


@groups.command()
@click.argument("aspect", required=False)
@click.option("--search", metavar="WORD", help="Only templates that contain a word.")
@_json_option
def bank(aspect: str | None, search: str | None, as_json: bool) -> None:
    """Look into the bank of hand-written templates.

    \b
    mocoop-groups bank
    mocoop-groups bank overhead_night
    mocoop-groups bank --search snow
    """
    from mocoop.grouping.bank import load_bank

    whole = load_bank()
    chosen = whole.aspects if aspect is None else [_aspect_named(whole, aspect)]
    if search is not None:
        chosen = [replace(a, templates=a.search(search)) for a in chosen if a.search(search)]
        if not chosen:
            cli.say(f"no template contains {search!r}")
    if as_json:
        _print_json(bank=whole.name, bank_version=whole.version, aspects=[asdict(a) for a in chosen])
    elif aspect is None and search is None:
        rows = [(a.name, a.family, len(a.templates), a.description) for a in chosen]
        cli.show_table(("aspect", "family", "templates", "what it is for"), rows)
    else:
        cli.show_table(("aspect", "template"), [(a.name, text) for a in chosen for text in a.templates])


@groups.command()
@click.argument("name", required=False)
@_out_option
@_force_option
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON; a group file is JSON in any case.")
def paper(name: str | None, out: Path | None, force: bool, as_json: bool) -> None:
    """List the paper's own groups, or write those of one of its data sets.

    \b
    mocoop-groups paper
    mocoop-groups paper eurosat -o groups.json
    """
    from mocoop.grouping.paper import paper_groups, paper_names
    from mocoop.groups import parse_groups

    if name is not None:
        _deliver(parse_groups(paper_groups(name), source=name).document, out, force)
        return
    files = [(entry, parse_groups(paper_groups(entry), source=entry).groups) for entry in paper_names()]
    rows = [(entry, len(found), sum(len(group.templates) for group in found)) for entry, found in files]
    if as_json:
        _print_json(sets=[{"name": entry, "groups": count, "templates": total} for entry, count, total in rows])
    else:
        cli.show_table(("data set", "groups", "templates"), rows)


@groups.command()
@click.option("--path", "only_path", is_flag=True, help="Only say where it is, for an editor's settings.")
def schema(only_path: bool) -> None:
    """Print the JSON Schema of group files, which editors use for completion.

    \b
    mocoop-groups schema > groups.schema.json
    mocoop-groups schema --path
    """
    from importlib.resources import files

    from mocoop.groups import schema_bytes

    if only_path:
        click.echo(str(files("mocoop.schemas").joinpath("groups.v1.json")))
    else:
        click.echo(schema_bytes(), nl=False)


def main() -> NoReturn:
    """Entry point of `mocoop-groups`."""
    cli.run(groups, "mocoop-groups")


def _group_count(text: str) -> int | None:
    if text == "auto":
        return None
    if not re.fullmatch("[0-9]{1,9}", text):
        raise UsageError(f"--groups is {text!r}", "give a number or auto")
    return int(text)


def _deliver(document: dict[str, Any], out: Path | None, force: bool) -> None:
    """Check a group file and write it: to stdout, or to a file, and then say what may come next."""
    from mocoop.groups import dump_groups, parse_groups, save_groups

    if out is None or str(out) == "-":
        data = dump_groups(document)
        parse_groups(data, source="<generated>")
        click.echo(data, nl=False)  # as bytes: the same ones whatever the locale
        return
    if os.path.lexists(out) and not force:
        raise UsageError(f"{out} exists already", "choose another name, or overwrite it with --force")
    saved = save_groups(out, document, overwrite=force)
    templates = sum(len(group.templates) for group in saved.groups)
    path = cli.command_path(out)
    cli.say(f"{path}: {len(saved.groups)} groups, {templates} templates")
    cli.say(f"next: mocoop-groups show {path}   then: mocoop train --groups {path} --data DIR -o run")


def _print_json(**content: Any) -> None:
    click.echo(json.dumps({"format": 1, **content}, indent=2))


def _class_names(path: Path | None) -> tuple[str, ...] | None:
    """Class names of a text file, one a line. Raises DataError."""
    if path is None:
        return None
    from mocoop.data.classnames import read_list

    return read_list(path)


def _stdin_or(path: str) -> tuple[bytes, str] | None:
    """What stands on stdin where the path is -, no more of it than shows that it is too large."""
    from mocoop.groups import MAX_BYTES

    return (sys.stdin.buffer.read(MAX_BYTES + 1), "<stdin>") if path == "-" else None


def _load(path: str) -> GroupFile:
    from mocoop.groups import load_groups, parse_groups

    given = _stdin_or(path)
    return parse_groups(given[0], source=given[1]) if given else load_groups(path)


def _check(path: str, names: Sequence[str] | None, context_length: int) -> list[Finding]:
    """All findings of one file; one that cannot be read gives a finding too."""
    from mocoop.groups import check, load_groups

    given = _stdin_or(path)
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


def _group_named(file: GroupFile, group_id: str) -> Group:
    for group in file.groups:
        if group.id == group_id:
            return group
    raise UsageError(f"no group is called {group_id!r}", f"there are {', '.join(g.id for g in file.groups)}")


def _aspect_named(bank: Bank, name: str) -> Aspect:
    try:
        return bank.aspect(name)
    except KeyError:
        from mocoop.groupschema import nearest

        near = nearest(name, [aspect.name for aspect in bank.aspects])
        hint = f"did you mean {near}?" if near else "`mocoop-groups bank` lists them"
        raise UsageError(f"the bank has no aspect {name!r}", hint) from None


def _plain(group: Group, tokens: bool) -> dict[str, Any]:
    counts = {"tokens": [_tokens(text) for text in group.texts]} if tokens else {}
    return {
        "id": group.id,
        "title": group.title,
        "description": group.description,
        "init": group.init,
        "reviewed": group.reviewed,
        "locked": group.locked,
        "templates": list(group.texts),
        **counts,
    }


def _group_row(group: Group) -> tuple[object, ...]:
    from mocoop.tokens import available as can_count

    longest = max(sum(_tokens(text)) for text in group.texts) if can_count() else "-"
    return (group.id, group.title or "", len(group.templates), longest, group.init, "yes" if group.reviewed else "no")


def _template_rows(group: Group, tokens: bool) -> Iterable[tuple[object, ...]]:
    for text in group.texts:
        star = "* " if text == group.init else "  "
        yield (group.id, star + text, *(_tokens(text) if tokens else ()))


def _tokens(text: str) -> tuple[int, int]:
    """CLIP tokens before and after the class name."""
    from mocoop.tokens import available, count_tokens

    if not available():
        raise UsageError(
            "tokens cannot be counted: the table that open_clip installs was not found", "pip install open_clip_torch"
        )
    before, after = text.split("{}")
    return count_tokens(before), count_tokens(after)


if __name__ == "__main__":
    main()
