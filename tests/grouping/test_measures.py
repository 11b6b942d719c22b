"""Figures of a grouping against scikit-learn and against the formulas written out."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import silhouette_samples

from mocoop.groupfile.templatetext import folded
from mocoop.grouping.clustering.vectors import centred
from mocoop.grouping.measuring import measures


def world(seed: int, templates: int = 30, groups: int = 4, width: int = 6) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = np.sort(np.concatenate([np.arange(groups), generator.integers(0, groups, templates - groups)]))
    return centred(generator.normal(size=(templates, width)) + labels[:, None] * 0.3), labels


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / math.sqrt(float((one @ one) * (other @ other))))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("groups", [2, 5, 12])
def test_silhouettes_are_those_of_scikit_learn(seed: int, groups: int) -> None:
    space, labels = world(seed, groups=groups)
    np.testing.assert_allclose(
        measures.silhouettes(space, labels), silhouette_samples(space, labels, metric="cosine"), atol=1e-12
    )


def test_a_zero_row_a_single_group_and_equal_rows_have_silhouettes_too() -> None:
    space = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    labels = np.array([0, 0, 1, 1])
    expected = silhouette_samples(space, labels, metric="cosine")
    np.testing.assert_allclose(measures.silhouettes(space, labels), expected, atol=1e-12)
    assert np.isnan(measures.silhouettes(space, np.zeros(4, dtype=int))).all()
    assert (measures.silhouettes(np.ones((4, 2)) / math.sqrt(2), labels) == 0).all()


def test_cohesion_and_cosines_of_means_are_the_formulas() -> None:
    space, labels = world(1)
    means = [space[labels == group].mean(axis=0) for group in range(4)]
    for group, mean in enumerate(means):
        naive = np.mean([cosine(row, mean) for row in space[labels == group]])
        assert measures.cohesion(space, labels)[group] == pytest.approx(naive)
        for other in range(4):
            assert measures.mean_cosines(space, labels)[group, other] == pytest.approx(cosine(mean, means[other]))


def test_the_own_group_is_measured_without_the_template_itself() -> None:
    space, labels = world(2)
    own, others = measures.fit(space, labels)
    for place, row in enumerate(space):
        rest = [space[i] for i in range(len(space)) if labels[i] == labels[place] and i != place]
        if rest:
            assert own[place] == pytest.approx(cosine(row, np.mean(rest, axis=0)))
        else:
            assert np.isnan(own[place])
        for group in range(4):
            naive = cosine(row, space[labels == group].mean(axis=0))
            assert others[place, group] == (-np.inf if group == labels[place] else pytest.approx(naive))


def test_twins_are_each_template_with_its_most_alike_earlier_one(monkeypatch: pytest.MonkeyPatch) -> None:
    space, _ = world(3, templates=25, width=3)
    texts = [f"picture {n} of {{}}" for n in range(25)]
    found = measures.twins(space, texts, 0.8)
    naive = []
    for later in range(25):
        best = max(range(later), key=lambda earlier: space[later] @ space[earlier], default=None)
        if best is not None and space[later] @ space[best] >= 0.8:
            naive.append((later, best))
    assert naive
    assert [(twin.later, twin.earlier) for twin in found] == naive
    monkeypatch.setattr(measures, "_ROWS", 4)  # the same in pieces
    assert [(twin.later, twin.earlier) for twin in measures.twins(space, texts, 0.8)] == naive


def test_what_differs_in_spelling_only_is_no_twin() -> None:
    rows = np.array([[1.0], [1.0], [1.0]])
    found = measures.twins(rows, ["a photo of {}.", "The photo of {}", "an image of {}."], 0.9)
    assert [(twin.later, twin.earlier) for twin in found] == [(2, 0)]


@given(st.lists(st.text("abc {}.", max_size=12), min_size=2, max_size=2))
def test_letter_rows_count_the_pairs_that_two_texts_share(texts: list[str]) -> None:
    rows = measures.letter_rows(texts)
    bare = [f" {folded(text)} " for text in texts]
    one, other = (Counter(pairwise(text)) for text in bare)
    shared = sum((one & other).values())
    assert rows[0] @ rows[1] == pytest.approx(shared / math.sqrt(sum(one.values()) * sum(other.values())))


def test_flatness_is_the_entropy_of_the_gate_as_a_share() -> None:
    cosines = np.array([[1.0, 0.5, 0.2], [0.5, 1.0, 0.1], [0.2, 0.1, 1.0]])
    naive = []
    for row in cosines:
        weights = [math.exp(value / 0.5) for value in row]
        shares = [weight / sum(weights) for weight in weights]
        naive.append(-sum(share * math.log(share) for share in shares) / math.log(3))
    assert measures.flatness(cosines, 0.5) == pytest.approx(sum(naive) / 3)
    assert measures.flatness(np.ones((4, 4))) == pytest.approx(1)
    assert measures.flatness(cosines, 0.001) == pytest.approx(0)
    assert measures.flatness(np.ones((1, 1))) == 0
