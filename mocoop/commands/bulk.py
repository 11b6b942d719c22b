"""Predicting very many images: `mocoop predict-many`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from mocoop import cli
from mocoop.commands.exported import is_exported, refuse_other_options
from mocoop.commands.shared import (
    ANY,
    FILE,
    FOLDER,
    cluster_of,
    cluster_options,
    device_options,
    doubt_options,
    moved_options,
    open_run,
    parse_doubt,
    parse_reading,
    read_class_names,
    reading_options,
    refuse_address,
    resumable,
    table_options,
    use_threads,
)
from mocoop.errors import UsageError

_PASSED = ("top", "coverage", "unsure_below", "experts", "on_bad_image", "device", "backbone", "pretrained")


@click.command("predict-many", short_help="Classify very many images into a folder of Parquet; resumable.")
@click.argument("run", type=ANY)
@click.argument("source")
@click.option("--out", "-o", type=FOLDER, required=True, help="Folder for the parts; the same command goes on in it.")
@click.option("--format", "form", type=click.Choice(["parquet", "jsonl"]), default="parquet", show_default=True,
              help="Files of the parts: Parquet, or a line of JSON an image.")  # fmt: skip
@click.option("--experts", type=click.Choice(["ids", "full", "none"]), default="ids", show_default=True,
              help="What a row says of the experts: ids and weights, their templates as well, or nothing.")  # fmt: skip
@click.option("--top", type=click.IntRange(min=1), default=5, show_default=True, help="Likeliest classes of an image.")
@doubt_options
@click.option("--classes-file", type=FILE, help="Other classes than those trained on, one name a line.")
@click.option("--part-size", type=click.IntRange(1, 1_000_000), default=1024, show_default=True,
              help="Images a part; a tar is a part, whatever its size.")  # fmt: skip
@table_options
@click.option("--on-bad-image", type=click.Choice(["skip", "fail"]), default="skip", show_default=True,
              help="What to do with an image that cannot be read: a row with the reason, or end.")  # fmt: skip
@cluster_options
@moved_options
@device_options
@reading_options
def predict_many(run: Path, source: str, out: Path, classes_file: Path | None, **options: Any) -> None:
    """Classify very many images into a folder of Parquet files or JSON lines.

    SOURCE is a folder of images, a table of paths (CSV, JSON, Parquet), Parquet files that hold the images themselves,
    or .tar files (WebDataset): one, a folder, or a pattern in quotes. A part of the output is written whole or not at
    all: after an interruption the same command goes on. An image that cannot be read is a row with the reason.

    \b
    mocoop predict-many run/ photos/ -o predictions/
    mocoop predict-many run/ "shards/*.tar" -o predictions/ --format jsonl
    mocoop predict-many model.onnx photos/ -o predictions/
    mocoop predict-many run/ photos.csv -o predictions/ --engine ray --workers 8 --address auto
    """
    exported = is_exported(run)
    if exported:
        refuse_other_options({**options, "classes_file": classes_file})
    elif run.is_file():
        raise UsageError(f"{run} is a file", "give the folder of the run, or the .onnx file of mocoop export")
    if not os.path.exists(source):
        refuse_address(source)
    cluster = cluster_of(options)
    if cluster is None and not exported:
        use_threads(options["threads"])
    classnames = read_class_names(classes_file) if classes_file else None
    asked = parse_reading(options)

    from mocoop.bulk.cluster import predict_on_ray
    from mocoop.bulk.jobs import prepare
    from mocoop.bulk.local import predict_here
    from mocoop.bulk.options import Options
    from mocoop.bulk.parts import summarise
    from mocoop.bulk.progress import Progress
    from mocoop.reporting.printing import print_summary

    if not exported:
        opened = open_run(run)
        parse_doubt(opened.calibration, run, dict(options), classnames, opened.info.get("notes", ()))
    settings = Options(
        run=run.absolute(),
        engine="onnx" if exported else "torch",
        threads=options["threads"],
        classnames=classnames,
        precision=options["precision"] or "auto",
        **{name: options[name] for name in _PASSED},
    )
    with resumable():
        job = prepare(
            settings,
            source,
            out,
            form=options["form"],
            part_size=options["part_size"],
            columns=options["columns"],
            follow_links=options["follow_links"],
            **asked,
        )
        for note in job.notes:
            _say(note)
        progress = Progress(job)
        if cluster is None:
            predict_here(job, progress, _say)
        else:
            predict_on_ray(job, progress, _say, threads=options["threads"], **cluster)
    print_summary(summarise(job.parts, job.classnames), out, job.parts.count)


def _say(note: str) -> None:
    cli.say(f"note: {note}")


COMMANDS = (predict_many,)
