"""What must stand beside an accuracy, and the signs that a classifier learned nothing.

A classifier that gives one answer to everything has the accuracy of that class's share, which may be high. So every
accuracy comes with the mean of the classes' recalls (balanced accuracy, 1/C for one answer), the worst of them, and the
shares of the largest class and of the most frequent answer. N images, C classes, P of them with images.
All numbers are in percent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from mocoop.training.trainer import StepLog

CONSTANT = 95.0  # the share of one answer from which a classifier may be a constant; its other answers are then few
FOUND = 50.0  # a classifier that answers one class nearly always is no constant if it finds half of the other images
ERRORS = 2.0  # standard errors above chance below which an accuracy cannot be told from guessing (about 1 in 40)
NEAR_LN_C = 0.95  # of ln C, the loss of equal probabilities; a loss above it says that the probabilities are no better

_NOTHING = "it may have learned nothing"  # how the notes on a training begin that whoever uses it must know
_EQUAL = "its probabilities are worth no more than equal ones"


@dataclass(frozen=True)
class Scores:
    """The numbers of one classifier on one set of images; `largest_class` is that of the labels."""

    images: int
    accuracy: float
    balanced_accuracy: float
    worst_recall: float
    worst_class: str
    largest_class: str
    largest_class_share: float
    answered: str
    answered_share: float
    constant: bool
    chance: bool  # whether balanced accuracy cannot be told from guessing

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def scores_of(guesses: Tensor, labels: Tensor, classnames: Sequence[str]) -> Scores:
    """The scores of guesses (N,) against labels (N,), both in 0..C-1, N of 1 or more."""
    from sklearn.metrics import recall_score

    true, given = labels.cpu().numpy(), guesses.cpu().numpy()
    counts = torch.bincount(labels.cpu(), minlength=len(classnames))
    answers = torch.bincount(guesses.cpu(), minlength=len(classnames))
    present = counts.nonzero().flatten().tolist()
    recalls = [100 * float(one) for one in recall_score(true, given, labels=present, average=None, zero_division=0)]
    worst = min(range(len(present)), key=recalls.__getitem__)
    largest, answered = int(counts.argmax()), int(answers.argmax())
    balanced = math.fsum(recalls) / len(recalls)
    return Scores(
        images=len(true),
        accuracy=percent_right(guesses, labels),
        balanced_accuracy=balanced,
        worst_recall=recalls[worst],
        worst_class=classnames[present[worst]],
        largest_class=classnames[largest],
        largest_class_share=100 * int(counts[largest]) / len(true),
        answered=classnames[answered],
        answered_share=100 * int(answers[answered]) / len(true),
        constant=_constant(true, given, answered, 100 * int(answers[answered]) / len(true)),
        chance=balanced <= _guessing([int(counts[one]) for one in present], len(classnames)),
    )


def _constant(true: Any, given: Any, answered: int, share: float) -> bool:
    """Whether nearly all answers are one class, and few of the other images are found."""
    others = true != answered
    return bool(share >= CONSTANT and others.any() and 100 * (true == given)[others].mean() < FOUND)


def _guessing(counts: Sequence[int], classes: int) -> float:
    """The largest balanced accuracy that guessing may well reach: classes of so many images each, C answers.

    At most half way from chance to everything right, which with a handful of images is the sooner.
    """
    chance = 1 / classes
    error = math.sqrt(math.fsum(chance * (1 - chance) / count for count in counts)) / len(counts)
    return 100 * min(chance + ERRORS * error, (1 + chance) / 2)


def percent_right(guesses: Tensor, labels: Tensor) -> float:
    """Accuracy of guesses (B,) in percent."""
    return 100 * int((guesses == labels).sum()) / len(labels)


def result_notes(scores: Scores, never_first: Sequence[str], where: str) -> list[str]:
    """What a result does not show: a constant answer, guessing, experts that are never first."""
    notes = []
    if scores.constant:
        notes.append(f"on {where} {constant_text(scores)}: it does not tell them apart")
    elif scores.chance:
        notes.append(
            f"on {where} this cannot be told from guessing: balanced accuracy {scores.balanced_accuracy:.1f}% on "
            f"{scores.images} images; it may have learned nothing"
        )
    if never_first:
        notes.append(f"on {where} never the first expert of an image: {', '.join(never_first)}")
    return notes


def constant_text(scores: Scores) -> str:
    """The answer, its share, and what it misses."""
    share = f"{scores.answered_share:.1f}% of the {scores.images} images"
    return (
        f"the answer is nearly always {scores.answered!r} ({share}), so the accuracy is that class's share: "
        f"balanced accuracy {scores.balanced_accuracy:.1f}%, {scores.worst_recall:.1f}% of {scores.worst_class!r} found"
    )


def short_text(scores: Mapping[str, Any]) -> str:
    """A few words for a table, of scores as plain values: a constant answer is called one; else empty."""
    return f"nearly always {scores['answered']!r}: tells nothing apart" if scores["constant"] else ""


def warnings_of(notes: Sequence[str]) -> list[str]:
    """Those notes on a training without which its answers would mislead."""
    return [note for note in notes if note.startswith((_NOTHING, _EQUAL))]


def training_notes(epoch: Sequence[StepLog], labels: Tensor, classes: int, ids: Sequence[str]) -> list[str]:
    """Signs in the last epoch of a training that nothing was learned: its steps, the labels (N,), C, the experts' ids.

    Chance is the share of the largest class, which is 1/C for equal shots.
    """
    if not epoch:
        return []
    accuracy = math.fsum(log.accuracy for log in epoch) / len(epoch)
    loss = math.fsum(log.class_loss for log in epoch) / len(epoch)
    chance = max(1 / classes, int(torch.bincount(labels.cpu()).max()) / len(labels))
    limit = min(chance + ERRORS * math.sqrt(chance * (1 - chance) / len(labels)), (1 + chance) / 2)
    told = f"class loss {loss:.2f}, that of equal probabilities is ln {classes} = {math.log(classes):.2f}"
    notes = []
    if chance < 1 and accuracy <= limit:
        notes.append(
            f"{_NOTHING}: accuracy {100 * accuracy:.1f}% on the {len(labels)} training images in the "
            f"last epoch cannot be told from guessing ({100 * chance:.1f}%; {told}): give more --epochs, another "
            "--lr or another --backbone, and check labels and class names"
        )
    elif loss >= NEAR_LN_C * math.log(classes):
        notes.append(f"{_EQUAL} ({told}): do not read them as certainty")
    use = epoch[-1].expert_use
    never = [one for one, share in zip(ids, use, strict=False) if not share] if len(ids) > 1 else []
    if never:
        notes.append(f"never the first expert of a training image in the last epoch: {', '.join(never)}")
    return notes
