"""The command line `mocoop`: train, evaluate, predict, compare, look at what was learned, and a demonstration.

Results go to stdout, everything else to stderr. Torch and other heavy packages are imported inside the commands, so
that `--help` is quick. Every module here with a `COMMANDS` tuple is picked up; a new file is a new command.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
from typing import NoReturn

import click

from mocoop import cli


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


for _module in pkgutil.iter_modules(__path__):
    if not _module.name.startswith("_"):
        for _command in getattr(importlib.import_module(f"{__name__}.{_module.name}"), "COMMANDS", ()):
            mocoop.add_command(_command)


def main() -> NoReturn:
    """Entry point of `mocoop`."""
    # PyTorch's OpenMP threads spin while they wait. On a busy machine that made training fifteen times slower; this
    # short spin costs a few percent on an idle one. It must be set before torch is loaded; a user's value is kept.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "5000")
    cli.run(mocoop, "mocoop")
