from __future__ import annotations

import json
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mocoop.errors import UsageError
from mocoop.groupfile.groups import Template, dump_groups, parse_groups
from mocoop.grouping.clustering.cluster import Clustering, cluster_pool, with_class_kind
from mocoop.grouping.clustering.embed import Embedding
from mocoop.grouping.clustering.vectors import centred, unit
from mocoop.grouping.keep import texts_of
from mocoop.grouping.pool import Pool, pool_of

SKETCHES = ("a pencil sketch of a {}.", "an ink drawing of a {}.", "a charcoal sketch of the {}.")
NIGHTS = (
    "a photo of the {} at night.",
    "the {} after dark.",
    "a {} by moonlight.",
    "a {} under street lamps at night.",
)
PLAIN = ("a photo of a {}.", "an image of a {}.", "a picture of the {}.")
THREE = (*SKETCHES, *NIGHTS, *PLAIN)


def pool(texts=THREE):
    return Pool("any", tuple(map(Template, texts)))


def filed(*groups, **keys):
    """A pool from a group file."""
    return pool_of(parse_groups(dump_groups({"schema_version": 1, "domain": "any", **keys, "groups": list(groups)})))


def lying(pool, width=6):
    """Vectors that are a function of each text alone."""
    rows = [np.random.default_rng(list(text.encode())).normal(size=width) for text in pool.texts]
    vectors = unit(np.array(rows))
    order = sorted(range(len(rows)), key=pool.texts.__getitem__)
    back = np.argsort(order)
    return Embedding("test vectors", "vectors", vectors, centred(vectors[order])[back])


def apart(pool, *sets):
    """Vectors by which the given sets of texts lie far from each other."""
    rows = np.zeros((len(pool.texts), len(sets) + len(pool.texts)))
    for row, text in enumerate(pool.texts):
        rows[row, next(number for number, texts in enumerate(sets) if text in texts)] = 1
        rows[row, len(sets) + sorted(pool.texts).index(text)] = 0.05 * (1 + sorted(pool.texts).index(text) % 3)
    return Embedding("test vectors", "vectors", unit(rows), centred(unit(rows)))


def grouped(done):
    return [texts_of(group) for group in done.document["groups"]]


def valid(done):
    return parse_groups(dump_groups(done.document))


def group(id_, *templates, **keys):
    return {"id": id_, "templates": list(templates), **keys}


def locked(text):
    return {"text": text, "locked": True}


@pytest.mark.parametrize("method", ["kmeans", "agglomerative"])
def test_groups_come_with_names_and_the_largest_first(method):
    done = cluster_pool(pool(), apart(pool(), SKETCHES, NIGHTS, PLAIN), Clustering(3, method))
    assert set(grouped(done)[0]) == set(NIGHTS)
    assert {frozenset(texts) for texts in grouped(done)} == {frozenset(NIGHTS), frozenset(PLAIN), frozenset(SKETCHES)}
    assert grouped(done)[1][0] < grouped(done)[2][0]  # of equal size: by the first template
    assert "Plain" in [entry["title"] for entry in done.document["groups"]]
    assert all(entry["init"] == texts_of(entry)[0] for entry in done.document["groups"])
    valid(done)


def test_the_first_template_is_nearest_its_groups_centre():
    texts = ("a {} a.", "a {} b.", "a {} c.")
    space = unit(np.array([[1, 0.5], [1, 0], [1, -0.6]]))
    done = cluster_pool(pool(texts), Embedding("v", "vectors", space, space), Clustering(1))
    assert grouped(done) == [("a {} b.", "a {} a.", "a {} c.")]


@st.composite
def files_and_orders(draw):
    """A group file with locks here and there, and an order to shuffle it to."""
    texts = [f"template {number} of a {{}}." for number in range(draw(st.integers(1, 14)))]
    parts = draw(st.lists(st.integers(0, 3), min_size=len(texts), max_size=len(texts)))
    held = draw(st.lists(st.booleans(), min_size=len(texts), max_size=len(texts)))
    whole = draw(st.sets(st.integers(0, 3)))
    groups = []
    for part in sorted(set(parts)):
        items = [locked(t) if h else t for t, p, h in zip(texts, parts, held, strict=True) if p == part]
        groups.append(group(f"g{part}", *items, locked=part in whole, **{"x-note": part}))
    return filed(*groups), draw(st.integers(0, 99))


