"""The script that made `miniclip.safetensors`: python -m mocoop.miniclip.pretrain [--steps N] [--out FILE]

Tiles are drawn up front, then an open_clip model learns to match them with captions of three kinds: of a class
and a style, of a class, of a style. Every choice follows from the seed and the number of steps, never from the
clock: the same command on the same machine and thread count gives the same weights.

What comes out is a stand-in that has seen drawings and knows a few hundred words. The accuracies printed at the
end are on drawings too (`scorecard`) and say nothing about CLIP.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from mocoop.miniclip import captions, scorecard, weights
from mocoop.miniclip.layouts import CLASSES
from mocoop.miniclip.scenes import Scenes, draw_scenes
from mocoop.miniclip.styles import STYLES
from mocoop.openclip import open_clip

STYLE_NAMES = tuple(STYLES)
END_OF_TEXT = 49407


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Training settings. Batches have `looks` pairs of class and style, with `tiles_per_look` tiles each."""

    seed: int = 0
    steps: int = 3000
    tiles: int = 180  # drawn per class and style
    looks: int = 64
    tiles_per_look: int = 4
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    warmup: int = 100  # steps
    max_logit_scale: float = 50.0


def train(recipe: Recipe, scenes: Scenes) -> tuple[open_clip.CLIP, list[int]]:
    """Train a model on the scenes; returns it, its token table reduced to the captions' tokens, and these tokens."""
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng([recipe.seed, 1])
    vocabulary = seen_ids()
    model = _small_model(len(vocabulary))
    optimizer = torch.optim.AdamW(_parameter_groups(model, recipe), lr=recipe.learning_rate, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _pace(step, recipe))
    longest, progress = 0, _Progress(recipe.steps)
    for step, batch in enumerate(_batches(recipe, scenes, rng)):
        ids = compact_ids(batch.texts, vocabulary)
        longest = max(longest, ids.shape[1])
        texts = encode_captions(model, ids)
        with torch.autocast("cpu", torch.bfloat16):  # twice as fast for the image tower, slower for the text tower
            tiles = model.encode_image(augmented(batch.images, rng))
        loss = contrastive_loss(tiles, texts, batch, model.logit_scale.exp())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        model.logit_scale.data.clamp_(max=float(np.log(recipe.max_logit_scale)))
        progress.show(step + 1, float(loss.detach()))
    # No caption is longer than this: later positions were never trained and repeat the last trained one.
    model.positional_embedding.data[longest:] = model.positional_embedding.data[longest - 1]
    return model.eval(), vocabulary


@dataclass(frozen=True)
class Batch:
    """Tiles and the captions to match them with: first of pairs, then of all classes, then of all styles."""

    images: Tensor  # (B, 3, H, W) bytes
    pairs: Tensor  # (B,) the tile's index into the captions of pairs
    labels: Tensor  # (B,)
    styles: Tensor  # (B,)
    texts: list[str]  # looks + classes + styles


def contrastive_loss(tiles: Tensor, texts: Tensor, batch: Batch, scale: Tensor) -> Tensor:
    """Mean over the three kinds of captions of the two-way contrastive loss; several tiles may share a caption.

    tiles (B, D) and texts (looks + classes + styles, D) need not be normalised.
    """
    cosines = F.normalize(tiles.float(), dim=-1) @ F.normalize(texts.float(), dim=-1).T
    pairs = len(batch.texts) - len(CLASSES) - len(STYLE_NAMES)
    kinds = torch.split(scale * cosines, [pairs, len(CLASSES), len(STYLE_NAMES)], dim=1)
    targets = (batch.pairs, batch.labels, batch.styles)
    return torch.stack([_two_way(logits, target) for logits, target in zip(kinds, targets, strict=True)]).mean()


