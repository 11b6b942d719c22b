"""What both command lines share: one-line errors, exit codes, `--debug`, tables for terminals and pipes, time left.

Results go to stdout and everything else to stderr. A table is drawn on a terminal and tab-separated in a pipe.
Text from users (paths, class names, templates) is made printable here, so that no file name can move the cursor or
break a line.
"""

from __future__ import annotations

import _thread
import errno
import io
import math
import os
import shlex
import shutil
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

import click

from mocoop.errors import MoCoOpError, StorageError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

INTERRUPTED = 130
CLOSED_PIPE = 141
QUIET_SECONDS = 5.0  # minimum time between two lines of progress in a log
_AGAIN = 0.02  # seconds until a Ctrl-C that met an import is looked at again
NARROWEST = 20  # columns of a table

_PERMISSIONS = "check the permissions of the file and its folder"
_REFUSALS = {
    errno.EACCES: _PERMISSIONS,
    errno.EPERM: _PERMISSIONS,
    errno.EROFS: "that disk is read-only; write elsewhere",
    errno.ENAMETOOLONG: "use a shorter name",
    errno.ELOOP: "the path is a loop of symbolic links",
    errno.ENOTDIR: "a part of the path is a file, not a folder",
    errno.EMFILE: "too many files are open; raise the limit (ulimit -n)",
    errno.ENFILE: "too many files are open on this machine",
}

_NEEDS_PATH = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR)


class Between(click.FloatRange):
    """A finite number in a range; click's own range lets NaN pass, which is neither below nor above anything."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """See click."""
        found = float(super().convert(value, param, ctx))
        if not math.isfinite(found):
            self.fail(f"{value} is no number", param, ctx)
        return found


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of both command lines: `--debug` and `--version`."""
    command = click.option("--debug", is_flag=True, expose_value=False, callback=_remember_debug, is_eager=True,
                           help="Show a traceback with an error.")(command)  # fmt: skip
    return click.version_option(package_name="mocoop", message="mocoop %(version)s")(command)