@settings(max_examples=40)
@given(files_and_orders(), st.sampled_from(["kmeans", "agglomerative"]), st.integers(0, 3), st.integers(1, 4))
def test_no_template_is_lost_and_what_is_locked_stays(made, method, extra, min_size):
    given_pool, shuffle = made
    before = given_pool.file.document["groups"]
    standing = sum(g["locked"] for g in before)
    anchors = sum(not g["locked"] and any(isinstance(t, dict) for t in g["templates"]) for g in before)
    free = sum(len(g["templates"]) for g in before if not g["locked"])
    count = min(standing + max(anchors, 1 if free else 0) + extra, standing + free)
    how = Clustering(count, method, restarts=2, min_size=min_size)
    done = cluster_pool(given_pool, lying(given_pool), how)
    after = valid(done).document["groups"]
    assert sorted(t for g in after for t in texts_of(g)) == sorted(given_pool.texts)
    assert len(after) <= count
    for place, old in enumerate(before):
        if old["locked"]:
            assert old in after
            if place < len(after):
                assert after.index(old) <= place
        for item in old["templates"]:
            if isinstance(item, dict):
                assert item in next(g for g in after if g["id"] == old["id"])["templates"]
    items = [template for old in before for template in old["templates"]]
    random.Random(shuffle).shuffle(items)
    assert all(item in [t for g in after for t in g["templates"]] for item in items)


@settings(max_examples=25)
@given(st.permutations(THREE), st.sampled_from(["kmeans", "agglomerative"]), st.sampled_from([None, 1, 3, 10]))
def test_the_order_of_the_pool_changes_nothing(texts, method, count):
    how = Clustering(count, method, restarts=3)
    straight = cluster_pool(pool(), lying(pool()), how)
    turned = cluster_pool(pool(texts), lying(pool(texts)), how)
    assert dump_groups(straight.document) == dump_groups(turned.document)
    assert straight.tried == turned.tried


def test_a_locked_group_stays_whole_in_its_place_and_untouched():
    kept = group("mine", PLAIN[0], SKETCHES[0], locked=True, title="Mine", metrics={"cohesion": 0.5}, **{"x-a": 1})
    given_pool = filed(group("all", *SKETCHES[1:], *NIGHTS), kept, group("rest", *PLAIN[1:]))
    done = cluster_pool(given_pool, apart(given_pool, SKETCHES, NIGHTS, PLAIN), Clustering(4))
    assert done.document["groups"][1] == kept
    assert {frozenset(t) for t in grouped(done)} == {
        frozenset(NIGHTS), frozenset(SKETCHES[1:]), frozenset(PLAIN[1:]), frozenset((PLAIN[0], SKETCHES[0]))
    }  # fmt: skip
    assert "kept from the earlier file: 1 locked group" in done.notices


def test_locked_templates_stay_under_their_id_with_their_groups_words():
    drawn = group("drawn", locked(SKETCHES[1]), NIGHTS[0], title="Drawn", init=NIGHTS[0], reviewed=True, **{"x-a": 1})
    given_pool = filed(drawn, group("rest", *SKETCHES[::2], *NIGHTS[1:], *PLAIN))
    done = cluster_pool(given_pool, apart(given_pool, SKETCHES, NIGHTS, PLAIN), Clustering(3))
    found = next(g for g in done.document["groups"] if g["id"] == "drawn")
    assert set(texts_of(found)) == set(SKETCHES)
    assert found["templates"][0] == locked(SKETCHES[1])
    assert (found["title"], found["x-a"], found["reviewed"]) == ("Drawn", 1, False)
    assert found["init"] == SKETCHES[1]


def test_locked_templates_of_two_groups_never_meet_although_they_lie_together():
    one, two = group("one", locked(SKETCHES[0]), *NIGHTS), group("two", locked(SKETCHES[1]), SKETCHES[2], *PLAIN)
    given_pool = filed(one, two)
    done = cluster_pool(given_pool, apart(given_pool, SKETCHES, NIGHTS, PLAIN), Clustering(3))
    homes = {text: g["id"] for g in done.document["groups"] for text in texts_of(g)}
    assert (homes[SKETCHES[0]], homes[SKETCHES[1]]) == ("one", "two")
    assert len(done.document["groups"]) == 3


def test_a_group_that_comes_out_as_it_was_keeps_its_name_and_notes():
    given_pool = filed(group("drawn", *SKETCHES, title="Drawn", **{"x-a": 1}), group("rest", *NIGHTS, *PLAIN))
    done = cluster_pool(given_pool, apart(given_pool, SKETCHES, NIGHTS, PLAIN), Clustering(3))
    assert [g for g in done.document["groups"] if g["id"] == "drawn"] == [given_pool.file.document["groups"][0]]


