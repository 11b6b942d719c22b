"""Rules about groups together: each fires where it should, says how to mend it, and keeps quiet elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mocoop.groupfile.findings import Problem
from mocoop.groupfile.rules import ASSUMED_CLASS_TOKENS, MANY_TOKENS, Surroundings, content_hash, rule_problems


def words_in(text: str) -> int:
    """A stand-in tokenizer that one can count by hand."""
    return len(text.split())


def document(*groups: list[Any], **more: Any) -> dict[str, Any]:
    """A file with one group for each list of templates, ids g0, g1, ..."""
    named = [{"id": f"g{index}", "templates": templates} for index, templates in enumerate(groups)]
    return {"schema_version": 1, "domain": "birds", "groups": named, **more}


def problems(
    content: dict[str, Any],
    *,
    names: tuple[str, ...] | None = None,
    reach: int = 77,
    count: Callable[[str], int] | None = words_in,
) -> list[Problem]:
    return rule_problems(content, Surroundings(names, reach, count))


def only(code: str, found: list[Problem]) -> list[Problem]:
    return [problem for problem in found if problem.code == code]


QUIET = document(["a photo of a {}.", "a picture showing the {}."], ["a sketch of a {}.", "a drawing of many {}."])


def test_quiet_file() -> None:
    assert problems(QUIET) == []
    assert problems(QUIET, names=("sparrow", "finch")) == []


def test_init_must_be_a_member() -> None:
    content = document(["a photo of a {}.", {"text": "a picture of a {}."}], ["a sketch of a {}."])
    content["groups"][0]["init"] = "a picture of a {}"
    (problem,) = only("G101", problems(content))
    assert problem.path == ("groups", 0, "init")
    assert problem.hint == 'did you mean "a picture of a {}."?'
    content["groups"][0]["init"] = "a picture of a {}."
    assert only("G101", problems(content)) == []
    content["groups"][1]["init"] = "something else entirely"
    assert "leave init out" in only("G101", problems(content))[0].hint
    content["groups"][1]["template"] = content["groups"][1].pop("templates")  # the wrong key is the only mistake
    assert only("G101", problems(content)) == []


def test_ids_are_unique() -> None:
    content = document(["a {}."], ["b {}."], ["c {}."])
    content["groups"][2]["id"] = "g0"
    (problem,) = only("G102", problems(content))
    assert problem.path == ("groups", 2, "id")
    assert "groups[0]" in problem.message


def test_twins() -> None:
    content = document(
        ["a photo of a {}.", "a photo of the {}.", "a photo of a {}."],
        ["a sketch of a {}.", {"text": "a photo of a {}."}, "A  SKETCH of {}"],
    )
    found = problems(content)
    within, across = only("G103", found)
    assert (within.path, across.path) == (
        ("groups", 0, "templates", 2),
        ("groups", 1, "templates", 1, "text"),
    )
    assert "in this group" in within.message
    assert 'group "g0"' in across.message
    folded = only("G104", found)
    assert [problem.path for problem in folded] == [
        ("groups", 0, "templates", 1),
        ("groups", 1, "templates", 2),
    ]


def test_folded_twins_across_groups() -> None:
    (problem,) = only("G104", problems(document(["a photo of a {}."], ["a photo of the {}."])))
    assert "reword" in problem.hint


def test_sizes() -> None:
    found = only("G110", problems(document(["a photo of a {}."], ["b {}.", "c {}.", "d {}."])))
    assert [problem.path for problem in found] == [("groups",), ("groups", 1)]
    assert "1 of 2 groups hold a single template" in found[0].message
    assert "3 of 4 templates" in found[1].message


def test_a_plain_group_is_wanted() -> None:
    assert len(only("G111", problems(document(["a sketch of a {}."], ["a drawing of a {}."])))) == 1
    satellite = document(["a satellite image of {}."], ["a grainy {}."], domain="satellite imagery")
    assert only("G111", problems(satellite)) == []


@pytest.mark.parametrize(("number", "fires"), [(1, True), (2, False), (20, False), (21, True)])
def test_number_of_groups(number: int, fires: bool) -> None:
    content = document(*[[f"photo {index} of a {{}}."] for index in range(number)])
    assert bool(only("G112", problems(content))) is fires


@pytest.mark.parametrize(
    ("text", "kind", "fires"),
    [
        ("a {} texture.", "object", True),
        ("a {} texture.", "texture", False),
        ("a person doing {}.", "scene", True),
        ("a person doing {}.", "activity", False),
        ("a photo of a {}.", "activity", True),
        ("a photo of a {}.", "scene", False),
        ("a {} scene.", "activity", False),
    ],
)
def test_wording_and_class_kind(text: str, kind: str, fires: bool) -> None:
    assert bool(only("G113", problems(document([text], class_kind=kind)))) is fires
    assert only("G113", problems(document([text]))) == []  # not when the file leaves its kind to the default


def test_style() -> None:
    content = document(["a photo of a {}.", "a  sketch of a {}.", "a drawing of a {}"], ["art of “{}”."])
    found = only("G114", problems(content))
    assert [problem.path[1:4:2] for problem in found] == [(0, 1), (0, 2), (1, 0)]
    assert "no full stop" in found[1].message
    assert only("G114", problems(document(["a {}", "the b {}"]))) == []  # without full stops throughout
    mostly_without = only("G114", problems(document(["a {}", "the b {}", "c {}."])))
    assert [problem.path[3] for problem in mostly_without] == [2]


def test_articles() -> None:
    content = document(["a photo of a {}.", "a sketch of a {}."], ["a view of an {}."])
    found = only("G115", problems(content, names=("airport", "harbour", "university", "hourglass")))
    assert [problem.path for problem in found] == [
        ("groups", 0, "templates", 0),
        ("groups", 1, "templates", 0),
    ]
    assert "2 of 4" in found[0].message
    assert '"a airport"' in found[0].message
    assert '"an harbour"' in found[1].message
    assert only("G115", problems(content)) == []


def test_class_names_inside_templates() -> None:
    content = document(["a forest seen with {}.", "a {} near a Dense  Residential area.", "forestry {}."])
    found = only("G116", problems(content, names=("forest", "dense residential", "a")))
    assert [problem.path[3] for problem in found] == [0, 1]


def test_token_count_with_the_longest_class_name() -> None:
    content = document(["one two {}."], ["one two three {}."])  # 3 and 4 words filled with one, 2 for start and end
    found = only("G106", problems(content, names=("x", "x y"), reach=6))
    assert [problem.path[1] for problem in found] == [1]
    assert '"x y"' in found[0].message
    assert "takes 7 tokens" in found[0].message
    assert only("G106", problems(content, names=("x", "x y"), reach=7)) == []


def test_token_count_without_class_names() -> None:
    text = " ".join(["w"] * 10) + " {}"
    content = document([text])  # 10 words, 2 for start and end
    assert only("G117", problems(content, reach=12 + ASSUMED_CLASS_TOKENS)) == []
    assert len(only("G117", problems(content, reach=11 + ASSUMED_CLASS_TOKENS))) == 1
    assert len(only("G117", problems(content, reach=13))) == 1
    assert len(only("G106", problems(content, reach=12))) == 1  # not even one token left for a name


def test_long_sentences() -> None:
    text = " ".join(["w"] * (MANY_TOKENS - 2)) + " {}"
    assert len(only("G118", problems(document([text]), names=("x",)))) == 1
    assert only("G118", problems(document([text.removeprefix("w ")]), names=("x",))) == []


def test_without_a_tokenizer() -> None:
    (problem,) = only("G121", problems(QUIET, count=None))
    assert "open_clip" in problem.message


def test_excluded_template_that_is_used() -> None:
    content = document(["a photo of a {}."], excluded=[{"text": "a photo of a {}."}, {"text": "b"}])
    assert [problem.path for problem in only("G119", problems(content))] == [("groups", 0, "templates", 0)]


def test_stale_metrics() -> None:
    texts = [["a photo of a {}.", "b {}."], ["c {}."]]
    content = document(["a photo of a {}.", {"text": "b {}."}], ["c {}."])
    content["metrics"] = {"embedder": "e", "templates_sha256": content_hash(texts)}
    assert only("G120", problems(content)) == []
    content["groups"][1]["templates"] = ["d {}."]
    assert len(only("G120", problems(content))) == 1


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "a\u202eb", "<end_of_text>", "&lt;|ENDOFTEXT|&gt;"])
def test_class_names_that_cannot_stand_in_a_prompt(name: str) -> None:
    assert len(only("G122", problems(QUIET, names=("finch", name)))) == 1


@pytest.mark.parametrize("name", ["{}", "{0}", "Moore's", "C++", "naïve", "7"])
def test_odd_class_names_that_are_fine(name: str) -> None:
    assert only("G122", problems(QUIET, names=(name,))) == []


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"groups": None},
        {"groups": 5, "excluded": 5, "metrics": 5, "domain": 5},
        {"groups": [None, 5, [], {}, {"templates": None}, {"templates": [None, 5, {}, {"text": 5}]}]},
        {"groups": [{"id": 5, "init": 5, "templates": ["a {}."]}], "excluded": [None, 5, {"text": 5}]},
        {"groups": [{"id": "a", "init": "x", "templates": []}], "metrics": {"templates_sha256": 5}},
    ],
)
def test_badly_shaped_documents_are_left_to_the_schema(content: dict[str, Any]) -> None:
    assert isinstance(problems(content, names=("finch",)), list)
