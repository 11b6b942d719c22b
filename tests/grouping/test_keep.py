"""What regrouping keeps: locked groups in place, locked templates by id, exclusions and notes."""

from __future__ import annotations

import pytest

from mocoop.groupfile.groups import dump_groups, parse_groups
from mocoop.grouping.keep import SEEN, Kept, kept_of, texts_of, with_templates

LOCKED = {
    "id": "night",
    "locked": True,
    "init": "{} at night.",
    "templates": ["{} after dark.", "{} at night."],
    "x-a": 1,
}
EARLIER = {
    "schema_version": 1,
    "x-team": "birds",
    "domain": "birds",
    "groups": [
        {"id": "plain", "templates": ["a photo of a {}."]},
        LOCKED,
        {
            "id": "snow",
            "title": "Winter",
            "init": "{} in snow.",
            "templates": [{"text": "{} on ice.", "locked": True}, "{} in snow."],
        },
    ],
    "excluded": [{"text": "a bad photo of a {}.", "by": "person"}],
    "provenance": {"steps": [{"step": "edit"}]},
}


def kept(**changes) -> Kept:
    return kept_of(parse_groups(dump_groups({**EARLIER, **changes})))


def group(id_, *templates):
    return {"id": id_, "templates": list(templates)}


def test_nothing_is_kept_where_there_is_no_earlier_file():
    nothing = kept_of(None)
    new = [group("a", "{} one."), group("b", "{} two.")]
    assert nothing.weave(new) == new
    assert nothing.carry({"domain": "x"}) == {"domain": "x"}
    assert nothing.notice() is None


def test_a_locked_group_replaces_the_new_one_of_its_id_and_keeps_its_place():
    woven = kept().weave([group("night", "{} in the dark."), group("fog", "{} in fog."), group("rain", "{} in rain.")])
    assert [g["id"] for g in woven] == ["fog", "night", "rain", "snow"]
    assert woven[1] == LOCKED


def test_locked_templates_come_first_in_the_group_of_their_id():
    woven = kept().weave([group("snow", "{} covered in snow.", "{} on ice")])
    snow = next(g for g in woven if g["id"] == "snow")
    assert snow["templates"] == [{"text": "{} on ice.", "locked": True}, "{} covered in snow."]
    assert snow["title"] == "Winter"
    assert snow["init"] == "{} on ice."  # its old init was not locked, and is gone


def test_an_init_that_comes_back_stays_the_init_though_another_is_locked():
    woven = kept().weave([group("snow", "{} covered in snow.", "{} in snow.")])
    snow = next(g for g in woven if g["id"] == "snow")
    assert texts_of(snow) == ("{} on ice.", "{} covered in snow.", "{} in snow.")
    assert snow["init"] == "{} in snow."
    first = [{"id": "snow", "templates": ["{} in snow.", {"text": "{} on ice.", "locked": True}]}]  # init by its place
    woven = kept(groups=first).weave([group("snow", "{} in snow.")])
    assert woven[0]["init"] == "{} in snow."


def test_what_joins_a_reviewed_group_is_not_reviewed():
    reviewed = [{**g, "reviewed": True} for g in EARLIER["groups"]]
    woven = kept(groups=reviewed).weave([group("snow", "{} covered in snow.")])
    snow = next(g for g in woven if g["id"] == "snow")
    assert snow["reviewed"] is False
    assert snow[SEEN] == ["{} on ice."]


@pytest.mark.parametrize("spelling", ["a bad photo of a {}.", "A bad photo of the {}", "a  bad photo of a {}"])
def test_what_was_excluded_does_not_come_back_however_it_is_spelt(spelling):
    woven = kept().weave([group("bad", spelling), group("fog", spelling, "{} in fog.")])
    assert [g["id"] for g in woven] == ["fog", "night", "snow"]
    assert woven[0]["templates"] == ["{} in fog."]


def test_a_twin_that_was_left_in_may_come_back():
    both = [*EARLIER["groups"], group("bad", "a bad photo of the {}.")]
    earlier = kept(groups=both)
    assert earlier.allows("a bad photo of the {}.")
    assert not earlier.allows("a bad photo of a {}.")


def test_what_a_kept_group_holds_is_not_taken_in_twice():
    assert kept().weave([group("fog", "{} at night.", "{} on ice.", "{} in fog.")])[0]["templates"] == ["{} in fog."]


def test_the_bounds_never_cut_what_is_kept():
    new = [group("fog", "{} in fog."), group("rain", "{} in rain."), group("snow", "{} covered in snow.")]
    assert [g["id"] for g in kept().weave(new, count=3)] == ["fog", "night", "snow"]
    assert [g["id"] for g in kept().weave(new, count=1)] == ["snow", "night"]
    snow = kept().weave(new, per_group=1)[-1]
    assert snow["templates"] == [{"text": "{} on ice.", "locked": True}]


def test_notes_and_exclusions_are_carried_over_and_provenance_is_not():
    carried = kept().carry({"schema_version": 1, "domain": "owls", "groups": [], "provenance": {"steps": []}})
    assert carried["x-team"] == "birds"
    assert carried["domain"] == "owls"
    assert carried["excluded"] == EARLIER["excluded"]
    assert carried["provenance"] == {"steps": []}
    assert [*carried][-1] == "provenance"


def test_it_says_what_stays():
    said = "kept from the earlier file: 1 locked group, 1 locked template, 1 excluded template"
    assert kept().notice() == said
    assert kept(excluded=[], groups=EARLIER["groups"][:1]).notice() is None


def test_an_init_that_is_gone_becomes_the_first():
    changed = with_templates({"id": "a", "init": "{} x.", "templates": ["{} x.", "{} y."]}, ["{} y."])
    assert changed == {"id": "a", "init": "{} y.", "templates": ["{} y."]}