def test_notes_exclusions_and_earlier_steps_come_along():
    noted = {"text": PLAIN[0], "origin": "manual", "note": "mine"}
    excluded = [{"text": "a bad {}.", "by": "person"}]
    steps = {"created": "2025-01-01T00:00:00Z", "steps": [{"step": "generate", "backend": "bank"}]}
    given_pool = filed(
        group("a", noted, *SKETCHES), group("b", *NIGHTS, *PLAIN[1:]), class_kind="scene", excluded=excluded,
        provenance=steps, metrics={"embedder": "old", "zero": 1}, **{"x-team": [1]},
    )  # fmt: skip
    done = cluster_pool(given_pool, apart(given_pool, SKETCHES, NIGHTS, PLAIN), Clustering(3, seed=7))
    document = done.document
    assert (document["class_kind"], document["excluded"], document["x-team"]) == ("scene", excluded, [1])
    assert noted in [item for g in document["groups"] for item in g["templates"]]
    assert document["provenance"]["created"] == steps["created"]
    assert document["provenance"]["steps"] == [
        steps["steps"][0],
        {
            "step": "cluster",
            "seed": 7,
            "embedder": "test vectors",
            "algorithm": "k-means, agreement of runs",
            "n_groups": 3,
        },
    ]


def test_the_file_says_what_was_measured_and_the_figures_are_not_stale():
    done = cluster_pool(pool(), apart(pool(), SKETCHES, NIGHTS, PLAIN), Clustering(3))
    metrics = done.document["metrics"]
    assert metrics["embedder"] == "test vectors"
    assert metrics["templates_sha256"] == valid(done).templates_sha256
    assert metrics["silhouette"] > 0.8
    assert metrics["stability"] == 1
    assert [one["groups"] for one in metrics["k_tried"]] == [2, 3, 4, 5]
    assert metrics["k_tried"][1] == {
        "groups": 3, "silhouette": metrics["silhouette"], "stability": 1.0, "smallest": 3, "largest": 4
    }  # fmt: skip


def test_auto_finds_the_number_that_is_stable():
    words = ["red", "green", "blue", "old", "new", "wet", "dry", "near", "far", "big"]
    sets = [tuple(f"a {word} {{}} of kind {number}." for word in words[:4]) for number in range(5)]
    given_pool = pool([text for texts in sets for text in texts])
    done = cluster_pool(given_pool, apart(given_pool, *sets), Clustering(restarts=4))
    assert {frozenset(t) for t in grouped(done)} == set(map(frozenset, sets))


@pytest.mark.parametrize("texts", [THREE[:1], THREE[:2], THREE[:3]])
def test_few_templates(texts):
    done = cluster_pool(pool(texts), lying(pool(texts)))
    assert sorted(t for g in grouped(done) for t in g) == sorted(texts)
    assert len(valid(done).groups) == len(texts)


def test_templates_at_one_place_make_one_group_and_that_is_said():
    same = Embedding("same", "vectors", np.ones((10, 2)) / 2**0.5, np.zeros((10, 2)))
    done = cluster_pool(pool(), same, Clustering(4))
    assert [len(texts) for texts in grouped(done)] == [10]
    assert any("fewer than the 4 asked for" in notice for notice in done.notices)
    assert done.document["metrics"]["silhouette"] is None
    valid(cluster_pool(pool(), same))


def test_a_file_whose_groups_are_all_locked_comes_back_as_it_is():
    groups = [group("a", *SKETCHES, locked=True), group("b", *NIGHTS, locked=True)]
    given_pool = filed(*groups)
    done = cluster_pool(given_pool, lying(given_pool))
    assert done.document["groups"] == groups
    assert done.tried == ()


def test_small_groups_dissolve_when_asked():
    texts = (*THREE, "something else about a {}.")
    sets = (SKETCHES, NIGHTS, PLAIN, texts[-1:])
    assert min(map(len, grouped(cluster_pool(pool(texts), apart(pool(texts), *sets), Clustering(4, restarts=2))))) == 1
    done = cluster_pool(pool(texts), apart(pool(texts), *sets), Clustering(4, min_size=2, restarts=2))
    assert min(map(len, grouped(done))) >= 2
    assert sorted(t for g in grouped(done) for t in g) == sorted(texts)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (Clustering(11), "11 groups cannot be made"),
        (Clustering(0), "0 groups cannot be made"),
        (Clustering(method="dbscan"), "no method"),
        (Clustering(class_kind="animal"), "no class kind"),
        (Clustering(restarts=0), "restarts"),
        (Clustering(restarts=10**6), "restarts"),
        (Clustering(min_size=0), "at least 0"),
    ],
)
def test_what_cannot_be_is_a_usage_error(how, message):
    with pytest.raises(UsageError, match=message):
        cluster_pool(pool(), lying(pool()), how)


def test_a_number_that_leaves_no_room_for_what_is_locked():
    given_pool = filed(group("a", *SKETCHES, locked=True), group("b", locked(PLAIN[0])), group("c", locked(NIGHTS[0])))
    with pytest.raises(UsageError) as caught:
        cluster_pool(given_pool, lying(given_pool), Clustering(2))
    assert caught.value.hint == "there are 2 templates to group, 1 groups are locked: ask for 3 to 3"


