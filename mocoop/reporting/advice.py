"""One suggested next step for whoever trained a run, from what was measured of it.

The first rule that applies speaks: what makes the numbers worthless comes before what makes them better.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mocoop.reporting.mistakes import Mistake

if TYPE_CHECKING:
    from mocoop.runs.evaluate import Evaluation
    from mocoop.runs.run import Run

FEW = 5  # test images a class below which an accuracy says little
MANY = 0.2  # of all mistakes, from which one pair of classes is worth a look
FEWEST_MISTAKES = 5  # of one pair, from which it is no accident
UNEVEN = 0.5  # of the mean recall, below which a class is neglected


def next_step(run: Run, result: Evaluation, mistakes: Sequence[Mistake], *, more_images: int = 0) -> str:
    """What to do next. `mistakes`: the commonest first; `more_images`: unused training images of the data set."""
    scores = result.scores
    assert scores is not None
    if scores.constant or scores.chance:
        return (
            "It has learned nothing that these images show: check that labels and class names belong to the images, "
            "then try another backbone (--backbone ViT-B-16 --pretrained openai)."
        )
    classes = sum(1 for one in result.per_class if one.images)
    if result.images < FEW * classes:
        return (
            f"Measure it on more images: {result.images} for {classes} classes say little, and the true accuracy may "
            "well be many points off."
        )
    if better := _better(result):
        name, right = better
        return (
            f"{name} is right on {right:.0f} of 100 of these images: `mocoop auto`, with the options of this training, "
            "tries it and the other methods on the training images and keeps the best."
        )
    wrong = round(result.images * (1 - result.accuracy / 100))
    first = mistakes[0] if mistakes else None
    if first is not None and first.images >= max(FEWEST_MISTAKES, MANY * wrong):
        back = sum(one.images for one in mistakes if (one.true, one.said) == (first.said, first.true))
        around = f", and {back} the other way round" if back else ""
        return (
            f"Look at {first.true!r} and {first.said!r}: {first.images} of the {wrong} mistakes are the first taken "
            f"for the second{around}. If a person can tell them apart, give more images of both or more telling names "
            "(--class-names); if not, make them one class."
        )
    if more_images:
        return (
            f"Train on more: the data set has {more_images} training images that this run did not use; raise --shots "
            f"above {run.info['shots']}."
        )
    if scores.worst_recall < UNEVEN * scores.balanced_accuracy:
        return f"Give more images of {scores.worst_class!r}: {scores.worst_recall:.0f} of 100 of them are found."
    return "Use it: `mocoop predict` names new images, `mocoop export` and `mocoop serve` put it to work elsewhere."


def _better(result: Evaluation) -> tuple[str, float] | None:
    """The best baseline, if it is ahead by more than two standard errors of a difference of two accuracies."""
    name, found = max(((n, s.accuracy) for n, s in result.baselines.items()), key=lambda one: one[1], default=("", 0.0))
    variance = sum(share * (100 - share) for share in (found, result.accuracy)) / result.images
    return (name.split(",")[0].capitalize(), found) if found > result.accuracy + 2 * math.sqrt(variance) else None
