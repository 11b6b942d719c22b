"""The words nearest to learned tokens: what a learned prompt would read as, as far as it reads as anything.

Distances are Euclidean, between a learned vector and the embeddings of the backbone's tokens, as in CoOp's Table 4
(Zhou et al. 2022). M learned tokens, V tokens of the vocabulary, W text width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from mocoop.backbone.pretrained import Tokenizer

if TYPE_CHECKING:
    from mocoop.backbone.backbone import Backbone

_CHUNK = 64  # learned tokens compared with the whole vocabulary at a time


class Near(NamedTuple):
    """A token of the vocabulary as text, and its distance from a learned one."""

    word: str
    distance: float


@torch.no_grad()
def nearest_words(backbone: Backbone, vectors: Tensor, most: int = 5) -> list[list[Near]]:
    """For each of M vectors (M, W) the nearest tokens of the vocabulary, the nearest first, at most so many.

    Only tokens that the text tower was trained on and that have letters count. Empty lists if the backbone's tokenizer
    cannot turn a token back to letters.
    """
    tokenizer = backbone.tokenize
    if not isinstance(tokenizer, Tokenizer) or not len(vectors):
        return [[] for _ in vectors]
    known = backbone.vocabulary
    ids = torch.tensor(sorted(known) if known else range(backbone.text.embedding.num_embeddings))  # (V,)
    table = backbone.text.embed(ids).float()  # (V, W)
    found: list[list[Near]] = []
    for start in range(0, len(vectors), _CHUNK):
        distances = torch.cdist(vectors[start : start + _CHUNK].to(table), table)  # (m, V)
        values, places = distances.topk(min(6 * most, len(ids)), dim=-1, largest=False)
        for row, near in zip(values.tolist(), ids[places.cpu()].tolist(), strict=True):
            words: dict[str, float] = {}  # a word and the same at another word's beginning are one
            for token, distance in zip(near, row, strict=True):
                words.setdefault(tokenizer.letters(token), distance)
            found.append([Near(word, distance) for word, distance in words.items() if word][:most])
    return found


def letters_of(backbone: Backbone, ids: tuple[int, ...]) -> list[str]:
    """What tokens stand for; "" for those that stand for no letters."""
    tokenizer = backbone.tokenize
    return [tokenizer.letters(token) if isinstance(tokenizer, Tokenizer) else "" for token in ids]
