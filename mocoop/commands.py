"""The command line `mocoop`: train, evaluate, predict, look at what was learned, and a demonstration.

Results go to stdout, everything else to stderr. Torch and its kin are imported inside the commands, so that `--help`
is quick. How results are laid out is in `printing.py`, what is shown during training in `progress.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

import click

from mocoop import cli
from mocoop.bench.command import bench
from mocoop.bench.tune_command import tune
from mocoop.config import METHODS, PRESETS, Config, preset
from mocoop.errors import ConfigError, DataError, UsageError
from mocoop.reporting.command import report
from mocoop.settings import settings_by_name

if TYPE_CHECKING:
    from mocoop.backbone import Backbone
    from mocoop.data.cache import FeatureCache
    from mocoop.run import Run
    from mocoop.training import TrainingPlan

FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
ANY = click.Path(path_type=Path)
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

_SETTINGS = (
    "epochs", "lr", "batch_size", "views", "top_k", "lambda_router", "lambda_text", "precision",
)  # fmt: skip
_SEED = click.IntRange(0, 2**31 - 1)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@cli.options
def mocoop() -> None:
    """Train a mixture of prompts from groups of hand-written templates, on a frozen vision-language model.

    \b
    mocoop demo -o demo/
    mocoop-groups generate --domain "satellite imagery" -o groups.json
    mocoop train --groups groups.json --data DIR --shots 16 -o run/
    mocoop eval run/ --data DIR
    mocoop predict run/ IMAGE...

    A group file is made, checked and shown by `mocoop-groups`.
    """


def _together(*options: Decorator) -> Decorator:
    """Several options as one decorator, in the order given."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


_data_options = _together(
    click.option("--data", type=ANY, required=True,
                 help="A folder of class folders, a folder in CoOp's layout, a CSV or JSONL manifest, or an array "
                      "file of image features."),
    click.option("--class-names", type=FILE, help="Readable names of the classes (JSON, CSV, or one a line)."),
    click.option("--follow-links", is_flag=True, help="Allow symbolic links that leave the data folder."),
    click.option("--no-cache", is_flag=True, help="Compute all features afresh and keep none."),
)  # fmt: skip
_moved_options = _together(
    click.option("--backbone", help="Where the backbone of the training is now, if it has moved."),
    click.option("--pretrained", help="The same for its weights file."),
)  # fmt: skip
_bad_image_option = click.option("--on-bad-image", type=click.Choice(["fail", "skip"]), default="fail",
                                 show_default=True, help="What to do with an image that cannot be read.")  # fmt: skip
_device_options = _together(
    click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps."),
    click.option("--precision", type=click.Choice(["auto", "float32", "bfloat16", "float16"]),
                 help="Number format of the backbone on a GPU."),
    click.option("--threads", type=click.IntRange(min=1), help="CPU threads; all cores if left out."),
)  # fmt: skip
_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@mocoop.command(short_help="Train a mixture of prompts from a group file.")
@click.option("--groups", type=FILE, help="The group file: one group of templates an expert.")
@click.option("--method", "method_name", type=click.Choice(METHODS), default="mocoop", show_default=True,
              help="What is learned, and how. Those with one prompt or none read no groups.")  # fmt: skip
@_data_options
@click.option("-o", "--out", type=FOLDER, required=True, help="The run folder.")
@click.option("--shots", type=click.IntRange(min=1), default=16, show_default=True, help="Training images a class.")
@click.option("--seed", type=_SEED, default=1, show_default=True, help="Draws the shots and the order of training.")
@click.option("--split-seed", type=_SEED, default=0, show_default=True, help="Makes splits that the data lacks.")
@click.option("--classes", type=click.Choice(["all", "base"]), default="all", show_default=True,
              help="Train on all classes, or on the first half only.")  # fmt: skip
@click.option("--preset", "preset_name", type=click.Choice(list(PRESETS)), default="recommended", show_default=True,
              help="Settings: ours, the paper's, or the authors' released code's.")  # fmt: skip
@click.option("--backbone", default="miniclip", show_default=True,
              help="An open_clip model (ViT-B-16), local-dir:PATH or hf-hub:ORG/REPO. "
                   "miniclip is a small stand-in.")  # fmt: skip
