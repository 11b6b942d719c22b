"""Which images are held out: each once a drawing, in equal shares, and never a class's last one."""

from __future__ import annotations

import pytest
import torch

from mocoop.auto.folds import held_out


@pytest.mark.parametrize(("per_class", "splits"), [(2, 4), (3, 6), (4, 4), (5, 5), (16, 5)])
def test_every_image_is_held_out_equally_often_and_classes_keep_their_shares(per_class, splits):
    labels = torch.arange(6).repeat(per_class)
    found = held_out(labels, 1)
    assert len(found) == splits
    times = torch.bincount(torch.cat(found))
    assert times.tolist() == [2 if per_class < 4 else 1] * len(labels)
    for rows in found:
        counts = torch.bincount(labels[rows], minlength=6)
        assert counts.max() - counts.min() <= 1
        assert len(rows.unique()) == len(rows)


def test_a_class_of_one_image_keeps_it_and_one_image_a_class_cannot_be_split():
    labels = torch.tensor([0, 1, 1, 1, 1, 2, 2, 2, 2])
    found = held_out(labels, 1)
    assert sorted(torch.cat(found).tolist()) == list(range(1, 9))
    assert all(
        len(labels.unique()) == len(labels[[n not in rows.tolist() for n in range(9)]].unique()) for rows in found
    )
    assert held_out(torch.arange(5), 1) == []


def test_the_seed_draws_and_nothing_else():
    labels = torch.arange(4).repeat(8)
    first, again, other = (held_out(labels, seed) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))
