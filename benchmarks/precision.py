"""bfloat16 against float32 on this machine, in one process and in turn: what the number format alone is worth.

Matrix products alone; the text step (forward and backward of 4 groups x 50 classes by shared prefix) of ViT-B/16 with
random weights, also with weights that are cast in every step, and of photoclip. Beside the times: the lowest cosine
of the gradient of a token with its float32 one, and how far the whole is off.

    python benchmarks/precision.py [--threads 1] [--repeats 5]

Accuracy is another matter: docs/speed.md has base-to-new in both formats.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from peers import random_backbone
from text_step import TEMPLATES, class_name
from torch import Tensor

from mocoop.backbone.backbone import Backbone, load_backbone
from mocoop.backbone.devices import autocast
from mocoop.backbone.text_engine import TextEncoder, TextTower

CPU = torch.device("cpu")
Work = Callable[[], Tensor]  # what is timed, and what it gives


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    logging.disable(logging.WARNING)  # open_clip warns of random weights, which are meant here
    torch.set_num_threads(options.threads)
    able = [name for name in ("avx512_bf16", "amx_bf16") if torch.cpu.get_capabilities().get(name)]
    print(
        f"{options.threads} thread(s), {', '.join(able) or 'no native bfloat16'}, median of {options.repeats} in turn"
    )
    print(f"{'':44}{'float32':>9}{'bfloat16':>10}{'ratio':>7}   agreement")
    cases = {"matrix products, 1024 x 512 by 512 x 2048": products()}
    for backbone in (random_backbone(CPU), load_backbone("photoclip", device="cpu", precision="float32")):
        cases |= of_backbone(backbone)
    for name, (exact, rounded) in cases.items():
        first, second = exact(), rounded()
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(options.repeats):
            for work, found in zip((exact, rounded), times, strict=True):
                began = time.perf_counter()
                work()
                found.append(time.perf_counter() - began)
        a, b = map(statistics.median, times)
        print(f"{name:44}{1000 * a:7.0f}ms{1000 * b:8.0f}ms{a / b:6.2f}x   {agreement(first, second)}", flush=True)


def products() -> tuple[Work, Work]:
    """The shapes of an MLP's first layer."""
    inputs, weight = torch.randn(1024, 512), torch.randn(2048, 512)
    halves = inputs.bfloat16(), weight.bfloat16()

    def twenty(x: Tensor, w: Tensor) -> Tensor:
        return torch.stack([F.linear(x, w)[0] for _ in range(20)])

    return lambda: twenty(inputs, weight), lambda: twenty(*halves)


def of_backbone(exact: Backbone) -> dict[str, tuple[Work, Work]]:
    """The text step; for ViT-B/16 also what casting once saves."""
    rounded = dataclasses.replace(exact, precision="bfloat16")
    cases = {
        f"{exact.name}: text step": (text_step(exact, exact.text), text_step(rounded, rounded.text)),
    }
    if exact.name != "photoclip":
        plain = TextTower(exact.model, exact.name)
        plain._numbers = lambda: autocast(CPU, "bfloat16")  # type: ignore[method-assign]  # weights cast every time
        cases[f"{exact.name}: text step, cast in every step"] = (
            text_step(exact, exact.text),
            text_step(exact, plain),
        )
    return cases


def text_step(backbone: Backbone, tower: TextTower) -> Work:
    """Forward and backward of 4 groups x 50 classes; gives the gradient of ctx (M, W)."""
    names = [class_name(number) for number in range(50)]
    contexts = backbone.prompts.contexts(list(TEMPLATES[:4]), names)
    encoder: TextEncoder = tower.prepare(backbone.prompts.learned_rows(contexts, names))
    start = tower.embed(torch.tensor([i for context in contexts for i in (*context.before, *context.after)]))
    direction = torch.randn(4, 50, backbone.embed_dim, generator=torch.Generator().manual_seed(0))

    def work() -> Tensor:
        ctx = start.clone().requires_grad_(True)
        (F.normalize(encoder(ctx), dim=-1) * direction).sum().backward()
        assert ctx.grad is not None
        return ctx.grad

    return work


def agreement(exact: Tensor, rounded: Tensor) -> str:
    """Of rows (N, W)."""
    cosine = F.cosine_similarity(exact.float(), rounded.float(), dim=-1).min().item()
    off = ((exact.float() - rounded.float()).norm() / exact.float().norm()).item()
    return f"lowest cosine {cosine:.5f}, {100 * off:.2f} % off"


if __name__ == "__main__":
    main()