def test_a_group_too_large_for_a_file():
    texts = [f"template {number} of a {{}}." for number in range(201)]
    with pytest.raises(UsageError, match="201 templates would come of it"):
        cluster_pool(pool(texts), lying(pool(texts)), Clustering(1, restarts=1))


def test_the_class_kind_stands_before_the_groups():
    assert list(with_class_kind({"domain": "d", "groups": []}, "scene")) == ["domain", "class_kind", "groups"]
    assert with_class_kind({"class_kind": "object", "groups": []}, "scene")["class_kind"] == "scene"
    assert with_class_kind({"groups": []}, None) == {"groups": []}


# the command


@pytest.fixture
def rough(tmp_path):
    path = tmp_path / "rough sketches.txt"
    path.write_text("\n".join(THREE) + "\n", encoding="utf-8")
    return path


def test_cluster_writes_a_valid_file_and_prints_the_numbers_tried(typed, rough, tmp_path):
    out = tmp_path / "groups.json"
    done = typed("cluster", rough, "--groups", "3", "-o", out)
    assert done.code == 0, done.err
    assert done.table[0] == ["groups", "stability", "silhouette", "smallest", "largest", ""]
    assert [row[0] for row in done.table if row[-1] == "taken"] == ["3"]
    assert "embedder: all-MiniLM-L6-v2" in done.err
    file = parse_groups(out.read_bytes())
    assert file.domain == "rough sketches"
    assert {frozenset(g.texts) for g in file.groups} == {frozenset(SKETCHES), frozenset(NIGHTS), frozenset(PLAIN)}
    assert not [finding for finding in file.findings if finding.severity == "error"]
    first = out.read_bytes()
    rough.write_text("\n".join(reversed(THREE)), encoding="utf-8")
    assert typed("cluster", rough, "--groups", "3", "-o", out).code == 2  # it is there already
    assert typed("cluster", rough, "--groups", "3", "-o", out, "--force", "--offline").code == 0
    assert out.read_bytes() == first


def test_cluster_to_stdout_prints_the_file_alone(typed, rough):
    done = typed("cluster", rough, "--groups", "3", "--embedder", "tfidf", "--domain", "night", "--class-kind", "scene")
    file = parse_groups(done.out.encode())
    assert (file.domain, file.class_kind) == ("night", "scene")
    assert file.document["metrics"]["embedder"] == "tfidf (lexical, not semantic)"
    assert "lexical, not semantic" in done.err
    assert "3 groups: stability" in done.err


def test_cluster_json_has_the_figures(typed, rough, tmp_path):
    done = typed("cluster", rough, "--embedder", "tfidf", "-o", tmp_path / "g.json", "--json")
    report = json.loads(done.out)
    assert report["format"] == 1
    assert report["groups"] in [one["groups"] for one in report["tried"]]
    assert report["metrics"] == json.loads((tmp_path / "g.json").read_text())["metrics"]
    assert typed("cluster", rough, "--embedder", "tfidf", "--json").code == 2


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--embedder", "word2vec"), 2),
        (("--embedder", "missing.npz"), 4),
        (("--embedder", "backbone"), 2),
        (("--class-kind", "animal"), 2),
        (("--groups", "many"), 2),
        (("--groups", "99"), 2),
        (("--restarts", "0"), 2),
        (("--classes", "missing.txt", "--backbone", "miniclip"), 4),
        (("--method", "llm", "--offline", "--base-url", "http://127.0.0.1:1/v1"), 5),
    ],
)
def test_what_cannot_be_has_its_exit_code_and_writes_nothing(typed, rough, tmp_path, options, code):
    out = tmp_path / "groups.json"
    done = typed("cluster", rough, "-o", out, *options)
    assert done.code == code, done.err
    assert "hint" in done.err
    assert not out.exists()


def test_given_vectors_and_miniclip_by_name(typed, rough, tmp_path):
    vectors = apart(pool(), SKETCHES, NIGHTS, PLAIN).vectors
    np.savez(tmp_path / "v.npz", vectors=vectors, templates=np.array(THREE))
    out = tmp_path / "groups.json"
    assert typed("cluster", rough, "--embedder", tmp_path / "v.npz", "--groups", "3", "-o", out).code == 0
    assert {frozenset(g.texts) for g in parse_groups(out.read_bytes()).groups} == {
        frozenset(SKETCHES), frozenset(NIGHTS), frozenset(PLAIN)
    }  # fmt: skip
    classes = tmp_path / "classes.txt"
    classes.write_text("forest\nriver\n", encoding="utf-8")
    backbone = ("--backbone", "miniclip", "--classes", classes)
    done = typed("cluster", rough, *backbone, "--groups", "2", "-o", out, "--force")
    assert "embedder: miniclip, text space over 2 names" in done.err
    assert parse_groups(out.read_bytes()).document["metrics"]["embedder"] == "miniclip, text space over 2 names"
