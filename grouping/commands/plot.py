"""The command that draws a grouping: `plot`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mocoop import cli
from mocoop.errors import UsageError
from mocoop.grouping.commands.embedding import EmbedderOptions, choice, embedder_options
from mocoop.grouping.commands.shared import FILE, load

if TYPE_CHECKING:
    from mocoop.grouping.measuring.plot import Picture

KINDS = click.Choice(["map", "heatmap", "dendrogram"])
OUT = click.Path(dir_okay=False, writable=False, path_type=Path)


@click.command()
@click.argument("path", metavar="FILE", type=FILE)
@click.option("-o", "--out", type=OUT, required=True, help="The picture: .svg, .png, .pdf, or .html with hover text.")
@click.option("--kind", type=KINDS, default="map", show_default=True,
              help="Templates on a plane, the cosines of all pairs, or how the groups would merge.")  # fmt: skip
@embedder_options
@click.option("--force", is_flag=True, help="Overwrite the picture.")
def plot(path: str, out: Path, kind: str, embedder: EmbedderOptions, force: bool) -> None:
    """Draw a map, a heat map or a dendrogram of a file.

    The map is of its templates, the other two are of its groups. A colour and a marker stand for a group; a template
    that starts its expert is larger and outlined. The same call draws the same file.

    \b
    mocoop-groups plot groups.json -o map.html
    mocoop-groups plot groups.json -o heat.svg --kind heatmap --backbone ViT-B-16 --pretrained openai
    """
    from mocoop.grouping.clustering.embed import embed
    from mocoop.grouping.measuring.audit import template_texts
    from mocoop.grouping.measuring.plot import Picture

    _refuse(out, force)
    file = load(path)
    embedding = embed(template_texts(file), choice(embedder, file.class_kind))
    for notice in embedding.notices:
        cli.say(notice)
    _write(Picture(file, embedding), kind, out)
    cli.say(f"{cli.command_path(out)}: {kind} of {len(file.groups)} groups, by {embedding.name}")


def _refuse(out: Path, force: bool) -> None:
    """Checks that need no embedding. Raises UsageError."""
    suffixes = (".html", ".svg", ".png", ".pdf")
    if out.suffix.lower() not in suffixes:
        raise UsageError(f"{out} cannot be drawn", f"end the name with one of {', '.join(suffixes)}")
    if os.path.lexists(out) and not force:
        raise UsageError(f"{out} exists already", "choose another name, or overwrite it with --force")


def _write(picture: Picture, kind: str, out: Path) -> None:
    from mocoop.files import atomic_write
    from mocoop.grouping.measuring.plot import draw
    from mocoop.grouping.measuring.plot_page import page

    if out.suffix.lower() == ".html":
        atomic_write(out, page(picture, kind))
    else:
        draw(picture, kind, out)
