"""Mending what loses nothing: what it does, and what it leaves to a person."""

from __future__ import annotations

import json
from typing import Any

import pytest
from group_strategies import group_documents
from hypothesis import given, settings
from hypothesis import strategies as st

from mocoop.groupfile import tokens
from mocoop.groupfile.groups import dump_groups, parse_groups
from mocoop.grouping.keep import texts_of
from mocoop.grouping.tidy import tidied, tidy_text

JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["groups", "templates", "text", "init", "locked", "id"]), inner, max_size=4),
    ),
    max_leaves=20,
)


def document(*groups: list[Any], **keys: Any) -> dict[str, Any]:
    listed = [{"id": f"g{n}", "templates": templates} for n, templates in enumerate(groups)]
    return {"schema_version": 1, "domain": "birds", **keys, "groups": listed}


@pytest.mark.parametrize(
    ("text", "mended"),
    [
        ("  a  photo of  {}. ", "a photo of {}."),
        ("a photo\u00a0of\u2003{}.", "a photo of {}."),
        ("a photo\tof\n{}.", "a photo of {}."),
        ("a “fine” ‘photo’ of {}’s nest.", "a \"fine\" 'photo' of {}'s nest."),
        ("a photo… of {}.", "a photo… of {}."),
        ("a photo\x1cof {}.", "a photo\x1cof {}."),
        ("a photo of {}", "a photo of {}."),
        ("what is {}?", "what is {}?"),
        ("a photo of {},", "a photo of {},"),
    ],
)
def test_one_text(text: str, mended: str) -> None:
    assert tidy_text(text, stop=True) == mended


def test_a_full_stop_is_set_only_where_most_have_one() -> None:
    texts = ["a photo of {}.", "an image of {}.", "a map of {}"]
    assert tidied(document(texts))[0]["groups"][0]["templates"] == [*texts[:2], "a map of {}."]
    few = ["a photo of {}.", "an image of {}", "a map of {}"]
    assert tidied(document(few)) == (document(few), [])


def test_init_follows_its_template_and_notes_stay() -> None:
    noted = {"text": "a  map of {}.", "note": "ours", "x-n": 1}
    before = document(["a photo of {}.", noted])
    before["groups"][0]["init"] = "a  map of {}."
    after, done = tidied(before)
    assert after["groups"][0]["init"] == "a map of {}."
    assert after["groups"][0]["templates"][1] == {**noted, "text": "a map of {}."}
    assert done == ['"a  map of {}." -> "a map of {}."']
    assert noted["text"] == "a  map of {}."  # what was given is as it was


def test_an_exact_twin_in_a_group_goes_and_the_form_that_says_most_stays() -> None:
    told = {"text": "a photo of {}.", "note": "ours"}
    after, done = tidied(document(["a photo of {}.", "a map of {}.", told]))
    assert after["groups"][0]["templates"] == [told, "a map of {}."]
    assert done == ['"a photo of {}." stood twice in a group: once now']
    both_say = document([told, {"text": "a photo of {}.", "note": "theirs"}])
    assert tidied(both_say) == (both_say, [])


@pytest.mark.parametrize(
    "left",
    [
        document(["a photo of {}.", "a  photo of {}."]),  # mended, two would be one
        document(["a photo of {}."], ["a photo of {}. "]),
        document(["a  photo of {}.", "a photo  of {}."]),
        document([{"text": "a  photo of {}.", "locked": True}]),
        {**document(), "groups": [{"id": "a", "locked": True, "templates": ["a  photo of {}.", "a  photo of {}."]}]},
        document(["a photo of {}."], ["a photo of {}."]),  # twins in two groups: which one to keep is a choice
    ],
)
def test_what_is_left_to_a_person(left: dict[str, Any]) -> None:
    assert tidied(left) == (left, [])


@settings(max_examples=60)
@given(group_documents(locks=True))
def test_a_valid_file_stays_valid_keeps_its_templates_and_is_mended_once(before: dict[str, Any]) -> None:
    untouched = json.dumps(before)
    after, _ = tidied(before)
    assert json.dumps(before) == untouched
    parse_groups(dump_groups(after))
    assert [len(texts_of(group)) for group in after["groups"]] == [len(texts_of(group)) for group in before["groups"]]
    assert list(after) == list(before)
    assert tidied(after) == (after, [])


@pytest.mark.skipif(not tokens.available(), reason="open_clip's table is not here")
@given(st.text("abc .\u2003\u00a0‘’“”{}", max_size=20))
def test_a_tokenizer_reads_the_same(text: str) -> None:
    assert tokens.count_tokens(tidy_text(text)) == tokens.count_tokens(text)


@given(JSON)
def test_any_json_passes(value: Any) -> None:
    tidied({"groups": value})