def run(command: click.Command, name: str, arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command line and exit with 0, or with the error's code after one line on stderr and a hint."""
    hush()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # characters the terminal cannot encode are shown escaped
    with _interrupts_after_imports() as held:
        code = _exit_code(command, name, arguments)
    if held.is_set() and code != INTERRUPTED:  # the command came to its end first
        say(f"{name}: interrupted")
        code = INTERRUPTED
    sys.exit(code)


def hush() -> None:
    """Keep Pillow's warnings on damaged pictures to itself: what is wrong with one is told by us, on one line."""
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


def console(*, stderr: bool = False) -> Console:
    """A rich console; it detects terminals and honours NO_COLOR, and prints at any width (COLUMNS=0)."""
    from rich.console import Console

    made = Console(stderr=stderr, highlight=False, soft_wrap=False)
    if made.width < NARROWEST:
        made.width = max(shutil.get_terminal_size().columns, NARROWEST)
    return made


def say(text: str) -> None:
    """Print a message for the user, on one line of stderr."""
    click.echo(printable(text), err=True)


def printable(text: object) -> str:
    """Text on one line, with control and bidi characters escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def command_path(path: Path | str) -> str:
    """A path quoted for the shell."""
    return shlex.quote(printable(path))


def on_terminal() -> bool:
    """Whether results go to a terminal; a closed stdout (`>&-`) does not count."""
    return sys.stdout is not None and sys.stdout.isatty()


def show_table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> None:
    """Print a table to stdout: drawn on a terminal, tab-separated with a heading line in a pipe."""
    if not on_terminal():
        click.echo("\t".join(columns))
        for row in rows:
            click.echo("\t".join(printable(cell) for cell in row))
        return
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=None if title is None else escape(printable(title)), title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(escape(printable(cell)) for cell in row))
    console().print(table)


class Pace:
    """Estimates the time left from the steps since the start or resumption."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._began, self._from = clock, clock(), 0

    def start(self, done: int) -> None:
        """Start, or resume after `done` steps."""
        self._began, self._from = self._clock(), done

    def left(self, done: int, total: int) -> str:
        """Time left as m:ss or h:mm:ss; "-:--" while unknown."""
        taken = done - self._from
        if taken <= 0:
            return "-:--"
        seconds = round((self._clock() - self._began) / taken * (total - done))
        hours, minutes = seconds // 3600, seconds // 60 % 60
        return f"{hours}:{minutes:02d}:{seconds % 60:02d}" if hours else f"{minutes}:{seconds % 60:02d}"


@contextmanager
def _interrupts_after_imports() -> Iterator[threading.Event]:
    """Ctrl-C during an import acts as soon as that is done: raised inside PyTorch's, it is lost or ends in an abort.

    Yields what says that one was held.
    """
    held = threading.Event()
    main = threading.main_thread()
    if threading.current_thread() is not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield held
        return

    def send() -> None:
        if sys.platform == "win32":
            _thread.interrupt_main()
        else:  # this also ends a wait of the system's
            signal.pthread_kill(main.ident or 0, signal.SIGINT)

    def act(number: int, frame: FrameType | None) -> None:
        if not _importing(frame):
            signal.default_int_handler(number, frame)
        held.set()
        again = threading.Timer(_AGAIN, send)
        again.daemon = True
        again.start()

    signal.signal(signal.SIGINT, act)
    try:
        yield held
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if "importlib._bootstrap" in frame.f_code.co_filename:
            return True
        frame = frame.f_back
    return False


def _exit_code(command: click.Command, name: str, arguments: Sequence[str] | None) -> int:
    stdout = sys.stdout
    try:
        result = command.main(args=arguments, prog_name=name, standalone_mode=False)
        if stdout is not None:
            stdout.flush()
        return result if isinstance(result, int) else 0
    except MoCoOpError as error:
        return _report(name, error)
    except click.ClickException as error:
        return _report_usage(name, error)
    except (KeyboardInterrupt, click.Abort):
        say(f"{name}: interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        return _closed_pipe(stdout)
    except OSError as error:
        return _report_os_error(name, error)
    except SystemExit:
        if sys.stdout is stdout:
            raise
        return _closed_pipe(stdout)  # click answers a closed pipe by wrapping stdout and exiting
    except ModuleNotFoundError as error:
        if (error.name or "mocoop").partition(".")[0] == "mocoop":
            return _report_bug(name, error)
        hint = (
            "pip install it, or mocoop with all it needs; predict and serve take a file of mocoop export without torch"
        )
        return _report(name, UsageError(f"this needs {error.name}, which is not installed", hint))
    except Exception as error:
        return _report_bug(name, error)


def _report(name: str, error: MoCoOpError) -> int:
    _show_traceback(error)
    said = f"{name}: {error.message}"
    listed = getattr(error, "findings", ())  # a group file's problems, one per line; other breaks are in names
    for line in said.split("\n") if listed else (said,):
        say(line)
    if error.hint:
        say(f"  hint: {error.hint}")
    return error.exit_code


def _report_usage(name: str, error: click.ClickException) -> int:
    """Print click's usage errors in the form of our own; a group without a command shows its help."""
    if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):
        error.show()
        return error.exit_code
    context = error.ctx if isinstance(error, click.UsageError) else None
    where = context.command_path if context else name
    message = " ".join(error.format_message().split()).rstrip(".")
    say(f"{where}: {message[:1].lower()}{message[1:]}")
    say(f"  hint: {where} --help shows how")
    return error.exit_code


def _report_os_error(name: str, error: OSError) -> int:
    """Print what the system refused, where no module below said it better; anything else is a bug."""
    where = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else None
    if error.errno in _REFUSALS and (where or error.errno not in _NEEDS_PATH):
        told = f"{where}: {error.strerror}" if where else error.strerror or str(error)
        return _report(name, StorageError(told, _REFUSALS[error.errno]))
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
        told = f"{where or 'the output'} cannot be written: {error.strerror}"
        return _report(name, StorageError(told, "make room for it"))
    return _report_bug(name, error)


def _report_bug(name: str, error: Exception) -> int:
    _show_traceback(error)
    say(f"{name}: a fault of ours: {type(error).__name__}: {error}")
    say(f"  hint: {name} --debug and the rest of the command shows where; please report it")
    return 1


def _closed_pipe(stdout: TextIO) -> int:
    """The reader is gone: give the interpreter a stdout it can close without an error."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())
    return CLOSED_PIPE


def _show_traceback(error: Exception) -> None:
    if _state["debug"]:
        import traceback

        traceback.print_exception(error)


_state = {"debug": False}


def _remember_debug(_context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    _state["debug"] = value
