"""`mocoop-groups cluster`: put a pool of templates into groups, by their meaning or by a language model."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mocoop import cli
from mocoop.errors import UsageError
from mocoop.grouping.clustering.partition import RESTARTS
from mocoop.grouping.commands.embedding import EmbedderOptions, choice, embedder_options
from mocoop.grouping.commands.model import ModelChoice, model_options, open_session, show_plan
from mocoop.grouping.commands.shared import FILE, deliver, force_option, group_count, out_option, print_json

if TYPE_CHECKING:
    from mocoop.grouping.clustering.cluster import Clustered, Clustering
    from mocoop.grouping.llm.session import Session
    from mocoop.grouping.pool import Pool


@click.command()
@click.argument("pool", metavar="POOL", type=FILE)
@click.option("--method", type=click.Choice(["kmeans", "agglomerative", "llm"]), default="kmeans", show_default=True,
              help="llm asks a language model, which also names the groups.")  # fmt: skip
@click.option("--groups", "count", default="auto", show_default=True,
              help="How many groups, locked ones included; auto takes the most stable number.")  # fmt: skip
@click.option("--min-size", default=1, show_default=True, help="Dissolve smaller groups into their neighbours.")
@click.option("--restarts", default=RESTARTS, show_default=True, help="Of k-means, and runs compared for stability.")
@click.option("--seed", default=0, show_default=True, help="Of k-means' starts; sent to a model, which may ignore it.")
@click.option("--domain", help="What the images are of; the file's own, or its name, if left out.")
@click.option("--class-kind", help="What the classes are: object, scene, activity, texture, finding or mixed.")
@click.option("--dry-run", is_flag=True, help="With --method llm: print what would be sent, and send nothing.")
@embedder_options
@model_options
@out_option
@force_option
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON; needs -o FILE.")
def cluster(
    pool: str,
    method: str,
    count: str,
    min_size: int,
    restarts: int,
    seed: int,
    domain: str | None,
    class_kind: str | None,
    dry_run: bool,
    embedder: EmbedderOptions,
    model: ModelChoice,
    out: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Group templates you have, by what they mean.

    They stand in a text with one template a line, a list, or a group file. No template is lost; locked groups and
    templates stay. The same call gives the same file, whatever the order of the templates. stdout gets the table of
    numbers of groups, or the group file where no -o is given.

    \b
    mocoop-groups cluster templates.txt -o groups.json
    mocoop-groups cluster groups.json --groups 6 --backbone ViT-B-16 --pretrained openai -o regrouped.json
    """
    from mocoop.grouping.clustering.cluster import Clustering
    from mocoop.grouping.pool import read_pool

    if dry_run and method != "llm":
        raise UsageError("--dry-run is for --method llm", "the other methods send nothing")
    to_file = not dry_run and _checked_out(out, force, as_json)
    how = Clustering(group_count(count), method, seed, restarts, min_size, class_kind)
    templates = read_pool(pool, domain=domain)
    for notice in _pool_notices(templates):
        cli.say(notice)
    if method == "llm":
        offered = "take --method kmeans"
        session = open_session(model, seed=seed, offline=embedder.offline, out=out, instead=offered)
        if dry_run:
            _show_questions(templates, how, session)
            return
        document, figures = _by_model(templates, how, session), []
    else:
        done = _by_vectors(templates, how, embedder)
        document, figures = done.document, [asdict(one) for one in done.tried]
    if as_json:
        print_json(groups=len(document["groups"]), metrics=document.get("metrics"), tried=figures)
    else:
        _show(figures, len(document["groups"]), to_file)
    deliver(document, out, force)


def _checked_out(out: Path | None, force: bool, as_json: bool) -> bool:
    """Whether the result is written to a file. Raises UsageError before anything is computed."""
    if out is None or str(out) == "-":
        if as_json:
            raise UsageError("--json and the group file would both go to stdout", "name a file with -o")
        return False
    if os.path.lexists(out) and not force:
        raise UsageError(f"{out} exists already", "choose another name, or overwrite it with --force")
    return True


def _pool_notices(pool: Pool) -> list[str]:
    repeated = [f"{pool.repeated} templates that stood there twice are taken once"] if pool.repeated else []
    return [*pool.notices, *repeated]


def _show_questions(pool: Pool, how: Clustering, session: Session) -> None:
    from mocoop.grouping.llm.assign import plan

    show_plan(plan(pool, session, groups=how.groups), session)


def _by_model(pool: Pool, how: Clustering, session: Session) -> dict[str, Any]:
    from mocoop.grouping.clustering.cluster import with_class_kind
    from mocoop.grouping.llm.assign import group_by_model

    made = group_by_model(pool, session, groups=how.groups)
    for notice in made.notices:
        cli.say(notice)
    return with_class_kind(made.document, how.class_kind)


def _by_vectors(pool: Pool, how: Clustering, embedder: EmbedderOptions) -> Clustered:
    from mocoop.grouping.clustering.cluster import cluster_pool
    from mocoop.grouping.clustering.embed import embed

    kind = how.class_kind or (pool.file.class_kind if pool.file else "object")
    embedding = embed(pool.texts, choice(embedder, kind, how.seed))
    cli.say(f"embedder: {embedding.name}")
    done = cluster_pool(pool, embedding, how)
    for notice in done.notices:
        cli.say(notice)
    return done


def _show(figures: list[dict[str, Any]], made: int, to_file: bool) -> None:
    """The numbers of groups that were tried: a table on stdout, or lines on stderr if the group file goes to stdout."""
    heading = ("groups", "stability", "silhouette", "smallest", "largest", "")
    rows = [
        (*("-" if one[key] is None else one[key] for key in heading[:-1]), "taken" if one["groups"] == made else "")
        for one in figures
    ]
    if to_file and rows:
        cli.show_table(heading, rows)
    for row in () if to_file else rows:
        told = ", ".join(f"{name} {value}" for name, value in zip(heading[1:-1], row[1:-1], strict=True))
        cli.say(f"{row[0]} groups: {told}{'  <- taken' if row[-1] else ''}")
