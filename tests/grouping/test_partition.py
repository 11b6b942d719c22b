from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from mocoop.grouping.clustering.kmeans import kmeans_runs, tightest
from mocoop.grouping.clustering.partition import (
    METHODS,
    RUNS,
    Tried,
    choose,
    distinct,
    leading,
    merged_small,
    numbered,
    numbers_to_try,
    partition,
    stability,
    together,
)
from mocoop.grouping.clustering.vectors import unit


def clumps(sizes, *, width=8, spread=0.05, seed=0):
    """Rows around as many far directions as there are sizes, and their true labels."""
    random = np.random.default_rng(seed)
    centres = np.linalg.qr(random.normal(size=(width, width)))[0][: len(sizes)]
    rows = [centre + spread * random.normal(size=(n, width)) for centre, n in zip(centres, sizes, strict=True)]
    return unit(np.vstack(rows)), np.repeat(np.arange(len(sizes)), sizes)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("sizes", [(5, 5), (3, 9, 4), (1, 6, 2, 8)])
def test_clumps_are_found(method, sizes):
    space, truth = clumps(sizes)
    assert (partition(space, len(sizes), method) == numbered(truth)).all()


def noisy(method, seed, grouped=partition):
    """The index of three clumps that lie in far more directions of noise."""
    space, truth = clumps((12, 12, 12), width=80, spread=0.25, seed=seed)
    return adjusted_rand_score(truth, grouped(space, 3, method))


def test_average_linkage_looks_in_the_leading_directions(monkeypatch):
    found = np.mean([noisy("agglomerative", seed) for seed in range(6)])
    monkeypatch.setattr("mocoop.grouping.clustering.partition.leading", lambda rows, _: rows)
    assert found > np.mean([noisy("agglomerative", seed) for seed in range(6)]) + 0.03


def test_what_runs_of_k_means_agree_on_is_better_than_the_tightest_run():
    def one_run(space, count, _):
        return tightest(space, count, 20, np.random.default_rng(0))

    agreed = np.mean([noisy("kmeans", seed) for seed in range(6)])
    assert agreed > 0.85
    assert agreed > np.mean([noisy("kmeans", seed, one_run) for seed in range(6)]) + 0.03


def test_rows_are_as_near_as_the_share_of_runs_that_put_them_together():
    space, truth = clumps((4, 5, 6))
    shares, same = together(space, 3, np.random.default_rng(0)), truth[:, None] == truth
    assert shares[same].min() > 0.9 > 0.1 > shares[~same].max()
    noise = unit(np.random.default_rng(0).normal(size=(30, 6)))
    shares = together(noise, 4, np.random.default_rng(1))
    assert (shares == shares.T).all()
    assert (shares.diagonal() == 1).all()
    labels, _ = kmeans_runs(noise, 4, RUNS, np.random.default_rng(1))
    assert np.isclose(shares[3, 17], np.mean(labels[:, 3] == labels[:, 17]))
    assert np.mean((shares > 0.1) & (shares < 0.9)) > 0.05  # or the runs would all end alike


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("count", [1, 2, 3, 5, 7])
def test_equal_rows_are_never_parted(method, count):
    space = np.repeat(np.eye(3), [4, 1, 2], axis=0)
    labels = partition(space, count, method)
    assert len(set(labels.tolist())) <= min(count, 3)
    for rows in (slice(0, 4), slice(5, 7)):
        assert len(set(labels[rows].tolist())) == 1


@pytest.mark.parametrize("method", METHODS)
def test_rows_that_are_all_the_mean_make_one_group(method):
    assert partition(np.zeros((4, 3)), 3, method).tolist() == [0, 0, 0, 0]


def test_the_same_seed_gives_the_same_groups_and_another_may_not():
    space = unit(np.random.default_rng(0).normal(size=(40, 10)))
    first = partition(space, 8, "kmeans", seed=3, restarts=1)
    assert (first == partition(space, 8, "kmeans", seed=3, restarts=1)).all()
    assert any((first != partition(space, 8, "kmeans", seed=s, restarts=1)).any() for s in range(4, 8))


def test_leading_keeps_as_many_directions_and_rows_of_length_1():
    space, _ = clumps((6, 6, 6))
    rows = leading(space, 3)
    assert rows.shape == (18, 3)
    assert np.allclose(np.linalg.norm(rows, axis=1), 1)
    assert leading(space, 99) is space
    assert not leading(np.zeros((5, 4)), 2).any()


def test_stability_is_1_for_clumps_and_low_for_noise():
    space, _ = clumps((8, 8, 8))
    assert stability(space, 3, "kmeans") == (1.0, 0.0)
    noise = unit(np.random.default_rng(0).normal(size=(30, 20)))
    value, error = stability(noise, 5, "kmeans")
    assert value < 0.5
    assert 0 < error < 0.1
    assert stability(noise, 5, "kmeans", runs=1) == (1.0, 0.0)


def tried(groups, stable, error=0.01):
    return Tried(groups, 0.1, stable, error, 1, 5)


def test_auto_takes_the_most_stable_number_and_of_equals_the_largest():
    assert choose([tried(4, 0.5), tried(5, 0.9), tried(6, 0.8)]) == 5
    assert choose([tried(4, 0.9), tried(5, 0.9), tried(6, 0.8)]) == 5
    assert choose([tried(4, 0.9, 0.03), tried(5, 0.7), tried(6, 0.88)]) == 6
    assert choose([tried(1, None)]) == 1


@pytest.mark.parametrize(
    ("templates", "asked", "numbers"),
    [(60, None, range(4, 13)), (110, None, range(7, 13)), (471, None, range(31, 53, 3)),
     (12, None, [4, 5, 6]), (5, None, [4]), (3, None, [3]), (1, None, [1]),
     (100, 6, range(4, 9)), (100, 2, [2, 3, 4]), (3, 3, [2, 3]), (5, 1, [1, 2, 3])],
)  # fmt: skip
def test_which_numbers_are_tried(templates, asked, numbers):
    assert numbers_to_try(templates, asked) == list(numbers)


def test_small_groups_go_to_their_nearest():
    space = unit(np.array([[1, 0], [1, 0.1], [1, 0.2], [0.2, 1], [0, 1], [0.1, 1], [1.0, 0.9]]))
    labels = np.array([0, 0, 0, 1, 1, 1, 2])
    assert merged_small(space, labels, 2).tolist() == [0, 0, 0, 1, 1, 1, 0]
    assert merged_small(space, labels, 1).tolist() == labels.tolist()
    assert merged_small(space, labels, 99).tolist() == [0] * 7


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=20))
def test_numbering_keeps_the_groups(values):
    labels = np.array(values)
    found = numbered(labels)
    assert ((labels[:, None] == labels) == (found[:, None] == found)).all()
    assert list(dict.fromkeys(found.tolist())) == list(range(len(set(values))))


def test_rounding_does_not_make_rows_distinct():
    assert distinct(np.array([[1.0, 0], [1.0 - 1e-13, 0], [0, 1]])) == 2
