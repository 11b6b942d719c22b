"""Distilling MiniLM into a small causal text tower with CLIP's tokens.

The teacher's vector of a text is centred (the mean of all names is taken away), so that unrelated texts are at right
angles. A text about a name is to be half the sentence's vector and half the name's: a template may move a class, not
drown it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mocoop.openclip import open_clip

END_OF_TEXT = 49407
LONGEST = 32  # tokens


@dataclass(frozen=True, kw_only=True)
class TextRecipe:
    """Settings of the distillation."""

    seed: int = 0
    steps: int = 2400
    batch: int = 256
    learning_rate: float = 1.5e-3
    table_rate: float = 2e-4  # of the token table, by Adam on the rows of a batch
    weight_decay: float = 0.02
    warmup: int = 60
    temperature: float = 0.05


@dataclass(frozen=True)
class Space:
    """The teacher's vectors made ready: centred, of length 1."""

    centre: Tensor  # (384,)

    @classmethod
    def of(cls, names: Tensor) -> Space:
        """The space in which these vectors (N, 384) have mean 0."""
        return cls(names.float().mean(0))

    def names(self, vectors: Tensor) -> Tensor:
        """Targets (N, 384) of texts that are only themselves."""
        return F.normalize(vectors.float() - self.centre, dim=-1)

    def sentences(self, vectors: Tensor, names: Tensor) -> Tensor:
        """Targets (N, 384) of sentences about names."""
        return F.normalize(self.names(vectors) + self.names(names), dim=-1)


def tokenize(texts: Sequence[str]) -> Tensor:
    """Token ids (N, 77)."""
    ids: Tensor = _tokenizer()(list(texts))
    return ids


@lru_cache(maxsize=1)
def _tokenizer() -> Any:
    return open_clip.SimpleTokenizer(context_length=77)


def token_texts() -> list[str]:
    """What each token reads as."""
    tokenizer, found = _tokenizer(), []
    for number in range(49408):
        letters = tokenizer.decoder.get(number, "").replace("</w>", "")
        raw = bytearray(tokenizer.byte_decoder.get(letter, 32) for letter in letters)
        found.append(raw.decode("utf-8", "replace").strip() or " ")
    return found


def token_table(vectors: Tensor, width: int) -> Tensor:
    """A first token table (49408, width): the teacher's vectors of the tokens, in their principal directions."""
    centred = vectors.float() - vectors.float().mean(0)
    directions = torch.linalg.eigh(centred.T.double() @ centred.double())[1].flip(1)[:, :width].float()
    table: Tensor = centred @ directions
    scaled: Tensor = table * (0.04 / table.std())
    return scaled


def last_states(model: Any, ids: Tensor) -> Tensor:
    """The states (N, W) that the last projection takes, of ids cut after the longest text."""
    length = ids.shape[1]
    x = model.token_embedding(ids) + model.positional_embedding[:length]
    x = model.transformer(x, attn_mask=model.attn_mask[:length, :length])
    found: Tensor = model.ln_final(x[torch.arange(len(ids)), ids.argmax(dim=-1)])
    return found


def encode(model: Any, ids: Tensor) -> Tensor:
    """Text features (N, D) of ids cut after the longest text: `encode_text` without padding."""
    features: Tensor = last_states(model, ids).float() @ model.text_projection
    return features


@torch.no_grad()
def states(model: Any, texts: Sequence[str], batch: int = 512) -> Tensor:
    """The states (N, W) before the projection of any texts."""
    ids = tokenize(texts)
    lengths = (ids == END_OF_TEXT).int().argmax(1) + 1
    order = torch.argsort(lengths, stable=True)
    found = torch.empty(len(texts), model.text_projection.shape[0])
    for part in torch.split(order, batch):
        found[part] = last_states(model, ids[part, : int(lengths[part].max())]).float()
    return found


def features(model: Any, texts: Sequence[str], batch: int = 512) -> Tensor:
    """Normalised features (N, D) of any texts."""
    return F.normalize(states(model, texts, batch) @ model.text_projection.detach(), dim=-1)


