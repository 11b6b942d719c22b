"""G107 to G109 from small vectors made by hand: what is said, where, and what is left unsaid."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from mocoop.groupfile.findings import RULES, Problem
from mocoop.groupfile.groups import GroupFile, parse_groups, with_problems
from mocoop.grouping.clustering.embed import Embedding
from mocoop.grouping.clustering.vectors import centred
from mocoop.grouping.measuring import audit


def file_of(groups: list[dict[str, Any]]) -> GroupFile:
    return parse_groups(json.dumps({"schema_version": 1, "domain": "birds", "groups": groups}, indent=1).encode())


def by_angle(*degrees: float, kind: str = "sentence") -> Embedding:
    angles = np.radians(degrees)
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return Embedding("a model", kind, vectors, centred(vectors))


def codes(problems: list[Problem]) -> list[str]:
    return [problem.code for problem in problems]


THREE = [
    {"id": "plain", "templates": ["a photo of {}.", "an image of {}."]},
    {"id": "night", "templates": ["{} in the dark.", {"text": "{} by moonlight."}]},
    {"id": "map", "templates": ["a chart with {}."]},
]


def test_nothing_is_said_of_groups_that_part_well() -> None:
    assert audit.embedding_problems(file_of(THREE), by_angle(0, 30, 120, 150, 250)) == []


def test_a_near_twin_names_the_other_its_group_and_the_value() -> None:
    (problem,) = audit.embedding_problems(file_of(THREE), by_angle(0, 5, 120, 150, 250))
    assert problem.code == "G107"
    assert problem.path == ("groups", 0, "templates", 1)
    assert '"an image of {}." is nearly "a photo of {}." in this group: cosine 0.996 by a model' in problem.message
    across = audit.embedding_problems(file_of(THREE), by_angle(0, 30, 120, 150, 145))
    twin = next(problem for problem in across if problem.code == "G107")
    assert (twin.path, 'in group "night"' in twin.message) == (("groups", 2, "templates", 0), True)
    assert "keep both in one group" in twin.hint


@pytest.mark.parametrize(
    ("kind", "limit"), [("sentence", 0.92), ("backbone", 0.97), ("tfidf", 0.95), ("vectors", 0.97)]
)
def test_where_a_twin_begins_depends_on_the_model(kind: str, limit: float) -> None:
    at = math.degrees(math.acos(limit))
    texts = [{"id": "plain", "templates": ["a photo of {}.", "{} in the dark."]}]
    for turn, found in ((at - 0.1, ["G107"]), (at + 0.1, [])):
        assert codes(audit.embedding_problems(file_of(texts), by_angle(0, turn, kind=kind))) == found


def test_a_slip_of_the_keyboard_is_a_twin_whatever_the_model_says_and_another_word_is_none() -> None:
    texts = [
        {"id": "plain", "templates": ["a blurry photograph of {} at night.", "a blurry photograhp of {} at night."]}
    ]
    (problem,) = audit.embedding_problems(file_of(texts), by_angle(0, 90))
    assert (problem.code, "% of their letter pairs shared" in problem.message) == ("G107", True)
    for other in (["{} at sunrise.", "{} at sunset."], ["a satellite image of {}.", "a hazy satellite image of {}."]):
        texts = [{"id": "plain", "templates": [f"a photograph or {text}" for text in other]}]
        assert audit.embedding_problems(file_of(texts), by_angle(0, 90)) == []


def test_a_model_that_takes_most_for_twins_is_told_once_and_asked_no_more() -> None:
    found = audit.embedding_problems(file_of(THREE), by_angle(0, 1, 2, 3, 250, kind="backbone"), np.eye(3))
    (problem,) = found
    assert (problem.code, problem.path) == ("G107", ("groups",))
    assert problem.message.startswith("3 of 5 templates are nearly the same as an earlier one by a model")
    groups = [{**THREE[0], "templates": ["a photo of {} by night.", "a photo of {} by nightt."]}, *THREE[1:]]
    found = audit.embedding_problems(file_of(groups), by_angle(0, 1, 2, 3, 250, kind="backbone"), np.eye(3))
    assert [problem.path for problem in found] == [("groups",), ("groups", 0, "templates", 1)]  # letters still count
    half = audit.embedding_problems(file_of(THREE[:2]), by_angle(0, 1, 120, 121, kind="backbone"), np.eye(2))
    assert [problem.path for problem in half] == [("groups", 0, "templates", 1), ("groups", 1, "templates", 1, "text")]


def test_a_template_nearer_another_group_is_told_with_both_values() -> None:
    found = audit.embedding_problems(file_of(THREE), by_angle(0, 100, 125, 150, 250))
    misfits = [problem for problem in found if problem.code == "G108"]  # and the one that it leaves alone
    assert [problem.path for problem in misfits] == [("groups", 0, "templates", n) for n in (0, 1)]
    misfit = misfits[1]
    assert '"an image of {}." is nearer to group "night"' in misfit.message
    assert 'its own, "plain"' in misfit.message


def test_the_path_of_a_template_written_as_an_object_is_its_text() -> None:
    found = audit.embedding_problems(file_of(THREE), by_angle(0, 25, 120, 20, 250))
    assert ("groups", 1, "templates", 1, "text") in [problem.path for problem in found if problem.code == "G108"]


@pytest.mark.parametrize("where", ["group", "template"])
def test_what_is_locked_has_its_place(where: str) -> None:
    groups = json.loads(json.dumps(THREE))
    if where == "group":
        groups[0]["locked"] = True
    else:
        groups[0]["templates"][1] = {"text": "an image of {}.", "locked": True}
    found = audit.embedding_problems(file_of(groups), by_angle(0, 100, 125, 150, 250))
    assert '"an image of {}." is nearer' not in " ".join(problem.message for problem in found)


def test_a_close_call_is_not_told() -> None:
    """The own group a little farther than another: no reason to move anything."""
    own = np.array([[1.0, 0, 0], [0.5, 0.5, 0.5], [0, 1.0, 0], [0, 1.0, 0.02], [-1, -1, 0]])
    space = own / np.linalg.norm(own, axis=1, keepdims=True)
    file, labels = file_of(THREE), np.array([0, 0, 1, 1, 2])
    embedding = Embedding("a model", "vectors", np.eye(5), space)
    rest, others = audit.measures.fit(space, labels)
    assert 0 < others[1].max() - rest[1] < audit.NEARER
    assert audit.embedding_problems(file, embedding) == []


def test_groups_alike_are_told_as_the_router_sees_them() -> None:
    embedding = by_angle(0, 30, 120, 150, 250, kind="backbone")
    means = np.array([[2.0, 0.0], [0.0, 1.0], [1.0, 0.1]])
    (problem,) = audit.embedding_problems(file_of(THREE), embedding, means)
    assert (problem.code, problem.path) == ("G109", ("groups", 2, "id"))
    assert 'groups "plain" and "map" have cosine 0.995: the router can hardly tell them apart' in problem.message
    (problem, other) = audit.embedding_problems(file_of(THREE), embedding, np.ones((3, 2)))
    assert "as well as from 1 more" in other.message
    near = by_angle(0, 30, 10, 24, 250)
    said = [p for p in audit.embedding_problems(file_of(THREE), near) if p.code == "G109"]
    assert "say nearly the same to a model" in said[0].message
    assert "router" not in said[0].message


def test_each_rule_is_a_warning_and_takes_its_place_among_the_others() -> None:
    data = json.dumps({"schema_version": 1, "domain": "birds", "groups": THREE}, indent=1).encode()
    file = parse_groups(data)
    embedding = by_angle(0, 100, 125, 150, 151)
    problems = audit.embedding_problems(file, embedding, np.ones((3, 2)))
    assert set(codes(problems)) >= {"G107", "G108", "G109"}
    assert {RULES[code].severity for code in codes(problems)} == {"warning"}
    found = with_problems(data, file.findings, problems, "birds.json")
    assert [(f.line, f.column) for f in found] == sorted((f.line, f.column) for f in found)
    assert len(found) == len(file.findings) + len(problems)
    misfit = next(f for f in found if f.code == "G108" and "an image" in f.message[:12])
    line = data.decode().splitlines()[misfit.line - 1]
    assert line[misfit.column - 1 :].startswith('"an image of {}."')
    assert misfit.source == "birds.json"
