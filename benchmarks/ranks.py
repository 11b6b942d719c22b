"""The text step of a training by several processes against one process with as many threads, in turn.

Forward and backward of 4 groups x 100 classes through ViT-B/16's text tower of random weights, in float32 on the CPU.
First that losses and gradients agree.

    python benchmarks/ranks.py [--ranks 2] [--repeats 5]
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import subprocess
import sys
import time

import torch
import torch.nn.functional as F
from peers import random_backbone
from text_step import TEMPLATES, class_name

from mocoop.backbone import ranks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.steps:
        with ranks.joined() as first:
            told = steps(options.repeats)
        if first:
            print(json.dumps(told))
        return
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    shared = run([*launcher, str(options.ranks), __file__], options.repeats, threads=1)
    alone = run([__file__], options.repeats, threads=options.ranks)
    print(f"loss {alone['loss']:.7f} by one process, {shared['loss']:.7f} by {options.ranks}")
    off = max(abs(a - b) for a, b in zip(alone["gradient"], shared["gradient"], strict=True))
    print(f"largest difference of a gradient: {off:.1e}, the largest being {max(map(abs, alone['gradient'])):.1e}")
    print(f"one process, {options.ranks} threads: {alone['seconds']:.3f} s")
    print(f"{options.ranks} processes, a thread each: {shared['seconds']:.3f} s")
    print(f"ratio: {alone['seconds'] / shared['seconds']:.2f}x")


def run(command: list[str], repeats: int, *, threads: int) -> dict[str, float | list[float]]:
    """What `steps` tells, from a process of its own."""
    done = subprocess.run(
        [sys.executable, *command, "--steps", "--repeats", str(repeats)],
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    told: dict[str, float | list[float]] = json.loads(done.stdout)
    return told


def steps(repeats: int) -> dict[str, float | list[float]]:
    """Median seconds, the loss and the gradient of ctx."""
    logging.disable(logging.WARNING)  # open_clip warns of random weights, which are meant here
    backbone = random_backbone(torch.device("cpu"))
    names = [class_name(number) for number in range(100)]
    contexts = backbone.prompts.contexts(list(TEMPLATES[:4]), names)
    encoder = backbone.text.prepare_to_learn(backbone.prompts.learned_rows(contexts, names))
    start = backbone.text.embed(torch.tensor([i for context in contexts for i in (*context.before, *context.after)]))
    direction = torch.randn(4, 100, backbone.embed_dim, generator=torch.Generator().manual_seed(0))
    times = []
    for _ in range(repeats + 1):  # the first warms up
        ctx = start.clone().requires_grad_(True)
        began = time.perf_counter()
        loss = (F.normalize(encoder(ctx), dim=-1) * direction).sum()
        loss.backward()
        times.append(time.perf_counter() - began)
    assert ctx.grad is not None
    return {"seconds": statistics.median(times[1:]), "loss": loss.item(), "gradient": ctx.grad.flatten().tolist()}


if __name__ == "__main__":
    main()
