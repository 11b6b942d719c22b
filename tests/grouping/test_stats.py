"""The figures of a file, against naive formulas; what is missing, stale or stored."""

from __future__ import annotations

import itertools
import json
import math
from typing import Any

import numpy as np
import pytest
from group_strategies import group_documents
from hypothesis import given, settings
from sklearn.metrics import silhouette_score

from mocoop.groupfile.groups import GroupFile, dump_groups, parse_groups
from mocoop.grouping.clustering.embed import Embedding
from mocoop.grouping.clustering.vectors import centred
from mocoop.grouping.measuring import stats
from mocoop.grouping.measuring.meaning import Meaning

SIZES = (4, 1, 3)
TEXTS = [f"picture {n} of {{}}." for n in range(sum(SIZES))]


def document(**keys: Any) -> dict[str, Any]:
    texts = iter(TEXTS)
    groups = [{"id": f"g{n}", "templates": list(itertools.islice(texts, size))} for n, size in enumerate(SIZES)]
    return {"schema_version": 1, "domain": "birds", "groups": groups, **keys}


def parsed(content: dict[str, Any]) -> GroupFile:
    return parse_groups(dump_groups(content))


def meaning(classes: int = 0, seed: int = 0, templates: int = len(TEXTS)) -> Meaning:
    generator = np.random.default_rng(seed)
    vectors = generator.normal(size=(templates, 5)) + 1
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    by_class = generator.normal(size=(len(SIZES), classes, 5)) if classes else None
    return Meaning(Embedding("a model", "backbone" if classes else "sentence", vectors, centred(vectors)), by_class)


def cosine(one: Any, other: Any) -> float:
    return float(one @ other / math.sqrt(float((one @ one) * (other @ other))))


def test_without_vectors_sizes_and_lengths_are_told() -> None:
    found = stats.statistics(parsed(document()), None, lambda text: len(text.split()))
    assert [group.templates for group in found.groups] == list(SIZES)
    assert (found.groups[0].tokens_min, found.groups[0].tokens_median, found.groups[0].tokens_max) == (4, 4.0, 4)
    assert (found.embedder, found.silhouette, found.groups[0].cohesion) == (None, None, None)
    assert stats.statistics(parsed(document())).groups[0].tokens_max is None


def test_each_figure_of_a_group_is_its_formula() -> None:
    seen = meaning()
    found = stats.statistics(parsed(document()), seen)
    space, labels = seen.embedding.space, np.repeat([0, 1, 2], SIZES)
    means = [space[labels == group].mean(axis=0) for group in range(3)]
    for index, group in enumerate(found.groups):
        others = {other: cosine(means[index], means[other]) for other in range(3) if other != index}
        nearest = max(others, key=lambda other: others[other])
        assert group.nearest_group == f"g{nearest}"
        assert group.nearest_similarity == pytest.approx(others[nearest], abs=1e-6)
        if SIZES[index] > 1:
            naive = np.mean([cosine(row, means[index]) for row in space[labels == index]])
            assert group.cohesion == pytest.approx(naive, abs=1e-6)
    assert (found.groups[1].cohesion, found.groups[1].silhouette) == (None, None)
    assert found.silhouette == pytest.approx(silhouette_score(space, labels, metric="cosine"), abs=1e-6)


def test_redundancy_is_the_share_that_an_earlier_one_of_the_group_says() -> None:
    vectors = np.eye(8)
    vectors[3] = vectors[0]  # twins in the first group
    vectors[5] = vectors[4]  # twins across two groups count for neither
    found = stats.statistics(parsed(document()), Meaning(Embedding("m", "vectors", vectors, centred(vectors))))
    assert [group.redundancy for group in found.groups] == [0.25, 0.0, 0.0]