@click.option("--pretrained", help="Its weights: a tag (openai) or a file.")
@click.option("--quick-gelu/--no-quick-gelu", default=None, help="Activation of a weights file that does not tell.")
@click.option("--epochs", type=int, help="Passes over the training images.")
@click.option("--lr", type=float, help="Learning rate.")
@click.option("--batch-size", type=int, help="Images a step.")
@click.option("--views", help="Cached augmented views an image, 0 for the plain one; or epochs, or online.")
@click.option("--top-k", type=int, help="Experts used for an image.")
@click.option("--lambda-router", type=float, help="Weight of the router loss.")
@click.option("--lambda-text", type=float, help="Weight of the text loss.")
@click.option("--set", "settings", metavar="NAME=VALUE", multiple=True,
              help="Any other setting, the value in JSON or as a word; repeatable.")  # fmt: skip
@_device_options
@_bad_image_option
@click.option("--strict-vocabulary", is_flag=True, help="Refuse words the backbone was never trained on.")
@click.option("--force", is_flag=True, help="Train a finished run again.")
@_json_option
def train(as_json: bool, **options: Any) -> None:
    """Train a mixture of prompts: one expert a group, started from the group's template. Or another method.

    The same command again resumes an interrupted training. Every setting is recorded in the run folder.

    \b
    mocoop train --groups groups.json --data photos/ --shots 16 --seed 1 -o run/
    mocoop train --method coop --data photos/ --set ctx_init=null --set ctx_tokens=16 -o coop/
    mocoop train --groups groups.json --data eurosat/ --classes base -o run/ \\
        --backbone ViT-B-16 --pretrained openai --set renormalise_mix=false
    """
    plan = _training_plan(options)

    from mocoop.printing import print_training
    from mocoop.progress import training_progress
    from mocoop.summary import summarise
    from mocoop.training import train as train_run

    try:
        with training_progress(_group_ids(plan)) as listener:
            run = train_run(plan, listener)
    except KeyboardInterrupt:
        cli.say("the same command again goes on where this one stopped")
        raise
    if as_json:
        _print_json(summarise(run))
    else:
        print_training(summarise(run), plan.data, plan.class_names)


@mocoop.command("eval", short_help="Measure a run on the test images of a data set.")
@click.argument("run", type=FOLDER)
@_data_options
@click.option("--classes", "parts", type=click.Choice(["base", "new", "all"]), multiple=True,
              help="Repeatable; those trained on if left out. Base and new together give H.")  # fmt: skip
@click.option("--per-class", is_flag=True, help="A line a class as well.")
@click.option("--baselines", is_flag=True, help="Also what the templates reach on these images without any training.")
@click.option("--plots", type=FOLDER, help="Write pictures here: losses, expert use, base and new.")
@_moved_options
@_device_options
@_bad_image_option
@click.option("--max-skipped", type=click.FloatRange(0, 1), default=0.1, show_default=True,
              help="Fail above this share of unreadable test images.")  # fmt: skip
