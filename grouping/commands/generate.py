"""`mocoop-groups generate`: a group file for a domain."""

from __future__ import annotations

from pathlib import Path

import click

from mocoop import cli
from mocoop.grouping.commands.shared import TEXT_FILE, class_names, deliver, force_option, group_count, out_option


@click.command()
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
@out_option
@force_option
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
        groups=group_count(count),
        per_group=per_group,
        class_kind=class_kind,
        profiles=profiles,
        supertype=supertype,
        class_names=class_names(classes) or (),
        include_general=general,
    )
    for notice in made.notices:
        cli.say(notice)
    deliver(made.document, out, force)
