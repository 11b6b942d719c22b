"""The command `mocoop report`: a page of results, from the rows that `mocoop bench` wrote."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mocoop import cli
from mocoop.commands.shared import moved_options, parse_reading, reading_options
from mocoop.errors import UsageError

if TYPE_CHECKING:
    from mocoop.reporting.document import Document

_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_FORMS = ("html", "md", "csv")


@click.command(short_help="Tables and pictures from results, as one page.")
@click.argument("results", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--out", type=_FILE, required=True,
              help="The report; its suffix says the form: .html, .md or .csv.")  # fmt: skip
@click.option("--also", multiple=True, type=click.Choice(_FORMS), help="This form too, beside it; repeatable.")
@click.option("--reference", metavar="METHOD", help="The method that the others are held against.  [default: mocoop]")
@click.option("--title", default=None, help="The heading of the report.")
@click.option("--run", "run_path", type=_FOLDER, help="A run folder: show which templates it chooses for --images.")
@click.option("--images", type=_FOLDER, help="The folder of these images.")
@click.option("--most-images", type=click.IntRange(1, 200), default=12, show_default=True,
              help="So many of them, evenly spaced by name.")  # fmt: skip
@moved_options
@reading_options
def report(
    results: tuple[Path, ...],
    out: Path,
    also: tuple[str, ...],
    reference: str | None,
    title: str | None,
    run_path: Path | None,
    images: Path | None,
    most_images: int,
    backbone: str | None,
    pretrained: str | None,
    **options: Any,
) -> None:
    """Tables and pictures from the results of `mocoop bench`, the paper's numbers beside them, as one page.

    Several files are put together. The page needs nothing else and runs nothing. Markdown and CSV have the same tables.

    \b
    mocoop report results.jsonl -o report.html
    mocoop report results.jsonl -o report.html --also csv --also md
    mocoop report mine.jsonl theirs.jsonl --reference coop -o report.html
    mocoop report results.jsonl --run run/ --images photos/ -o report.html
    """
    if (run_path is None) != (images is None):
        raise UsageError("--run and --images go together", "give both, or neither")
    asked = parse_reading(options)
    if images is None and any(value is not None for value in asked.values()):
        raise UsageError("--bands and --range are for --images", "give --run and --images too, or leave them out")
    forms = _forms(out, also)

    from tempfile import TemporaryDirectory

    from mocoop.data.survey import find_reading
    from mocoop.reporting.comparison import TITLE, comparison
    from mocoop.reporting.results import read_results
    from mocoop.reporting.routing import images_below, predictions, routing_section
    from mocoop.runs.run import Run

    rows = read_results(results)
    _check_reference(reference, {row["method"] for row in rows})
    document = comparison(rows, reference or "mocoop", title or TITLE)
    with TemporaryDirectory() as folder:
        if run_path is not None and images is not None:
            run = Run.open(run_path)
            tower = run.load_backbone(name=backbone, pretrained=pretrained)
            for note in tower.notes:
                cli.say(f"note: {note}")
            shown = images_below(images, most_images)
            reading, notes = find_reading(shown, known=run.reading, **asked)
            for note in notes:
                cli.say(f"note: {note}")
            found = predictions(run, shown, tower, reading)
            document.sections.append(routing_section(run, found, Path(folder), reading))
        for path in forms:
            _write(document, path)
            cli.say(f"report: {path}  ({len(rows)} results)")


def _forms(out: Path, also: tuple[str, ...]) -> list[Path]:
    """The files to write, one per format. Raises UsageError for an unknown suffix."""
    suffix = out.suffix.lower().removeprefix(".")
    if suffix not in _FORMS:
        raise UsageError(f"{out} cannot be written", f"end the name with one of {', '.join(f'.{f}' for f in _FORMS)}")
    return [out, *(out.with_suffix(f".{form}") for form in dict.fromkeys(also) if form != suffix)]


def _check_reference(reference: str | None, methods: set[str]) -> None:
    if reference is not None and reference not in methods:
        raise UsageError(f"no result is of the method {reference!r}", f"there are {', '.join(sorted(methods))}")


def _write(document: Document, path: Path) -> None:
    from mocoop.files import atomic_write
    from mocoop.reporting.page import html
    from mocoop.reporting.plain import csv_text, markdown

    make = {".html": html, ".md": markdown, ".csv": csv_text}[path.suffix.lower()]
    atomic_write(path, make(document))


COMMANDS = (report,)
