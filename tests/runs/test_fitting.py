"""What a training says at its end of a router that went wrong."""

from __future__ import annotations

import pytest

from mocoop.config import preset
from mocoop.runs.fitting import _warnings
from mocoop.training.trainer import StepLog


def history(router_loss, gate_entropy, steps=4):
    """Two epochs; only the second counts."""
    first = [StepLog(0, n + 1, 2 * steps, 1, 1, 9.0, 0, 0.5, 0.0, 0.1, (0.5, 0.5)) for n in range(steps)]
    last = [
        StepLog(1, steps + n + 1, 2 * steps, 1, 1, router_loss, 0, 0.5, gate_entropy, 0.1, (0.5, 0.5))
        for n in range(steps)
    ]
    return first + last


def test_a_router_near_its_reference_with_a_live_gate_is_passed_in_silence():
    assert _warnings(history(0.1, 0.5), 4, 2, preset("recommended")) == ()


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ({}, "lower router_lr"),
        ({"router_lr": None}, "lower --lr"),
        ({"router_init": "random", "router_form": "linear"}, "set router_init = groups"),
    ],
)
def test_a_router_far_from_its_reference_is_told_with_advice_that_fits(changes, advice):
    (note,) = _warnings(history(0.7, 0.5), 4, 2, preset("recommended", **changes))
    assert "L_router 0.70" in note
    assert advice in note


def test_what_was_not_asked_of_the_router_is_not_held_against_it():
    free = preset("recommended", lambda_router=0.0)
    squared = preset("recommended", router_loss="mse")
    assert _warnings(history(0.7, 0.5), 4, 2, free) == _warnings(history(0.7, 0.5), 4, 2, squared) == ()
    assert _warnings(history(0.7, 0.0), 4, 1, preset("recommended")) == ()  # one expert
    assert _warnings([], 4, 2, preset("recommended")) == ()
