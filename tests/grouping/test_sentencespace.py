from __future__ import annotations

import numpy as np
import pytest

from mocoop.grouping.bank import load_bank
from mocoop.grouping.clustering.sentencespace import (
    SHRINKAGE,
    learned_tone,
    measured_aspects,
    readings,
    reference_aspects,
    sentence_space,
)
from mocoop.grouping.clustering.vectors import unit

WIDTH = 12


def encode(sentences):
    """A stand-in for a sentence model: a direction for each sentence, found by its letters."""
    rows = [np.random.default_rng(list(text.encode())).normal(size=WIDTH) for text in sentences]
    return unit(np.array(rows))


def test_readings_have_no_slot_and_no_article_before_it():
    assert readings("a photo of the {} at night.") == (
        "a photo of the at night.",
        "a photo of it at night.",
        "visual style: a photo of at night",
        "a photo of at night, a kind of picture",
    )
    assert readings("{} seen from above.")[1:3] == ("it seen from above.", "visual style: seen from above")


def test_the_space_is_the_readings_toned_and_centred_side_by_side():
    texts = ["a {} at night.", "the {} by day.", "a sketch of a {}."]
    tone = learned_tone(encode, [("a {} in rain.", "a {} in snow."), ("a red {}.", "a blue {}.", "a {}.")])
    space = sentence_space(encode, texts, tone)
    parts = []
    for number in range(4):
        rows = encode([readings(text)[number] for text in texts]) @ tone
        parts.append(unit(rows - rows.mean(axis=0)))
    assert np.allclose(space, np.hstack(parts) / 2)  # four parts of length 1
    assert np.allclose(np.linalg.norm(space, axis=1), 1)


def test_a_tone_is_the_inverse_root_of_the_covariance_within_aspects():
    aspects = [("a {} in rain.", "a {} in snow."), ("a red {}.", "a blue {}.", "a {}.")]
    tone = learned_tone(encode, aspects)
    deviations = []
    for aspect in aspects:
        rows = encode([readings(text)[0] for text in aspect])
        deviations += [row - sum(rows) / len(rows) for row in rows]
    covariance = sum(np.outer(row, row) for row in deviations) / 5
    mean_variance = sum(covariance[i, i] for i in range(WIDTH)) / WIDTH
    shrunk = covariance + SHRINKAGE * mean_variance * np.eye(WIDTH)
    assert np.allclose(tone @ tone.T @ shrunk, np.eye(WIDTH))


def test_directions_in_which_an_aspects_templates_differ_count_less():
    """Aspects lie apart along the first axis; their templates differ along the second alone."""
    places = {"1": (1, 1), "2": (1, -1), "3": (-1, 1), "4": (-1, -1)}

    def flat(sentences):
        return np.array([next(place for sign, place in places.items() if sign in text) for text in sentences], float)

    tone = learned_tone(flat, [("{} 1.", "{} 2."), ("{} 3.", "{} 4.")])
    assert np.linalg.norm(np.array([1, 0]) @ tone) > 1.05 * np.linalg.norm(np.array([0, 1]) @ tone)


def test_nothing_is_learned_from_what_the_benchmark_measures_on():
    learned = {text for aspect in reference_aspects() for text in aspect}
    measured = {text for aspect in measured_aspects() for text in aspect.templates}
    assert len(measured_aspects()) == 17
    assert not learned & measured
    assert len(learned | measured) == len({text for aspect in load_bank().aspects for text in aspect.templates})


@pytest.mark.parametrize("text", ["{}", "the {}", "{}.", "a {} {"])
def test_any_text_has_four_readings(text):
    assert len(readings(text)) == 4
