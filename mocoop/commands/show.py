"""The command `mocoop show`: what a run learned, as tables; and what it does with images, as a page to look at."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from mocoop import cli
from mocoop.commands.measure import measure
from mocoop.commands.shared import (
    ANY,
    FILE,
    FOLDER,
    check_output,
    doubt_options,
    is_loopback,
    json_option,
    measure_options,
    open_run,
    parse_doubt,
    print_json,
    source_options,
    use_threads,
)
from mocoop.errors import DataError, UsageError

if TYPE_CHECKING:
    from mocoop.commands.measure import Measurement
    from mocoop.looking.corrections import Corrections
    from mocoop.looking.pictures import Album
    from mocoop.runs.run import Run

_COVERAGE, _UNSURE_BELOW = 0.9, 0.5  # of a page, if nothing else is asked for
_ALWAYS = ("run", "as_json")  # what may be said without a page
_OF_WEB, _OF_OUT = ("host", "port", "no_browser"), ("most_images",)


@click.command(short_help="Show what a run learned; with --web, what it does with images.")
@click.argument("run", type=FOLDER)
@json_option
@click.option("--web", is_flag=True, help="Look at what the run does with the test images of --data, in a browser.")
@click.option("--out", "-o", type=FILE, help="The same as one HTML file, which opens without a server.")
@click.option("--data", type=ANY, help="The data set whose test images are looked at.")
@source_options
@click.option("--no-cache", is_flag=True, help="Compute all features afresh and keep none.")
@doubt_options
@click.option("--most-images", type=click.IntRange(min=0),
              help="Pictures in the file of -o, at most: the wrong answers first.  [default: 2000]")  # fmt: skip
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to serve --web on.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="Its port; 0 for any.")
@click.option("--no-browser", is_flag=True, help="Print the address of --web, and open no browser.")
@measure_options
@click.pass_context
def show(context: click.Context, /, run: Path, as_json: bool, web: bool, out: Path | None, **options: Any) -> None:
    """Show what a run learned and from what: settings, experts, losses and how often each expert comes first.

    With --web or -o: a page of the test images of --data, each with its class, its prediction set (90 % if --coverage
    does not say otherwise), its experts and the templates behind them. With --web a click corrects a label, in a table
    beside the data.

    \b
    mocoop show run/
    mocoop show run/ --json
    mocoop show run/ --data photos/ --web
    mocoop show run/ --data photos/ -o page.html
    """
    if web or out is not None:
        if as_json:
            raise UsageError("--json prints, --web and -o show a page", "leave one of them out")
        if options["data"] is None:
            raise UsageError("a page shows images", "name them with --data")
        if not web:
            _refuse_unused(context, lambda name: name in _OF_WEB, "--web", "add --web")
        if out is None:
            _refuse_unused(context, lambda name: name in _OF_OUT, "a file", "add -o page.html")
        _show_page(run, web, out, options)
        return
    _refuse_unused(context, lambda name: name not in _ALWAYS, "a page", "add --web, or -o page.html")

    from mocoop.reporting.printing import print_run
    from mocoop.runs.summary import summarise

    summary = summarise(open_run(run))
    if as_json:
        print_json(summary)
    else:
        print_run(summary)


def _refuse_unused(context: click.Context, unused: Callable[[str], bool], to: str, remedy: str) -> None:
    """Raises UsageError for an option that was given and is not used: it belongs `to` something else."""
    for parameter in context.command.params:
        name = parameter.name or ""
        if unused(name) and context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise UsageError(f"{parameter.opts[0]} belongs to {to}", remedy)


def _show_page(path: Path, web: bool, out: Path | None, options: dict[str, Any]) -> None:
    """Measure the run, write the page to a file if one is named, and serve it if asked."""
    if web:
        from mocoop.packages import require

        require("starlette", "uvicorn", extra="web")
    use_threads(options["threads"])

    from mocoop.files import atomic_write
    from mocoop.looking.onefile import MOST_PICTURES, one_file
    from mocoop.looking.pictures import Album
    from mocoop.training.progress import training_progress

    run = open_run(path)
    if out is not None:
        check_output(out, (".html", ".htm"))
    content, paths, found = _content(run, options)
    album = Album(paths, found.measured.dataset.reading)
    if out is not None:
        most = options["most_images"]
        with training_progress() as listener:
            listener.stage("copying the pictures")
            page = one_file(
                content, lambda number: album.copy(number, "small"), MOST_PICTURES if most is None else most
            )
        atomic_write(out, page)
        cli.say(f"page: {out}")
    if web:
        _serve(content, paths, found, album, options)


def _content(run: Run, options: dict[str, Any]) -> tuple[dict[str, Any], list[Path | None], Measurement]:
    """What the page shows, the images that it shows, and the measurement it is of."""
    import torch

    from mocoop.backbone.hard_features import text_cache
    from mocoop.certainty.doubt import Doubt
    from mocoop.looking.content import page_content, some_of
    from mocoop.looking.gates import reference_gates

    kept = run.calibration
    if options["coverage"] is None and kept is not None and kept.possible([_COVERAGE]):
        options["coverage"] = _COVERAGE
    coverage = options["coverage"]
    doubt = parse_doubt(kept, run.path, options) or Doubt()
    if doubt.unsure_below is None:
        doubt = replace(doubt, unsure_below=_UNSURE_BELOW)
    found = measure(run, (), options, baselines=False)
    result, left_out = some_of(found.evaluations[0])
    labels = torch.tensor([example.label for example in result.examples])
    cache = None if options["no_cache"] else text_cache()
    reference = reference_gates(run, found.backbone, result.features, labels, cache=cache)
    notes = (*found.backbone.notes, *found.measured.dataset.notes, *result.notes, *left_out)
    content = page_content(
        run,
        result,
        reference,
        doubt,
        data=found.dataset.name,
        coverage=coverage,
        backbone=found.backbone,
        notes=notes,
    )
    return content, [example.picture for example in result.examples], found


def _serve(
    content: dict[str, Any], paths: list[Path | None], found: Measurement, album: Album, options: dict[str, Any]
) -> None:
    """Serve the page until Ctrl-C."""
    from mocoop.looking.corrections import Corrections
    from mocoop.looking.server import BOUNDS, make_app
    from mocoop.web.page import new_secret, show_page

    try:
        corrections = Corrections(found.dataset, options["data"])
    except DataError as error:
        corrections = None
        cli.say(f"note: labels cannot be corrected: {error}")
    host, secret = options["host"], new_secret()
    if not is_loopback(host):
        cli.say(f"note: whoever reaches {host} and knows the address sees these images")
    show_page(
        make_app(content, paths, album, corrections, secret=secret, names=[host]),
        secret,
        host=host,
        port=options["port"],
        bounds=BOUNDS,
        browser=not options["no_browser"],
        ready=lambda address: cli.say(f"look at {address} (Ctrl-C ends it)"),
    )
    if corrections is not None:
        _say_corrected(corrections)


def _say_corrected(corrections: Corrections) -> None:
    """Say where corrected labels are, if there are any."""
    try:
        count = len(corrections.labels())
    except DataError as error:  # somebody changed the table by hand
        cli.say(f"note: corrected labels cannot be read: {error}")
        return
    if count:
        cli.say(f"{count} label{'s' * (count > 1)} corrected: {_short(corrections.path)}")
        links = " --follow-links" if corrections.through_link else ""
        cli.say(f"the whole data set with {'them' if count > 1 else 'it'}: --data {_short(corrections.table)}{links}")


def _short(path: Path) -> str:
    """A path as one would write it here."""
    here = os.path.relpath(path)
    return str(path) if here.startswith("..") else here


COMMANDS = (show,)