def into_half(projection: Tensor) -> tuple[Tensor, Tensor]:
    """A projection (W, D) in the W dimensions that its texts fill, (W, W), and those dimensions (D, W)."""
    directions = torch.linalg.svd(projection.double(), full_matrices=False)[2].T.float()
    return projection @ directions, directions


def distil(
    model: open_clip.CLIP, texts: Sequence[str], targets: Tensor, recipe: TextRecipe, *, say: Any = print
) -> None:
    """Train the model's text tower on texts and their targets (N, D). The image tower is left alone."""
    rng = np.random.default_rng([recipe.seed, 2])
    table = nn.Embedding(model.vocab_size, model.token_embedding.embedding_dim, sparse=True)
    table.weight.data.copy_(model.token_embedding.weight.data)
    model.token_embedding = table
    ids = tokenize(texts)
    lengths = ((ids == END_OF_TEXT).int().argmax(1) + 1).clamp(max=LONGEST)
    inner = [value for name, value in model.named_parameters() if _of_text(name) and value.ndim >= 2]
    plain = [value for name, value in model.named_parameters() if _of_text(name) and value.ndim < 2]
    optimizer = torch.optim.AdamW(
        [{"params": inner, "weight_decay": recipe.weight_decay}, {"params": plain, "weight_decay": 0.0}],
        lr=recipe.learning_rate, betas=(0.9, 0.98),
    )  # fmt: skip
    rows = torch.optim.SparseAdam([table.weight], lr=recipe.table_rate)
    schedules = [
        torch.optim.lr_scheduler.LambdaLR(one, lambda step: pace(step, recipe.steps, recipe.warmup))
        for one in (optimizer, rows)
    ]
    model.train()
    start, losses = time.monotonic(), []
    for step, chosen in enumerate(_batches(lengths.numpy(), recipe, rng)):
        part = torch.from_numpy(chosen)
        cut = ids[part, : int(lengths[part].max())].clone()
        cut[lengths[part] == LONGEST, LONGEST - 1 : LONGEST] = END_OF_TEXT
        with torch.autocast("cpu", torch.bfloat16):
            found = encode(model, cut)
        found, wanted = F.normalize(found.float(), dim=-1), targets[part].float()
        alike = found @ wanted.T / recipe.temperature
        own = torch.arange(len(part))
        contrast = (F.cross_entropy(alike, own) + F.cross_entropy(alike.T, own)) / 2
        loss = contrast + 4 * (1 - (found * wanted).sum(-1).mean())
        optimizer.zero_grad(set_to_none=True)
        rows.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_([*inner, *plain], 1.0)
        optimizer.step()
        rows.step()
        for each in schedules:
            each.step()
        losses.append(float(loss.detach()))
        if (step + 1) % 50 == 0 or step + 1 == recipe.steps:
            each_step = (time.monotonic() - start) / (step + 1)
            cosine = float((found.detach() * wanted).sum(-1).mean())
            mean = np.mean(losses[-50:])
            say(f"text step {step + 1}/{recipe.steps}  loss {mean:.3f}  cosine {cosine:.3f}  {each_step:.2f} s a step")
    # No text was longer: later positions were never trained and repeat the last trained one.
    model.positional_embedding.data[LONGEST:] = model.positional_embedding.data[LONGEST - 1]
    model.eval()


def _of_text(name: str) -> bool:
    return not name.startswith(("visual", "token_embedding", "logit_"))


def _batches(lengths: Any, recipe: TextRecipe, rng: np.random.Generator) -> Any:
    """Batches of texts of about the same length, every text equally often."""
    given = 0
    while given < recipe.steps:
        order = np.argsort(lengths + rng.uniform(0, 1.5, len(lengths)), kind="stable")
        parts = [order[at : at + recipe.batch] for at in range(0, len(order) - recipe.batch + 1, recipe.batch)]
        for place in rng.permutation(len(parts)):
            if given < recipe.steps:
                given += 1
                yield parts[place]


def pace(step: int, steps: int, warmup: int) -> float:
    """The learning rate factor: a linear warm-up, then a cosine decay to 0."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + float(np.cos(np.pi * min(1.0, (step - warmup) / max(1, steps - warmup)))))
