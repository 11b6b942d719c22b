"""Options that several commands share, and how they are handled."""

from __future__ import annotations

import ipaddress
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mocoop import cli
from mocoop.errors import DataError, UsageError
from mocoop.files import check_can_write

if TYPE_CHECKING:
    from mocoop.backbone.backbone import Backbone
    from mocoop.certainty.calibration import Calibration
    from mocoop.certainty.doubt import Doubt
    from mocoop.runs.run import Run

FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
ANY = click.Path(path_type=Path)
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
SEED = click.IntRange(0, 2**31 - 1)


def together(*options: Decorator) -> Decorator:
    """Combine several options into one decorator, in the order given."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


table_options = together(
    click.option("--columns", metavar="path=NAME,label=NAME[,split=NAME]", callback=lambda _context, _option, text:
                 columns_of(text), help="Which columns of a table to use, if their names do not tell."),
    click.option("--follow-links", is_flag=True, help="Allow symbolic links that leave the data folder."),
)  # fmt: skip
source_options = together(  # how a data set is read, of every command that opens one
    click.option("--class-names", type=FILE, help="Readable names of the classes (JSON, CSV, or one a line)."),
    click.option("--names-by-position", is_flag=True,
                 help="Give a plain list of --class-names by the order of the classes."),
    table_options,
)  # fmt: skip
data_options = together(
    click.option("--data", type=ANY, required=True,
                 help="A folder of class folders, a folder in CoOp's layout, a table of images (CSV, JSON or "
                      "Parquet), a folder of Hugging Face's save_to_disk, or an array file of image features."),
    source_options,
    click.option("--no-cache", is_flag=True, help="Compute all features afresh and keep none."),
)  # fmt: skip
moved_options = together(
    click.option("--backbone", help="Where the backbone of the training is now, if it has moved."),
    click.option("--pretrained", help="The same for its weights file."),
)  # fmt: skip
bad_image_option = click.option("--on-bad-image", type=click.Choice(["fail", "skip"]), default="fail",
                                 show_default=True, help="What to do with an image that cannot be read.")  # fmt: skip
reading_options = together(
    click.option("--bands", metavar="LIST",
                 help="Bands of a TIFF, counted from 1, as red, green, blue: 4,3,2. The first three if left out."),
    click.option("--range", "value_range", metavar="LOW,HIGH",
                 help="Values that are black and white in pictures of more than 8 bits; or percentile. If left out, "
                      "one scale by the training images."),
)  # fmt: skip
device_options = together(
    click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps."),
    click.option("--precision", type=click.Choice(["auto", "float32", "bfloat16", "float16"]),
                 help="Number format of the backbone. auto: bfloat16 where GPU or CPU computes in it, else float32."),
    click.option("--threads", type=click.IntRange(min=1), help="CPU threads; all cores if left out."),
)  # fmt: skip
doubt_options = together(
    click.option("--coverage", type=cli.Between(0, 1, min_open=True, max_open=True),
                 help="Give for each image the classes that hold the right one so often, as 0.9. For the classes "
                      "trained on, by images that were not."),
    click.option("--unsure-below", type=cli.Between(0, 1), metavar="P",
                 help="Say \"not sure\" of an image whose class has a probability below P."),
)  # fmt: skip
measure_options = together(  # of a run on test images
    moved_options,
    device_options,
    bad_image_option,
    reading_options,
    click.option("--max-skipped", type=cli.Between(0, 1), default=0.1, show_default=True,
                 help="Fail above this share of unreadable test images."),
)  # fmt: skip
cluster_options = together(
    click.option("--engine", type=click.Choice(["local", "ray"]), default="local", show_default=True,
                 help="This machine, or actors of a Ray cluster."),
    click.option("--workers", type=click.IntRange(min=1),
                 help="Actors of --engine ray; as many as it has GPUs, or else cores, if left out."),
    click.option("--address",
                 help="Ray cluster: HOST:PORT, or auto for one that runs here; a new one if left out."),
)  # fmt: skip
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def names_by_position(options: dict[str, Any], data: Path, kept_names: dict[str, str] | None = None) -> bool:
    """Whether a list of class names may go by position: by the option, or by a yes at the terminal.

    The pairs are shown before the question. Without a terminal `open_dataset` refuses such a list.
    """
    if options["names_by_position"] or options["class_names"] is None or not _asks():
        return bool(options["names_by_position"])

    from mocoop.data.namelists import PositionNeeded
    from mocoop.data.sources import open_dataset

    try:
        open_dataset(
            data,
            class_names=options["class_names"],
            kept_names=kept_names,
            columns=options.get("columns"),
            follow_links=options.get("follow_links", False),
        )
    except PositionNeeded as reason:
        for key, name in reason.pairs:
            cli.say(f"  {key} -> {name}")
        return click.confirm("the names go to the classes by position only; are these pairs right?", err=True)
    return False


def _asks() -> bool:
    """Whether a person can be asked: both stdin and stdout are a terminal."""
    return sys.stdin is not None and sys.stdin.isatty() and cli.on_terminal()


def group_file(given: Path, data: Path) -> Path:
    """The file itself; for the word "paper", the paper's own groups for the data set. Raises UsageError."""
    from mocoop.groupfile.groups import PAPER, paper_groups

    if str(given) != PAPER or given.is_file():
        return given

    from mocoop.data.sources import data_name

    return paper_groups(data_name(data))


