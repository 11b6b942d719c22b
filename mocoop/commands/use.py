"""Using a run: `mocoop eval` and `mocoop predict`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from itertools import chain, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mocoop import cli
from mocoop.commands.exported import is_exported, marked, open_engine, refuse_other_options, trained_images
from mocoop.commands.measure import measure
from mocoop.commands.predictions import Given, Outputs, output_options
from mocoop.commands.shared import (
    ANY,
    FILE,
    FOLDER,
    backbone_of,
    check_output,
    data_options,
    device_options,
    doubt_options,
    json_option,
    measure_options,
    moved_options,
    open_run,
    parse_doubt,
    parse_reading,
    print_json,
    read_class_names,
    reading_options,
    refuse_address,
    use_threads,
)
from mocoop.errors import DataError, UsageError
from mocoop.files import check_can_make

if TYPE_CHECKING:
    from mocoop.answers import Experts
    from mocoop.certainty.doubt import Doubt
    from mocoop.data.splits import Half
    from mocoop.runs.run import Run

_PASSED = ("top", "coverage", "unsure_below", "experts", "on_bad_image", "device", "backbone", "pretrained")


@click.command("eval", short_help="Measure a run on the test images of a data set.")
@click.argument("run", type=FOLDER)
@data_options
@click.option("--classes", "parts", type=click.Choice(["base", "new", "all"]), multiple=True,
              help="Repeatable; those trained on if left out. Base and new together give H.")  # fmt: skip
@click.option("--per-class", is_flag=True, help="A line a class as well.")
@click.option("--baselines", is_flag=True, help="Also what the templates reach on these images without any training.")
@click.option("--plots", type=FOLDER,
              help="Write pictures here: losses, expert use, mistakes, certainty, base and new.")  # fmt: skip
@click.option("--out", "-o", type=FILE, help="Write a line an image here (CSV): label, answer, probability, expert.")
@measure_options
@json_option
def evaluate(
    run: Path,
    parts: tuple[Half, ...],
    per_class: bool,
    baselines: bool,
    plots: Path | None,
    out: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Measure a run on the test images of a data set.

    \b
    mocoop eval run/ --data photos/ --baselines
    mocoop eval run/ --data photos/ --classes base --classes new --per-class --plots plots/
    mocoop eval run/ --data photos/ -o images.csv
    """
    use_threads(options["threads"])
    if out is not None:
        check_output(out, (".csv",), (options["data"], options["class_names"]))
    if plots is not None:
        check_can_make(plots)

    from mocoop.reporting.imagerows import write_rows
    from mocoop.reporting.printing import evaluation_record, print_evaluation
    from mocoop.reporting.runplots import draw_run

    opened = open_run(run)
    found = measure(opened, parts, options, baselines=baselines)
    notes = (found.measured.dataset.notes, found.backbone.notes)
    record = evaluation_record(opened, found.dataset.name, found.evaluations, found.impossible, *notes)
    if as_json:
        print_json(record)
        for note in record["data_notes"]:
            _say(note)
    else:
        print_evaluation(record, per_class)
    if out is not None:  # last: with a full disk no result is lost
        write_rows(opened, found.evaluations, out)
        cli.say(f"a line an image: {out}")
    if plots is not None:
        for picture in draw_run(opened, found.evaluations, plots):
            cli.say(f"picture: {picture}")


@click.command(short_help="Classify images, and say which experts decided.")
@click.argument("run", type=ANY)
@click.argument("images", metavar="IMAGES...", type=ANY, nargs=-1, required=True)
@click.option("--top", type=click.IntRange(min=1), default=5, show_default=True, help="Likeliest classes in the JSON.")
@doubt_options
@click.option("--classes-file", type=FILE, help="Other classes than those trained on, one name a line.")
@output_options
@moved_options
@device_options
@click.option("--on-bad-image", type=click.Choice(["fail", "skip"]),
              help="What to do with an image that cannot be read: end, or say so and go on. If left out, end; with -o "
                   "or --sort-into go on, with the reason in its row.")  # fmt: skip
@reading_options
@click.option(
    "--engine",
    type=click.Choice(["torch", "onnx"]),
    help="onnx: without torch, by the model.onnx that mocoop export wrote; taken if RUN is such a file.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one line an image.")
def predict(
    run: Path,
    images: tuple[Path, ...],
    classes_file: Path | None,
    engine: str | None,
    as_json: bool,
    **options: Any,
) -> None:  # fmt: skip
    """Classify images, and say which experts decided. A folder stands for all images in it.

    A .npz or .safetensors file of image features, as mocoop train takes it, stands for its rows; it needs no labels.
    RUN may also be a .onnx file of mocoop export. With -o or --sort-into any number of images is streamed, and after an
    interruption the same command goes on.

    \b
    mocoop predict run/ photo.jpg more_photos/
    mocoop predict run/ photo.jpg --coverage 0.9 --unsure-below 0.5
    mocoop predict run/ photos/ -o photos.csv
    mocoop predict run/ photos/ -o photos.html --sort-into sorted/ --unsure-below 0.6
    mocoop predict run/ photo.jpg --engine onnx
    mocoop predict run/ features.npz --json
    mocoop predict run/ photo.jpg --json | head -1
    mocoop predict run/ photo.jpg --classes-file other_classes.txt
    """
    outputs = Outputs.of(options, images)
    if outputs and as_json:
        raise UsageError("--json prints, -o and --sort-into write", "leave --json out, or write with -o FILE.jsonl")
    options["on_bad_image"] = options["on_bad_image"] or ("skip" if outputs else "fail")
    if engine == "onnx" or (engine is None and is_exported(run)):
        _predict_exported(run, images, as_json, outputs, {**options, "classes_file": classes_file})
        return
    use_threads(options["threads"])
    classnames = read_class_names(classes_file) if classes_file else None
    asked = parse_reading(options)

    from mocoop.backbone.backbone import STAND_IN_NOTE
    from mocoop.bulk.options import Options
    from mocoop.runs.scores import warnings_of

    given = _given(images, options)
    opened = open_run(run)
    if opened.stand_in:
        cli.say(f"note: {STAND_IN_NOTE}")
    notes = opened.info.get("notes", ())
    doubt = parse_doubt(opened.calibration, run, kept := dict(options), classnames, notes)
    if outputs:
        how = {name: options[name] for name in _PASSED}
        settings = Options(run.absolute(), classnames=classnames, precision=options["precision"] or "auto", **how)
        outputs.write(settings, given, asked)
    else:
        _predict_here(opened, given, classnames, as_json, doubt, asked, kept)
    for note in warnings_of(notes):
        _say(f"of the training of this run: {note}")