def test_what_the_router_sees_is_class_averaged_and_class_conditional() -> None:
    seen = meaning(classes=6)
    found = stats.statistics(parsed(document()), seen)
    assert seen.by_class is not None
    means = [seen.by_class[group].mean(axis=0) for group in range(3)]
    pairs = list(itertools.combinations(range(3), 2))
    averaged = np.mean([1 - cosine(means[a], means[b]) for a, b in pairs])
    conditional = np.mean([1 - cosine(seen.by_class[a, c], seen.by_class[b, c]) for c in range(6) for a, b in pairs])
    assert found.separation_class_averaged == pytest.approx(averaged, abs=1e-6)
    assert found.separation_class_conditional == pytest.approx(conditional, abs=1e-6)
    one, other = max(pairs, key=lambda pair: cosine(means[pair[0]], means[pair[1]]))
    assert found.closest_groups is not None
    assert found.closest_groups[:2] == (f"g{one}", f"g{other}")
    shares = []
    for mean in means:
        weights = [math.exp(cosine(mean, target)) for target in means]
        shares.append(-sum(w / sum(weights) * math.log(w / sum(weights)) for w in weights) / math.log(3))
    assert found.ambiguity == pytest.approx(np.mean(shares), abs=1e-6)
    assert found.ambiguity_sharp is not None
    assert found.ambiguity_sharp < found.ambiguity
    without = stats.statistics(parsed(document()), meaning())
    assert (without.ambiguity, without.separation_class_averaged) == (None, None)


@pytest.mark.parametrize("groups", [[TEXTS[:1]], [TEXTS[:3]], [TEXTS[:1], TEXTS[1:2]]])
def test_the_smallest_files_have_figures_too(groups: list[list[str]]) -> None:
    listed = [{"id": f"g{n}", "templates": texts} for n, texts in enumerate(groups)]
    file = parsed({**document(), "groups": listed})
    found = stats.statistics(file, meaning(templates=sum(map(len, groups))))
    assert found.silhouette is None
    json.dumps(found.as_dict(), allow_nan=False)
    parsed(stats.with_metrics(file.document, found, file.templates_sha256))


def test_stored_metrics_are_stale_once_the_templates_change() -> None:
    file = parsed(document())
    stored = stats.with_metrics(file.document, stats.statistics(file, meaning()), file.templates_sha256)
    again = parsed(stored)
    assert not any(finding.code == "G120" for finding in again.findings)
    assert stats.statistics(again).stale is False
    changed = json.loads(json.dumps(stored))
    changed["groups"][0]["templates"].append("a map of {}.")
    assert stats.statistics(parsed(changed)).stale is True
    assert any(finding.code == "G120" for finding in parsed(changed).findings)


def test_figures_of_other_templates_go_and_notes_stay() -> None:
    others = {"embedder": "a model", "templates_sha256": "0" * 64, "stability": 0.5, "x-ours": 1}
    file = parsed(document(metrics=others))
    found = stats.statistics(file, meaning())
    stored = stats.with_metrics(file.document, found, file.templates_sha256)["metrics"]
    assert stored == {
        "x-ours": 1,
        "embedder": "a model",
        "templates_sha256": file.templates_sha256,
        "silhouette": found.silhouette,
    }
    same = parsed(document(metrics={**others, "templates_sha256": file.templates_sha256}))
    assert stats.with_metrics(same.document, found, file.templates_sha256)["metrics"]["stability"] == 0.5


@settings(max_examples=30)
@given(group_documents())
def test_storing_keeps_everything_else(before: dict[str, Any]) -> None:
    untouched = json.dumps(before)
    file = parse_groups(dump_groups(before))
    count = sum(len(group.templates) for group in file.groups)
    found = stats.statistics(file, meaning(templates=count))
    after = stats.with_metrics(before, found, file.templates_sha256)
    assert json.dumps(before) == untouched
    again = parse_groups(dump_groups(after))
    assert again.sha256 == file.sha256
    assert [key for key in after if key in before] == list(before)
    for old, new in zip(before["groups"], after["groups"], strict=True):
        assert {key: value for key, value in new.items() if key != "metrics"} == {
            key: value for key, value in old.items() if key != "metrics"
        }
    assert after["provenance"]["steps"][-1] == {"step": "measure", "embedder": "a model"}
