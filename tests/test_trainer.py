"""The loop's schedule and order, against the formulas."""

from __future__ import annotations

import math

import pytest
import torch

from mocoop.config import preset
from mocoop.trainer import epoch_batches, learning_rate


def test_schedule_is_constant_warm_up_then_a_cosine_counted_from_its_end():
    config = preset("paper")
    rates = [learning_rate(config, epoch, 50) for epoch in range(50)]
    assert rates[0] == 1e-5
    assert rates[1] == config.lr
    for epoch in range(1, 50):
        assert rates[epoch] == pytest.approx(0.002 * 0.5 * (1 + math.cos(math.pi * (epoch - 1) / 50)))
    assert rates[-1] > 0


def test_a_training_of_one_epoch_is_not_all_warm_up():
    assert learning_rate(preset("paper"), 0, 1) == 0.002


def test_order_is_a_function_of_seed_and_epoch():
    first = epoch_batches(1, 0, 100, 32)
    assert [len(batch) for batch in first] == [32, 32, 32]  # the last, smaller batch is dropped
    assert torch.equal(torch.cat(first), torch.cat(epoch_batches(1, 0, 100, 32)))
    assert not torch.equal(torch.cat(first), torch.cat(epoch_batches(1, 1, 100, 32)))
    assert not torch.equal(torch.cat(first), torch.cat(epoch_batches(2, 0, 100, 32)))


def test_a_set_smaller_than_a_batch_is_one_batch():
    (batch,) = epoch_batches(1, 0, 5, 32)
    assert sorted(batch.tolist()) == [0, 1, 2, 3, 4]
