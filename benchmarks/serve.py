"""A server under load on the loopback, against a plain loop over the same model in one process.

The loop reads, prepares and classifies one picture after the other with `mocoop.export.engine`, in one thread. The
server is `mocoop serve` in a process of its own, one thread for its batches and two for decoding; clients are threads
of this process, each with a connection of its own, which asks again as soon as it has its answer. So on two cores
clients, HTTP, decoding and the model share what the loop has for itself. Printed are requests a second, and the median
and 99th percentile of the milliseconds from request to answer; every answer is compared with the loop's.

    python benchmarks/serve.py MODEL.onnx PICTURES [--requests 400] [--clients 1,4,16]
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

import numpy as np

from mocoop.data.images import list_images
from mocoop.export.engine import Engine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--clients", default="1,4,16")
    options = parser.parse_args()
    paths = list_images(options.pictures).images[: options.requests]
    pictures = [path.read_bytes() for path in paths]
    classes = plain_loop(Engine(options.model, threads=1), pictures, options.requests)
    process, port = start(options.model)
    try:
        for clients in map(int, options.clients.split(",")):
            load(port, pictures, classes, clients, options.requests)
        peak = peak_memory(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
    print(f"the server ended with {process.wait()}; its memory was at most {peak}")


def plain_loop(engine: Engine, pictures: list[bytes], requests: int) -> list[str]:
    """The class of each picture, one after the other."""

    def ask(data: bytes) -> str:
        answer = engine.predict(engine.pixels(data, "picture")[None])
        return str(engine.describe("picture", answer, 0, 5)["class"])

    classes = [ask(data) for data in pictures]  # and what is only slow the first time
    times = []
    for data in itertools.islice(itertools.cycle(pictures), requests):
        began = time.perf_counter()
        ask(data)
        times.append(time.perf_counter() - began)
    show("plain loop", times, sum(times))
    return classes


def load(port: int, pictures: list[bytes], classes: list[str], clients: int, requests: int) -> None:
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
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    show(f"server, {clients} client{'s' * (clients > 1)}", times, time.perf_counter() - began)
    if wrong:
        print(f"  {len(wrong)} answers are not the loop's: {wrong[0]}")


def show(what: str, times: list[float], seconds: float) -> None:
    median, late = (1e3 * float(np.percentile(times, share)) for share in (50, 99))
    print(f"{what:20} {len(times) / seconds:7.1f} requests/s   {median:7.1f} ms median   {late:7.1f} ms 99 %")


def start(model: Path) -> tuple[subprocess.Popen[str], int]:
    command = [sys.executable, "-m", "mocoop", "serve", str(model), "--port", "0", "--threads", "1"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
            threading.Thread(target=process.stderr.read, daemon=True).start()
            return process, int(found[1])
    raise SystemExit("the server did not start")


def peak_memory(pid: int) -> str:
    """The most memory that a process had, where the system says it."""
    status = Path(f"/proc/{pid}/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return f"{int(found[1]) / 1024:.0f} MiB" if found else "not known here"


if __name__ == "__main__":
    main()
