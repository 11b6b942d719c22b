"""What the mixture costs at prediction: its head against zero-shot's, beside the ViT-B/16 image tower.

For 100 images and E experts x C classes: seconds of the mixture's head (router, top-2, mix with the stored Gram
matrices, softmax), of zero-shot CLIP's head (one matrix product, softmax), and of the image tower that both need.

    python benchmarks/inference.py [--images 100] [--repeats 20] [--device auto]
"""

from __future__ import annotations

import argparse
import logging
import statistics
import time
from collections.abc import Callable

import open_clip
import torch
import torch.nn.functional as F

from mocoop.backbone.devices import resolve_device
from mocoop.mixture.classifier import Classifier

WIDTH = 512


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    logging.disable(logging.WARNING)  # open_clip warns of random weights, which are meant here
    device = resolve_device(options.device)
    torch.manual_seed(0)
    model = open_clip.create_model("ViT-B-16", pretrained=None).eval().to(device)
    pixels = torch.randn(options.images, 3, 224, 224, device=device)
    x = F.normalize(torch.randn(options.images, WIDTH, device=device), dim=-1)

    def seconds(work: Callable[[], object], repeats: int) -> float:
        work()
        times = []
        for _ in range(repeats):
            began = time.perf_counter()
            work()
            if device.type == "cuda":
                torch.cuda.synchronize()
            times.append(time.perf_counter() - began)
        return statistics.median(times)

    with torch.no_grad():
        tower = seconds(lambda: model.encode_image(pixels), 3)
        print(f"{options.images} images, {device}, {torch.get_num_threads()} threads; medians")
        print(f"ViT-B/16 image tower: {tower:.3f} s")
        print("experts classes   zero-shot head   mixture head   mixture / image tower")
        worst = 0.0
        for experts in (5, 20):
            for classes in (100, 1000):
                mixture = _classifier(experts, classes, device)
                text = mixture.h[0]
                zero_shot = seconds(lambda t=text: (100 * x @ t.T).softmax(-1), options.repeats)
                head = seconds(lambda m=mixture: m.predict(x), options.repeats)
                worst = max(worst, head / tower)
                share = 100 * head / tower
                print(f"{experts:7} {classes:7} {1e3 * zero_shot:13.2f} ms {1e3 * head:11.2f} ms {share:19.2f} %")
    print(f"worst share of the image tower's time: {100 * worst:.2f} %")


def _classifier(experts: int, classes: int, device: torch.device) -> Classifier:
    return Classifier(
        classnames=tuple(map(str, range(classes))),
        group_ids=tuple(map(str, range(experts))),
        h=F.normalize(torch.randn(experts, classes, WIDTH, device=device), dim=-1),
        router_weight=torch.randn(experts, WIDTH, device=device),
        router_bias=torch.zeros(experts, device=device),
        top_k=2,
        renormalise_mix=True,
        tau=0.01,
    )


if __name__ == "__main__":
    main()
