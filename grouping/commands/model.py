"""Options of the commands that call a language model, and progress output during the calls.

A command is decorated with `@model_options`, receives one `model` argument, and opens a session with it. Long waits
are shown as a countdown on a terminal. The calls themselves are in `mocoop.grouping.llm.session`.
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

_SETTINGS = (
    "model", "base_url", "key_env", "structured", "temperature", "timeout", "total_timeout", "max_tokens",
    "max_answer_tokens",
)  # fmt: skip
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
    click.option("--max-answer-tokens", type=int,
                 help="Output tokens one answer may take, the model's thought included; by the question if left out."),
    click.option("--cache/--no-cache", default=True, show_default=True, help="Keep answers, and take kept ones."),
    click.option("--refresh", is_flag=True, help="Ask anew although an answer is kept."),
)  # fmt: skip


@dataclass(frozen=True)
class ModelChoice:
    """The model options as typed: settings (None if not given), a settings file, use of the cache."""

    options: dict[str, Any]
    config: Path | None
    cache: bool
    refresh: bool

    def settings(self) -> Settings:
        """The resulting settings. Raises UsageError or ConfigError."""
        from mocoop.grouping.llm.settings import resolve

        return resolve(self.options, self.config)


def model_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options; the command receives them as one `model: ModelChoice`."""

    @functools.wraps(command)
    def with_choice(*arguments: Any, config: Path | None, cache: bool, refresh: bool, **others: Any) -> Any:
        options = {name: others.pop(name) for name in _SETTINGS}
        return command(*arguments, model=ModelChoice(options, config, cache, refresh), **others)

    return functools.reduce(lambda made, option: option(made), reversed(_OPTIONS), with_choice)


def open_session(
    model: ModelChoice, *, seed: int, offline: bool, out: Path | None, instead: str | None = None
) -> Session:
    """Open a session with the model; nothing is sent yet. An unusable reply is saved beside `out`.

    `instead` is appended to the hint if the model fails.

    Raises UsageError or ConfigError for the settings. A missing key is only reported when something is to be sent.
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
    """Print the prompts that would be sent to stdout, and their number and size to stderr."""
    for prompt, times in prompts:
        click.echo(f"==== {prompt.id}, {times} time{'s' if times > 1 else ''}, sha256 {prompt.sha256}")
        for message in prompt.messages:
            click.echo(f"-- {message['role']}")
            click.echo("\n".join(map(cli.printable, message["content"].split("\n"))))
    calls = sum(times for _, times in prompts)
    tokens_in = sum(prompt.estimated_tokens * times for prompt, times in prompts)
    ceiling = sum(session.settings.answer_tokens(prompt.most_tokens) * times for prompt, times in prompts)
    limit = session.settings.max_tokens
    number = f"{calls} call{'s' if calls != 1 else ''}"
    cli.say(f"{session.settings.model} at {session.settings.host}: {number}, nothing sent")
    cli.say(f"input ~{tokens_in:,} tokens; output at most {min(ceiling, limit):,} tokens (--max-tokens {limit:,})")
    if ceiling > limit:
        cli.say(f"all calls may take {ceiling:,} tokens, more than --max-tokens: the last ones might not be asked")


def rejected_path(out: Path | None) -> Path:
    """The file for an unusable reply: beside the output, or in the current folder if that is stdout."""
    named = out is not None and str(out) != "-"
    return out.with_name(f"{out.name}.rejected.txt") if named and out else Path("mocoop-groups.rejected.txt")


def countdown(seconds: float, reason: str) -> None:
    """Wait, and say why; on a terminal, also show the remaining time."""
    cli.say(f"{reason}: waiting {seconds:.0f} s" if seconds >= 1 else reason)
    end = time.monotonic() + seconds
    drawn = sys.stderr is not None and sys.stderr.isatty()
    while (left := end - time.monotonic()) > 0:
        if drawn:
            click.echo(f"\r  {left:4.0f} s ", nl=False, err=True)
        time.sleep(min(left, 1.0))
    if drawn:
        click.echo("\r        \r", nl=False, err=True)
