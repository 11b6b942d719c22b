"""Options of the commands that ask a language model, and what a person sees while it is asked.

A command takes `@model_options`, gets one `model` argument, and opens a session with it. Where a wait is long, a
terminal shows it counting down. How a model is asked is in `mocoop.grouping.llm.session`.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mocoop import cli
from mocoop.grouping.commands.shared import TEXT_FILE

if TYPE_CHECKING:
    from mocoop.grouping.llm.prompts import Prompt
    from mocoop.grouping.llm.session import Session
    from mocoop.grouping.llm.settings import Settings

_SETTINGS = ("model", "base_url", "key_env", "structured", "temperature", "timeout", "total_timeout", "max_tokens")
_FORMATS = click.Choice(["auto", "schema", "object", "text"])
_OPTIONS = (
    click.option("--model", metavar="NAME", help="The language model; gpt-4.1 if nothing names another."),
    click.option("--base-url", metavar="URL",
                 help="A server that speaks OpenAI's chat completions, such as http://localhost:11434/v1."),
    click.option("--key-env", metavar="NAME",
                 help="The environment variable with the key. OpenAI's is OPENAI_API_KEY; others get none unasked."),
    click.option("--llm-config", "config", type=TEXT_FILE, help="A JSON file with these settings; options win."),
    click.option("--structured", type=_FORMATS, help="The form answers are asked in; auto steps down."),
    click.option("--temperature", type=float, help="The server's own if left out."),
    click.option("--timeout", type=float, help="Seconds a call may take; 60."),
    click.option("--total-timeout", type=float, help="Seconds all calls may take, waiting included; 300."),
    click.option("--max-tokens", type=int, help="Output tokens all calls may use; 24000."),
    click.option("--cache/--no-cache", default=True, show_default=True, help="Keep answers, and take kept ones."),
    click.option("--refresh", is_flag=True, help="Ask anew although an answer is kept."),
)  # fmt: skip


@dataclass(frozen=True)
class ModelChoice:
    """What was typed about the model: settings (None where nothing was), a settings file, use of the cache."""

    options: dict[str, Any]
    config: Path | None
    cache: bool
    refresh: bool

    def settings(self) -> Settings:
        """The settings that come of it. Raises UsageError or ConfigError."""
        from mocoop.grouping.llm.settings import resolve

        return resolve(self.options, self.config)


def model_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options; the command gets them as one `model: ModelChoice`."""

    @functools.wraps(command)
    def with_choice(*arguments: Any, config: Path | None, cache: bool, refresh: bool, **others: Any) -> Any:
        options = {name: others.pop(name) for name in _SETTINGS}
        return command(*arguments, model=ModelChoice(options, config, cache, refresh), **others)

    return functools.reduce(lambda made, option: option(made), reversed(_OPTIONS), with_choice)


def open_session(
    model: ModelChoice, *, seed: int, offline: bool, out: Path | None, instead: str | None = None
) -> Session:
    """A session with the model, nothing sent yet; a reply that cannot be used is kept beside `out`.

    `instead` is offered where the model fails, as the end of a hint.

    Raises UsageError or ConfigError for the settings. A key that is missing shows when something is to be sent.
    """
    from mocoop.grouping.llm.session import Session

    return Session(
        model.settings(),
        seed=seed,
        offline=offline,
        cache=model.cache,
        refresh=model.refresh,
        rejected=rejected_path(out),
        tell=cli.say,
        wait=countdown,
        instead=instead,
    )


def show_plan(prompts: Sequence[tuple[Prompt, int]], session: Session) -> None:
    """The questions that would be asked on stdout; their number and size on stderr."""
    for prompt, times in prompts:
        click.echo(f"==== {prompt.id}, {times} time{'s' if times > 1 else ''}, sha256 {prompt.sha256}")
        for message in prompt.messages:
            click.echo(f"-- {message['role']}")
            click.echo("\n".join(map(cli.printable, message["content"].split("\n"))))
    calls = sum(times for _, times in prompts)
    tokens_in = sum(prompt.estimated_tokens * times for prompt, times in prompts)
    ceiling = sum(prompt.most_tokens * times for prompt, times in prompts)
    limit = session.settings.max_tokens
    number = f"{calls} call{'s' if calls != 1 else ''}"
    cli.say(f"{session.settings.model} at {session.settings.host}: {number}, nothing sent")
    cli.say(f"input ~{tokens_in:,} tokens; output at most {min(ceiling, limit):,} tokens (--max-tokens {limit:,})")
    if ceiling > limit:
        cli.say(f"all calls may take {ceiling:,} tokens, more than --max-tokens: the last ones might not be asked")


def rejected_path(out: Path | None) -> Path:
    """Where a reply goes that cannot be used: beside the output, or here where that is stdout."""
    named = out is not None and str(out) != "-"
    return out.with_name(f"{out.name}.rejected.txt") if named and out else Path("mocoop-groups.rejected.txt")


def countdown(seconds: float, reason: str) -> None:
    """Wait; say why, and on a terminal how long still."""
    cli.say(f"{reason}: waiting {seconds:.0f} s" if seconds >= 1 else reason)
    end = time.monotonic() + seconds
    drawn = sys.stderr is not None and sys.stderr.isatty()
    while (left := end - time.monotonic()) > 0:
        if drawn:
            click.echo(f"\r  {left:4.0f} s ", nl=False, err=True)
        time.sleep(min(left, 1.0))
    if drawn:
        click.echo("\r        \r", nl=False, err=True)
