"""What is told of two documents: every kind of difference, and nothing where they say the same."""

from __future__ import annotations

import copy

import pytest
from group_strategies import group_documents
from hypothesis import given
from hypothesis import strategies as st

from mocoop.errors import UsageError
from mocoop.grouping.editing import edit
from mocoop.grouping.editing.diff import differences, group_pairs, likeness, one_line, rewordings
from mocoop.grouping.editing.reviewed import mark_seen
from mocoop.grouping.keep import texts_of

OLD = {
    "schema_version": 1,
    "domain": "birds",
    "groups": [
        {"id": "plain", "templates": ["a photo of a {}.", "the {}."]},
        {"id": "night", "title": "Night", "init": "{} at night.", "templates": ["{} after dark.", "{} at night."]},
        {"id": "fog", "templates": ["{} in fog.", "{} in mist.", "a hazy {}."]},
    ],
    "excluded": [{"text": "a bad {}.", "by": "person"}],
    "provenance": {"steps": [{"step": "generate"}]},
}


def told(new, old=OLD):
    return [change.sentence() for change in differences(old, new)]


def changed(**groups):
    """The old document with keys of some groups set; None takes a key away."""
    new = copy.deepcopy(OLD)
    for group in new["groups"]:
        group.update(groups.get(group["id"], {}))
        for key in [key for key, value in group.items() if value is None]:
            del group[key]
    return new


@pytest.mark.parametrize(
    ("new", "sentences"),
    [
        (edit.add(OLD, ["{} by moonlight."], "night"), ['added "{} by moonlight." to night']),
        (edit.remove(OLD, ["hazy"]), ['removed "a hazy {}." from fog (excluded)']),
        (changed(fog={"templates": ["{} in fog.", "{} in mist."]}), ['removed "a hazy {}." from fog']),
        (edit.move(OLD, ["hazy"], "night"), ['moved "a hazy {}." from fog to night']),
        (edit.reword(OLD, "in fog", "{} in thick fog."), ['reworded "{} in fog." to "{} in thick fog." in fog']),
        (edit.reword(OLD, "at night", "{} at nite."), ['reworded "{} at night." to "{} at nite." in night']),
        (edit.rename(OLD, "fog", new_id="mist"), ["group fog renamed mist"]),
        (edit.rename(OLD, "fog", title="Fog"), ['title of fog: none -> "Fog"']),
        (edit.rename(OLD, "night", title=""), ['title of night: "Night" -> none']),
        (edit.set_init(OLD, "night", "after dark"), ['init of night: "{} at night." -> "{} after dark."']),
        (edit.set_init(OLD, "fog", "in fog"), ['init of fog: none -> "{} in fog."']),
        (edit.lock(OLD, "fog"), ["fog is locked"]),
        (edit.lock(OLD, "hazy"), ['"a hazy {}." is locked']),
        (edit.annotate(OLD, "hazy", "rare"), ['note of "a hazy {}.": none -> "rare"']),
        (changed(fog={"reviewed": True}), ["fog is reviewed"]),
        (changed(fog={"x-by": ["Ada"]}), ["x-by of fog added"]),
        (mark_seen(OLD, ["a hazy {}."]), ["reviewed templates of fog: 0 -> 1"]),
        (changed(night={"templates": ["{} at night.", "{} after dark."]}), ["templates of night in another order"]),
        ({**OLD, "groups": OLD["groups"][::-1]}, ["groups in another order: fog, night, plain"]),
        ({**OLD, "domain": "owls"}, ['domain of the file: "birds" -> "owls"']),
        ({**OLD, "excluded": []}, ['no longer excluded "a bad {}."']),
        ({**OLD, "excluded": [*OLD["excluded"], {"text": "x {}."}]}, ['excluded "x {}."']),
        ({**OLD, "excluded": [{"text": "a bad {}."}]}, ['by of "a bad {}.": "person" -> none']),
        ({**OLD, "metrics": {"embedder": "m"}}, ["metrics of the file added"]),
    ],
    ids=lambda value: value[0][:40] if isinstance(value, list) else "",
)
def test_each_kind_of_difference(new, sentences):
    assert told(new) == sentences


def test_provenance_key_order_and_the_form_of_a_template_do_not_count():
    same = changed(fog={"templates": [{"text": "{} in fog."}, "{} in mist.", "a hazy {}."], "reviewed": False})
    same = {key: same[key] for key in reversed(same)}
    assert told({**same, "provenance": {"steps": []}}) == []


def test_a_merged_group_is_told_by_what_moved():
    assert told(edit.merge(OLD, ["night", "fog"], "night")) == [
        "group fog removed",
        'moved "{} in fog." from fog to night',
        'moved "{} in mist." from fog to night',
        'moved "a hazy {}." from fog to night',
    ]


def test_the_first_template_gone_changes_an_init_that_is_not_written():
    assert told(edit.move(OLD, ["in fog"], "night")) == [
        'moved "{} in fog." from fog to night',
        'init of fog: "{} in fog." -> "{} in mist."',
    ]


