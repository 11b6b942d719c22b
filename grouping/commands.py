"""The command line `mocoop-groups`: make group files, check them, look at them.

Results go to stdout or to `-o FILE`, everything else to stderr. Nothing heavy is imported here; `--help` is quick.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from mocoop import cli
from mocoop.errors import GroupFileError, UsageError

if TYPE_CHECKING:
    from mocoop.findings import Finding
    from mocoop.groups import Group, GroupFile

FILES = click.Path(dir_okay=False, allow_dash=True)
OUT = click.Path(dir_okay=False, path_type=Path)


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
@click.option("--classes", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="Class names, one a line: templates that contain one are left out.")  # fmt: skip
@click.option("--general/--no-general", default=True, show_default=True, help="Keep one group of plain wording.")
@click.option("-o", "--out", type=OUT, help="Where the group file goes; stdout if left out.")
@click.option("--force", is_flag=True, help="Overwrite the file.")
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
    from mocoop.groups import dump_groups, parse_groups, save_groups

    if backend == "auto":
        cli.say("backend: bank (hand-written templates, nothing leaves this machine)")
    made = generate_from_bank(
        domain,
        groups=_group_count(count),
        per_group=per_group,
        class_kind=class_kind,
        profiles=profiles,
        supertype=supertype,
        class_names=_read_class_names(classes),
        include_general=general,
    )
    for notice in made.notices:
        cli.say(notice)
    if out is None:
        data = dump_groups(made.document)
        parse_groups(data, source="<generated>")
        click.echo(data.decode(), nl=False)
        return
    saved = save_groups(out, made.document, overwrite=force)
    templates = sum(len(group.templates) for group in saved.groups)
    cli.say(f"{out}: {len(saved.groups)} groups, {templates} templates")
    cli.say(f"next: mocoop-groups show {out}   then: mocoop train --groups {out} --data DIR -o run")


@groups.command()
@click.argument("paths", metavar="FILE...", nargs=-1, required=True, type=FILES)
@click.option("--strict", is_flag=True, help="Warnings fail too (exit code 1).")
@click.option("--classes", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="Class names, one a line: exact token counts, and wording that clashes with them.")  # fmt: skip
@click.option("--context-length", default=77, show_default=True, help="Tokens the backbone takes.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object with every finding.")
def validate(paths: tuple[str, ...], strict: bool, classes: Path | None, context_length: int, as_json: bool) -> int:
    """Check group files: every problem at once, where it is and how to mend it.

    Exit code 3 with any error, 0 otherwise; with --strict, 1 where there are warnings only. `-` reads stdin.

    \b
    mocoop-groups validate groups.json
    mocoop-groups validate *.json --classes classes.txt --strict
    """
    names = _read_class_names(classes) or None
    findings = [finding for path in paths for finding in _check(path, names, context_length)]
    severities = {finding.severity for finding in findings}
    if as_json:
        click.echo(json.dumps({"format": 1, "findings": [finding.as_dict() for finding in findings]}, indent=2))
    else:
        for finding in findings:
            click.echo(f"{finding.severity}: {finding}")
        cli.say(_verdict(len(paths), findings))
    if "error" in severities:
        return GroupFileError.exit_code
    return 1 if strict and "warning" in severities else 0


@groups.command()
@click.argument("path", metavar="FILE", type=FILES)
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
        click.echo(json.dumps({"format": 1, "domain": file.domain, "groups": [_plain(g) for g in chosen]}, indent=2))
        return
    if group_id is None and not tokens:
        rows = [
            (g.id, g.title or "", len(g.templates), _longest(g), f"* {g.init}", "yes" if g.reviewed else "no")
            for g in chosen
        ]
        cli.show_table(("group", "title", "templates", "longest (tokens)", "init", "reviewed"), rows, title=file.domain)
        return
    heading = ("group", "template", "tokens before", "tokens after") if tokens else ("group", "template")
    cli.show_table(heading, [row for g in chosen for row in _template_rows(g, tokens)], title=file.domain)


@groups.command()
@click.argument("domain", required=False)
def domains(domain: str | None) -> None:
    """List the domain profiles, or say which one a text would call for and why.

    \b
    mocoop-groups domains
    mocoop-groups domains "thermal drone images"
    """
    from mocoop.grouping.domains import load_profiles, match_domain

    if domain is None:
        rows = [(p.name, p.class_kind, p.suggested_groups, ", ".join(p.match)) for p in load_profiles()]
        cli.show_table(("profile", "classes are", "groups", "words"), rows)
        return
    match = match_domain(domain)
    for profile in match.profiles:
        why = ", ".join(repr(word) for word in match.words) or "no other matches"
        click.echo(f"{profile.name}\t({why})\taspects: {', '.join(profile.aspects)}")


@groups.command()
@click.argument("aspect", required=False)
@click.option("--search", metavar="WORD", help="Templates that contain a word.")
def bank(aspect: str | None, search: str | None) -> None:
    """Look into the bank of hand-written templates.

    \b
    mocoop-groups bank
    mocoop-groups bank overhead_night
    mocoop-groups bank --search snow
    """
    from mocoop.grouping.bank import load_bank

    all_aspects = load_bank()
    if search:
        cli.show_table(("aspect", "template"), [(found.name, text) for found, text in all_aspects.search(search)])
    elif aspect:
        if aspect not in [a.name for a in all_aspects.aspects]:
            raise UsageError(f"the bank has no aspect {aspect!r}", "see `mocoop-groups bank`")
        cli.show_table(("template",), [(text,) for text in all_aspects.aspect(aspect).templates])
    else:
        rows = [(a.name, a.family, len(a.templates), a.description) for a in all_aspects.aspects]
        cli.show_table(("aspect", "family", "templates", "what it is for"), rows)


@groups.command()
@click.argument("name", required=False)
@click.option("-o", "--out", type=OUT, help="Where the group file goes; stdout if left out.")
@click.option("--force", is_flag=True, help="Overwrite the file.")
def paper(name: str | None, out: Path | None, force: bool) -> None:
    """List the paper's own groups, or write those of one of its data sets.

    \b
    mocoop-groups paper
    mocoop-groups paper eurosat -o groups.json
    """
    from mocoop.grouping.paper import paper_groups, paper_names
    from mocoop.groups import parse_groups, save_groups

    if name is None:
        click.echo("\n".join(paper_names()))
        return
    data = paper_groups(name)
    if out is None:
        click.echo(data.decode(), nl=False)
        return
    save_groups(out, parse_groups(data, source=name).document, overwrite=force)
    cli.say(f"next: mocoop train --groups {out} --data DIR -o run")


@groups.command()
@click.option("--path", "only_path", is_flag=True, help="Only say where it is, for an editor's settings.")
def schema(only_path: bool) -> None:
    """Print the JSON Schema of group files, which editors use for completion.

    \b
    mocoop-groups schema --path
    """
    from importlib.resources import files

    path = files("mocoop.schemas").joinpath("groups.v1.json")
    click.echo(str(path) if only_path else path.read_text(encoding="utf-8"), nl=only_path)


def main() -> NoReturn:
    """Entry point of `mocoop-groups`."""
    cli.run(groups, "mocoop-groups")


def _group_count(text: str) -> int | None:
    if text == "auto":
        return None
    if not text.isascii() or not text.isdigit():
        raise UsageError(f"--groups is {text!r}", "give a number or auto")
    return int(text)


def _read_class_names(path: Path | None) -> list[str]:
    """Class names of a text file, one a line; blank lines do not count."""
    if path is None:
        return []
    from mocoop.files import read_bytes

    text = read_bytes(path, what="class name file").decode("utf-8", errors="replace")
    return [line.strip() for line in text.splitlines() if line.strip()]


def _stdin_or(path: str) -> tuple[bytes, str] | None:
    return (sys.stdin.buffer.read(), "<stdin>") if path == "-" else None


def _load(path: str) -> GroupFile:
    from mocoop.groups import load_groups, parse_groups

    given = _stdin_or(path)
    return parse_groups(given[0], source=given[1]) if given else load_groups(path)


def _check(path: str, names: list[str] | None, context_length: int) -> list[Finding]:
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


def _plain(group: Group) -> dict[str, Any]:
    return {
        "id": group.id,
        "title": group.title,
        "description": group.description,
        "init": group.init,
        "reviewed": group.reviewed,
        "locked": group.locked,
        "templates": list(group.texts),
    }


def _template_rows(group: Group, tokens: bool) -> list[tuple[object, ...]]:
    from mocoop.tokens import count_tokens

    rows: list[tuple[object, ...]] = []
    for text in group.texts:
        star = "* " if text == group.init else "  "
        before, after = text.split("{}")
        counts = (count_tokens(before), count_tokens(after)) if tokens else ()
        rows.append((group.id, star + text, *counts))
    return rows


def _longest(group: Group) -> int:
    from mocoop.tokens import count_tokens

    return max(count_tokens(text.replace("{}", "")) for text in group.texts)


if __name__ == "__main__":
    main()
