"""The commands that show things: groups, domain profiles, the bank, the paper's groups, the schema."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mocoop import cli
from mocoop.errors import UsageError
from mocoop.grouping.commands.shared import (
    FILE,
    deliver,
    force_option,
    group_named,
    json_option,
    load,
    out_option,
    print_json,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mocoop.groupfile.groups import Group
    from mocoop.grouping.bank import Aspect, Bank


@click.command()
@click.argument("path", metavar="FILE", type=FILE)
@click.option("--group", "group_id", help="One group, with its templates.")
@click.option("--tokens", is_flag=True, help="Token counts before and after the class name.")
@click.option("--json", "as_json", is_flag=True, help="The groups as one JSON object.")
def show(path: str, group_id: str | None, tokens: bool, as_json: bool) -> None:
    """Show the groups of a file and how each expert starts.

    * marks the template that starts the expert.

    \b
    mocoop-groups show groups.json
    mocoop-groups show groups.json --group overhead_night --tokens
    """
    file = load(path)
    chosen = [group_named(file, group_id)] if group_id else list(file.groups)
    if as_json:
        print_json(domain=file.domain, groups=[_plain(group, tokens) for group in chosen])
    elif group_id is None and not tokens:
        heading: tuple[str, ...] = ("group", "title", "templates", "longest (tokens)", "init", "reviewed")
        cli.show_table(heading, map(_group_row, chosen), title=file.domain)
    else:
        heading = ("group", "template", "tokens before", "tokens after") if tokens else ("group", "template")
        cli.show_table(heading, [row for group in chosen for row in _template_rows(group, tokens)], title=file.domain)


@click.command()
@click.argument("domain", required=False)
@json_option
def domains(domain: str | None, as_json: bool) -> None:
    """List the domain profiles, or say which a text calls for and why.

    \b
    mocoop-groups domains
    mocoop-groups domains "thermal drone images"
    """
    from mocoop.grouping.domainmeaning import match_by_meaning
    from mocoop.grouping.domains import load_profiles
    from mocoop.grouping.generate import clean_domain

    if domain is None:
        profiles, found = load_profiles(), {}
    else:
        match = match_by_meaning(clean_domain(domain))
        why = match.words or ((f"near {match.phrase!r} ({match.likeness:.2f})",) if match.found else ())
        profiles, found = match.profiles, {p.name: word for p, word in zip(match.profiles, why, strict=False)}
        if not found:
            cli.say("no profile matches: the general one serves")
    if as_json:
        print_json(found=found, profiles=[asdict(profile) for profile in profiles])
        return
    rows = [
        (p.name, p.class_kind, p.suggested_groups, found.get(p.name, ", ".join(p.match)), ", ".join(p.aspects))
        for p in profiles
    ]
    cli.show_table(("profile", "classes are", "groups", "found" if found else "words", "aspects"), rows)


@click.command()
@click.argument("aspect", required=False)
@click.option("--search", metavar="WORD", help="Only templates that contain a word.")
@json_option
def bank(aspect: str | None, search: str | None, as_json: bool) -> None:
    """Look into the bank of hand-written templates.

    Marks such as <noun> stand for words of the domain.

    \b
    mocoop-groups bank
    mocoop-groups bank overhead_night
    mocoop-groups bank --search snow
    """
    from mocoop.grouping.bank import Bank, load_bank
    from mocoop.grouping.fields import load_fields

    shipped = load_bank()
    whole = Bank(shipped.name, shipped.version, (*shipped.aspects, *load_fields().aspects.values()))
    chosen = whole.aspects if aspect is None else [_aspect_named(whole, aspect)]
    if search is not None:
        chosen = [replace(a, templates=a.search(search)) for a in chosen if a.search(search)]
        if not chosen:
            cli.say(f"no template contains {search!r}")
    if as_json:
        print_json(bank=whole.name, bank_version=whole.version, aspects=[asdict(a) for a in chosen])
    elif aspect is None and search is None:
        rows = [(a.name, a.family, len(a.templates), a.description) for a in chosen]
        cli.show_table(("aspect", "family", "templates", "what it is for"), rows)
    else:
        cli.show_table(("aspect", "template"), [(a.name, text) for a in chosen for text in a.templates])


@click.command()
@click.argument("name", required=False)
@out_option
@force_option
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON; a group file is JSON in any case.")
def paper(name: str | None, out: Path | None, force: bool, as_json: bool) -> None:
    """List the paper's own groups, or write those for a data set.

    \b
    mocoop-groups paper
    mocoop-groups paper eurosat -o groups.json
    """
    from mocoop.groupfile.groups import parse_groups
    from mocoop.grouping.paper import paper_groups, paper_names

    if name is not None:
        deliver(parse_groups(paper_groups(name), source=name).document, out, force)
        return
    files = [(entry, parse_groups(paper_groups(entry), source=entry).groups) for entry in paper_names()]
    rows = [(entry, len(found), sum(len(group.templates) for group in found)) for entry, found in files]
    if as_json:
        print_json(sets=[{"name": entry, "groups": count, "templates": total} for entry, count, total in rows])
    else:
        cli.show_table(("data set", "groups", "templates"), rows)


@click.command()
@click.argument("name", type=click.Choice(["groups", "llm"]), default="groups")
@click.option("--path", "only_path", is_flag=True, help="Only say where it is, for an editor's settings.")
def schema(name: str, only_path: bool) -> None:
    """Print the JSON Schema of group files, for editors.

    With llm it is that of a language model's settings. An editor that knows it completes keys and marks mistakes.

    \b
    mocoop-groups schema > groups.schema.json
    mocoop-groups schema llm --path
    """
    from importlib.resources import files

    file = files("mocoop.schemas").joinpath(f"{name}.v1.json")
    if only_path:
        click.echo(str(file))
    else:
        click.echo(file.read_bytes(), nl=False)


def _aspect_named(bank: Bank, name: str) -> Aspect:
    try:
        return bank.aspect(name)
    except KeyError:
        from mocoop.groupfile.schema import nearest

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
    from mocoop.groupfile.tokens import available as can_count

    longest = max(sum(_tokens(text)) for text in group.texts) if can_count() else "-"
    return (group.id, group.title or "", len(group.templates), longest, group.init, "yes" if group.reviewed else "no")


def _template_rows(group: Group, tokens: bool) -> Iterable[tuple[object, ...]]:
    for text in group.texts:
        star = "* " if text == group.init else "  "
        yield (group.id, star + text, *(_tokens(text) if tokens else ()))


def _tokens(text: str) -> tuple[int, int]:
    """CLIP tokens before and after the class name."""
    from mocoop.groupfile.tokens import available, count_tokens

    if not available():
        raise UsageError(
            "tokens cannot be counted: the table that open_clip installs was not found", "pip install open_clip_torch"
        )
    before, after = text.split("{}")
    return count_tokens(before), count_tokens(after)
