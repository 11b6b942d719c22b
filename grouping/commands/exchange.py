"""The commands that convert templates from and to other software's files: `import` and `export`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from mocoop import cli
from mocoop.errors import UsageError
from mocoop.grouping.commands.shared import FILE, OUT, deliver, force_option, load, out_option, say_notice

FORMATS = ("open_clip", "clip-benchmark", "csv", "txt", "markdown", "yaml")
KINDS = ("object", "scene", "activity", "texture", "finding", "mixed")


@click.command("import")
@click.argument("path", metavar="FILE", type=FILE)
@click.option("--format", "file_format", type=click.Choice(["auto", *FORMATS]), default="auto", show_default=True,
              help="What the file is; auto goes by its name, then by its content.")  # fmt: skip
@click.option("--name", help="Which list to take, where the file holds several.")
@click.option("--lists-as-groups", is_flag=True, help="Make every list of the file a group, named as the list.")
@click.option("--domain", help="What the images are of; otherwise what the file says, or its name.")
@click.option("--class-kind", type=click.Choice(KINDS), help="What the classes are.")
@out_option
@force_option
def import_(
    path: str,
    file_format: str,
    name: str | None,
    lists_as_groups: bool,
    domain: str | None,
    class_kind: str | None,
    out: Path | None,
    force: bool,
) -> None:
    """Make a group file of templates that other software wrote.

    Read are Python files (open_clip, CLIP), JSON (CLIP_benchmark), tables with a column `template`, texts with one
    template a line, Markdown (headings and bullets) and the YAML of the paper's released code. Nothing in them is run.

    \b
    mocoop-groups import eurosat.yaml -o groups.json
    mocoop-groups import zero_shot_metadata.py --name OPENAI_IMAGENET_TEMPLATES -o pool.json
    """
    from mocoop.grouping.convert import chosen, read_listings
    from mocoop.grouping.convert.assemble import assemble, joined
    from mocoop.grouping.convert.checks import checked
    from mocoop.grouping.pool import is_group_file, read_given

    if name is not None and lists_as_groups:
        raise UsageError("--name takes one list, --lists-as-groups takes all", "give one of the two")
    data, source = read_given(path)
    if is_group_file(data) and file_format == "auto":
        raise UsageError(f"{source} is a group file already", "use it as it is, or export it to another format")
    listings = read_listings(data, source, file_format)
    listing = joined(listings) if lists_as_groups else chosen(listings, name, source)
    made = assemble(listing, checked(listing, source), data, source, domain=domain, kind=class_kind)
    for notice in made.notices:
        cli.say(notice)
    deliver(made.document, out, force)
    if not made.grouped:
        pool = "FILE" if out is None or str(out) == "-" else cli.command_path(out)
        cli.say(f"these templates came without groups; to group them: mocoop-groups cluster {pool} -o groups.json")


@click.command()
@click.argument("path", metavar="FILE", type=FILE)
@click.option("--to", "file_format", type=click.Choice(FORMATS), required=True, help="The format to write.")
@click.option("-o", "--out", type=OUT, help="Where it goes; stdout if left out.")
@force_option
def export(path: str, file_format: str, out: Path | None, force: bool) -> None:
    """Write a group file's templates for other software.

    csv, markdown and yaml hold the groups and can be imported again; yaml is for the paper's released code. open_clip
    (a Python module), clip-benchmark (JSON) and txt are flat lists.

    \b
    mocoop-groups export groups.json --to yaml -o eurosat.yaml
    mocoop-groups export groups.json --to clip-benchmark -o templates.json
    """
    from mocoop.grouping.convert.writers import export as exported
    from mocoop.grouping.editing.inplace import write_anew

    made = exported(load(path), file_format)
    for notice in made.notices:
        cli.say(notice)
    if out is None or str(out) == "-":
        click.echo(made.text.encode(), nl=False)
        return
    if os.path.lexists(out) and not force:
        raise UsageError(f"{out} exists already", "choose another name, or overwrite it with --force")
    told = f"written as {file_format}"
    unkept = write_anew(out, made.text.encode(), command="export", told=told)
    cli.say(f"{cli.command_path(out)}: {told}")
    say_notice(unkept)
