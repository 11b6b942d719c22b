"""The commands that measure groupings: `stats` for one file, `compare` for two."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click

from mocoop import cli
from mocoop.errors import UsageError
from mocoop.grouping.commands.embedding import EmbedderOptions, choice, embedder_options
from mocoop.grouping.commands.shared import FILE, json_option, load, print_json, say_notice

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mocoop.groupfile.groups import GroupFile
    from mocoop.grouping.measuring.compare import Comparison
    from mocoop.grouping.measuring.meaning import Meaning
    from mocoop.grouping.measuring.stats import FileStats, GroupStats

Made = TypeVar("Made")
SIZES = click.option("--sizes", is_flag=True, help="Only what needs no model.")


@click.command()
@click.argument("path", metavar="FILE", type=FILE)
@embedder_options
@SIZES
@click.option("--write", is_flag=True, help="Store the figures in the file's metrics.")
@json_option
def stats(path: str, embedder: EmbedderOptions, sizes: bool, write: bool, as_json: bool) -> None:
    """Tell how large, how close and how distinct the groups are.

    Cohesion is the mean cosine of a group's templates to its mean; redundancy the share of its templates that say
    nearly what an earlier one says. A backbone adds what its router sees: the separation of the groups' means and the
    ambiguity of its reference gate (1: all experts weighted alike). Without a model, sizes and lengths are shown.

    \b
    mocoop-groups stats groups.json
    mocoop-groups stats groups.json --backbone ViT-B-16 --pretrained openai --classes classes.txt --write
    """
    from mocoop.groupfile import tokens
    from mocoop.grouping.measuring.stats import statistics

    if write and (sizes or path == "-"):
        raise UsageError("--write needs a file and the figures of meaning", "leave out --sizes, and name a file")
    file = load(path)
    meaning = None if sizes else _if_at_hand(embedder, lambda: _meaning(file, embedder), needed=write)
    found = statistics(file, meaning, tokens.count_tokens if tokens.available() else None)
    if as_json:
        print_json(**found.as_dict())
    else:
        _show_stats(file, found)
    if found.stale and not write:
        cli.say(f"{path}: the stored metrics are stale: the templates changed since; --write stores these")
    if write:
        _store(path, found)


@click.command()
@click.argument("first", metavar="A", type=FILE)
@click.argument("second", metavar="B", type=FILE)
@embedder_options
@SIZES
@json_option
def compare(first: str, second: str, embedder: EmbedderOptions, sizes: bool, as_json: bool) -> None:
    """Tell how far two group files put the same templates together.

    The adjusted Rand index (ARI) and the normalised mutual information (NMI) rest on the templates in both files.
    Groups are paired by the templates they share. With a model at hand, the silhouette of each file is shown too,
    both measured in the space of all their templates.

    \b
    mocoop-groups compare groups.json clustered.json
    mocoop-groups compare llm.json bank.json --json
    """
    from mocoop.grouping.measuring import compare as comparing

    if first == second == "-":
        raise UsageError("both files cannot be stdin", "give one of them by its path")
    files = load(first), load(second)
    found = comparing.compare(*files)
    silhouettes = None
    if not sizes:
        way = choice(embedder, files[0].class_kind)
        silhouettes = _if_at_hand(embedder, lambda: comparing.silhouettes_in_one_space(files, way))
    if as_json:
        first_silhouette, second_silhouette = silhouettes or (None, None)
        print_json(**found.as_dict(), first_silhouette=first_silhouette, second_silhouette=second_silhouette)
    else:
        _show_comparison(found, silhouettes)
    _say_basis(found)


def named(embedder: EmbedderOptions) -> bool:
    """Whether an embedder was requested explicitly, not left to what is available."""
    return embedder != EmbedderOptions(classes=embedder.classes, offline=embedder.offline)


def _if_at_hand(embedder: EmbedderOptions, make: Callable[[], Made], *, needed: bool = False) -> Made | None:
    """The result of `make`; None if it needs a model and none is available or requested. Raises UsageError."""
    try:
        return make()
    except UsageError as error:
        if needed or named(embedder):
            raise
        cli.say(f"figures of meaning are left out: {error}")
        return None


def _meaning(file: GroupFile, embedder: EmbedderOptions) -> Meaning:
    """The file's vectors; their notices are printed."""
    from mocoop.grouping.measuring.meaning import vectors_of

    meaning = vectors_of(file, choice(embedder, file.class_kind))
    for notice in meaning.embedding.notices:
        cli.say(notice)
    return meaning


