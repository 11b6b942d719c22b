"""Whether a router has collapsed: one expert serves all images, or takes all the weight of each.

Then the run is effectively a single prompt. Detected during training, reported with a remedy, and stored with the run
(`Fitted.collapse`). E experts.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from itertools import groupby

from mocoop.config import Config
from mocoop.training.trainer import StepLog

MOST = 0.9  # above this share of images with the same first expert, a router has collapsed
LEAST_ENTROPY = 0.05  # nats, mean over images; below this nearly all weight of an image lies on one expert


def collapse(epoch: Sequence[StepLog], ids: Sequence[str], config: Config) -> str | None:
    """Description of a collapse in an epoch, with a remedy; None if the router works, or is not trained.

    Args:
        epoch: the logs of its steps; shares are from the last, which counts all of the epoch's images.
        ids: the experts' group ids (E).
    """
    if not epoch or config.routing != "learned" or len(ids) < 2:
        return None
    last, entropy = epoch[-1], statistics.fmean(log.gate_entropy for log in epoch)
    share = max(last.expert_use)
    reference = max(last.reference_use, default=1.0)  # a log without it says nothing about the gate
    if share > MOST >= reference:
        expert = ids[last.expert_use.index(share)]
        told = (
            f"expert {expert} comes first for {100 * share:.0f}% of the training images, where the templates' own gate "
            f"has no group first for more than {100 * reference:.0f}% (entropy {entropy:.3f})"
        )
    elif entropy < LEAST_ENTROPY:
        told = f"it puts nearly all weight on one expert for each image (entropy {entropy:.3f})"
    else:
        return None
    return f"the router collapsed: {told}; {_advice(config)}"


def first_collapse(history: Sequence[StepLog], ids: Sequence[str], config: Config) -> str | None:
    """The first epoch that ended with a collapse, and its description."""
    for number, epoch in by_epoch(history):
        if told := collapse(epoch, ids, config):
            return f"epoch {number + 1}: {told}"
    return None


def by_epoch(history: Sequence[StepLog]) -> Iterator[tuple[int, list[StepLog]]]:
    """The logs of each epoch, with its number from 0."""
    return ((number, list(logs)) for number, logs in groupby(history, key=lambda log: log.epoch))


def _advice(config: Config) -> str:
    if config.router_form == "linear":
        return "take the preset recommended, or set router_form=correction; compare with routing=uniform"
    return "lower router_lr, raise lambda_router, or compare with routing=uniform"
