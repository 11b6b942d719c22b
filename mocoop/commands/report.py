"""The command `mocoop report`: one run as a page, or a page of results from the rows that `mocoop bench` wrote."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mocoop import cli
from mocoop.commands.measure import measure
from mocoop.commands.shared import (
    ANY,
    backbone_of,
    check_output,
    measure_options,
    open_run,
    parse_reading,
    source_options,
    use_threads,
)
from mocoop.errors import UsageError

if TYPE_CHECKING:
    from mocoop.reporting.document import Document

_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_FORMS = ("html", "md", "csv")


@click.command(short_help="Tables and pictures from results, as one page.")
@click.argument("results", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("-o", "--out", type=_FILE, required=True,
              help="The report; its suffix says the form: .html, .md or .csv.")  # fmt: skip
@click.option("--data", type=ANY, help="For a run: the data set whose test images it is measured on.")
@source_options
@click.option("--no-cache", is_flag=True, help="Compute all features afresh and keep none.")
@click.option("--also", multiple=True, type=click.Choice(_FORMS), help="This form too, beside it; repeatable.")
@click.option("--reference", metavar="METHOD", help="The method that the others are held against.  [default: mocoop]")
@click.option("--title", default=None, help="The heading of the report.")
@click.option("--run", "run_path", type=_FOLDER, help="A run folder: show which templates it chooses for --images.")
@click.option("--images", type=_FOLDER, help="The folder of these images.")
@click.option("--most-images", type=click.IntRange(1, 200), help="So many pictures: of --images, evenly spaced by name "
              "(12 if left out); or of a run's mistakes (24).")  # fmt: skip
@measure_options
def report(
    results: tuple[Path, ...],
    out: Path,
    also: tuple[str, ...],
    reference: str | None,
    title: str | None,
    run_path: Path | None,
    images: Path | None,
    most_images: int | None,
    **options: Any,
) -> None:
    """One run as a page in plain words; or the results of `mocoop bench`, the paper's numbers beside them.

    RESULTS is a run folder: what it was trained on, how good it is, which images it gets wrong, what to do next. Or
    files of rows: tables and pictures, several files put together. The page needs nothing else and runs nothing.
    Markdown and CSV have the same tables.

    \b
    mocoop report run/ --data photos/ -o page.html
    mocoop report results.jsonl -o report.html
    mocoop report results.jsonl -o report.html --also csv --also md
    mocoop report mine.jsonl theirs.jsonl --reference coop -o report.html
    mocoop report results.jsonl --run run/ --images photos/ -o report.html
    """
    forms = _forms(out, also)
    for path in forms:
        check_output(path, (path.suffix.lower(),), (*results, options["data"], options["class_names"]))
    if any(path.is_dir() for path in results):
        if unfit := [name for name, value in (("--reference", reference), ("--run", run_path)) if value is not None]:
            raise UsageError(f"{unfit[0]} belongs to results of mocoop bench", "leave it out, or give their files")
        if len(results) > 1:
            raise UsageError("a run is reported alone", "give one run folder, or files of results")
        _report_run(results[0], title, forms, most_images or 24, options)
        return
    if options["data"] is not None:
        raise UsageError("--data belongs to a run", "give a run folder, or leave --data out")
    if (run_path is None) != (images is None):
        raise UsageError("--run and --images go together", "give both, or neither")
    asked = parse_reading(options)
    if images is None and any(value is not None for value in asked.values()):
        raise UsageError("--bands and --range are for --images", "give --run and --images too, or leave them out")

    from tempfile import TemporaryDirectory

    from mocoop.data.survey import find_reading
    from mocoop.reporting.comparison import TITLE, comparison
    from mocoop.reporting.results import read_results
    from mocoop.reporting.routing import images_below, predictions, routing_section

    rows = read_results(results)
    _check_reference(reference, {row["method"] for row in rows})
    document = comparison(rows, reference or "mocoop", title or TITLE)
    with TemporaryDirectory() as folder:
        if run_path is not None and images is not None:
            run = open_run(run_path)
            tower = backbone_of(run, options)
            for note in tower.notes:
                cli.say(f"note: {note}")
            shown = images_below(images, most_images or 12)
            reading, notes = find_reading(shown, known=run.reading, **asked)
            for note in notes:
                cli.say(f"note: {note}")
            found = predictions(run, shown, tower, reading)
            document.sections.append(routing_section(run, found, Path(folder), reading))
        for path in forms:
            _write(document, path)
            cli.say(f"report: {path}  ({len(rows)} results)")


def _report_run(path: Path, title: str | None, forms: list[Path], most_images: int, options: dict[str, Any]) -> None:
    """The page of one run; measured on the test images of --data, if it was given."""
    use_threads(options["threads"])

    from tempfile import TemporaryDirectory

    from mocoop.data.splits import choose_classes
    from mocoop.reporting.runpage import run_page
    from mocoop.runs.measured import training_images

    run = open_run(path)
    found = measure(run, (), options, baselines=True) if options["data"] is not None else None
    more = 0
    if found is not None:
        known, why = training_images(run, found.dataset)
        more = 0 if why else len(choose_classes(found.dataset, run.info["classes"]).train) - len(known)
    with TemporaryDirectory() as folder:
        document = run_page(
            run,
            found.evaluations[0] if found is not None else None,
            str(options["data"]) if found is not None else None,
            Path(folder),
            more_images=max(0, more),
            most_images=most_images,
            reading=found.measured.dataset.reading if found is not None else None,
        )
        document.title = title or document.title
        for out in forms:
            _write(document, out)
            cli.say(f"report: {out}")


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
