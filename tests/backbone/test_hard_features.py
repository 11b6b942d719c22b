"""Frozen template features: equal to open_clip's own, one of a kind, and cached against faults."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from towers import write_clip_folder

from mocoop.backbone.backbone import load_backbone
from mocoop.backbone.hard_features import hard_features
from mocoop.data.cache import FeatureCache

GROUPS = [["a photo of a {}.", "many {}s."], ["a blurry photo of the {} from above", "a photo of a {}.", "{} texture."]]
NAMES = ["golden retriever", "airport", "u.s."]


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    folder = write_clip_folder(tmp_path_factory.mktemp("tiny") / "clip")
    return load_backbone(f"local-dir:{folder}", device="cpu", precision="float32")


@pytest.fixture
def cache(tmp_path):
    return FeatureCache(tmp_path, kind="text")


def test_they_are_the_normalised_features_of_the_filled_templates(backbone):
    for group, features in zip(GROUPS, hard_features(backbone, GROUPS, NAMES), strict=True):
        for template, row in zip(group, features, strict=True):
            texts = [template.replace("{}", name) for name in NAMES]
            expected = F.normalize(backbone.model.encode_text(backbone.tokenize(texts, 40)), dim=-1)
            torch.testing.assert_close(row, expected, rtol=0, atol=1e-5)


def test_the_second_time_nothing_is_encoded(backbone, cache, monkeypatch):
    first = hard_features(backbone, GROUPS, NAMES, cache=cache)
    monkeypatch.setattr(type(backbone.text), "prepare", lambda *_: pytest.fail("encoded again"))
    again = hard_features(backbone, GROUPS, NAMES, cache=cache)
    regrouped = hard_features(backbone, [[GROUPS[0][0]], [GROUPS[0][1], *GROUPS[1]]], NAMES, cache=cache)
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))
    assert torch.equal(regrouped[1][0], first[0][1])


@pytest.mark.parametrize("changed", ["templates", "classes", "weights"])
def test_whatever_changes_them_misses_the_cache(backbone, cache, tmp_path, changed):
    hard_features(backbone, GROUPS, NAMES, cache=cache)
    groups, names, other = GROUPS, NAMES, backbone
    if changed == "templates":
        groups = [["a drawing of a {}."], *GROUPS]
    elif changed == "classes":
        names = [*NAMES, "boat"]
    else:
        folder = write_clip_folder(tmp_path / "other", "quickgelu")
        other = load_backbone(f"local-dir:{folder}", device="cpu")
    hard_features(other, groups, names, cache=cache)
    assert len(cache.entries()) == 2


def test_a_flipped_byte_is_noticed_and_a_read_only_place_costs_only_the_keeping(backbone, cache, tmp_path):
    expected = hard_features(backbone, GROUPS, NAMES, cache=cache)
    (entry,) = cache.entries()
    assert entry.about["classes"] == NAMES
    path = cache.path(entry.key)
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    found = hard_features(backbone, GROUPS, NAMES, cache=cache)
    assert all(torch.equal(one, other) for one, other in zip(expected, found, strict=True))
    (tmp_path / "file").write_text("in the way")
    blocked = hard_features(backbone, GROUPS, NAMES, cache=FeatureCache(tmp_path / "file", kind="text"))
    assert all(torch.equal(one, other) for one, other in zip(expected, blocked, strict=True))
