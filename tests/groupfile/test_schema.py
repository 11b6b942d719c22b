"""The schema and its words: nothing the schema refuses goes unexplained, nothing is fetched."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from referencing.exceptions import Unresolvable

from mocoop.groupfile import schema as shape
from mocoop.groupfile.schema import (
    MAX_GROUPS,
    MAX_TEMPLATE_LENGTH,
    MAX_TEMPLATES,
    MAX_UNKNOWN_KEYS,
    schema,
    schema_bytes,
    shape_problems,
)

VALIDATOR = Draft202012Validator(schema())

FULL: dict[str, Any] = {
    "$schema": "../schemas/groups.v1.json",
    "schema_version": 1,
    "name": "birds",
    "domain": "birds in gardens",
    "description": "Two\nlines.",
    "class_kind": "object",
    "language": "pt-BR",
    "_comment": ["kept"],
    "x-mine": {"any": ["thing", None]},
    "groups": [
        {
            "id": "plain",
            "title": "Plain",
            "description": "ordinary pictures",
            "rationale": "nothing but the bird",
            "init": "a photo of a {}.",
            "locked": False,
            "reviewed": True,
            "x-note": 1,
            "_comment": "kept",
            "templates": [
                "a photo of a {}.",
                {
                    "text": "a picture of a {}.",
                    "origin": "bank",
                    "source": "bank:plain",
                    "locked": True,
                    "note": "ok",
                },
            ],
            "metrics": {"cohesion": 0.5, "silhouette": None, "nearest_group": "far", "later": 1},
        },
        {"id": "far", "templates": [{"text": "a distant {}.", "origin": "a-later-tool", "x-q": []}]},
    ],
    "excluded": [{"text": "the smell of a {}", "reason": "not visible", "by": "person"}],
    "metrics": {"embedder": "ViT-B-16", "templates_sha256": "0" * 64, "k_tried": [{"k": 5}], "later": True},
    "provenance": {
        "created": "2026-01-02T03:04:05Z",
        "steps": [
            {"step": "set-init", "backend": "manual", "seed": None, "later": 2},
            {"step": "a-later-step"},
        ],
    },
}


def walk(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) of a JSON value."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in list(members):
        yield value, key
        yield from walk(child)


def test_schema_is_valid_and_closed() -> None:
    Draft202012Validator.check_schema(schema())
    assert json.loads(schema_bytes()) == schema()
    references = [holder[key] for holder, key in walk(schema()) if key == "$ref"]
    assert references
    assert all(reference.startswith("#/$defs/") for reference in references)


def test_nothing_is_ever_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = {"$ref": "http://127.0.0.1:9/schema.json"}
    monkeypatch.setattr(shape, "schema", lambda: hostile)
    shape._validator.cache_clear()
    try:
        with pytest.raises(Unresolvable):
            list(shape._validator().iter_errors({}))
    finally:
        shape._validator.cache_clear()


def test_every_pattern_is_anchored_to_the_very_end() -> None:
    patterns = [holder[key] for holder, key in walk(schema()) if key == "pattern"]
    assert len(patterns) > 5
    assert all(pattern.endswith(r"(?![\s\S])") for pattern in patterns if pattern.startswith("^"))


def test_no_one_of_in_the_schema() -> None:
    keys = {key for _, key in walk(schema())}
    assert not keys & {"oneOf", "anyOf", "not"}


def test_caps_in_code_are_those_of_the_schema() -> None:
    definitions = schema()["$defs"]
    assert schema()["properties"]["groups"]["maxItems"] == MAX_GROUPS
    assert definitions["group"]["properties"]["templates"]["maxItems"] == MAX_TEMPLATES
    assert definitions["templateText"]["maxLength"] == MAX_TEMPLATE_LENGTH


def test_full_document_is_well_shaped() -> None:
    assert shape_problems(FULL) == []


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_explained_if_and_only_if_refused(data: st.DataObject) -> None:
    """Put something else anywhere in a full document: the validator's verdict and the problems agree."""
    document = json.loads(json.dumps(FULL))
    holder, key = data.draw(st.sampled_from(list(walk(document))))
    junk: st.SearchStrategy[Any] = st.sampled_from(
        [None, True, -1, 1.5, "", "a\nb", "A b", "{}", "a {}", "x" * 2001, "\u202e", [], [[]], {}, {"a": 1}]
    )
    if isinstance(holder, dict) and data.draw(st.booleans()):
        holder[data.draw(st.sampled_from(["template", "Id", "x-", "_comment", "texts", ""]))] = holder.pop(key)
    else:
        holder[key] = data.draw(junk)
    problems = shape_problems(document)
    assert VALIDATOR.is_valid(document) == (not problems)
    for problem in problems:
        assert problem.hint
        assert problem.message.isprintable()


