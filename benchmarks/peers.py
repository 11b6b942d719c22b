"""A training step of CoOp, CoCoOp and MoCoOp: ours against the plain way, at the real size of ViT-B/16.

Ours: image features from the cache, prompts by shared prefix. Plain: the image tower in the loop (without a graph, as
it does not learn) and every prompt at 77 tokens through the model's own `encode_text`. Same model of random weights,
same images, prompts and losses, one process, and each prompt encoded once on either side. First what the two give is
compared, logits and gradients, then times are told: the text step (encoding, losses, backward pass, descent), and the
whole step, which has the images too. The plain way is always in float32; `--precision` is that of ours.

    python benchmarks/peers.py [--classes 100] [--groups 5] [--images 32] [--plain-repeats 1] [--device auto]
        [--precision float32]

The plain steps take up to a minute each on two CPU cores, so by default each is taken once, ours five times (medians).
"""

from __future__ import annotations

import argparse
import logging
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import open_clip
import torch
import torch.nn.functional as F
from text_step import TEMPLATES, class_name
from torch import Tensor, nn

from mocoop.backbone.backbone import Backbone
from mocoop.backbone.devices import resolve_device, resolve_precision
from mocoop.backbone.hard_features import hard_features
from mocoop.backbone.preprocessing import preprocess_of
from mocoop.backbone.pretrained import freeze
from mocoop.backbone.prompts import TokenRows
from mocoop.config import Config, preset
from mocoop.methods.cocoop import MetaNet
from mocoop.mixture.losses import class_loss
from mocoop.mixture.model import MixtureOfPrompts, new_model
from mocoop.mixture.objective import Objective

WHOLE = 10**9  # tokens in one chunk: nothing is computed twice
Loss = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]  # image features (B, D), labels (B,) -> logits (B, C), loss


@dataclass
class Case:
    """A method at a batch size: how its loss is computed, the fast way or the plain way, and what it learns."""

    name: str
    images: int
    losses: dict[str, Loss]
    parameters: list[nn.Parameter]


@dataclass
class Timed:
    """Seconds of a step's text side and of all of it, with its logits and gradients."""

    text: float
    whole: float
    logits: Tensor
    gradients: list[Tensor]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="ViT-B-16", help="a CLIP architecture of open_clip")
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--groups", type=int, default=5)
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--plain-repeats", type=int, default=1)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", choices=("auto", "float32", "bfloat16"), default="float32")
    options = parser.parse_args()
    logging.disable(logging.WARNING)  # open_clip warns of random weights, which are meant here
    device = resolve_device(options.device)
    backbone = replace(random_backbone(device, options.model), precision=resolve_precision(options.precision, device))
    names = [class_name(number) for number in range(options.classes)]
    cases = [coop(backbone, names, options.images), cocoop(backbone, names, 1), cocoop(backbone, names, 4)]
    cases.append(mocoop(backbone, names, options.groups, options.images))
    threads = torch.get_num_threads()
    print(f"{options.model} of random weights, {options.classes} classes, {backbone.device}, {threads} threads")
    print(f"ours in {backbone.precision}, the plain way in float32")
    print(f"plain: {options.plain_repeats} step(s); ours: median of {options.repeats}; seconds")
    columns = ("text plain", "ours", "ratio", "whole plain", "ours", "ratio", "logits differ", "gradients differ")
    print(f"{'method':28}" + "".join(f"{column:>17}" for column in columns))
    for case in cases:
        cells = measure(case, backbone, options.repeats, options.plain_repeats)
        print(f"{case.name:28}" + "".join(f"{cell:>17}" for cell in cells), flush=True)
    print("logits: largest difference of similarities / tau; gradients: largest relative difference of a parameter's")


def measure(case: Case, backbone: Backbone, repeats: int, plain_repeats: int) -> tuple[str, ...]:
    """The cells of a method's line."""
    pixels = torch.randn(case.images, 3, 224, 224, generator=torch.Generator().manual_seed(1)).to(backbone.device)
    cached = features_of(backbone, pixels)
    plain = middle([step(case, "plain", lambda: features_of(backbone, pixels)) for _ in range(plain_repeats)])
    step(case, "ours", cached.clone)  # warm
    ours = middle([step(case, "ours", cached.clone) for _ in range(repeats)])
    pairs = zip(plain.gradients, ours.gradients, strict=True)
    return (
        f"{plain.text:.2f}",
        f"{ours.text:.3f}",
        f"{plain.text / ours.text:.1f}x",
        f"{plain.whole:.2f}",
        f"{ours.whole:.3f}",
        f"{plain.whole / ours.whole:.1f}x",
        f"{(plain.logits - ours.logits).abs().max().item():.1e}",
        f"{max(((a - b).norm() / a.norm()).item() for a, b in pairs):.1e}",
    )


def random_backbone(device: torch.device, name: str = "ViT-B-16") -> Backbone:
    torch.manual_seed(0)
    model = freeze(open_clip.create_model(name, pretrained=None), device)
    tokenizer = open_clip.get_tokenizer(name)
    return Backbone(
        name=name,
        pretrained=None,
        model=model,
        config=open_clip.get_model_config(name),
        preprocess=preprocess_of(model, {}),
        tokenize=lambda texts, length: tokenizer(list(texts), context_length=length),
        weights_sha256="random",
        device=device,
        precision="float32",
    )