def use_threads(threads: int | None) -> None:
    """Set the number of CPU threads; None leaves it unchanged."""
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def check_output(out: Path, suffixes: Sequence[str], read: Iterable[Path | None] = ()) -> None:
    """Whether a file can become what a command writes; before the work, which would be in vain.

    So no slip of the pen costs a run's own files, a picture or the table that the command `read`s. Raises UsageError
    for another suffix and for a file that is read, StorageError for what cannot be written.
    """
    if out.suffix.lower() not in suffixes:
        raise UsageError(f"-o {out}: this name is of another kind of file", f"end it with {' or '.join(suffixes)}")
    for path in read:
        if path is not None and out.exists() and path.exists() and out.samefile(path):
            raise UsageError(f"-o {out} is what this command reads", "write to another file")
    check_can_write(out)


def open_run(path: Path) -> Run:
    """A run folder, opened; what must be known of the folder is said. Raises CheckpointError."""
    from mocoop.runs.run import Run

    run = Run.open(path)
    for note in run.notes:
        cli.say(f"note: {note}")
    return run


def backbone_of(run: Run, options: dict[str, Any]) -> Backbone:
    """The backbone of a run, loaded from where the options say."""
    return run.load_backbone(
        options["device"],
        precision=options["precision"] or "auto",
        name=options["backbone"],
        pretrained=options["pretrained"],
    )


def parse_doubt(
    calibration: Calibration | None,
    of: Path,
    options: dict[str, Any],
    classnames: object = None,
    notes: Sequence[str] = (),
) -> Doubt | None:
    """What `doubt_options` ask for, taken out of the options; `notes` are those of the training.

    Raises UsageError for sets that cannot be had.
    """
    from mocoop.certainty.doubt import doubt_of

    coverage, unsure_below = options.pop("coverage"), options.pop("unsure_below")
    if coverage is not None and classnames is not None:
        cli.say("note: no sets: what they promise holds for the classes trained on, not for those of --classes-file")
        coverage = None
    if unsure_below is not None and calibration is None:
        cli.say(f"note: {of} has no calibration: --unsure-below goes by probabilities as the training left them")
    return doubt_of(calibration, str(of), coverage=coverage, unsure_below=unsure_below, notes=notes)


def parse_reading(options: dict[str, Any]) -> dict[str, Any]:
    """The values of `reading_options`, taken out of the options. Raises UsageError."""
    from mocoop.data.reading import parse_bands, parse_range

    return {"bands": parse_bands(options.pop("bands")), "value_range": parse_range(options.pop("value_range"))}


def cluster_of(options: dict[str, Any]) -> dict[str, Any] | None:
    """Workers and address of a cluster, taken out of the options; None for this machine. Raises UsageError."""
    engine, cluster = options.pop("engine"), {name: options.pop(name) for name in ("workers", "address")}
    if engine == "ray":
        return cluster
    if any(value is not None for value in cluster.values()):
        raise UsageError("--workers and --address belong to a cluster", "add --engine ray")
    return None


@contextmanager
def resumable() -> Iterator[None]:
    """Say at Ctrl-C that the same command goes on, of commands of which that is true."""
    try:
        yield
    except KeyboardInterrupt:
        cli.say("the same command again goes on where this one stopped")
        raise


def refuse_address(given: object) -> None:
    """Raises DataError for an address on the web where a file is wanted; a path has lost one of its slashes."""
    if found := re.match(r"([a-z][a-z0-9+.-]+):/+(?=[^/])", str(given), re.IGNORECASE):
        address = f"{found[1]}://{str(given)[found.end() :]}"
        raise DataError(f"images must be files here, and {address} is an address", "download it first")


def is_loopback(host: str) -> bool:
    """Whether an address to serve on is reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def print_json(value: Any) -> None:
    """Print a value to stdout as indented JSON."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def columns_of(text: str | None) -> dict[str, str] | None:
    """The columns of a table by role, from `path=NAME,label=NAME`. Raises UsageError."""
    if text is None:
        return None
    pairs = [word.partition("=") for word in words_of(text)]
    if not pairs or not all(role and column for role, _, column in pairs):
        raise UsageError(f"--columns {text!r} names no columns", "write --columns path=file,label=kind")
    return {role.strip(): column.strip() for role, _, column in pairs}


def words_of(text: str | None) -> list[str]:
    """The words of a comma-separated list."""
    return [word.strip() for word in (text or "").split(",") if word.strip()]


def numbers_of(option: str, text: str, least: int = 0) -> list[int]:
    """The integers of a comma-separated list, without repeats, none below `least`. Raises UsageError."""
    try:
        numbers = list(dict.fromkeys(int(word) for word in words_of(text)))
    except ValueError as error:
        raise UsageError(f"{option} {text} are not whole numbers", "separate them with commas: 1,2,3") from error
    if not numbers or min(numbers) < least:
        raise UsageError(f"{option} {text!r} cannot be", f"give whole numbers from {least} on: 1,2,3")
    return numbers


def read_class_names(path: Path) -> tuple[str, ...]:
    """Class names, one per line, under the usual rules for class names. Raises DataError."""
    from mocoop.data.classnames import final_names, read_list

    names = read_list(path)
    if len(names) < 2:
        raise DataError(f"{path} names {len(names)} class", "name two or more, one a line")
    found, notes = final_names(names)
    for note in notes:
        cli.say(f"note: {note}")
    return found