@pytest.mark.parametrize(
    ("change", "code", "path", "words"),
    [
        ({"domain": ""}, "G024", "domain", "at least 1 characters"),
        ({"domain": "x" * 201}, "G024", "domain", "201 characters long"),
        ({"domain": 7}, "G022", "domain", "it should be text"),
        ({"class_kind": "Scenes"}, "G023", "class_kind", "did you mean `scene`?"),
        ({"schema_version": "1"}, "G023", "schema_version", "write 1"),
        ({"schema_version": True}, "G023", "schema_version", "write 1"),
        ({"schema_version": 0}, "G023", "schema_version", "write 1"),
        ({"schema_version": 3}, "G008", "schema_version", "upgrade"),
        ({"groops": []}, "G021", "groops", "did you mean `groups`?"),
        ({"zzz": 1}, "G021", "zzz", "x-"),
        ({"language": "english please"}, "G025", "language", '"en"'),
        ({"name": "a\n"}, "G025", "name", "lower-case"),
        ({"metrics": {"embedder": "e", "templates_sha256": "A" * 64}}, "G025", "templates_sha256", "64 hex"),
        ({"metrics": {}}, "G020", "metrics", "`embedder`"),
        ({"groups": {}}, "G022", "groups", "a list"),
        ({"groups": []}, "G024", "groups", "at least 1"),
        ({"description": "a\x1b[2Jb"}, "G031", "description", r"\x1b"),
    ],
)
def test_words(change: dict[str, Any], code: str, path: str, words: str) -> None:
    (problem,) = shape_problems({**FULL, **change})
    assert problem.code == code
    assert problem.path[-1] == path
    assert words in f"{problem.message} {problem.hint}"


@pytest.mark.parametrize("key", ["schema_version", "domain", "groups"])
def test_missing_key_shows_what_to_write(key: str) -> None:
    (problem,) = shape_problems({name: value for name, value in FULL.items() if name != key})
    assert (problem.code, problem.path) == ("G020", ())
    assert f"`{key}`" in problem.message
    example = json.loads("{" + problem.hint.removeprefix("add ") + "}")
    assert VALIDATOR.is_valid({**FULL, **example})


def test_missing_keys_are_each_named_once() -> None:
    assert [problem.message for problem in shape_problems({})] == [
        "the file lacks the key `schema_version`",
        "the file lacks the key `domain`",
        "the file lacks the key `groups`",
    ]


def test_misspelt_key_explains_the_missing_one() -> None:
    (problem,) = shape_problems({**FULL, "groups": [{"id": "a", "template": ["a photo of a {}."]}]})
    assert problem.code == "G021"
    assert problem.at_key
    assert problem.hint == "did you mean `templates`?"


def test_many_unknown_keys_are_summed_up() -> None:
    problems = shape_problems({**FULL, **{f"key{number}": 1 for number in range(1000)}})
    assert len(problems) == MAX_UNKNOWN_KEYS + 1
    assert f"{1000 - MAX_UNKNOWN_KEYS} more" in problems[-1].message


def test_sizes_named_are_the_true_ones() -> None:
    group = {"id": "a", "templates": ["a photo of a {}."] * 5000}
    many = shape_problems({**FULL, "groups": [{**group, "templates": ["a {}."]}] * 10_000})
    assert [problem.message for problem in many] == ["`groups` has 10,000 items"]
    (long,) = shape_problems({**FULL, "groups": [group]})
    assert long.message == "`groups[0].templates` has 5,000 items"


@pytest.mark.parametrize("item", [5, None, True, [], ["a {}."]])
def test_template_of_another_type(item: Any) -> None:
    (problem,) = shape_problems({**FULL, "groups": [{"id": "a", "templates": [item]}]})
    assert problem.code == "G022"
    assert problem.path == ("groups", 0, "templates", 0)
    assert 'text, or an object with the key "text"' in problem.hint


def test_reviewed_templates_are_a_list_of_texts():
    def problems(value):
        group = {"id": "plain", "reviewed_templates": value, "templates": ["a photo of a {}.", "the {}."]}
        return shape_problems({"schema_version": 1, "domain": "birds", "groups": [group]})

    assert not problems(["the {}."])
    assert [problem.code for problem in problems("the {}.")] == ["G022"]
    assert [problem.code for problem in problems([1])] == ["G022"]
