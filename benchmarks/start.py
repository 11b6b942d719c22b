"""`mocoop predict RUN IMAGE` from start to exit, as whole processes in turn: this version against others.

    python benchmarks/start.py RUN IMAGE [--against MOCOOP ...] [--repeats 5]

MOCOOP is the command of another version in an environment of its own (`git worktree add`, a virtual environment, pip
install); RUN must be one that it can read. If RUN has a model.onnx (`mocoop export RUN`), this version is measured with
`--engine onnx` too. Prints wall and CPU seconds, medians, and the ratios to this version. The first process of each is
not counted: it fills the disk's cache.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path


def seconds(command: list[str]) -> tuple[float, float]:
    """Wall and CPU seconds of a command that must succeed."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("image")
    parser.add_argument("--against", action="append", default=[], metavar="MOCOOP")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    ours = str(Path(sys.executable).with_name("mocoop"))
    asked = ["predict", options.run, options.image]
    commands = {"this version": [ours, *asked], **{other: [other, *asked] for other in options.against}}
    if (Path(options.run) / "model.onnx").is_file():
        commands["this version, --engine onnx"] = [ours, *asked, "--engine", "onnx"]
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for turn in range(options.repeats + 1):
        for name, command in commands.items():
            found = seconds(command)
            if turn:
                times[name].append(found)
    medians = {
        name: [statistics.median(values) for values in zip(*found, strict=True)] for name, found in times.items()
    }
    torch = statistics.median(seconds([sys.executable, "-c", "import torch"])[1] for _ in range(options.repeats))
    print(
        f"{options.repeats} processes each, in turn; medians, seconds; importing torch alone takes {torch:.2f} of CPU"
    )
    for name, (wall, cpu) in medians.items():
        ratios = f"{wall / medians['this version'][0]:.2f}x, CPU {cpu / medians['this version'][1]:.2f}x"
        print(f"{name:40} wall {wall:6.2f}  CPU {cpu:6.2f}  {ratios}")


if __name__ == "__main__":
    main()
