"""Changed files of every kind, opened as a user would: each must be refused in one of our errors, or taken.

    python benchmarks/fuzz.py [--minutes 5] [--seed 0] [--only KIND] [--tries N] [--case N]

Valid files are made once, then changed (fuzz_changes.py) and opened by the commands or the functions they call
(fuzz_kinds.py), in turns of all kinds. An escape is any error that is none of ours, exit code 1, a warning, anything
that a library prints by itself, a process that dies, and 30 seconds without an answer. Silent is a changed run,
checkpoint or cache whose answers are other ones, without an error. Each is printed with the options that make it again.
Parquet, Arrow and ONNX files, read by libraries that are known to end the process, are not among the kinds.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from fuzz_kinds import KINDS, Escaped, Kind, Refused, World, answer, build

from mocoop import cli

LONGEST = 30  # seconds of one case
MEMORY = 4 << 30  # bytes of one process, besides those it starts with
TURN = 6.0  # seconds of one kind at a time
HIDDEN = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)  # as Python hides them
KIND_NUMBERS = {name: number for number, name in enumerate(KINDS)}
REFUSED, ACCEPTED, ESCAPE, SILENT = OUTCOMES = ("refused", "accepted", "escapes", "silent")


def attempt(dice: random.Random, kind: Kind, world: World, folder: Path, expected: dict[str, Any]) -> tuple[str, str]:
    """One case: the outcome, and what is to be said of it."""
    _emptied(folder)
    kind.put(world, folder)
    kind.change(dice, world, folder)
    door = dice.choice(list(kind.doors))
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("default")
            for category in HIDDEN:
                warnings.simplefilter("ignore", category)
            cli.hush()
            found = answer(kind.doors[door], world, folder)
    except Refused as why:
        return REFUSED, str(why)
    except Escaped as why:
        return ESCAPE, f"{door}: {why}"
    except BaseException:
        return ESCAPE, f"{door}: {traceback.format_exc()}"
    if warned:
        first = warned[0]
        return ESCAPE, f"{door}: {first.category.__name__}: {first.message} ({first.filename}:{first.lineno})"
    if door in kind.same and found is not None and found != expected[door]:
        return SILENT, f"{door}: another answer than that of the unchanged files"
    return ACCEPTED, ""


def dice_of(name: str, seed: int, number: int) -> random.Random:
    """All that varies in a case."""
    return random.Random(f"{seed}/{name}/{number}")


def answers_of(kind: Kind, world: World, folder: Path) -> dict[str, Any]:
    """What the doors answer while nothing is changed: no one may refuse valid files."""
    found = {}
    for name, door in kind.doors.items():
        _emptied(folder)
        kind.put(world, folder)
        found[name] = answer(door, world, folder)
    return found


def cases(
    name: str, seed: int, numbers: range, world: World, expected: dict[str, Any], until: float
) -> Iterator[tuple[int, str, str]]:
    """(number, outcome, what is said of it) of cases, until a time: in a process that may die, and then in another."""
    while numbers:
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            _work(name, seed, numbers, world, expected, until, writing)
        os.close(writing)
        began = None
        with os.fdopen(reading) as lines:
            for line in lines:
                number, outcome, said = json.loads(line)
                began = number if outcome is None else None
                if outcome is not None:
                    yield number, outcome, said
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if began is None:
            return
        why = f"no answer after {LONGEST} s" if code == -signal.SIGALRM else f"the process ended with {code}"
        yield began, ESCAPE, why
        numbers = range(began + 1, numbers.stop)


def _work(
    name: str, seed: int, numbers: range, world: World, expected: dict[str, Any], until: float, writing: int
) -> NoReturn:
    """Cases in this process, until a time; each is told before it begins and when it has ended. At least one is run."""
    try:
        _bounded()
        folder = world.home / f"case-{KIND_NUMBERS[name]}"
        with tempfile.TemporaryFile() as printed, os.fdopen(writing, "w") as told:
            os.dup2(printed.fileno(), 1)
            os.dup2(printed.fileno(), 2)
            for number in numbers:
                print(json.dumps([number, None, ""]), file=told, flush=True)
                signal.alarm(LONGEST)
                outcome, said = attempt(dice_of(name, seed, number), KINDS[name], world, folder, expected)
                signal.alarm(0)
                if printed.seek(0, os.SEEK_END) and not KINDS[name].noisy:
                    printed.seek(0)
                    outcome, said = ESCAPE, f"printed by itself: {printed.read()!r}"
                printed.seek(0)
                printed.truncate()
                print(json.dumps([number, outcome, said]), file=told, flush=True)
                if time.monotonic() > until:
                    break
    except BaseException:
        traceback.print_exc(file=sys.__stdout__)
        os._exit(1)
    os._exit(0)


def _bounded() -> None:
    """No more memory for this process than it has, and some."""
    with suppress(OSError):
        has = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (has + MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))


def _emptied(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()


def run(names: Sequence[str], seed: int, seconds: float, tries: int, first: int = 0) -> bool:
    """Cases of some kinds in turn, for so long or so many of each; prints a table. Whether all went well."""
    with tempfile.TemporaryDirectory() as temporary:
        world = build(Path(temporary) / "world", learned=any(KINDS[name].learned for name in names))
        expected = {name: answers_of(KINDS[name], world, world.home / f"case-{KIND_NUMBERS[name]}") for name in names}
        counts = {name: Counter[str]() for name in names}
        end = time.monotonic() + seconds
        while (left := [name for name in names if counts[name].total() < tries]) and time.monotonic() < end:
            for place, name in enumerate(left):
                share = (end - time.monotonic()) / sum(KINDS[other].turns for other in left[place:])
                numbers = range(first + counts[name].total(), first + tries)
                until = time.monotonic() + KINDS[name].turns * min(TURN, share)
                for number, outcome, said in cases(name, seed, numbers, world, expected[name], until):
                    counts[name][outcome] += 1
                    if outcome in (ESCAPE, SILENT):
                        print(f"{outcome}: --only {name!r} --seed {seed} --case {number}\n{said}\n", flush=True)
    return _table(counts)


def _table(counts: Mapping[str, Counter[str]]) -> bool:
    width = max(map(len, counts))
    print(f"{'kind':{width}}  {'tries':>7}" + "".join(f"  {outcome:>8}" for outcome in OUTCOMES))
    for name, found in counts.items():
        print(f"{name:{width}}  {found.total():7,}" + "".join(f"  {found[outcome]:8,}" for outcome in OUTCOMES))
    every = sum(counts.values(), Counter[str]())
    print(f"{every.total()} tries, {every[ESCAPE]} escapes, {every[SILENT]} silent")
    return not every[ESCAPE] + every[SILENT]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5.0, help="of trying; the valid files take some seconds more")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=list(KINDS), metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--tries", type=int, default=10**9, help="at most so many of each kind")
    parser.add_argument("--case", type=int, help="this one alone, with --only")
    options = parser.parse_args()
    names = [options.only] if options.only else list(KINDS)
    if options.case is not None:
        return 0 if run(names, options.seed, 60 * options.minutes, 1, options.case) else 1
    return 0 if run(names, options.seed, 60 * options.minutes, options.tries) else 1


if __name__ == "__main__":
    sys.exit(main())
