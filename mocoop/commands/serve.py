"""`mocoop serve`: a run or an exported model behind HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mocoop import cli
from mocoop.commands.exported import is_exported, open_engine, refuse_other_options
from mocoop.commands.shared import (
    ANY,
    backbone_of,
    device_options,
    doubt_options,
    is_loopback,
    moved_options,
    open_run,
    parse_doubt,
    use_threads,
)

if TYPE_CHECKING:
    from mocoop.serving.models import Model


@click.command(short_help="Answer over HTTP: pictures in, classes and experts out.")
@click.argument("run", type=ANY)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to serve on; 0.0.0.0 is all.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Port; 0 for any.")
@click.option(
    "--allow-host",
    "names",
    multiple=True,
    metavar="NAME",
    help="Repeatable; a name that requests may use, beside localhost and addresses in numbers.",
)
@click.option(
    "--engine",
    type=click.Choice(["torch", "onnx"]),
    help="onnx: without torch, by the model.onnx that mocoop export wrote; taken if RUN is such a file.",
)
@click.option(
    "--batch-size", type=click.IntRange(min=1), default=32, show_default=True, help="Images answered together, at most."
)
@click.option(
    "--queue",
    type=click.IntRange(min=1),
    default=128,
    show_default=True,
    help="Images being answered at once; more are refused (429).",
)
@click.option("--max-images", type=click.IntRange(min=1), default=32, show_default=True, help="Images in one request.")
@click.option(
    "--max-bytes", type=click.IntRange(min=1), default=20_000_000, show_default=True, help="Bytes of one request (413)."
)
@click.option(
    "--max-pixels", type=click.IntRange(min=1), default=50_000_000, show_default=True, help="Pixels of one picture."
)
@click.option(
    "--time-limit",
    type=cli.Between(0, min_open=True),
    default=30.0,
    show_default=True,
    help="Seconds for an answer (503).",
)
@click.option(
    "--body-time-limit",
    type=cli.Between(0, min_open=True),
    default=10.0,
    show_default=True,
    help="Seconds for a whole request to arrive (408).",
)
@doubt_options
@moved_options
@device_options
def serve(run: Path, host: str, port: int, names: tuple[str, ...], engine: str | None, **options: Any) -> None:
    """Answer over HTTP: pictures in, the answers of mocoop predict --json out.

    RUN may be a .onnx file of mocoop export. There is no password: whoever reaches the address may ask. A page to drop
    pictures on is at /, the interface at /docs, counters for Prometheus at /metrics. On SIGTERM what was asked is
    answered, then the server ends.

    \b
    mocoop serve run/
    mocoop serve model.onnx --port 8080 --threads 4
    """
    from mocoop.packages import require

    require("fastapi", "uvicorn", "python_multipart", "prometheus_client", extra="serve")

    from mocoop.serving.app import make_app
    from mocoop.serving.limits import Limits
    from mocoop.web.process import serve as serve_app

    model = _model(run, engine, options)
    for note in model.notes:
        cli.say(f"note: {note}")
    if not is_loopback(host):
        cli.say(f"note: whoever reaches {host} may ask: there is no password")
    limits = Limits(
        body_bytes=options["max_bytes"],
        pixels=options["max_pixels"],
        images=options["max_images"],
        queue=options["queue"],
        seconds=options["time_limit"],
        body_seconds=options["body_time_limit"],
        batch_size=options["batch_size"],
    )
    serve_app(
        make_app(model, limits, [*names, host], parse_doubt(model.calibration, run, options)),
        host=host,
        port=port,
        bounds=limits,
        ready=lambda address: cli.say(f"serving {len(model.classnames)} classes on {address} (Ctrl-C ends it)"),
    )
    cli.say("all that was asked is answered")


def _model(run: Path, engine: str | None, options: dict[str, Any]) -> Model:
    """An exported model without torch, or a run with it."""
    if engine == "onnx" or (engine is None and is_exported(run)):
        refuse_other_options(options)
        return open_engine(run, options["threads"])
    use_threads(options["threads"])

    from mocoop.serving.models import RunModel

    opened = open_run(run)
    return RunModel(opened, backbone_of(opened, options))


COMMANDS = (serve,)