def _store(path: str, found: FileStats) -> None:
    """Store the figures in the file, unless they are there already. Raises StorageError."""
    from mocoop.grouping.editing.inplace import open_groups, write_document
    from mocoop.grouping.measuring.stats import with_metrics

    opened = open_groups(path)
    document = with_metrics(opened.document, found, opened.file.templates_sha256)
    if all(document[key] == opened.document.get(key) for key in ("groups", "metrics")):
        cli.say(f"{path}: the metrics stand there already")
        return
    told = f"metrics of {len(found.groups)} groups stored, by {found.embedder}"
    say_notice(write_document(opened, document, command="stats --write", told=told).notice)
    cli.say(f"{path}: {told}")


def _show_stats(file: GroupFile, found: FileStats) -> None:
    heading = ("group", "templates", "tokens", "cohesion", "silhouette", "nearest group", "cosine", "redundancy")
    measured = found.embedder is not None
    wide = len(heading) if measured else 3
    rows = [_stats_row(group)[:wide] for group in found.groups]
    cli.show_table(heading[:wide], rows, title=file.domain)
    click.echo()
    cli.show_table(("figure", "value"), _file_rows(found))


def _stats_row(group: GroupStats) -> tuple[object, ...]:
    tokens = "-" if group.tokens_min is None else f"{group.tokens_min} / {group.tokens_median:g} / {group.tokens_max}"
    return (
        group.id,
        group.templates,
        tokens,
        _figure(group.cohesion),
        _figure(group.silhouette),
        group.nearest_group or "-",
        _figure(group.nearest_similarity),
        "-" if group.redundancy is None else f"{group.redundancy:.0%}",
    )


def _file_rows(found: FileStats) -> list[tuple[str, object]]:
    sizes = [group.templates for group in found.groups]
    rows: list[tuple[str, object]] = [
        ("groups", len(sizes)),
        ("templates", found.templates),
        ("smallest and largest group", f"{min(sizes)}, {max(sizes)}"),
    ]
    if found.embedder is not None:
        rows += [("embedder", found.embedder), ("silhouette", _figure(found.silhouette))]
    if found.closest_groups is not None:
        one, other, value = found.closest_groups
        rows.append(("closest groups (cosine of means)", f"{one}, {other} ({value:.3f})"))
    if found.ambiguity is not None:
        rows += [
            ("separation, class-averaged (Eq. 5)", _figure(found.separation_class_averaged)),
            ("separation, class-conditional", _figure(found.separation_class_conditional)),
            ("router ambiguity at temperature 1", _figure(found.ambiguity)),
            ("router ambiguity at temperature 0.01", _figure(found.ambiguity_sharp)),
        ]
    if found.stored is not None:
        state = "stale" if found.stale else "current" if "templates_sha256" in found.stored else "of unknown templates"
        rows.append(("stored metrics", f"{state}, by {found.stored['embedder']}"))
    return rows


def _show_comparison(found: Comparison, silhouettes: Sequence[float | None] | None) -> None:
    heading = ("group of A", "group of B", "templates of A", "of B", "shared", "overlap")
    rows = [
        (m.first or "-", m.second or "-", m.first_size, m.second_size, m.shared, f"{m.jaccard:.2f}")
        for m in found.matches
    ]
    cli.show_table(heading, rows)
    click.echo()
    figures: list[tuple[str, Any]] = [
        ("ARI", _figure(found.ari)),
        ("NMI", _figure(found.nmi)),
        ("templates in both", found.shared),
        ("only in A", found.only_first),
        ("only in B", found.only_second),
    ]
    if silhouettes:
        figures += [("silhouette of A", _figure(silhouettes[0])), ("silhouette of B", _figure(silhouettes[1]))]
    cli.show_table(("figure", "value"), figures)


def _say_basis(found: Comparison) -> None:
    totals = found.shared + found.only_first, found.shared + found.only_second
    respelt = f" ({found.respelt} of them spelt differently)" if found.respelt else ""
    cli.say(f"ARI and NMI rest on {found.shared} templates in both{respelt}: of {totals[0]} in A and {totals[1]} in B")


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
