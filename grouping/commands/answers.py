"""`mocoop-groups cache`: the cached answers of language models."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime

import click

from mocoop import cli
from mocoop.errors import UsageError
from mocoop.grouping.commands.shared import json_option, print_json


@click.command()
@click.option("--show", "key", metavar="KEY", help="One answer; the start of its key is enough.")
@click.option("--clear", is_flag=True, help="Remove all of them.")
@json_option
def cache(key: str | None, clear: bool, as_json: bool) -> None:
    """List, show or remove the kept answers of language models.

    The newest is first. They lie in the folder `answers` under $MOCOOP_CACHE, or under the system's cache folder for
    mocoop. A question that is asked again, with the same words, model, server, seed and temperature, is answered from
    there.

    \b
    mocoop-groups cache
    mocoop-groups cache --show 3f2a
    """
    from mocoop.grouping.llm.cache import AnswerCache

    answers = AnswerCache()
    if key is not None and clear:
        raise UsageError("--show and --clear contradict each other", "leave one of them out")
    if key is not None:
        print_json(**{name: value for name, value in answers.content(key).items() if name != "format"})
    elif clear:
        removed = answers.clear()
        cli.say(f"{removed} answers removed from {cli.command_path(answers.folder)}")
    elif as_json:
        print_json(folder=str(answers.folder), answers=[asdict(kept) for kept in answers.listed()])
    else:
        rows = [
            (kept.key[:12], kept.prompt, kept.title, kept.model, kept.host, _day(kept.changed))
            for kept in answers.listed()
        ]
        cli.show_table(("key", "prompt", "asked for", "model", "server", "kept"), rows)


def _day(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds).astimezone():%Y-%m-%d %H:%M}"
