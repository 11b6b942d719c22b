"""Seven images of several sizes and formats, and an empty cache of features."""

from __future__ import annotations

from pathlib import Path

import pytest
from tinyencoder import seven_images

from mocoop.data.cache import FeatureCache


@pytest.fixture
def paths(tmp_path) -> list[Path]:
    return seven_images(tmp_path / "images")


@pytest.fixture
def cache(tmp_path) -> FeatureCache:
    return FeatureCache(tmp_path / "cache")
