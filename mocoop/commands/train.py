"""The command `mocoop train`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mocoop import cli
from mocoop.commands.shared import (
    FILE,
    FOLDER,
    SEED,
    bad_image_option,
    data_options,
    device_options,
    group_file,
    json_option,
    names_by_position,
    parse_reading,
    print_json,
    reading_options,
    resumable,
)
from mocoop.config import METHODS, PRESETS, config_of, settings_by_name

if TYPE_CHECKING:
    from mocoop.runs.train import TrainingPlan

_SETTINGS = (
    "epochs", "lr", "batch_size", "views", "top_k", "lambda_router", "lambda_text", "precision",
)  # fmt: skip


@click.command(short_help="Train a mixture of prompts from a group file.")
@click.option(
    "--groups",
    type=FILE,
    help="The group file: one group of templates an expert. Or paper: the paper's for this data set.",
)
@click.option("--method", "method_name", type=click.Choice(METHODS), default="mocoop", show_default=True,
              help="What is learned, and how. Those with one prompt or none read no groups.")  # fmt: skip
@data_options
@click.option("-o", "--out", type=FOLDER, required=True, help="The run folder.")
@click.option("--shots", type=click.IntRange(min=1), default=16, show_default=True, help="Training images a class.")
@click.option("--seed", type=SEED, default=1, show_default=True, help="Draws the shots and the order of training.")
@click.option("--split-seed", type=SEED, default=0, show_default=True, help="Makes splits that the data lacks.")
@click.option("--classes", type=click.Choice(["all", "base"]), default="all", show_default=True,
              help="Train on all classes, or on the first half only.")  # fmt: skip
@click.option("--preset", "preset_name", type=click.Choice(list(PRESETS)), default="recommended", show_default=True,
              help="Settings: ours, the paper's, or the authors' released code's.")  # fmt: skip
@click.option("--backbone", default="photoclip", show_default=True,
              help="An open_clip model (ViT-B-16), local-dir:PATH, hf-hub:ORG/REPO, or one that comes along: "
                   "photoclip, small, for photographs; miniclip, for the drawn tiles. features:WIDTH is none, for "
                   "a linear probe of features made elsewhere.")  # fmt: skip
@click.option("--pretrained", help="Its weights: a tag (openai), a file, or TAG=FILE.")
@click.option("--quick-gelu/--no-quick-gelu", default=None, help="Activation of a weights file that does not tell.")
@click.option("--epochs", type=int, help="Passes over the training images.")
@click.option("--lr", type=float, help="Learning rate.")
@click.option("--batch-size", type=int, help="Images a step.")
@click.option("--views", help="Cached augmented views an image, 0 for the plain one; or epochs, or online.")
@click.option("--top-k", help="Experts used for an image: a number, or all.")
@click.option("--lambda-router", type=float, help="Weight of the router loss.")
@click.option("--lambda-text", type=float, help="Weight of the text loss.")
@click.option("--set", "settings", metavar="NAME=VALUE", multiple=True,
              help="Any other setting, the value in JSON or as a word; repeatable.")  # fmt: skip
@device_options
@bad_image_option
@reading_options
@click.option("--log-to", "log_to", metavar="tensorboard:FOLDER | wandb", multiple=True,
              help="Log the steps there too; repeatable. Needs the extra logging or wandb.")  # fmt: skip
@click.option("--strict-vocabulary", is_flag=True, help="Refuse words the backbone was never trained on.")
@click.option("--force", is_flag=True, help="Train a finished run again.")
@json_option
def train(as_json: bool, **options: Any) -> None:
    """Train a mixture of prompts: one expert a group, started from the group's template. Or another method.

    The same command again resumes an interrupted training. Every setting is recorded in the run folder.

    \b
    mocoop train --groups groups.json --data photos/ --shots 16 --seed 1 -o run/
    mocoop train --method coop --data photos/ --set ctx_init=null --set ctx_tokens=16 -o coop/
    mocoop train --groups groups.json --data eurosat/ --classes base -o run/ \\
        --backbone ViT-B-16 --pretrained openai --set renormalise_mix=false
    """
    if options["groups"] is not None:
        options["groups"] = group_file(options["groups"], options["data"])
    options["names_by_position"] = names_by_position(options, options["data"])
    log_to = options.pop("log_to")
    plan = _training_plan(options)

    from mocoop.reporting.printing import print_training
    from mocoop.runs.summary import summarise
    from mocoop.runs.train import train_on_ranks
    from mocoop.training import loggers
    from mocoop.training.progress import training_progress
    from mocoop.training.trainer import Listeners

    logs = [loggers.log_to(where) for where in log_to]
    with resumable(), training_progress(_group_ids(plan)) as progress:
        run = train_on_ranks(plan, Listeners([progress, *logs]))
    if run is None:
        return
    if as_json:
        print_json(summarise(run))
    else:
        print_training(summarise(run), plan.data, plan.class_names)


def _training_plan(options: dict[str, Any]) -> TrainingPlan:
    """Build the plan from the options of `train`. Raises UsageError for invalid settings."""
    method = options.pop("method_name")
    named = {name: options.pop(name) for name in _SETTINGS}
    changes = settings_by_name(options.pop("settings"), named)
    config = config_of(options.pop("preset_name"), method, changes)

    from mocoop.methods import method_named
    from mocoop.runs.train import TrainingPlan

    unused = method_named(method).unused(list(changes), config)
    if options["groups"] is not None and not method_named(method).reads_groups:
        unused.append("a group file")
    if unused:
        cli.say(f"note: the method {method} does not use {', '.join(unused)}")
    return TrainingPlan(config=config, use_cache=not options.pop("no_cache"), **parse_reading(options), **options)


def _group_ids(plan: TrainingPlan) -> tuple[str, ...]:
    """The experts whose use is shown during training; none if there is one prompt."""
    from mocoop.groupfile.groups import load_groups
    from mocoop.methods import method_named

    given = load_groups(plan.groups) if plan.groups is not None else None
    ids = method_named(plan.config.method).groups(given, plan.config).ids
    return ids if len(ids) > 1 else ()


COMMANDS = (train,)