def _two_way(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of tiles to captions (B, T), and of captions with tiles in the batch to these, uniformly."""
    own = F.one_hot(target, logits.shape[1]).float()  # (B, T)
    count = own.sum(0)
    wanted = (own / count.clamp_min(1)).T[count > 0]  # (captions with tiles, B)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T[count > 0], wanted)) / 2


def encode_captions(model: open_clip.CLIP, ids: Tensor) -> Tensor:
    """Text features (T, D) of token ids (T, L) cut after the longest caption: `encode_text` without padding."""
    length = ids.shape[1]
    x = model.token_embedding(ids) + model.positional_embedding[:length]
    x = model.transformer(x, attn_mask=model.attn_mask[:length, :length])
    x = model.ln_final(x[torch.arange(len(ids)), ids.argmax(dim=-1)])  # the end of text has the highest id
    features: Tensor = x @ model.text_projection
    return features


@lru_cache(maxsize=1)
def seen_ids() -> list[int]:
    """The tokens of all captions, ascending, without the padding."""
    ids = _tokenize(captions.all_captions())
    return sorted({token for row in ids for token in row[: row.index(END_OF_TEXT) + 1]})


def compact_ids(texts: list[str], vocabulary: list[int]) -> Tensor:
    """Token ids (T, L) as indices into the vocabulary, L the longest text's length; padding is the first row."""
    ids = np.array(_tokenize(texts))
    longest = int((ids == END_OF_TEXT).argmax(axis=1).max()) + 1
    return torch.from_numpy(np.searchsorted(vocabulary, ids[:, :longest]))


def augmented(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Normalised tiles (B, 3, H, W), randomly rotated and mirrored, a quarter of them cropped and enlarged."""
    count = len(images)
    turns, mirrored = rng.integers(0, 4, count), rng.integers(0, 2, count) * 2.0 - 1
    scale = np.where(rng.random(count) < 0.25, rng.uniform(0.6, 1.0, count), 1.0)
    cosine, sine = np.cos(turns * np.pi / 2).round(), np.sin(turns * np.pi / 2).round()
    shift = rng.uniform(-1, 1, (2, count)) * (1 - scale)
    rows = [[scale * cosine * mirrored, -scale * sine, shift[0]], [scale * sine * mirrored, scale * cosine, shift[1]]]
    affine = torch.from_numpy(np.array(rows, np.float32).transpose(2, 0, 1).copy())  # (B, 2, 3)
    grid = F.affine_grid(affine, [count, *images.shape[1:]], align_corners=False)
    turned = F.grid_sample(images.float(), grid, padding_mode="border", align_corners=False)
    return scorecard.normalised(turned)


def _batches(recipe: Recipe, scenes: Scenes, rng: np.random.Generator) -> Iterator[Batch]:
    """One batch per step; classes change fastest in the scenes, so a look's tiles are at a constant stride."""
    images = torch.from_numpy(scenes.images)
    looks = len(CLASSES) * len(STYLE_NAMES)
    for _ in range(recipe.steps):
        chosen = rng.choice(looks, recipe.looks, replace=False)
        which = rng.integers(0, recipe.tiles, (recipe.looks, recipe.tiles_per_look))
        index = (which * looks + chosen[:, None]).ravel()
        yield Batch(
            images[torch.from_numpy(index)].permute(0, 3, 1, 2),
            torch.arange(recipe.looks).repeat_interleave(recipe.tiles_per_look),
            torch.from_numpy(scenes.labels[index]),
            torch.from_numpy(scenes.styles[index]),
            _texts(chosen, rng),
        )


def _texts(looks: NDArray[Any], rng: np.random.Generator) -> list[str]:
    """A random wording for every look, every class and every style."""
    pairs = [(STYLE_NAMES[look // len(CLASSES)], CLASSES[look % len(CLASSES)]) for look in looks]
    named = [captions.random_caption(style, name, rng) for style, name in pairs]
    classes = [captions.random_caption(None, name, rng) for name in CLASSES]
    styles = [captions.random_caption(style, None, rng) for style in STYLE_NAMES]
    return named + classes + styles


def _small_model(tokens: int) -> open_clip.CLIP:
    """miniclip with a token table of the seen tokens only, so that the optimiser does not update 49408 rows."""
    config = weights.config()
    config["text_cfg"] = {**config["text_cfg"], "vocab_size": tokens}
    return open_clip.CLIP(**config).to(memory_format=torch.channels_last).train()


def _parameter_groups(model: open_clip.CLIP, recipe: Recipe) -> list[dict[str, Any]]:
    """Weight decay for matrices and kernels; none for gains, biases, embeddings and the logit scale."""
    parameters = dict(model.named_parameters())
    plain = [name for name, value in parameters.items() if value.ndim < 2 or "embedding" in name]
    return [
        {"params": [parameters[name] for name in plain], "weight_decay": 0.0},
        {
            "params": [value for name, value in parameters.items() if name not in plain],
            "weight_decay": recipe.weight_decay,
        },
    ]


def _pace(step: int, recipe: Recipe) -> float:
    """The learning rate factor: a linear warm-up, then a cosine decay to 0 at the last step."""
    if step < recipe.warmup:
        return (step + 1) / recipe.warmup
    done = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    return 0.5 * (1 + float(np.cos(np.pi * min(1.0, done))))


@lru_cache(maxsize=1)
def _tokenizer() -> Any:
    return open_clip.SimpleTokenizer(context_length=weights.config()["text_cfg"]["context_length"])


def _tokenize(texts: list[str]) -> list[list[int]]:
    ids: list[list[int]] = _tokenizer()(texts).tolist()
    return ids


class _Progress:
    """Prints a line at regular steps: loss, speed and time left."""

    def __init__(self, steps: int, every: int = 50) -> None:
        self._steps, self._every, self._start = steps, every, time.monotonic()
        self._losses: list[float] = []

    def show(self, step: int, loss: float) -> None:
        self._losses.append(loss)
        if step % self._every and step != self._steps:
            return
        each = (time.monotonic() - self._start) / step
        left = each * (self._steps - step)
        mean = sum(self._losses) / len(self._losses)
        self._losses.clear()
        print(f"step {step}/{self._steps}  loss {mean:.3f}  {each:.2f} s a step  {left / 60:.1f} min left", flush=True)


def main() -> None:
    """Draw, train, write the weights and print the scorecard."""
    arguments = _arguments()
    recipe = Recipe(seed=arguments.seed, steps=arguments.steps)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    print("miniclip is a stand-in trained on drawings; nothing below says anything about CLIP.")
    start = time.monotonic()
    scenes = draw_scenes(recipe.tiles, recipe.seed, styles=STYLE_NAMES, workers=arguments.workers)
    print(f"drew {len(scenes.images)} tiles in {time.monotonic() - start:.0f} s", flush=True)
    model, vocabulary = train(recipe, scenes)
    minutes = (time.monotonic() - start) / 60
    facts = {f"recipe.{name}": str(value) for name, value in asdict(recipe).items()}
    facts |= {"stand_in": "trained on drawn tiles", "torch": torch.__version__, "minutes": f"{minutes:.1f}"}
    weights.pack(arguments.out, model.state_dict(), vocabulary, facts)
    card = scorecard.score(scorecard.load(arguments.out), workers=arguments.workers)
    weights.pack(arguments.out, model.state_dict(), vocabulary, facts | card.facts())
    print(card)
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1e6:.2f} MB, {len(vocabulary)} tokens, {minutes:.1f} min")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m mocoop.miniclip.pretrain", description=(__doc__ or "").strip())
    parser.add_argument("--steps", type=int, default=Recipe.steps, help="training steps (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=Recipe.seed, help="of tiles, weights and batches")
    parser.add_argument("--out", type=Path, default=weights.WEIGHTS, help="the file to write (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="processes that draw tiles (default: %(default)s)")
    parser.add_argument("--threads", type=int, help="threads of torch (default: torch's own choice)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