def test_groups_without_a_common_id_are_matched_by_the_templates_they_share():
    old = [{"id": "a", "templates": ["1", "2", "3"]}, {"id": "b", "templates": ["4", "5"]}]
    new = [{"id": "c", "templates": ["4", "3", "2"]}, {"id": "d", "templates": ["1", "5"]}]
    # one by one, "a" would take "c" (2 shared), and so it does here: 2 + 1 is more than 1 + 1
    assert [(a["id"], b["id"]) for a, b in group_pairs(old, new)] == [("a", "c"), ("b", "d")]
    greedy = [{"id": "c", "templates": ["1", "2", "4", "5"]}, {"id": "d", "templates": ["3"]}]
    assert [(a["id"], b["id"]) for a, b in group_pairs(old, greedy)] == [("a", "d"), ("b", "c")]


def test_an_id_counts_more_than_what_the_groups_share():
    swapped = changed(plain={"id": "night"}, night={"id": "plain"})
    assert [line for line in told(swapped) if "renamed" in line] == []
    assert 'moved "a photo of a {}." from plain to night' in told(swapped)


def test_rewordings_pair_the_likest_texts():
    assert rewordings(["{} in fog.", "{} at night."], ["{} by night.", "{} in the fog", "a red thing {}!"]) == {
        "{} in fog.": "{} in the fog",
        "{} at night.": "{} by night.",
    }
    assert likeness("A {} in fog", "a {} in Fog") == 1
    assert likeness("{} in fog.", "{} at noon") == likeness("{} at noon", "{} in fog.") < 0.7


@given(st.text("ab {}.", max_size=12), st.text("ab {}.", max_size=12))
def test_likeness_is_the_share_of_letter_pairs_counted_as_often_as_they_stand_there(one, other):
    def pairs(text):
        bare = f" {text} "
        return [bare[place : place + 2] for place in range(len(bare) - 1)]

    left, both = pairs(other), 0
    for pair in pairs(one):
        if pair in left:
            left.remove(pair)
            both += 1
    assert likeness(one, other) == 2 * both / (len(pairs(one)) + len(pairs(other)))


def test_one_line_counts_what_is_alike_and_leaves_out_what_a_removal_explains():
    many = edit.add(OLD, [f"{{}} no. {number}." for number in range(5)], "night")
    assert one_line(differences(OLD, many)) == "added 5 templates to night"
    assert one_line(differences(OLD, edit.remove(OLD, ["hazy"]))) == 'removed "a hazy {}." from fog (excluded)'
    assert one_line([]) == "nothing changed"
    two = edit.lock(edit.lock(OLD, "fog"), "night")
    assert one_line(differences(OLD, two)) == "night is locked; fog is locked"


def test_json_has_what_applies():
    moved = differences(OLD, edit.move(OLD, ["hazy"], "night"))
    assert [change.as_dict() for change in moved] == [
        {"kind": "moved", "group": "night", "text": "a hazy {}.", "before": "fog", "after": "night"}
    ]
    noted = differences(OLD, edit.annotate(OLD, "hazy", "rare"))[0].as_dict()
    assert noted == {
        "kind": "changed",
        "group": "fog",
        "text": "a hazy {}.",
        "key": "note",
        "before": None,
        "after": "rare",
    }
    removed = differences(OLD, edit.remove(OLD, ["hazy"]))[0].as_dict()
    assert removed == {"kind": "removed", "group": "fog", "text": "a hazy {}.", "excluded": True}


def test_a_text_that_moves_the_cursor_stays_on_its_line():
    assert told(changed(fog={"title": "a\x1b[2Jb"}))[0] == 'title of fog: none -> "a\\x1b[2Jb"'


# ---- properties


def meaning(document):
    """All that counts of a document, in one comparable form."""
    groups = [
        {
            **{k: v for k, v in group.items() if k not in ("locked", "reviewed") or v},
            "templates": [_facts(item) for item in group["templates"]],
        }
        for group in document["groups"]
    ]
    excluded = {entry["text"]: entry for entry in document.get("excluded", [])}
    return {**{k: v for k, v in document.items() if k != "provenance"}, "groups": groups, "excluded": excluded}


def _facts(item):
    return {k: v for k, v in (item if isinstance(item, dict) else {"text": item}).items() if k != "locked" or v}


@given(group_documents(locks=True))
def test_a_file_does_not_differ_from_itself(document):
    assert differences(document, copy.deepcopy(document)) == []


@given(group_documents(), group_documents())
def test_nothing_that_differs_goes_untold_and_both_ways_tell_as_much(one, other):
    there, back = differences(one, other), differences(other, one)
    assert bool(there) == bool(back) == (_no_null(meaning(one)) != _no_null(meaning(other)))
    counts = [sum(c.kind == kind for c in changes) for changes, kind in ((there, "added"), (back, "removed"))]
    assert counts[0] == counts[1]


def _no_null(value):
    """A note that is null says as much as none."""
    if isinstance(value, dict):
        return {key: _no_null(item) for key, item in value.items() if item is not None}
    return [_no_null(item) for item in value] if isinstance(value, list) else value


@given(group_documents(), st.data())
def test_what_left_and_what_came_is_told_of_each_text(document, data):
    known = st.sampled_from([text for group in document["groups"] for text in texts_of(group)])
    try:
        new = edit.remove(document, data.draw(st.lists(known, min_size=1, max_size=3)))
    except UsageError:
        return
    gone = {text for g in document["groups"] for text in texts_of(g)} - {
        text for g in new["groups"] for text in texts_of(g)
    }
    assert {change.text for change in differences(document, new) if change.kind == "removed"} == gone