def _predict_here(
    run: Run,
    given: list[Given],
    classnames: tuple[str, ...] | None,
    as_json: bool,
    doubt: Doubt | None,
    asked: dict[str, Any],
    options: dict[str, Any],
) -> None:
    """Print what a run says of images and features."""
    from mocoop.data.survey import find_reading
    from mocoop.runs.predict import predict_features, predict_images

    # rows of features need no backbone for the classes trained on
    pictures = any(not arrays for arrays, _ in given)
    backbone = backbone_of(run, options) if pictures or classnames or run.method.conditional else None
    for note in backbone.notes if backbone is not None else ():
        _say(note)
    shared: dict[str, Any] = {
        "backbone": backbone, "classnames": classnames, "top": options["top"], "doubt": doubt
    }  # fmt: skip
    answers: list[Iterator[dict[str, Any]]] = []
    for arrays, some in given:  # feature files are checked before the first image is classified
        if arrays:
            answers += [predict_features(run, path, **shared) for path in some]
        else:
            reading, notes = find_reading(some, known=run.reading, **asked)
            for note in notes:
                _say(note)
            how = {"on_bad_image": options["on_bad_image"], "reading": reading, "notice": _say}
            answers.append(predict_images(run, some, **how, **shared))
    _print_predictions(chain.from_iterable(answers), as_json, options["experts"], len(run.groups.ids), doubt)


def _predict_exported(
    run: Path, images: tuple[Path, ...], as_json: bool, outputs: Outputs | None, options: dict[str, Any]
) -> None:
    """The same by an exported model; neither torch nor the backbone is loaded."""
    from mocoop.bulk.exported import ExportedTower
    from mocoop.bulk.options import Options

    refuse_other_options(options)
    asked = parse_reading(options)
    given = _given(images, options)
    if arrays := [path for are_features, paths in given if are_features for path in paths]:
        raise UsageError(
            f"an exported model takes images, not features: {arrays[0]}", "use --engine torch with the run"
        )
    engine = open_engine(run, options["threads"])
    doubt = parse_doubt(engine.calibration, run, kept := dict(options))
    if outputs:
        how = {name: options[name] for name in ("top", "experts", "on_bad_image", "coverage", "unsure_below")}
        settings = Options(engine.path, engine="onnx", **how)
        outputs.write(settings, given, asked, tower=ExportedTower(settings, engine, trained_images(run)))
        return
    for note in engine.record.notes:
        _say(note)
    found = engine.predict_images(
        [path for _, paths in given for path in paths],
        top=kept["top"],
        doubt=doubt,
        on_bad_image=kept["on_bad_image"],
        asked=asked,
        notice=_say,
    )
    _print_predictions(marked(found, run), as_json, kept["experts"], len(engine.experts), doubt)


def _print_predictions(
    predictions: Iterator[dict[str, Any]], as_json: bool, experts: Experts, of: int, doubt: Doubt | None
) -> None:
    """One line an image, and a note on those that the run was trained on. `of`: how many experts there are."""
    from mocoop.answers import with_experts
    from mocoop.reporting.printing import print_predictions
    from mocoop.runs.measured import Again

    again = Again()
    found = (with_experts(one, experts) for one in again.counted(predictions))
    if as_json:
        for prediction in found:
            click.echo(json.dumps(prediction, ensure_ascii=False))
    else:
        sets = doubt is not None and doubt.limits is not None
        print_predictions(found, experts=of > 1 and experts != "none", sets=sets)
    if again.note:
        _say(again.note)


def _given(images: tuple[Path, ...], options: dict[str, Any]) -> list[Given]:
    """Image files, and files of features, each run of a kind together, folders opened."""
    from mocoop.data.arrays import SUFFIXES

    skip = options["on_bad_image"] == "skip"
    return [
        (arrays, list(some) if arrays else list(_image_files(tuple(some), may_be_missing=skip)))
        for arrays, some in groupby(images, key=lambda path: path.suffix.lower() in SUFFIXES and not path.is_dir())
    ]


def _say(note: str) -> None:
    cli.say(f"note: {note}")


def _image_files(given: tuple[Path, ...], *, may_be_missing: bool) -> Iterator[Path]:
    """The files named, and the images in the folders named. Raises DataError for a missing file, an empty folder."""
    from mocoop.data.fence import meant
    from mocoop.data.images import list_images

    for path in given:
        if not os.path.isdir(path):
            if not may_be_missing and not os.path.exists(path):
                refuse_address(path)
                raise DataError(f"there is no image {path}{meant(path)}", "check the path")
            yield path
            continue
        found = list_images(path)
        for note in found.left_out(path):
            _say(note)
        if not found.images:
            raise DataError(f"{path} has no images", "give image files, or a folder that has some")
        yield from found.images


COMMANDS = (evaluate, predict)
