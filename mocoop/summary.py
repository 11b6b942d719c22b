"""What a finished run is, as plain JSON values: learned what, from what, with which settings, and how it ended.

`mocoop show` and `mocoop train` print it. Losses and expert use are means over the last epoch of training; accuracy
on test images is not here but in `evaluate.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mocoop.trainer import StepLog

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mocoop.run import Run

_KEPT = (
    "status", "method", "preset", "shots", "seed", "split_seed", "classes", "classnames", "all_classnames", "backbone",
    "data", "unknown_words", "device", "precision", "threads", "versions", "training", "notes", "config",
)  # fmt: skip


def summarise(run: Run) -> dict[str, Any]:
    """The run's record with its experts and the state of training in its last epoch."""
    last = last_epoch(run.history())
    use = last.get("expert_use") or [None] * len(run.groups.groups)
    experts = [
        {"id": group.id, "title": group.title, "init": group.init, "templates": list(group.texts), "use": share}
        for group, share in zip(run.groups.groups, use, strict=True)
    ]
    record = {key: run.info[key] for key in _KEPT if key in run.info}
    domain = {"domain": run.groups.domain, "sha256": run.groups.sha256}
    return {"run": str(run.path), **record, "groups": domain, "experts": experts, "last_epoch": last}


def last_epoch(history: Sequence[StepLog]) -> dict[str, Any]:
    """Means over the last epoch's steps; `expert_use` is that of the whole epoch. Empty without a log."""
    steps = [log for log in history if log.epoch == history[-1].epoch]
    if not steps:
        return {}
    names = ("loss", "class_loss", "router_loss", "text_loss", "accuracy", "gate_entropy")
    means = {name: sum(getattr(log, name) for log in steps) / len(steps) for name in names}
    return {"epoch": steps[-1].epoch + 1, "lr": steps[-1].lr, **means, "expert_use": list(steps[-1].expert_use)}