@torch.no_grad()
def features_of(backbone: Backbone, pixels: Tensor) -> Tensor:
    return F.normalize(backbone.image_features(pixels), dim=-1)


def images_of_no_content(backbone: Backbone) -> Tensor:
    """Unit features (64, D) from which the router's middle is taken."""
    return F.normalize(torch.randn(64, backbone.embed_dim, generator=torch.Generator().manual_seed(2)), dim=-1)


def encoders(backbone: Backbone, rows: TokenRows) -> dict[str, Callable[[Tensor], Tensor]]:
    """The two ways from ctx to text features."""
    plain = replace(backbone, precision="float32").text.prepare(rows, full_length=True, chunk_tokens=WHOLE)
    return {"ours": backbone.text.prepare(rows), "plain": plain}


def coop(backbone: Backbone, names: list[str], images: int) -> Case:
    """16 random tokens, as few-shot CoOp."""
    config = preset("paper", "coop")
    context = backbone.prompts.prompt_context(" ".join(["X"] * config.ctx_tokens), "before", names)
    ctx = nn.Parameter(0.02 * torch.randn(len(context), backbone.text.width, device=backbone.device))
    ways = encoders(backbone, backbone.prompts.learned_rows([context], names))

    def loss(way: str) -> Loss:
        def of(x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
            cosines = x @ F.normalize(ways[way](ctx)[0], dim=-1).T
            return cosines * backbone.logit_scale, class_loss(cosines, labels, 1 / backbone.logit_scale)

        return of

    return Case(f"CoOp, M = 16, {images} images", images, {way: loss(way) for way in ways}, [ctx])


def cocoop(backbone: Backbone, names: list[str], images: int) -> Case:
    """ "a photo of a" and the meta-net; its published batch is one image."""
    context = backbone.prompts.prompt_context("a photo of a", "before", names)
    start = backbone.text.embed(torch.tensor(context.before))
    ctx, meta = nn.Parameter(start), MetaNet(backbone.embed_dim, backbone.text.width).to(backbone.device)
    rows = backbone.prompts.learned_rows([context], names).repeated(images, len(context))
    ways = encoders(backbone, rows)

    def loss(way: str) -> Loss:
        def of(x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
            contexts = (ctx + meta(x)[:, None]).flatten(0, 1)
            cosines = torch.einsum("bd,bcd->bc", x, F.normalize(ways[way](contexts), dim=-1))
            return cosines * backbone.logit_scale, class_loss(cosines, labels, 1 / backbone.logit_scale)

        return of

    name = f"CoCoOp, {images} image{'s' * (images > 1)}"
    return Case(name, images, {way: loss(way) for way in ways}, [ctx, *meta.parameters()])


def mocoop(backbone: Backbone, names: list[str], groups: int, images: int) -> Case:
    """The whole of Eq. 10; the templates' frozen features are computed beforehand for both."""
    config: Config = preset("recommended")
    templates = [TEMPLATES[number % len(TEMPLATES)] for number in range(groups)]
    contexts = backbone.prompts.contexts(templates, names)
    hard = hard_features(backbone, [[template] for template in templates], names)
    model: MixtureOfPrompts = new_model(backbone, contexts, config, hard, 1, lambda: images_of_no_content(backbone))
    objective = Objective(config, hard, len(names), backbone.logit_scale)
    ways = encoders(backbone, backbone.prompts.learned_rows(contexts, names))

    def loss(way: str) -> Loss:
        def of(x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
            terms = objective(model, ways[way], x, labels)  # type: ignore[arg-type]
            return terms.mixed.similarities * backbone.logit_scale, terms.total

        return of

    name = f"MoCoOp, E = {groups}, {images} images"
    return Case(name, images, {way: loss(way) for way in ways}, list(model.parameters()))


def step(case: Case, way: str, images: Callable[[], Tensor]) -> Timed:
    """One step from the same parameters; the descent is taken back afterwards."""
    before = [parameter.detach().clone() for parameter in case.parameters]
    optimiser = torch.optim.SGD(case.parameters, lr=0.002, momentum=0.9, weight_decay=5e-4)
    optimiser.zero_grad()
    began = now()
    x = images()
    encoded = now()
    labels = torch.arange(case.images, device=x.device)
    logits, loss = case.losses[way](x, labels)
    loss.backward()
    gradients = [p.grad.clone() if p.grad is not None else torch.zeros_like(p) for p in case.parameters]
    optimiser.step()
    ended = now()
    with torch.no_grad():
        for parameter, value in zip(case.parameters, before, strict=True):
            parameter.copy_(value)
    return Timed(ended - encoded, ended - began, logits.detach(), gradients)


def now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def middle(steps: list[Timed]) -> Timed:
    """Medians of the times, and the last step's numbers."""
    last = steps[-1]
    text, whole = (statistics.median(getattr(one, name) for one in steps) for name in ("text", "whole"))
    return Timed(text, whole, last.logits, last.gradients)


if __name__ == "__main__":
    main()
