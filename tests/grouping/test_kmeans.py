from __future__ import annotations

import numpy as np
import pytest

from mocoop.grouping.clustering import kmeans
from mocoop.grouping.clustering.kmeans import kmeans_runs, tightest


def noise(rows=40, width=5, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, width))


def within(rows, labels):
    """The sum of squared distances from the groups' means."""
    return sum(((rows[labels == n] - rows[labels == n].mean(axis=0)) ** 2).sum() for n in set(labels.tolist()))


def test_every_run_ends_where_no_row_is_nearer_to_another_mean():
    rows = noise()
    labels, spread = kmeans_runs(rows, 6, 25, np.random.default_rng(1))
    assert labels.shape == (25, 40)
    for run in range(25):
        means = np.stack([rows[labels[run] == n].mean(axis=0) for n in range(6)])
        nearest = [min(range(6), key=lambda n: ((row - means[n]) ** 2).sum()) for row in rows]
        assert nearest == labels[run].tolist()
        assert spread[run] == pytest.approx(within(rows, labels[run]))
    assert len({tuple(run) for run in labels.tolist()}) > 5  # from starts of their own


def test_the_tightest_of_more_runs_is_tighter():
    rows = noise(60, 10, 5)
    one, many = (tightest(rows, 10, runs, np.random.default_rng(1)) for runs in (1, 50))
    assert within(rows, many) < within(rows, one)


def test_it_is_as_tight_as_scikit_learns():
    from sklearn.cluster import KMeans

    sets = [noise(50, 4, seed) for seed in range(5)]
    theirs = sum(KMeans(5, n_init=50, random_state=0).fit(rows).inertia_ for rows in sets)
    assert sum(within(rows, tightest(rows, 5, 50, np.random.default_rng(0))) for rows in sets) < 1.01 * theirs


@pytest.mark.parametrize("count", [2, 5, 9])
def test_no_group_is_empty_and_equal_rows_stay_together(count):
    rows = np.repeat(noise(9, 3), range(1, 10), axis=0)
    labels, _ = kmeans_runs(rows, count, 50, np.random.default_rng(0))
    homes = np.repeat(np.arange(9), range(1, 10))
    for run in labels:
        assert len(set(run.tolist())) == count
        assert all(len(set(run[homes == home].tolist())) == 1 for home in range(9))


def test_a_group_that_loses_all_its_rows_takes_the_farthest_one():
    rows = np.array([[0.0], [1.0], [2.0], [9.0], [10.0]])
    far_off = np.array([[[1.0], [500.0], [9.5]]])
    labels, _ = kmeans._run(rows, far_off)
    assert sorted(np.bincount(labels[0]).tolist()) != [0, 2, 3]
    assert len(set(labels[0].tolist())) == 3


def test_many_rows_are_run_in_parcels(monkeypatch):
    rows = noise()
    monkeypatch.setattr(kmeans, "CELLS", 40 * 6 * 3)
    labels, spread = kmeans_runs(rows, 6, 10, np.random.default_rng(0))
    assert labels.shape == (10, 40)
    assert spread.shape == (10,)
    monkeypatch.setattr(kmeans, "CELLS", 1)
    assert kmeans_runs(rows, 6, 2, np.random.default_rng(0))[0].shape == (2, 40)
