"""Forward and backward of E x C prompts through a ViT-B/16 text tower: shared prefix against plain 77 tokens.

One process, the same model of random weights, the same prompts, the same loss; first that features and gradients
agree, then the time of each, in turn. The last line is `speedup: N.Nx`, the ratio of the medians.

    python benchmarks/text_step.py [--groups 4] [--classes 50] [--repeats 3] [--device auto]
    python benchmarks/text_step.py --groups 20 --classes 1000 --shared-only     # the time and memory of a large step
"""

from __future__ import annotations

import argparse
import logging
import resource
import statistics
import time

import open_clip
import torch
import torch.nn.functional as F

from mocoop.backbone.devices import resolve_device
from mocoop.backbone.prompts import PromptTokenizer
from mocoop.backbone.text_engine import TextEncoder, TextTower

TEMPLATES = (
    "a photo of a {}.",
    "a blurry photo of a {}.",
    "satellite imagery of a {}.",
    "a sketch of a {}.",
    "a low resolution photo of the {}.",
    "a close-up photo of the {}.",
    "a painting of the {}.",
    "a photo of many {}.",
)
FIRST = ("golden", "sea", "annual crop", "passenger", "water", "black", "grand", "wild", "mountain", "paper")
SECOND = ("retriever", "snake", "land", "car", "lily", "swan", "piano", "horse", "bike", "boat")


def class_name(number: int) -> str:
    name = f"{FIRST[number % 10]} {SECOND[number // 10 % 10]}"
    return name if number < 100 else f"{name} {number // 100}"


def peak_gigabytes(device: torch.device) -> float:
    """Of the process, or of the GPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", type=int, default=4)
    parser.add_argument("--classes", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--shared-only", action="store_true", help="one step by shared prefix, and the peak memory")
    options = parser.parse_args()
    logging.disable(logging.WARNING)  # open_clip warns of random weights, which are meant here
    device = resolve_device(options.device)
    torch.manual_seed(0)
    model = open_clip.create_model("ViT-B-16", pretrained=None).eval().requires_grad_(False).to(device)
    tower = TextTower(model, "ViT-B-16")
    tokenizer = open_clip.get_tokenizer("ViT-B-16")
    prompts = PromptTokenizer(lambda texts, length: tokenizer(list(texts), context_length=length), 77)
    names = [class_name(number) for number in range(options.classes)]
    contexts = prompts.contexts([TEMPLATES[g % len(TEMPLATES)] for g in range(options.groups)], names)
    rows = prompts.learned_rows(contexts, names)
    ids = torch.tensor([i for context in contexts for i in (*context.before, *context.after)])
    start = tower.embed(ids)
    direction = torch.randn(options.groups, options.classes, 512, device=device)

    def step(encoder: TextEncoder) -> tuple[torch.Tensor, torch.Tensor, float]:
        ctx = start.clone().requires_grad_(True)
        began = time.perf_counter()
        features = encoder(ctx)
        (F.normalize(features, dim=-1) * direction).sum().backward()
        if device.type == "cuda":
            torch.cuda.synchronize()
        assert ctx.grad is not None
        return features.detach(), ctx.grad, time.perf_counter() - began

    shared = tower.prepare(rows)
    threads = torch.get_num_threads()
    print(f"ViT-B/16 text tower, {options.groups} groups x {options.classes} classes, {device}, {threads} threads")
    if options.shared_only:
        before = peak_gigabytes(device)
        print(f"shared prefix: {step(shared)[2]:.1f} s")
        print(f"peak memory: {before:.2f} GB before the step, {peak_gigabytes(device):.2f} GB after")
        return
    plain = tower.prepare(rows, full_length=True, chunk_tokens=10**9)
    (plain_h, plain_grad, _), (shared_h, shared_grad, _) = step(plain), step(shared)  # warm-up, and the comparison
    print(f"largest difference of a feature: {(plain_h - shared_h).abs().max().item():.1e}")
    print(f"relative difference of the gradient: {((plain_grad - shared_grad).norm() / plain_grad.norm()).item():.1e}")
    times: dict[str, list[float]] = {"plain 77 tokens": [], "shared prefix": []}
    for _ in range(options.repeats):
        times["plain 77 tokens"].append(step(plain)[2])
        times["shared prefix"].append(statistics.median(step(shared)[2] for _ in range(3)))
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, values in times.items():
        print(f"{name:16} median {medians[name]:7.3f} s   min {min(values):7.3f}   max {max(values):7.3f}")
    print(f"speedup: {medians['plain 77 tokens'] / medians['shared prefix']:.1f}x")


if __name__ == "__main__":
    main()
