"""`validate --embed`, `validate --fix`, `stats` and `compare` as they are typed."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from grouping_cli import Typed

from mocoop.groupfile.findings import RULES
from mocoop.groupfile.groups import dump_groups, load_groups
from mocoop.grouping.clustering import embed as embedding

TEXTS = ["a photo of {}.", "an image of {}.", "{} in the dark.", "{} by moonlight.", "a chart with {}."]
DOCUMENT: dict[str, Any] = {
    "schema_version": 1,
    "domain": "birds",
    "x-team": "ours",
    "groups": [
        {"id": "plain", "templates": TEXTS[:2]},
        {"id": "night", "templates": TEXTS[2:4]},
        {"id": "map", "templates": TEXTS[4:]},
    ],
}


@pytest.fixture
def groups(tmp_path: Path) -> Path:
    path = tmp_path / "groups.json"
    path.write_bytes(dump_groups(DOCUMENT))
    return path


@pytest.fixture
def vectors(tmp_path: Path) -> Path:
    """Vectors that put the second template with the third."""
    path = tmp_path / "vectors.npz"
    angles = np.radians([0, 118, 120, 150, 250])
    np.savez(path, vectors=np.stack([np.cos(angles), np.sin(angles)], axis=1), templates=np.array(TEXTS))
    return path


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "sentence_folder", lambda: None)


def change(path: Path, **keys: Any) -> None:
    path.write_bytes(dump_groups({**json.loads(path.read_text()), **keys}))


# ---- validate --embed


def test_embed_adds_its_warnings_in_the_files_order(typed: Typed, groups: Path, vectors: Path) -> None:
    done = typed("validate", groups, "--embed", "--embedder", vectors, "--json")
    found = json.loads(done.out)["findings"]
    assert done.code == 0
    assert {"G107", "G108"} <= {finding["code"] for finding in found} <= set(RULES)
    assert [(f["line"], f["column"]) for f in found] == sorted((f["line"], f["column"]) for f in found)
    (misfit,) = [f for f in found if f["code"] == "G108" and f["message"].startswith('"an image')]
    assert groups.read_text().splitlines()[misfit["line"] - 1][misfit["column"] - 1 :].startswith('"an image of {}."')
    assert misfit["pointer"] == "/groups/0/templates/1"
    assert typed("validate", groups, "--embed", "--embedder", vectors, "--strict").code == 1
    assert "G10" not in typed("validate", groups).out


def test_embed_reads_stdin_and_says_nothing_of_meaning_where_there_are_errors(typed: Typed, vectors: Path) -> None:
    done = typed("validate", "-", "--embed", "--embedder", vectors, stdin=dump_groups(DOCUMENT))
    assert "<stdin>:" in done.out
    assert "G108" in done.out
    wrong = dump_groups({**DOCUMENT, "domain": 3})
    done = typed("validate", "-", "--embed", "--embedder", vectors, stdin=wrong)
    assert (done.code, "G108" in done.out) == (3, False)
    assert "meanings are not compared while there are errors" in done.err


def test_embed_by_a_sentence_model_finds_what_a_person_would(typed: Typed, groups: Path) -> None:
    if importlib.util.find_spec(embedding.SENTENCE_PACKAGE) is None:
        pytest.skip("the extra offline is not installed")
    listed = [
        {"id": "plain", "templates": ["a photo of {}.", "a photo showing {}.", "a map of {}."]},
        {"id": "map", "templates": ["a street map of {}.", "{} drawn on a map."]},
    ]
    change(groups, groups=listed)
    found = json.loads(typed("validate", groups, "--embed", "--json").out)["findings"]
    told = {(f["code"], f["pointer"]) for f in found}
    assert ("G107", "/groups/0/templates/1") in told
    assert ("G108", "/groups/0/templates/2") in told


def test_embed_in_a_backbones_text_space_speaks_of_the_router(typed: Typed, groups: Path, tmp_path: Path) -> None:
    listed = [{"id": "plain", "templates": ["a photo of {}."]}, {"id": "also", "templates": ["an image of {}."]}]
    change(groups, groups=listed)
    classes = tmp_path / "classes.txt"
    classes.write_text("forest\nriver\n")
    done = typed("validate", groups, "--embed", "--backbone", "miniclip", "--classes", classes)
    assert "G109 the means of groups" in done.out
    assert "the router can hardly tell them apart" in done.out
    assert "miniclip is a small stand-in" in done.err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--embedder", "tfidf"], "add --embed"),
        (["--backbone", "miniclip"], "add --embed"),
        (["--embed", "--embedder", "no-such"], "no embedder is called"),
        (["--embed"], "no sentence model is at hand"),
    ],
)
def test_options_that_cannot_be_meant(
    options: list[str], says: str, typed: Typed, groups: Path, no_model: None
) -> None:
    done = typed("validate", groups, *options)
    assert (done.code, done.out) == (2, "")
    assert says in done.err


# ---- validate --fix


def test_fix_mends_in_place_and_tells_what(typed: Typed, groups: Path) -> None:
    listed = [
        {"id": "plain", "init": "a  photo of {}.", "x-n": 1, "templates": ["a  photo of {}.", "an “image” of {}."]},
        {"id": "night", "templates": ["{} at night", "{} at night"]},
    ]
    change(groups, groups=listed)
    assert typed("validate", groups).code == 3  # the exact twin
    done = typed("validate", groups, "--fix")
    assert done.code == 0
    assert "fixed: " in done.out
    assert '"{} at night" stood twice in a group: once now' in done.out
    document = json.loads(groups.read_text())
    assert document["groups"] == [
        {"id": "plain", "init": "a photo of {}.", "x-n": 1, "templates": ["a photo of {}.", 'an "image" of {}.']},
        {"id": "night", "templates": ["{} at night."]},
    ]
    assert list(document) == [*DOCUMENT, "provenance"]
    (step,) = document["provenance"]["steps"]
    assert (step["step"], step["change"]) == ("fix", "4 mended")
    assert step["at"].endswith("Z")
    before = groups.read_bytes()
    again = typed("validate", groups, "--fix", "--json")
    assert json.loads(again.out)["fixed"] == []
    assert groups.read_bytes() == before


def test_fix_leaves_a_file_alone_that_stays_wrong(typed: Typed, groups: Path) -> None:
    change(groups, groups=[{"id": "plain", "templates": ["a  photo of {}.", "a photo of a bird."]}])
    before = groups.read_bytes()
    done = typed("validate", groups, "--fix")
    assert (done.code, groups.read_bytes()) == (3, before)
    assert "nothing was mended" in done.err
    groups.write_bytes(b'{"groups": [')
    assert typed("validate", groups, "--fix").code == 3
    assert groups.read_bytes() == b'{"groups": ['


def test_fix_needs_a_file_in_a_place(typed: Typed) -> None:
    done = typed("validate", "-", "--fix", stdin=dump_groups(DOCUMENT))
    assert (done.code, "stdin has none" in done.err) == (2, True)


# ---- stats


def test_stats_shows_groups_and_file(typed: Typed, groups: Path, vectors: Path) -> None:
    done = typed("stats", groups, "--embedder", vectors)
    assert done.code == 0
    assert done.table[0] == [
        "group", "templates", "tokens", "cohesion", "silhouette", "nearest group", "cosine", "redundancy",
    ]  # fmt: skip
    assert [row[0] for row in done.table[1:4]] == ["plain", "night", "map"]
    figures = {row[0]: row[1] for row in done.table[5:]}
    assert figures["embedder"] == "vectors of vectors.npz"
    assert figures["templates"] == "5"
    found = json.loads(typed("stats", groups, "--embedder", vectors, "--json").out)
    assert (found["format"], found["templates"], found["groups"][1]["nearest_group"]) == (1, 5, "plain")
    assert found["silhouette"] == pytest.approx(float(figures["silhouette"]), abs=5e-4)


def test_stats_by_a_backbone_tells_what_its_router_sees(typed: Typed, groups: Path) -> None:
    figures = json.loads(typed("stats", groups, "--backbone", "miniclip", "--json").out)
    assert figures["embedder"] == "miniclip, text space over 32 names"
    assert 0 < figures["separation_class_averaged"] < 2
    assert 0 < figures["separation_class_conditional"] < 2
    assert 0 <= figures["ambiguity_sharp"] < figures["ambiguity"] < 1


def test_stats_without_a_model_shows_what_it_can(typed: Typed, groups: Path, no_model: None) -> None:
    done = typed("stats", groups)
    assert (done.code, done.table[0]) == (0, ["group", "templates", "tokens"])
    assert "figures of meaning are left out" in done.err
    assert typed("stats", groups, "--embedder", "sentence").code == 2  # it was asked for
    assert typed("stats", groups, "--write").code == 2
    assert typed("stats", groups, "--sizes").err == ""
    assert typed("stats", groups, "--sizes", "--write").code == 2


def test_write_stores_figures_that_go_stale(typed: Typed, groups: Path, vectors: Path) -> None:
    assert typed("stats", groups, "--embedder", vectors, "--write").code == 0
    stored = load_groups(groups).document
    assert stored["metrics"]["embedder"] == "vectors of vectors.npz"
    assert stored["metrics"]["templates_sha256"] == load_groups(groups).templates_sha256
    assert stored["groups"][0]["metrics"]["nearest_group"] == "night"
    assert stored["x-team"] == "ours"
    before = groups.read_bytes()
    again = typed("stats", groups, "--embedder", vectors, "--write")
    assert "stand there already" in again.err
    assert groups.read_bytes() == before
    assert "current, by vectors of vectors.npz" in typed("stats", groups, "--sizes").out
    typed("remove", groups, TEXTS[3])
    done = typed("stats", groups, "--sizes")
    assert "stale, by vectors of vectors.npz" in done.out
    assert "the stored metrics are stale" in done.err


# ---- compare


def test_compare_says_on_what_it_rests(typed: Typed, groups: Path, tmp_path: Path, vectors: Path) -> None:
    other = tmp_path / "other.json"
    listed = [{"id": "a", "templates": [*TEXTS[:2], "a map of {}."]}, {"id": "b", "templates": ["{} in the dark"]}]
    other.write_bytes(dump_groups({**DOCUMENT, "groups": listed}))
    done = typed("compare", groups, other, "--sizes")
    assert done.code == 0
    assert done.table[1] == ["plain", "a", "2", "3", "2", "0.67"]
    assert ["map", "-", "1", "0", "0", "0.00"] in done.table
    assert ["ARI", "1.000"] in done.table
    assert "rest on 3 templates in both (1 of them spelt differently): of 5 in A and 4 in B" in done.err
    found = json.loads(typed("compare", groups, groups, "--embedder", vectors, "--json").out)
    assert (found["format"], found["ari"], found["first_silhouette"]) == (1, 1.0, found["second_silhouette"])
    assert found["first_silhouette"] is not None


def test_compare_works_without_a_model(typed: Typed, groups: Path, no_model: None) -> None:
    done = typed("compare", groups, groups)
    assert (done.code, "silhouette" in done.out) == (0, False)
    assert "figures of meaning are left out" in done.err
    assert typed("compare", "-", "-", stdin=dump_groups(DOCUMENT)).code == 2
