"""The pretraining script: its loss against a naive one, its augmentation, and the same bits for the same command."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from mocoop.miniclip import pretrain
from mocoop.miniclip.layouts import CLASSES
from mocoop.miniclip.pretrain import STYLE_NAMES, Batch, Recipe, augmented, contrastive_loss, train
from mocoop.miniclip.scenes import draw_scenes
from mocoop.miniclip.scorecard import normalised


def naive_two_way(logits: list[list[float]], target: list[int]) -> float:
    """The two-way loss of one kind of caption, written out in plain Python."""

    def log_share(scores: list[float], place: int) -> float:
        return scores[place] - math.log(sum(math.exp(score) for score in scores))

    finding_text = [-log_share(row, place) for row, place in zip(logits, target, strict=True)]
    finding_tiles = []
    for text in sorted(set(target)):
        column = [row[text] for row in logits]
        own = [place for place, wanted in enumerate(target) if wanted == text]
        finding_tiles.append(-sum(log_share(column, place) for place in own) / len(own))
    return (sum(finding_text) / len(finding_text) + sum(finding_tiles) / len(finding_tiles)) / 2


def test_the_loss_is_the_mean_of_three_two_way_losses() -> None:
    generator = torch.Generator().manual_seed(0)
    pairs, tiles = torch.tensor([0, 0, 1, 1]), torch.randn(4, 8, generator=generator)
    labels, styles = torch.tensor([3, 3, 5, 5]), torch.tensor([1, 1, 1, 1])
    texts = torch.randn(2 + len(CLASSES) + len(STYLE_NAMES), 8, generator=generator)
    batch = Batch(torch.zeros(4, 3, 2, 2), pairs, labels, styles, ["text"] * len(texts))
    loss = contrastive_loss(tiles, texts, batch, torch.tensor(7.0))
    unit = [torch.nn.functional.normalize(part.double(), dim=-1) for part in (tiles, texts)]
    logits = (7.0 * unit[0] @ unit[1].T).tolist()
    first, second = 2, 2 + len(CLASSES)
    expected = [
        naive_two_way([row[:first] for row in logits], pairs.tolist()),
        naive_two_way([row[first:second] for row in logits], labels.tolist()),
        naive_two_way([row[second:] for row in logits], styles.tolist()),
    ]
    assert float(loss) == pytest.approx(sum(expected) / 3, abs=1e-5)


def test_augmentation_turns_and_mirrors_without_a_trace_when_it_does_not_crop() -> None:
    rng = np.random.default_rng(0)
    image = torch.from_numpy(draw_scenes(1, 0, styles=["plain"], classes=["harbor"]).images).permute(0, 3, 1, 2)
    plain = normalised(image)[0]
    turned = [torch.rot90(side, turn, (1, 2)) for side in (plain, plain.flip(2)) for turn in range(4)]
    seen = set()
    copies = augmented(image.repeat(200, 1, 1, 1), rng)
    for copy in copies:
        near = [place for place, other in enumerate(turned) if torch.allclose(copy, other, atol=1e-2)]
        seen.update(near)
    assert seen == set(range(8))
    assert copies.shape == (200, 3, 64, 64)


def test_the_same_recipe_gives_the_same_weights() -> None:
    recipe = Recipe(steps=3, tiles=1, looks=8, tiles_per_look=2, warmup=1)
    scenes = draw_scenes(1, 0, styles=STYLE_NAMES)
    (one, tokens), (other, _) = (train(recipe, scenes) for _ in range(2))
    assert len(tokens) == len(one.token_embedding.weight)
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name
    assert all(bool(torch.isfinite(tensor).all()) for tensor in one.state_dict().values())


def test_the_learning_rate_warms_up_and_ends_at_nothing() -> None:
    recipe = Recipe(steps=1000, warmup=100)
    paces = [pretrain._pace(step, recipe) for step in range(1001)]
    assert paces[0] == pytest.approx(0.01)
    assert max(paces) == paces[100] == 1.0
    assert paces[1000] == pytest.approx(0.0, abs=1e-9)
    assert all(later <= earlier for earlier, later in pairwise(paces[100:]))


def test_captions_of_a_batch_are_pairs_then_classes_then_styles() -> None:
    rng = np.random.default_rng(0)
    texts = pretrain._texts(np.array([0, len(CLASSES) + 1]), rng)
    assert len(texts) == 2 + len(CLASSES) + len(STYLE_NAMES)
