"""`mocoop export`: a run as one file that needs no torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mocoop import cli
from mocoop.commands.shared import (
    ANY,
    FILE,
    FOLDER,
    check_output,
    json_option,
    moved_options,
    names_by_position,
    open_run,
    parse_reading,
    print_json,
    reading_options,
    source_options,
    use_threads,
)

if TYPE_CHECKING:
    from mocoop.export.writing import Exported, Sample
    from mocoop.runs.run import Run


@click.command(short_help="Write a run as one ONNX file, which needs no torch.")
@click.argument("run", type=FOLDER)
@click.option("-o", "--out", type=FILE, help="The file to write; model.onnx or model.pt2 in the run if left out.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["onnx", "torch-export"]),
    default="onnx",
    show_default=True,
    help="ONNX, or PyTorch's own format.",
)
@click.option(
    "--precision",
    type=click.Choice(["float32", "float16", "int8"]),
    default="float32",
    show_default=True,
    help="ONNX only. float16 halves the file; int8 takes 8-bit matrix products in the image tower.",
)
@click.option(
    "--pixels",
    type=click.Choice(["float32", "uint8"]),
    default="float32",
    show_default=True,
    help="What the model takes: prepared values, or the bytes of a crop, which it prepares itself.",
)
@click.option("--data", type=ANY, help="Images to compare on, as mocoop train takes them; drawn tiles if left out.")
@source_options
@reading_options
@click.option(
    "--images",
    "count",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="How many images to compare on, at most.",
)
@click.option("--tolerance", type=cli.Between(0, 1), help="Largest difference of a probability that is accepted.")
@moved_options
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads; all cores if left out.")
@json_option
def export(
    run: Path, out: Path | None, form: Any, precision: str, pixels: str, as_json: bool, **options: Any
) -> None:  # fmt: skip
    """Write a run as one file that needs no torch: pixels in, probabilities and experts' weights out.

    What was written is compared with the run on images, and refused if its answers differ. Give --data to see what a
    smaller number format costs in accuracy.

    \b
    mocoop export run/ -o model.onnx
    mocoop export run/ -o small.onnx --precision int8 --data photos/
    """
    from mocoop.errors import UsageError

    if form == "torch-export" and precision != "float32":
        raise UsageError(f"--format torch-export writes float32 only, not {precision}", "leave --precision out")
    if form == "onnx":
        from mocoop.packages import require

        require("onnx", "onnxruntime", "onnxscript", extra="export")
    use_threads(options["threads"])

    from mocoop.export.writing import SUFFIXES, export_run
    from mocoop.training.progress import training_progress

    opened = open_run(run)
    out = out or run / f"model{SUFFIXES[form]}"
    check_output(out, (SUFFIXES[form],))
    with training_progress() as listener:
        listener.stage("reading the images")
        sample = _sample(opened, options)
        listener.stage("loading the backbone")
        backbone = opened.load_backbone(
            "cpu", precision="float32", name=options["backbone"], pretrained=options["pretrained"]
        )
        written = export_run(
            opened,
            backbone,
            out,
            sample,
            form=form,
            precision=precision,
            pixels=pixels,
            tolerance=options["tolerance"],
            stage=listener.stage,
            progress=listener.features,
        )
    if as_json:
        print_json(written.to_dict())
    else:
        _print(written)
    for note in written.record.notes:
        cli.say(f"note: {note}")


def _sample(run: Run, options: dict[str, Any]) -> Sample:
    """The images to compare on."""
    from mocoop.export.writing import drawn_sample, labelled_sample

    asked = parse_reading(options)
    data: Path | None = options["data"]
    if data is None:
        return drawn_sample(options["count"])

    from mocoop.data.sources import open_dataset
    from mocoop.data.splits import choose_classes
    from mocoop.data.survey import settled
    from mocoop.runs.evaluate import on_classes_of
    from mocoop.runs.measured import to_measure

    kept = run.info.get("names_by_key")
    dataset = open_dataset(
        data,
        class_names=options["class_names"],
        names_by_position=names_by_position(options, data, kept),
        kept_names=kept,
        columns=options["columns"],
        split_seed=run.info["split_seed"],
        follow_links=options["follow_links"],
    )
    measured = to_measure(run, on_classes_of(run, dataset))
    part = choose_classes(measured.dataset, run.info["classes"])
    part = settled(replace(part, notes=()), part.test, known=run.reading, **asked)
    for note in (*measured.notes, *part.notes):
        cli.say(f"note: {note}")
    return labelled_sample(run, part, options["count"])


def _print(written: Exported) -> None:
    """What was written, and what the comparison found."""
    record, checked = written.record, written.checked
    shape = ", ".join(map(str, ("N", *record.input_shape)))
    experts = f"{len(record.templates)} experts, " if len(record.templates) > 1 else ""
    rows = [
        ("file", f"{written.path}, {written.bytes / 1e6:.1f} MB"),
        ("holds", f"{len(record.classnames)} classes, {experts}weights in {record.precision}"),
        ("takes", f"pixels ({shape}) {record.pixels}"),
        ("compared on", f"{checked.images} {written.sample}"),
        ("largest difference", f"{checked.largest_difference:.2g} in a probability or gate"),
        ("same class", f"{checked.same_class:g} % of the images"),
    ]
    if checked.accuracy_before is not None and checked.accuracy_after is not None:
        change = checked.accuracy_after - checked.accuracy_before
        before, after = checked.accuracy_before, checked.accuracy_after
        rows.append(("accuracy on these", f"{before:.2f} % before, {after:.2f} % after ({change:+.2f})"))
    cli.show_table(("export", "value"), rows)


COMMANDS = (export,)
