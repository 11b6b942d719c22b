"""The command `mocoop auto`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mocoop import cli
from mocoop.commands.shared import (
    FILE,
    FOLDER,
    SEED,
    data_options,
    device_options,
    group_file,
    json_option,
    names_by_position,
    parse_reading,
    print_json,
    reading_options,
)
from mocoop.errors import UsageError

if TYPE_CHECKING:
    from mocoop.auto.choose import Chosen

_GENERAL = "photographs"


@click.command(short_help="Find the best method for your images, and keep it as a run.")
@data_options
@click.option("--domain", help=f"What the images are of, in plain words; groups are made for it. "
                               f"Left out: {_GENERAL}.")  # fmt: skip
@click.option("--groups", type=FILE, help="A group file instead. Or paper: the paper's for this data set.")
@click.option("-o", "--out", type=FOLDER, required=True, help="The run folder.")
@click.option("--minutes", type=cli.Between(min=0, min_open=True), default=10.0, show_default=True,
              help="Time for trying and training; what does not fit in it is left out, and said.")  # fmt: skip
@click.option("--shots", type=click.IntRange(min=1), help="Training images a class; all if left out.")
@click.option("--seed", type=SEED, default=1, show_default=True,
              help="Draws the shots, what is held out, and the order of training.")  # fmt: skip
@click.option("--split-seed", type=SEED, default=0, show_default=True, help="Makes splits that the data lacks.")
@click.option("--backbone", default="photoclip", show_default=True,
              help="An open_clip model (ViT-B-16), local-dir:PATH, hf-hub:ORG/REPO, or one that comes along: "
                   "photoclip, small, for photographs; miniclip, for the drawn tiles. features:WIDTH is none, for "
                   "features made elsewhere.")  # fmt: skip
@click.option("--pretrained", help="Its weights: a tag (openai), a file, or TAG=FILE.")
@click.option("--quick-gelu/--no-quick-gelu", default=None, help="Activation of a weights file that does not tell.")
@device_options
@reading_options
@click.option("--force", is_flag=True, help="Replace a finished run.")
@json_option
def auto(as_json: bool, minutes: float, domain: str | None, **options: Any) -> None:
    """Find the best method for your images, and keep it as a run.

    Tries zero-shot, ensembles, a linear probe, Tip-Adapter, CoOp, KgCoOp, LASP, the mixture, and the mixture with the
    probe, by cross-validation on the training images. Test images are read once, at the end. The run is one like any
    other: eval, predict, export and serve take it.

    \b
    mocoop auto --data photos/ --domain "satellite imagery" -o run/
    mocoop auto --data photos/ --groups groups.json --minutes 30 -o run/
    mocoop auto --data features.npz --backbone ViT-B-16 --pretrained openai -o run/
    """
    if domain is not None and options["groups"] is not None:
        raise UsageError("--domain and --groups both say what the groups are", "give one of them")
    if options["groups"] is not None:
        options["groups"] = group_file(options["groups"], options["data"])
    options["names_by_position"] = names_by_position(options, options["data"])

    from mocoop.training.progress import training_progress

    with _groups(options, domain) as path:
        options["groups"] = path
        with training_progress() as listener:
            found = _chosen(options, minutes, listener)
    if as_json:
        print_json(found.to_dict())
    else:
        _show(found, options["data"], options["class_names"])


def _chosen(options: dict[str, Any], minutes: float, listener: Any) -> Chosen:
    """Build the plan, and run it."""
    from mocoop.auto.choose import all_shots, auto
    from mocoop.config import preset
    from mocoop.data.sources import open_dataset
    from mocoop.groupfile.groups import load_groups
    from mocoop.runs.train import TrainingPlan

    own = dict(options)
    config = preset("recommended", precision=own.pop("precision") or "auto")
    if own["shots"] is None:
        given = ("class_names", "names_by_position", "columns", "split_seed", "follow_links")
        own["shots"] = all_shots(open_dataset(own["data"], **{name: own[name] for name in given}))
    plan = TrainingPlan(config=config, use_cache=not own.pop("no_cache"), **parse_reading(own), **own)
    assert plan.groups is not None
    return auto(plan, load_groups(plan.groups), minutes, listener)


@contextmanager
def _groups(options: dict[str, Any], domain: str | None) -> Iterator[Path]:
    """The group file that was given, or one that `mocoop-groups` makes for the domain; the run keeps a copy."""
    if options["groups"] is not None:
        yield options["groups"]
        return
    from mocoop.groupfile.curator import call_curator

    with tempfile.TemporaryDirectory(prefix="mocoop-auto-") as folder:
        path = Path(folder) / "groups.json"
        call_curator(["generate", "--domain", domain or _GENERAL, "--backend", "bank", "-o", str(path)])
        cli.say(f"groups for {domain or _GENERAL!r}, as `mocoop-groups generate --domain` makes them")
        yield path


def _show(found: Chosen, data: Path, class_names: Path | None) -> None:
    """What each got, what was picked and why, what it costs on new classes, and the next commands."""
    from mocoop.reporting.printing import say_next

    choice = found.choice
    rows = [_row(entry, picked=entry["method"] == choice.winner.name) for entry in found.to_dict()["tried"]]
    cli.show_table(("method", "accuracy %", "±", "lower bound %", "images", "seconds", "any class", "remark"), rows)
    cli.say(f"measured by {choice.how}")
    cli.say(f"picked {choice.why}")
    cli.say(found.new_classes_note)
    if found.test is not None:
        balanced = f", balanced {found.test.scores.balanced_accuracy:.1f} %" if found.test.scores else ""
        cli.say(f"on {found.test.images} test images, read only now: {found.test.accuracy:.2f} %{balanced}")
    say_next(found.run.path, found.run.info["backbone"]["name"], data, class_names)


def _row(entry: dict[str, Any], *, picked: bool) -> tuple[str, ...]:
    numbers = [entry[name] for name in ("accuracy", "standard_error", "lower")]
    told = ["-" if number is None else f"{number:.1f}" for number in numbers]
    remark = "picked" if picked else entry["left"] or ""
    any_class = "yes" if entry["names_any_class"] else "no"
    return entry["title"], *told, str(entry["images"]), f"{entry['seconds']:.1f}", any_class, remark


COMMANDS = (auto,)
