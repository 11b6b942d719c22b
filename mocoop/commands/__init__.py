"""The command line `mocoop`: train, evaluate, predict, compare, look at what was learned, and a demonstration.

Results go to stdout, everything else to stderr. Torch and its kin are imported inside the commands, so that `--help`
is quick. How results are laid out is in `printing.py`, what is shown during training in `progress.py`.
"""

from __future__ import annotations

import os
from typing import NoReturn

import click

from mocoop import cli
from mocoop.commands.bench import bench
from mocoop.commands.demo import demo, scenes
from mocoop.commands.train import train
from mocoop.commands.tune import tune
from mocoop.commands.use import evaluate, predict, show
from mocoop.reporting.command import report


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


for command in (train, evaluate, predict, show, bench, tune, report, scenes, demo):
    mocoop.add_command(command)


def main() -> NoReturn:
    """Entry point of `mocoop`."""
    # PyTorch's OpenMP threads spin while they wait. On a busy machine that made a training fifteen times slower; this
    # short spin costs an idle one a few percent. It must be set before torch is loaded, and a user's choice wins.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "5000")
    cli.run(mocoop, "mocoop")
