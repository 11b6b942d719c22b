"""What both command lines share: one line for an error, exit codes, `--debug`, and tables that fit where they go.

Results go to stdout and everything else to stderr. A table is drawn on a terminal; into a pipe it is tab-separated.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import click

from mocoop.errors import MoCoOpError

if TYPE_CHECKING:
    from rich.console import Console

INTERRUPTED = 130
CLOSED_PIPE = 141


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options every command line has: `--debug` and `--version`."""
    command = click.option("--debug", is_flag=True, expose_value=False, callback=_remember_debug, is_eager=True,
                           help="Show a traceback with an error.")(command)  # fmt: skip
    return click.version_option(package_name="mocoop", message="mocoop %(version)s")(command)


def run(command: click.Command, name: str, arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command line and exit: 0, or the code of what went wrong, with one line on stderr."""
    sys.exit(_exit_code(command, name, arguments))


def console(*, stderr: bool = False) -> Console:
    """A rich console; it knows whether it is a terminal, and honours NO_COLOR."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, soft_wrap=False)


def say(text: str) -> None:
    """A message for the person, on stderr."""
    click.echo(text, err=True)


def show_table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> None:
    """A table on stdout: drawn on a terminal, tab-separated with a heading line in a pipe."""
    if not sys.stdout.isatty():
        click.echo("\t".join(columns))
        for row in rows:
            click.echo("\t".join(str(cell) for cell in row))
        return
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(escape(str(cell)) for cell in row))
    console().print(table)


def _exit_code(command: click.Command, name: str, arguments: Sequence[str] | None) -> int:
    try:
        result = command.main(args=arguments, prog_name=name, standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except MoCoOpError as error:
        return _report(name, error)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        say(f"{name}: interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # Nobody reads any more; give the interpreter a stdout it can close without complaint.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED_PIPE


def _report(name: str, error: MoCoOpError) -> int:
    if _debug():
        import traceback

        traceback.print_exception(error)
    findings = getattr(error, "findings", ())
    for finding in findings:
        say(str(finding))
    say(f"{name}: {error.message}")
    if error.hint:
        say(f"  hint: {error.hint}")
    return error.exit_code


_state = {"debug": False}


def _debug() -> bool:
    return _state["debug"]


def _remember_debug(_context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    _state["debug"] = _state["debug"] or value
