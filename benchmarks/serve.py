"""A server under load on the loopback, against a plain loop over the same model in one process.

The loop reads, prepares and classifies one picture after the other with `mocoop.export.engine`, in one thread. The
server is `mocoop serve` in a process of its own, one thread for its batches and two for decoding; clients are threads
of this process, each with a connection of its own, which asks again as soon as it has its answer. So on two cores
clients, HTTP, decoding and the model share what the loop has for itself. All are measured in turn, several rounds, and
the fastest round of each is shown, as other work on the machine only makes things slower: requests a second, the median
and 99th percentile of the milliseconds from request to answer, and the milliseconds of processor time a request (of the
loop, or of the server without its clients). Every answer is compared with the loop's.

    python benchmarks/serve.py MODEL.onnx PICTURES [--requests 200] [--rounds 5] [--clients 1,4,16]
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mocoop.data.images import list_images
from mocoop.export.engine import Engine


class Round(NamedTuple):
    """One measurement: seconds of each request, of all together, and of processor time."""

    times: list[float]
    seconds: float
    cpu: float

    @property
    def speed(self) -> float:
        """Requests a second."""
        return len(self.times) / self.seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", default="1,4,16")
    options = parser.parse_args()
    clients = list(map(int, options.clients.split(",")))
    pictures = [path.read_bytes() for path in list_images(options.pictures).images[: options.requests]]
    engine = Engine(options.model, threads=1)
    classes = [ask(engine, data) for data in pictures]  # and what is only slow the first time
    process, port = start(options.model)
    found: dict[int, list[Round]] = {count: [] for count in (0, *clients)}
    try:
        for _ in range(options.rounds):
            found[0].append(plain_loop(engine, pictures, options.requests))
            for count in clients:
                found[count].append(load(process.pid, port, pictures, classes, count, options.requests))
        peak = peak_memory(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
    for count, rounds in found.items():
        what = "plain loop" if count == 0 else f"server, {count} client{'s' * (count > 1)}"
        show(what, max(rounds, key=lambda one: one.speed))
    print(f"the server ended with {process.wait()}; its memory was at most {peak}")


def ask(engine: Engine, data: bytes) -> str:
    """The class of one picture."""
    answer = engine.predict(engine.pixels(data, "picture")[None])
    return str(engine.describe("picture", answer, 0, 5)["class"])


def plain_loop(engine: Engine, pictures: list[bytes], requests: int) -> Round:
    """One picture after the other."""
    times, cpu = [], time.process_time()
    for data in itertools.islice(itertools.cycle(pictures), requests):
        began = time.perf_counter()
        ask(engine, data)
        times.append(time.perf_counter() - began)
    return Round(times, sum(times), time.process_time() - cpu)


def load(pid: int, port: int, pictures: list[bytes], classes: list[str], clients: int, requests: int) -> Round:
    """So many clients at once, each asking again and again."""
    numbers, times, wrong = itertools.count(), [], []

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while (number := next(numbers)) < requests:
            place = number % len(pictures)
            began = time.perf_counter()
            connection.request("POST", "/predict", pictures[place], {"Content-Type": "image/jpeg"})
            response = connection.getresponse()
            found = json.loads(response.read())
            times.append(time.perf_counter() - began)
            if response.status != 200 or found["predictions"][0]["class"] != classes[place]:
                wrong.append(found)
        connection.close()

    threads = [threading.Thread(target=client) for _ in range(clients)]
    began, cpu = time.perf_counter(), cpu_seconds(pid)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong:
        raise SystemExit(f"{len(wrong)} answers are not the loop's, such as {wrong[0]}")
    return Round(times, time.perf_counter() - began, cpu_seconds(pid) - cpu)


def show(what: str, best: Round) -> None:
    median, late = (1e3 * float(np.percentile(best.times, share)) for share in (50, 99))
    work = 1e3 * best.cpu / len(best.times)
    said = f"{best.speed:6.1f} requests/s  {median:6.1f} ms median {late:6.1f} ms 99 %  {work:5.1f} ms of CPU each"
    print(f"{what:18} {said}")


def start(model: Path) -> tuple[subprocess.Popen[str], int]:
    command = [sys.executable, "-m", "mocoop", "serve", str(model), "--port", "0", "--threads", "1"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
            threading.Thread(target=process.stderr.read, daemon=True).start()
            return process, int(found[1])
    raise SystemExit("the server did not start")


def cpu_seconds(pid: int) -> float:
    """Processor time of a process, in all its threads."""
    ticks = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def peak_memory(pid: int) -> str:
    """The most memory that a process had, where the system says it."""
    status = Path(f"/proc/{pid}/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return f"{int(found[1]) / 1024:.0f} MiB" if found else "not known here"


if __name__ == "__main__":
    main()
