"""All pictures of one run and its evaluations, into a folder: `mocoop eval --plots`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mocoop.certainty.measures import confidence_bins
from mocoop.files import os_error
from mocoop.reporting.curves import plot_reliability
from mocoop.reporting.mistakes import confusion
from mocoop.reporting.plots import (
    BaseNewResult,
    plot_base_new,
    plot_confusion,
    plot_expert_use,
    plot_losses,
    shortened,
)
from mocoop.runs.evaluate import harmonic_mean

if TYPE_CHECKING:
    from mocoop.runs.evaluate import Evaluation
    from mocoop.runs.run import Run


def draw_run(run: Run, evaluations: Sequence[Evaluation], folder: Path, kind: str = ".svg") -> list[Path]:
    """Draw all pictures of a run and its evaluations; returns the files written. Raises StorageError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise os_error(error, "write", folder) from error
    about = f"{shortened(run.info['backbone']['name'])}, {run.info['shots']} shots, seed {run.info['seed']}"
    history = run.history()  # empty for a method that takes no steps
    drawn = [plot_losses(history, folder / f"losses{kind}", f"Losses ({about})")] if history else []
    for result in evaluations:
        use = [one.expert_use for one in result.per_class]
        names = [one.name for one in result.per_class]
        path = folder / f"expert-use-{result.classes}{kind}"
        which = f"({result.classes} classes)"
        drawn.append(plot_expert_use(use, names, run.groups.ids, path, f"First expert by class {which}"))
        drawn += _draw_answers(result, folder, kind, which)
    accuracy = {result.classes: result.accuracy for result in evaluations}
    if "base" in accuracy and "new" in accuracy:
        h = harmonic_mean(accuracy["base"], accuracy["new"])
        bars = BaseNewResult(method=run.path.name, base=accuracy["base"], new=accuracy["new"], h=h)
        drawn.append(plot_base_new([bars], folder / f"base-new{kind}", f"Base and new classes ({about})"))
    return drawn


def _draw_answers(result: Evaluation, folder: Path, kind: str, which: str) -> list[Path]:
    """Which class was taken for which, and how right it is by how sure it is."""
    labels, names = [example.label for example in result.examples], [one.name for one in result.per_class]
    counts = confusion(labels, result.predictions, len(names)).tolist()
    bins = {"this run": confidence_bins(result.probabilities.numpy(), np.array(labels))}
    return [
        plot_confusion(counts, names, folder / f"confusion-{result.classes}{kind}", f"Answers by class {which}"),
        plot_reliability(bins, folder / f"reliability-{result.classes}{kind}", title=f"Certainty {which}"),
    ]
