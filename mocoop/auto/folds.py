"""Which training images are held out, again and again, so that each is answered for by models that never saw it."""

from __future__ import annotations

import torch
from torch import Tensor

MOST_FOLDS = 5
_ENOUGH = 4  # splits; with fewer folds than that all of them are drawn twice


def held_out(labels: Tensor, seed: int) -> list[Tensor]:
    """The images held out in each split, as sorted rows of labels (N,); none if no class has two images.

    Stratified: a class's images go round the folds one by one, so that shares stay as they are. There are as many folds
    as half of the classes have images, five at most. Every class keeps an image to learn from; a single one is never
    held out.
    """
    counts = torch.bincount(labels)
    if int(counts.max()) < 2:
        return []
    folds = max(2, min(MOST_FOLDS, int(counts.median())))
    generator = torch.Generator().manual_seed(seed)
    repeats = 1 if folds >= _ENOUGH else 2
    return [rows for _ in range(repeats) for rows in _once(labels, folds, generator) if len(rows)]


def _once(labels: Tensor, folds: int, generator: torch.Generator) -> list[Tensor]:
    """The rows of each fold of one drawing."""
    found: list[list[int]] = [[] for _ in range(folds)]
    for label in range(int(labels.max()) + 1):
        mine = (labels == label).nonzero().flatten()
        if len(mine) < 2:
            continue
        for place, row in enumerate(mine[torch.randperm(len(mine), generator=generator)].tolist()):
            found[(place + label) % folds].append(row)
    return [torch.tensor(sorted(rows), dtype=torch.int64) for rows in found]
