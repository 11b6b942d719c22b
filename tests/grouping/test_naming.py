from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from mocoop.groupfile.groups import parse_groups
from mocoop.grouping.clustering.naming import distinctive_words, names_of, words


def test_words_that_a_group_has_and_others_have_not():
    groups = [
        ["a dark photo of a {} at night.", "a {} at night."],
        ["a dark sketch of a {}.", "a pencil sketch of a {}."],
    ]
    assert distinctive_words(groups) == [["night", "dark"], ["sketch", "pencil", "dark"]]


def test_names_are_ids_and_titles():
    groups = [["a {} at night.", "the {} by moonlight, at night."], ["a photo of a {}."], ["an image of {}."]]
    assert names_of(groups, ["plain"]) == [
        ("night-moonlight", "Night, moonlight"), ("plain-2", "Plain"), ("plain-3", "Plain")
    ]  # fmt: skip


def test_hyphens_and_apostrophes_are_inside_words():
    assert words("A bird's-eye, low-angle view of the {}!") == ["bird's-eye", "low-angle"]


def test_words_of_other_scripts_have_titles_and_ids():
    named = names_of([["{} の写真"], ["фото {} ночью"], ["фото {} днём"]], [])
    assert [id_ for id_, _ in named] == ["groups", "groups-2", "groups-3"]
    assert named[1][1] == "Ночью, фото"


@given(st.lists(st.lists(st.text(max_size=60), min_size=1, max_size=4), min_size=1, max_size=6), st.sets(st.text()))
def test_any_words_make_names_that_a_file_may_hold(groups, taken):
    named = names_of([[f"{text}{{}}" for text in group] for group in groups], taken)
    assert len({*(id_ for id_, _ in named), *taken}) == len(named) + len(taken)
    document = {
        "schema_version": 1,
        "domain": "any",
        "groups": [
            {"id": id_, "title": title, "templates": [f"template {number} of a {{}}."]}
            for number, (id_, title) in enumerate(named)
        ],
    }
    parse_groups(json.dumps(document).encode())
