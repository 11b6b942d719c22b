"""Summary of a finished run as plain JSON values: what was learned, on what, the settings, and the final losses.

`mocoop show` and `mocoop train` print it. Losses and expert use are means over the last epoch of training; test
accuracy is in `evaluate.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mocoop.training.trainer import StepLog

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mocoop.runs.run import Run

_KEPT = (
    "status", "method", "preset", "shots", "seed", "split_seed", "classes", "classnames", "all_classnames", "backbone",
    "data", "unknown_words", "device", "precision", "threads", "versions", "training", "notes",
    "collapse",
)  # fmt: skip


def summarise(run: Run) -> dict[str, Any]:
    """The run's record with its experts, the training state of the last epoch, and the settings in use.

    An expert's `init` is a readable form of its ctx's initialisation; null if no ctx is learned.
    """
    last = last_epoch(run.history())
    use = last.get("expert_use") or [None] * len(run.groups.groups)
    method = run.method
    experts = [
        {
            "id": group.id,
            "title": group.title,
            "init": method.start(run.config, group),
            "templates": list(group.texts) if method.reads_groups or not method.learns else [],
            "use": share,
        }
        for group, share in zip(run.groups.groups, use, strict=True)
        if method.start(run.config, group) or method.texts(run.config, run.groups, ())
    ]
    if last:
        last["terms"] = {word: last[name] for name, word in method.terms.items()}
    record = {key: run.info[key] for key in _KEPT if key in run.info}
    record["data"] = {key: value for key, value in record["data"].items() if key != "images_sha256"}  # for machines
    record["calibration"] = _calibration(run)
    record["config"] = run.config.to_dict()  # also for older runs: newer settings have their default
    domain = {"domain": run.groups.domain, "sha256": run.groups.sha256}
    read = method.read(run.config)
    return {"run": str(run.path), **record, "groups": domain, "experts": experts, "last_epoch": last, "read": read}


def _calibration(run: Run) -> dict[str, Any] | None:
    """The temperature, and on how many images it was found."""
    found = run.calibration
    return {"temperature": found.temperature, "images": found.images} if found else None


def last_epoch(history: Sequence[StepLog]) -> dict[str, Any]:
    """Means over the last epoch's steps; `expert_use` is over the whole epoch. Empty without a log."""
    steps = [log for log in history if log.epoch == history[-1].epoch]
    if not steps:
        return {}
    names = ("loss", "class_loss", "router_loss", "text_loss", "accuracy", "gate_entropy")
    means = {name: sum(getattr(log, name) for log in steps) / len(steps) for name in names}
    return {"epoch": steps[-1].epoch + 1, "lr": steps[-1].lr, **means, "expert_use": list(steps[-1].expert_use)}
