"""The loop's schedule and order, against the formulas."""

from __future__ import annotations

import math

import pytest
import torch

from mocoop.config import preset
from mocoop.errors import TrainingStopped
from mocoop.mixture.model import Mixed
from mocoop.mixture.objective import Terms
from mocoop.training.trainer import Listener, Trainer, epoch_batches, learning_rate


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


def test_huge_seeds_are_seeds_too():
    assert len(epoch_batches(2**62, 5, 40, 32)) == 1


class RootAtZero(torch.autograd.Function):
    """A finite value whose gradient is not."""

    @staticmethod
    def forward(ctx, x):
        return x.sum() * 0

    @staticmethod
    def backward(ctx, grad):
        return torch.full((2,), math.nan)


def test_a_gradient_that_is_not_finite_stops_before_the_step():
    weight = torch.nn.Parameter(torch.ones(2))
    mixed = Mixed(torch.zeros(4, 2), torch.zeros(4, 2), torch.zeros(4, 2))

    def terms(x, labels):
        loss = RootAtZero.apply(weight)
        return Terms(loss, loss, loss, loss, mixed)

    config = preset("recommended", batch_size=4)
    labels = torch.zeros(4, dtype=torch.int64)
    trainer = Trainer({"w": weight}, terms, lambda epoch, index: torch.zeros(4, 3), labels, config, epochs=1, seed=1)
    with pytest.raises(TrainingStopped, match="gradient is not finite at step 1"):
        trainer.run(Listener())
    assert torch.equal(weight, torch.ones(2))


def test_too_little_memory_says_what_helps():
    weight = torch.nn.Parameter(torch.ones(2))

    def terms(x, labels):
        torch.empty(1 << 60)  # more than any machine has

    labels = torch.zeros(4, dtype=torch.int64)
    config = preset("recommended", batch_size=4)
    trainer = Trainer({"w": weight}, terms, lambda epoch, index: torch.zeros(4, 3), labels, config, epochs=1, seed=1)
    with pytest.raises(TrainingStopped, match=r"not enough memory at step 1.*--batch-size"):
        trainer.run(Listener())


def test_other_runtime_errors_stay_what_they_are():
    def terms(x, labels):
        raise RuntimeError("shapes differ")

    labels = torch.zeros(4, dtype=torch.int64)
    config, weight = preset("recommended", batch_size=4), torch.nn.Parameter(torch.ones(2))
    trainer = Trainer({"w": weight}, terms, lambda epoch, index: torch.zeros(4, 3), labels, config, epochs=1, seed=1)
    with pytest.raises(RuntimeError, match="shapes differ"):
        trainer.run(Listener())
