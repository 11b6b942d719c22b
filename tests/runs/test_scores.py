"""What stands beside an accuracy, against counting one image at a time; and when a classifier is called constant."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mocoop.runs.scores import result_notes as notes_of
from mocoop.runs.scores import scores_of, training_notes
from mocoop.training.trainer import StepLog

NAMES = ("a", "b", "c", "d")


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60))
def test_the_numbers_are_those_counted_one_by_one(pairs):
    guesses, labels = zip(*pairs, strict=True)
    found = scores_of(torch.tensor(guesses), torch.tensor(labels), NAMES)
    recalls = {}
    for label in set(labels):
        mine = [guess for guess, true in pairs if true == label]
        recalls[NAMES[label]] = 100 * sum(guess == label for guess in mine) / len(mine)
    assert found.images == len(pairs)
    assert found.accuracy == pytest.approx(100 * sum(guess == true for guess, true in pairs) / len(pairs))
    assert found.balanced_accuracy == pytest.approx(sum(recalls.values()) / len(recalls))
    assert found.worst_recall == pytest.approx(min(recalls.values()))
    assert recalls[found.worst_class] == pytest.approx(found.worst_recall)
    assert found.largest_class_share == pytest.approx(100 * max(map(labels.count, labels)) / len(labels))
    assert found.answered_share == pytest.approx(100 * max(map(guesses.count, guesses)) / len(guesses))


def scores(*counts):
    """The scores of (guess, label, how often)."""
    guesses = [guess for guess, _, count in counts for _ in range(count)]
    labels = [label for _, label, count in counts for _ in range(count)]
    return scores_of(torch.tensor(guesses), torch.tensor(labels), ("good", "defect"))


@pytest.mark.parametrize(
    ("counts", "constant"),
    [
        (((0, 0, 96), (0, 1, 4)), True),  # always good: 96 % right, no defect found
        (((0, 0, 96), (0, 1, 3), (1, 1, 1)), True),  # a quarter of the defects
        (((0, 0, 96), (1, 1, 4)), False),  # as rare, and all found
        (((0, 0, 95), (0, 1, 2), (1, 1, 3)), False),  # most are found
        (((0, 0, 50), (0, 1, 48), (1, 1, 2)), True),
        (((0, 0, 50), (0, 1, 44), (1, 1, 6)), False),  # 94 %: bad, and said by its numbers
        (((0, 0, 30),), False),  # images of one class cannot tell
    ],
)
def test_a_constant_is_one_that_finds_few_of_the_others(counts, constant):
    found = scores(*counts)
    assert found.constant is constant
    assert any("nearly always 'good'" in note for note in notes_of(found, (), "all classes")) is constant


def test_the_note_of_a_constant_names_the_answer_and_what_it_misses():
    (note,) = notes_of(scores((0, 0, 96), (0, 1, 4)), (), "all classes")
    assert note == (
        "on all classes the answer is nearly always 'good' (100.0% of the 100 images), so the accuracy is that class's "
        "share: balanced accuracy 50.0%, 0.0% of 'defect' found: it does not tell them apart"
    )


@pytest.mark.parametrize(
    ("right", "chance"),
    # two classes of 50: one standard error of the mean of two recalls is 5 points
    [(50, True), (59, True), (60, True), (61, False), (90, False), (30, True)],
)
def test_guessing_is_told_by_two_standard_errors(right, chance):
    each = right // 2
    rest = right - each
    found = scores((0, 0, each), (1, 0, 50 - each), (1, 1, rest), (0, 1, 50 - rest))
    assert found.balanced_accuracy == pytest.approx(right)
    assert found.chance is chance
    assert bool(notes_of(found, (), "all classes")) is chance


def test_a_handful_of_images_all_right_is_not_called_guessing():
    assert scores((0, 0, 1), (1, 1, 1)).chance is False
    assert scores((0, 0, 1), (0, 1, 1)).chance is True


def test_experts_that_are_never_first_are_named():
    sound = scores((0, 0, 50), (1, 1, 50))
    assert notes_of(sound, ("night", "blur"), "the new classes") == [
        "on the new classes never the first expert of an image: night, blur"
    ]
    assert notes_of(sound, (), "all classes") == []


def epoch(accuracy, loss, use=(0.5, 0.5)):
    return [StepLog(4, n, 8, loss, loss, 0, 0, accuracy, 0.5, 0.1, use) for n in (7, 8)]


LABELS = torch.arange(4).repeat(16)  # 64 images: 25 % is chance, one standard error 5.4 points


@pytest.mark.parametrize(
    ("accuracy", "loss", "said"),
    [
        (0.25, 1.40, "it may have learned nothing: accuracy 25.0% on the 64 training images"),
        (
            0.35,
            1.20,
            "cannot be told from guessing (25.0%; class loss 1.20, that of equal probabilities is ln 4 = 1.39)",
        ),
        (0.80, 1.38, "its probabilities are worth no more than equal ones"),
        (0.80, 0.95 * math.log(4) - 0.01, None),
        (0.40, 1.20, None),
    ],
)
def test_what_a_training_says_of_its_last_epoch(accuracy, loss, said):
    found = training_notes(epoch(accuracy, loss), LABELS, 4, ("all",))
    assert len(found) == (said is not None)
    assert said is None or said in found[0]


def test_always_the_largest_class_is_chance_for_unequal_classes():
    labels = torch.tensor([0] * 90 + [1] * 10)
    assert training_notes(epoch(0.90, 0.33), labels, 2, ("all",))
    assert training_notes(epoch(0.99, 0.05), labels, 2, ("all",)) == []


def test_an_expert_that_is_never_first_in_training_is_named():
    (note,) = training_notes(epoch(0.9, 0.2, (0.4, 0.0, 0.6)), LABELS, 4, ("plain", "night", "blur"))
    assert note == "never the first expert of a training image in the last epoch: night"
    assert training_notes([], LABELS, 4, ("plain", "night")) == []