@_json_option
def evaluate(
    run: Path,
    parts: tuple[str, ...],
    per_class: bool,
    baselines: bool,
    plots: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Measure a run on the test images of a data set.

    \b
    mocoop eval run/ --data photos/ --baselines
    mocoop eval run/ --data photos/ --classes base --classes new --per-class --plots plots/
    """
    _use_threads(options["threads"])

    from mocoop.data.sources import open_dataset
    from mocoop.data.splits import Half
    from mocoop.evaluate import evaluate as evaluate_run
    from mocoop.evaluate import unnameable
    from mocoop.plots import draw_run
    from mocoop.printing import evaluation_record, print_evaluation
    from mocoop.progress import training_progress
    from mocoop.run import Run

    opened = Run.open(run)
    dataset = open_dataset(
        options["data"],
        class_names=options["class_names"],
        split_seed=opened.info["split_seed"],
        follow_links=options["follow_links"],
    )
    chosen = cast("list[Half]", list(dict.fromkeys(parts or (opened.info["classes"],))))
    impossible = unnameable(opened, dataset, chosen)
    with training_progress() as listener:
        listener.stage("loading the backbone")
        backbone = _backbone_of(opened, options)
        listener.stage("encoding the images")
        evaluations = [
            evaluate_run(
                opened,
                dataset,
                classes=part,
                backbone=backbone,
                cache=_cache(options["no_cache"]),
                on_bad_image=options["on_bad_image"],
                max_skipped=options["max_skipped"],
                baselines=baselines,
                listener=listener,
            )
            for part in chosen
            if part not in impossible
        ]
    record = evaluation_record(opened, dataset.name, evaluations, impossible)
    if as_json:
        _print_json(record)
    else:
        print_evaluation(record, per_class)
    if plots is not None:  # last: a full disk costs no result
        for picture in draw_run(opened, evaluations, plots):
            cli.say(f"picture: {picture}")


@mocoop.command(short_help="Classify images, and say which experts decided.")
@click.argument("run", type=FOLDER)
@click.argument("images", metavar="IMAGES...", type=ANY, nargs=-1, required=True)
@click.option("--top", type=click.IntRange(min=1), default=5, show_default=True, help="Likeliest classes in the JSON.")
@click.option("--classes-file", type=FILE, help="Other classes than those trained on, one name a line.")
@_moved_options
@_device_options
@_bad_image_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one line an image.")
def predict(
    run: Path, images: tuple[Path, ...], top: int, classes_file: Path | None, as_json: bool, **options: Any
) -> None:
    """Classify images, and say which experts decided. A folder stands for all images in it.

    \b
    mocoop predict run/ photo.jpg more_photos/
    mocoop predict run/ photo.jpg --json | head -1
    mocoop predict run/ photo.jpg --classes-file other_classes.txt
    """
    _use_threads(options["threads"])
    paths = list(_image_files(images, may_be_missing=options["on_bad_image"] == "skip"))
    classnames = _read_class_names(classes_file) if classes_file else None

    from mocoop.backbone import STAND_IN_NOTE
    from mocoop.predict import predict_images
    from mocoop.printing import print_predictions
    from mocoop.run import Run

    opened = Run.open(run)
    if opened.stand_in:
        cli.say(f"note: {STAND_IN_NOTE}")
    backbone = _backbone_of(opened, options)
    found = predict_images(
        opened, paths, backbone=backbone, classnames=classnames, top=top, on_bad_image=options["on_bad_image"]
    )
    if as_json:
        for prediction in found:
            click.echo(json.dumps(prediction, ensure_ascii=False))
    else:
        print_predictions(found, experts=len(opened.group_ids) > 1)


@mocoop.command(short_help="Show what a run learned, from what and how.")
@click.argument("run", type=FOLDER)
@_json_option
def show(run: Path, as_json: bool) -> None:
    """Show what a run learned and from what: settings, experts, losses and how often each expert comes first.

    \b
    mocoop show run/
    mocoop show run/ --json
    """
    from mocoop.printing import print_run
    from mocoop.run import Run
    from mocoop.summary import summarise

    summary = summarise(Run.open(run))
    if as_json:
        _print_json(summary)
    else:
        print_run(summary)


@mocoop.command(short_help="Draw the demonstration's data.")
@click.option("-o", "--out", type=FOLDER, required=True, help="A new or empty folder.")
@click.option("--train", type=click.IntRange(min=1), default=4, show_default=True,
              help="Training tiles a class and style.")  # fmt: skip
@click.option("--val", type=click.IntRange(min=0), default=1, show_default=True, help="Validation tiles.")
@click.option("--test", type=click.IntRange(min=1), default=6, show_default=True, help="Test tiles.")
@click.option("--seed", type=_SEED, default=0, show_default=True, help="Which tiles.")
def scenes(out: Path, train: int, val: int, test: int, seed: int) -> None:
    """Write the demonstration's data: drawn satellite-like tiles as folders of classes.

    They are drawings, no photographs; the file names carry the visual style.

    \b
    mocoop scenes -o scenes/
    """
    if out.is_dir() and any(out.iterdir()):
        raise UsageError(f"{out} is not empty", "choose a new folder")

    from mocoop.miniclip.scenes import write_scenes

    write_scenes(out, train=train, val=val, test=test, seed=seed)
    cli.say("next: mocoop-groups generate --domain 'satellite imagery' -o groups.json")
    cli.say(f"      mocoop train --groups groups.json --data {cli.command_path(out)} --classes base -o run")
    click.echo(out)


@mocoop.command(short_help="From groups to a report with pictures, in minutes.")
@click.option("-o", "--out", type=FOLDER, required=True, help="Where everything goes.")
@click.option("--force", is_flag=True, help="Replace an earlier demonstration.")
@_json_option
def demo(out: Path, force: bool, as_json: bool) -> None:
    """The whole story in a few minutes: groups, training, evaluation, prediction and a report with pictures.

    It runs on drawn tiles with miniclip, a stand-in: the numbers say that the method runs, not how well it does.

    \b
    mocoop demo -o demo/
    """
    from mocoop.demo import run_demo
    from mocoop.demo_results import DemoPlan
    from mocoop.printing import print_demo

    results = run_demo(DemoPlan(out=out, force=force))
    if as_json:
        _print_json(results)
    else:
        print_demo(results)


for command in (bench, tune, report):
    mocoop.add_command(command)


def main() -> NoReturn:
    """Entry point of `mocoop`."""
    # PyTorch's OpenMP threads spin while they wait. On a busy machine that made a training fifteen times slower; this
    # short spin costs an idle one a few percent. It must be set before torch is loaded, and a user's choice wins.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "5000")
    cli.run(mocoop, "mocoop")


def _training_plan(options: dict[str, Any]) -> TrainingPlan:
    """The options of `train` as a plan. Raises UsageError for settings that cannot be."""
    method = options.pop("method_name")
    named = {name: options.pop(name) for name in _SETTINGS}
    changes = settings_by_name(options.pop("settings"), named)
    config = _config(options.pop("preset_name"), method, changes)

    from mocoop.methods import method_named
    from mocoop.training import TrainingPlan

    unused = method_named(method).unused(list(changes), config)
    if options["groups"] is not None and not method_named(method).reads_groups:
        unused.append("a group file")
    if unused:
        cli.say(f"note: the method {method} does not use {', '.join(unused)}")
    return TrainingPlan(config=config, use_cache=not options.pop("no_cache"), **options)


def _group_ids(plan: TrainingPlan) -> list[str]:
    """The experts whose use is shown in training; none where there is one prompt."""
    from mocoop.groups import load_groups
    from mocoop.methods import method_named

    given = load_groups(plan.groups) if plan.groups is not None else None
    ids = [group.id for group in method_named(plan.config.method).groups(given, plan.config).groups]
    return ids if len(ids) > 1 else []


def _config(preset_name: str, method: str, changes: dict[str, Any]) -> Config:
    try:
        return preset(preset_name, method, **changes)
    except ConfigError as error:
        raise UsageError(error.message, error.hint) from error


def _use_threads(threads: int | None) -> None:
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def _backbone_of(run: Run, options: dict[str, Any]) -> Backbone:
    """The backbone of a run, from where the options say it is."""
    return run.load_backbone(
        options["device"],
        precision=options["precision"] or "auto",
        name=options["backbone"],
        pretrained=options["pretrained"],
    )


def _cache(no_cache: bool) -> FeatureCache | None:
    from mocoop.data.cache import FeatureCache

    return None if no_cache else FeatureCache()


def _image_files(given: tuple[Path, ...], *, may_be_missing: bool) -> Iterator[Path]:
    """The files named, and the images in the folders named. Raises DataError for a missing file, an empty folder."""
    from mocoop.data.images import list_images

    for path in given:
        if not os.path.isdir(path):
            if not may_be_missing and not os.path.exists(path):
                raise DataError(f"there is no image {path}", "check the path")
            yield path
            continue
        images = list_images(path).images
        if not images:
            raise DataError(f"{path} has no images", "give image files, or a folder that has some")
        yield from images


def _read_class_names(path: Path) -> tuple[str, ...]:
    """Class names, one a line, under the rules of every class name. Raises DataError."""
    from mocoop.data.classnames import final_names, read_list

    names = read_list(path)
    if len(names) < 2:
        raise DataError(f"{path} names {len(names)} class", "name two or more, one a line")
    return final_names(names)[0]


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
