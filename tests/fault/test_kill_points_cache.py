"""The feature cache may lose its process before any file operation: the next one has the same features and entries."""

from __future__ import annotations

import numpy as np
import pytest
from dying import DEAD, FINISHED, at_each, files_below, live, some
from tinyencoder import TinyEncoder, features_of, seven_images

from mocoop.data.cache import FeatureCache


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    return seven_images(tmp_path_factory.mktemp("photos") / "seven")


@pytest.fixture(params=["at once", "in blocks"])
def blocks(request, monkeypatch):
    """Features of all images are made at once, or in blocks of two images, each kept as it is done."""
    if request.param == "in blocks":
        monkeypatch.setattr("mocoop.data.features.BLOCK", 6)


@pytest.fixture
def uninterrupted(paths, blocks, tmp_path):
    home = tmp_path / "whole"
    home.mkdir()
    code, points = live(home, lambda: build(paths, home))
    assert code == FINISHED
    return home, points


def build(paths, home):
    """Features of the images, from the cache if it has them; also written where the test finds them."""
    found = features_of(TinyEncoder(), paths, FeatureCache(), batch_size=3)
    np.save(home / "found.npy", found.features)


def test_points_are_found_by_counting(uninterrupted, request):
    assert len(uninterrupted[1]) >= (12 if "at once" in request.node.name else 60)


def test_features_whose_process_died_are_made_by_the_next(paths, uninterrupted, tmp_path):
    points = uninterrupted[1]
    described = [number for number, point in enumerate(points, start=1) if point.startswith("os.chmod")]
    for number in (described[0], len(points) - 1):
        dies_and_goes_on(paths, uninterrupted[0], tmp_path / f"die{number}", number)


@pytest.mark.slow
def test_at_some_or_every_point(paths, uninterrupted, tmp_path):
    home, points = uninterrupted
    at_each(points, some(points, 5), lambda n: dies_and_goes_on(paths, home, tmp_path / f"die{n}", n))


def dies_and_goes_on(paths, whole, home, point):
    home.mkdir()
    code, points = live(home, lambda: build(paths, home), die_at=point)
    assert (code, len(points)) == (DEAD, point)
    for _ in range(2):  # the second finds what the first has made
        assert live(home, lambda: build(paths, home))[0] == FINISHED
        assert kept(home) == kept(whole)
        assert (home / "found.npy").read_bytes() == (whole / "found.npy").read_bytes()


def kept(home):
    """The files of the cache; locks may be left behind."""
    found = files_below(home / "cache")
    return {name: content for name, content in found.items() if not name.endswith(".lock")}
