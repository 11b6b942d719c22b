"""A process that dies before any of its file operations, as by a signal that cannot be caught.

The operations are counted in a process that is let live; others die at each in turn. What a killed process holds open
or has half written is lost with it, for it ends by `os._exit`.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

DEAD, FINISHED, FAILED = 77, 0, 1
_CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate", "os.link", "os.symlink")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
# Set, slow tests die at every point, not at one in so many; a few others run only then.
WHOLE = "MOCOOP_TEST_EVERY_POINT"


def live(home: Path, act: Callable[[], object], die_at: int | None = None) -> tuple[int, list[str]]:
    """Act in a fork of this process, which dies before its `die_at`-th change of a file below `home`.

    Its exit code and file operations; the caches and journals of the process are below `home` too.
    """
    seen = home / "operations"
    pid = os.fork()
    if pid == 0:
        code = FAILED
        try:
            os.environ.update(MOCOOP_CACHE=str(home / "cache"), MOCOOP_STATE=str(home / "state"))
            os.fsync = lambda _: None  # a quarter of the time: the machine lives on, only the process dies
            _watch(home, os.open(seen, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), die_at)
            act()
            code = FINISHED
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), seen.read_text().splitlines()


def some(points: list[str], one_in: int) -> list[int]:
    """The numbers of all points, from 1; unless `WHOLE` is set, one in so many, the last always."""
    numbers = list(range(1, len(points) + 1))
    return numbers if os.environ.get(WHOLE) else sorted({*numbers[one_in // 2 :: one_in], numbers[-1]})


def at_each(points: list[str], numbers: list[int], check: Callable[[int], object]) -> None:
    """Check at some points; what fails is told with its file operation."""
    for number in numbers:
        try:
            check(number)
        except Exception as error:
            raise AssertionError(f"died before {number} of {len(points)}: {points[number - 1]}") from error
    print(f"died before {len(numbers)} of {len(points)} file operations")  # for `pytest -rP`, to see what was covered


def files_below(folder: Path) -> dict[str, bytes]:
    """The content of all files, by their path below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def _watch(home: Path, seen: int, die_at: int | None) -> None:
    """Record this process's changes of files, and end it before one of them."""
    count = 0

    def hook(event: str, args: tuple[Any, ...]) -> None:
        nonlocal count
        if _changes(event, args, str(home)):
            count += 1
            os.write(seen, f"{event} {args[0]}\n".encode())
            if count == die_at:
                os._exit(DEAD)

    sys.addaudithook(hook)


def _changes(event: str, args: tuple[Any, ...], home: str) -> bool:
    if event == "open":
        path, flags = args[0], args[2]
        return not isinstance(path, int) and os.fspath(path).startswith(home) and bool(flags & _WRITING)
    if event not in _CHANGES:
        return False
    within_a_folder = event in ("os.remove", "os.rmdir") and args[1] != -1  # as shutil.rmtree does
    return within_a_folder or str(args[0]).startswith(home)
