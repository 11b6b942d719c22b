"""Changes of a document: what moves, what stays as it was, what is refused, and what always holds."""

from __future__ import annotations

import copy

import pytest
from group_strategies import group_documents, template_texts
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mocoop.errors import UsageError
from mocoop.groupfile.groups import dump_groups, parse_groups
from mocoop.grouping.editing import edit
from mocoop.grouping.editing.lookup import find, group_of, init_of
from mocoop.grouping.editing.reviewed import mark_seen, seen
from mocoop.grouping.keep import SEEN, kept_of, text_of, texts_of

BIRDS = {
    "schema_version": 1,
    "x-team": "birds",
    "domain": "birds",
    "groups": [
        {"id": "plain", "templates": ["a photo of a {}.", {"text": "the {}.", "note": "short", "x-n": 1}]},
        {"id": "night", "title": "Night", "init": "{} at night.", "templates": ["{} after dark.", "{} at night."]},
        {"id": "fog", "templates": ["{} in fog.", "{} in mist.", "a hazy {}."], "x-seen-by": "Ada"},
    ],
    "excluded": [{"text": "a bad {}.", "reason": "insulting", "by": "person"}],
    "provenance": {"steps": [{"step": "generate"}]},
}


def birds(**changes):
    return {**copy.deepcopy(BIRDS), **changes}


def locked_birds():
    document = birds()
    document["groups"][1]["locked"] = True
    document["groups"][2]["templates"][0] = {"text": "{} in fog.", "locked": True}
    return document


def valid(document):
    return parse_groups(dump_groups(document))


def texts(document):
    return sorted(text for group in document["groups"] for text in texts_of(group))


def refused(words, hint=""):
    return pytest.raises(UsageError, match=words) if not hint else pytest.raises(UsageError, match=f"{words}.*{hint}")


# ---- add


def test_add_puts_texts_at_the_end_and_leaves_the_rest_as_it_was():
    changed = edit.add(birds(), ["{} by moonlight.", "{} at dusk."], "night")
    night = {**BIRDS["groups"][1], "templates": ["{} after dark.", "{} at night.", "{} by moonlight.", "{} at dusk."]}
    assert changed == {**BIRDS, "groups": [BIRDS["groups"][0], night, BIRDS["groups"][2]]}
    assert list(changed) == list(BIRDS)


def test_add_makes_a_group_of_its_own():
    changed = edit.add_group(birds(), ["{} in rain."], "rain", "Rain")
    assert changed["groups"][-1] == {"id": "rain", "title": "Rain", "templates": ["{} in rain."]}


def test_what_a_person_adds_again_is_no_longer_excluded():
    assert "excluded" not in edit.add(birds(), ["a bad {}."], "plain")
    two = [*BIRDS["excluded"], {"text": "an ugly {}.", "by": "person"}]
    assert edit.add(birds(excluded=two), ["a bad {}."], "plain")["excluded"] == two[1:]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a photo.", "no slot"),
        ("{} and {}.", "2 slots"),
        ("{}", "nothing beside the slot"),
        ("{} in\nfog.", "U\\+000A"),
        ("{} <|endoftext|>", "spells the token"),
        ("{} in fog.", "stands already in the group fog"),
    ],
)
def test_add_refuses_what_is_no_new_template(text, words):
    with refused(words):
        edit.add(birds(), [text], "night")
    with refused(words):
        edit.add_group(birds(), [text], "new")


def test_add_refuses_a_text_given_twice_and_groups_that_are_not_there():
    with refused("given twice"):
        edit.add(birds(), ["{} x.", "{} x."], "night")
    with refused("no group is called", "did you mean night"):
        edit.add(birds(), ["{} x."], "nigth")
    with refused("there is a group night already"):
        edit.add_group(birds(), ["{} x."], "night")
    with refused("cannot be a group's id", "lower-case letters"):
        edit.add_group(birds(), ["{} x."], "By Night")


# ---- remove


def test_remove_excludes_and_keeps_the_reason():
    changed = edit.remove(birds(), ["HAZY", "{} in fog."], "too rare")
    assert texts_of(group_of(changed, "fog")) == ("{} in mist.",)
    assert changed["excluded"] == [
        *BIRDS["excluded"],
        {"text": "a hazy {}.", "reason": "too rare", "by": "person"},
        {"text": "{} in fog.", "reason": "too rare", "by": "person"},
    ]


def test_the_list_of_what_is_excluded_comes_before_metrics_and_provenance():
    document = birds()
    del document["excluded"]
    assert list(edit.remove(document, ["hazy"])) == list(BIRDS)
    assert edit.remove(document, ["hazy"])["excluded"] == [{"text": "a hazy {}.", "by": "person"}]


def test_what_was_removed_does_not_come_back_and_what_was_added_again_may():
    removed = edit.remove(birds(), ["hazy"])
    assert not kept_of(valid(removed)).allows("A hazy {}")
    again = edit.add(removed, ["a hazy {}."], "plain")
    assert "a hazy {}." not in {entry["text"] for entry in again["excluded"]}
    assert kept_of(valid(edit.remove(again, ["in mist"]))).allows("a hazy {}.")


def test_an_init_that_is_removed_becomes_the_first():
    assert group_of(edit.remove(birds(), ["at night"]), "night")["init"] == "{} after dark."


def test_remove_leaves_no_group_empty_unless_asked():
    with refused("leave the group night without a template", "--group night"):
        edit.remove(birds(), ["at night", "after dark"])
    changed = edit.remove_group(birds(), "night", "by day only")
    assert [group["id"] for group in changed["groups"]] == ["plain", "fog"]
    assert [entry["text"] for entry in changed["excluded"][1:]] == ["{} after dark.", "{} at night."]
    with refused("night is the only group"):
        edit.remove_group(birds(groups=[BIRDS["groups"][1]]), "night")


def test_a_text_is_excluded_once_with_the_newest_reason():
    document = edit.add(birds(), ["a bad {}."], "plain")
    document["excluded"] = [{"text": "a bad {}.", "by": "filter"}]
    assert edit.remove(document, ["bad"], "again")["excluded"] == [
        {"text": "a bad {}.", "reason": "again", "by": "person"}
    ]


# ---- rename


def test_rename_changes_title_description_and_id_in_their_place():
    changed = edit.rename(birds(), "night", new_id="dark", title="Dark", description="Little light.")
    group = changed["groups"][1]
    assert list(group) == ["id", "title", "description", "init", "templates"]
    assert (group["id"], group["title"], group["description"]) == ("dark", "Dark", "Little light.")
    assert edit.rename(birds(), "night", title="")["groups"][1] == {
        key: value for key, value in BIRDS["groups"][1].items() if key != "title"
    }


def test_metrics_that_name_a_renamed_group_follow():
    document = birds()
    document["groups"][0]["metrics"] = {"cohesion": 0.5, "nearest_group": "fog"}
    assert edit.rename(document, "fog", new_id="mist")["groups"][0]["metrics"]["nearest_group"] == "mist"


def test_rename_refuses_a_taken_id():
    with refused("there is a group fog already"):
        edit.rename(birds(), "night", new_id="fog")


# ---- move, merge, split


def test_move_takes_the_template_as_it_is_written():
    changed = edit.move(birds(), ["the {}."], "night")
    assert group_of(changed, "night")["templates"][-1] == {"text": "the {}.", "note": "short", "x-n": 1}
    assert group_of(changed, "plain")["templates"] == ["a photo of a {}."]


def test_moving_the_first_template_of_a_group_moves_its_init_on():
    changed = edit.move(birds(), ["a photo of a {}."], "fog")
    assert init_of(group_of(changed, "plain")) == "the {}."
    assert init_of(group_of(changed, "fog")) == "{} in fog."


def test_moving_to_where_it_is_changes_nothing():
    assert edit.move(birds(), ["hazy"], "fog") == BIRDS


def test_move_leaves_no_group_empty():
    with refused("leave the group night without a template", "merge night"):
        edit.move(birds(), ["at night", "after dark"], "fog")
    changed = edit.move_to_new(birds(), ["at night", "in fog"], "dim", "Dim")
    assert changed["groups"][-1] == {"id": "dim", "title": "Dim", "templates": ["{} at night.", "{} in fog."]}


def test_merge_into_one_of_them_keeps_its_words_and_init_and_the_notes_of_both():
    changed = edit.merge(birds(), ["fog", "night"], "night")
    assert [group["id"] for group in changed["groups"]] == ["plain", "night"]
    assert changed["groups"][1] == {
        "id": "night",
        "title": "Night",
        "init": "{} at night.",
        "templates": ["{} after dark.", "{} at night.", "{} in fog.", "{} in mist.", "a hazy {}."],
        "x-seen-by": "Ada",
    }


def test_merge_into_a_new_group_takes_the_place_of_the_first_and_no_title():
    changed = edit.merge_to_new(birds(), ["night", "fog"], "dim")
    assert [group["id"] for group in changed["groups"]] == ["plain", "dim"]
    assert "title" not in changed["groups"][1]
    assert edit.merge_to_new(birds(), ["night", "fog"], "dim", "Dim")["groups"][1]["title"] == "Dim"


def test_notes_that_meet_in_a_merge_are_both_kept():
    document = birds()
    document["groups"][1]["x-seen-by"] = "Bo"
    merged = edit.merge(document, ["night", "fog"], "night")["groups"][1]
    assert (merged["x-seen-by"], merged["x-seen-by-fog"]) == ("Bo", "Ada")


def test_merge_needs_two_groups():
    with refused("one group alone"):
        edit.merge(birds(), ["night", "night"], "night")
    with refused("no group is called"):
        edit.merge(birds(), ["night", "nothing"], "night")


def test_split_puts_the_new_group_right_after():
    changed = edit.split_off(birds(), "night", ["after dark"], "dusk", "Dusk")
    assert [group["id"] for group in changed["groups"]] == ["plain", "night", "dusk", "fog"]
    assert group_of(changed, "dusk") == {"id": "dusk", "title": "Dusk", "templates": ["{} after dark."]}
    with refused("no template of the group night is or holds"):
        edit.split_off(birds(), "night", ["in fog"], "dusk")


def test_split_into_parts_keeps_the_id_where_the_init_is():
    parts = [["{} in mist."], ["{} in fog."], ["a hazy {}."]]
    changed = edit.split_into(birds(), "fog", parts)
    assert [(g["id"], texts_of(g)) for g in changed["groups"][2:]] == [
        ("fog", ("{} in fog.",)),
        ("fog-2", ("{} in mist.",)),
        ("fog-3", ("a hazy {}.",)),
    ]
    titled = edit.split_into(birds(), "night", [["{} at night."], ["{} after dark."]])
    assert group_of(titled, "night-2")["title"] == "Night (2)"


# ---- init, locks, wording, notes


def test_set_init_names_the_template_before_the_list():
    changed = edit.set_init(birds(), "fog", "hazy")
    assert list(changed["groups"][2]) == ["id", "init", "templates", "x-seen-by"]
    assert changed["groups"][2]["init"] == "a hazy {}."
    with refused("no template of the group fog is or holds"):
        edit.set_init(birds(), "fog", "at night")


def test_lock_and_unlock_restore_a_group_and_a_template():
    for target in ("night", "{} in fog.", "the {}."):
        locked = edit.lock(birds(), target)
        assert locked != BIRDS
        assert edit.lock(locked, target, on=False) == BIRDS
    assert group_of(edit.lock(birds(), "in fog"), "fog")["templates"][0] == {"text": "{} in fog.", "locked": True}
    with refused("no group is called .*, and no template"):
        edit.lock(birds(), "nothing")


LOCKED_EDITS = {
    "add": lambda d: edit.add(d, ["{} x."], "night"),
    "remove of a group's": lambda d: edit.remove(d, ["at night"]),
    "remove": lambda d: edit.remove(d, ["in fog"]),
    "remove a group": lambda d: edit.remove_group(d, "night"),
    "remove a group of a locked template": lambda d: edit.remove_group(d, "fog"),
    "rename": lambda d: edit.rename(d, "night", title="x"),
    "move": lambda d: edit.move(d, ["in fog"], "plain"),
    "move out": lambda d: edit.move(d, ["at night"], "plain"),
    "move in": lambda d: edit.move(d, ["hazy"], "night"),
    "move to new": lambda d: edit.move_to_new(d, ["in fog"], "new"),
    "merge into": lambda d: edit.merge(d, ["plain"], "night"),
    "merge": lambda d: edit.merge(d, ["plain", "fog"], "plain"),
    "merge to new": lambda d: edit.merge_to_new(d, ["fog", "plain"], "new"),
    "split": lambda d: edit.split_off(d, "fog", ["in fog"], "new"),
    "split in two": lambda d: edit.split_into(d, "night", [["{} at night."], ["{} after dark."]]),
    "set-init": lambda d: edit.set_init(d, "night", "after dark"),
    "reword": lambda d: edit.reword(d, "in fog", "{} in thick fog."),
    "reword in a group": lambda d: edit.reword(d, "at night", "{} by night."),
    "other lines": lambda d: edit.replace_members(d, "fog", ["{} in mist."], None),
}


@pytest.mark.parametrize("name", LOCKED_EDITS)
def test_what_is_locked_refuses_and_says_how_to_unlock(name):
    with refused("is locked", "mocoop-groups lock FILE .* --off"):
        LOCKED_EDITS[name](locked_birds())


def test_a_locked_template_stays_while_the_rest_of_its_group_may_change():
    changed = edit.move(locked_birds(), ["hazy"], "plain")
    assert texts_of(group_of(changed, "fog")) == ("{} in fog.", "{} in mist.")
    assert edit.merge(locked_birds(), ["plain", "fog"], "fog")["groups"][-1]["templates"][0]["locked"]


def test_reword_keeps_place_notes_and_init():
    changed = edit.reword(birds(), "at night", "{} by night.")
    assert group_of(changed, "night") == {
        **BIRDS["groups"][1],
        "init": "{} by night.",
        "templates": ["{} after dark.", "{} by night."],
    }
    noted = edit.reword(birds(), "the {}.", "this {}.")["groups"][0]["templates"][1]
    assert noted == {"text": "this {}.", "note": "short", "x-n": 1}
    assert edit.reword(birds(), "hazy", "a hazy {}.") == BIRDS
    with refused("stands already"):
        edit.reword(birds(), "hazy", "{} in fog.")


def test_a_note_makes_a_text_an_object_and_its_removal_a_text_again():
    noted = edit.annotate(birds(), "hazy", "rare")
    assert group_of(noted, "fog")["templates"][2] == {"text": "a hazy {}.", "note": "rare"}
    assert edit.annotate(noted, "hazy", "") == BIRDS


# ---- naming a template


def test_a_template_is_named_by_its_text_or_a_part_that_no_other_has():
    assert find(BIRDS, "the {}.") == "the {}."
    assert find(BIRDS, "AFTER dark") == "{} after dark."
    with refused("2 templates of the file hold", r"name one of them: \"\{\} in fog.\", \"\{\} in mist.\""):
        find(BIRDS, "{} in")
    with refused("no template of the file is or holds", "did you mean .*after dark"):
        find(BIRDS, "{} aftr dark.")
    with refused("no template"):
        find(BIRDS, " ")


def test_a_whole_text_wins_over_longer_ones_that_hold_it():
    document = birds()
    document["groups"][0]["templates"].append("not the {}.")
    assert find(document, "the {}.") == "the {}."


# ---- reviewed


def reviewed_birds():
    document = birds()
    document["groups"][2]["reviewed"] = True
    return document


def test_a_template_that_joins_a_reviewed_group_is_the_only_one_left_to_review():
    fog = group_of(edit.move(reviewed_birds(), ["at night"], "fog"), "fog")
    assert fog["reviewed"] is False
    assert fog[SEEN] == ["{} in fog.", "{} in mist.", "a hazy {}."]
    again = group_of(mark_seen({"groups": [fog]}, ["{} at night."]), "fog")
    assert again["reviewed"] is True
    assert SEEN not in again


def test_a_reviewed_group_stays_reviewed_when_a_template_leaves():
    assert group_of(edit.remove(reviewed_birds(), ["hazy"]), "fog")["reviewed"] is True


def test_a_reworded_template_is_to_be_reviewed():
    fog = group_of(edit.reword(reviewed_birds(), "hazy", "a misty {}."), "fog")
    assert seen(fog) == {"{} in fog.", "{} in mist."}


def test_the_last_template_seen_makes_the_group_reviewed():
    once = mark_seen(birds(), ["{} at night."])
    assert once["groups"][1][SEEN] == ["{} at night."]
    assert list(once["groups"][1]) == ["id", "title", "init", SEEN, "templates"]
    twice = mark_seen(once, ["{} after dark."])
    assert twice["groups"][1] == {**BIRDS["groups"][1], "reviewed": True}
    assert once["groups"][0] is not None
    assert mark_seen(birds(), []) == BIRDS


def test_marks_that_somebody_else_made_of_the_key_are_no_templates():
    document = birds()
    document["groups"][1][SEEN] = "yes"
    assert seen(document["groups"][1]) == set()


# ---- properties


@st.composite
def edits(draw):
    """A document and one change of it; what the change cannot do raises UsageError."""
    document = draw(group_documents(locks=True))
    ids = st.sampled_from([group["id"] for group in document["groups"]])
    known = st.sampled_from([text for group in document["groups"] for text in texts_of(group)])
    some = st.lists(known, min_size=1, max_size=3)
    new = st.one_of(st.just("new"), ids)
    change = draw(
        st.one_of(
            st.builds(lambda a, b: lambda d: edit.add(d, [a], b), template_texts(), ids),
            st.builds(lambda a, b: lambda d: edit.add_group(d, [a], b), template_texts(), new),
            st.builds(lambda a, r: lambda d: edit.remove(d, a, r), some, st.sampled_from([None, "why"])),
            st.builds(lambda a: lambda d: edit.remove_group(d, a), ids),
            st.builds(lambda a, b, t: lambda d: edit.rename(d, a, new_id=b, title=t), ids, new, st.just("T")),
            st.builds(lambda a, b: lambda d: edit.set_init(d, b, a), known, ids),
            st.builds(lambda a, b: lambda d: edit.lock(d, a, b), st.one_of(ids, known), st.booleans()),
            st.builds(lambda a, b: lambda d: edit.reword(d, a, b), known, template_texts()),
            st.builds(lambda a, b: lambda d: edit.annotate(d, a, b), known, st.sampled_from(["", "n"])),
            st.builds(lambda a: lambda d: mark_seen(d, a), some),
            regroupings(ids, some, new),
        )
    )
    return document, change


def regroupings(ids, some, new):
    return st.one_of(
        st.builds(lambda a, b: lambda d: edit.move(d, a, b), some, ids),
        st.builds(lambda a, b: lambda d: edit.move_to_new(d, a, b), some, new),
        st.builds(lambda a, b: lambda d: edit.merge(d, a, b), st.lists(ids, min_size=1, max_size=4), ids),
        st.builds(lambda a, b: lambda d: edit.merge_to_new(d, a, b), st.lists(ids, min_size=1, max_size=4), new),
        st.builds(lambda a, b, c: lambda d: edit.split_off(d, a, b, c), ids, some, new),
    )


@settings(max_examples=40)
@given(edits())
def test_whatever_an_edit_gives_is_valid_and_the_given_document_is_untouched(drawn):
    document, change = drawn
    before = copy.deepcopy(document)
    valid(document)
    try:
        changed = change(document)
    except UsageError:
        changed = document
    assert document == before
    valid(changed)
    assert dump_groups(parse_groups(dump_groups(changed)).document) == dump_groups(changed)


@settings(max_examples=40)
@given(st.data())
def test_moving_merging_and_splitting_conserve_the_templates_and_their_notes(data):
    document = data.draw(group_documents())
    ids = st.sampled_from([group["id"] for group in document["groups"]])
    known = st.sampled_from([text for group in document["groups"] for text in texts_of(group)])
    change = data.draw(regroupings(ids, st.lists(known, min_size=1, max_size=3), st.one_of(st.just("new"), ids)))
    try:
        changed = change(document)
    except UsageError:
        assume(False)
    key = lambda item: text_of(item)  # noqa: E731
    assert sorted((i for g in changed["groups"] for i in g["templates"]), key=key) == sorted(
        (i for g in document["groups"] for i in g["templates"]), key=key
    )
    assert changed.get("excluded") == document.get("excluded")


@settings(max_examples=40)
@given(edits())
def test_a_locked_group_and_a_locked_template_are_where_they_were(drawn):
    document, change = drawn
    held = {g["id"]: g for g in document["groups"] if g.get("locked")}
    anchored = {text_of(i): g["id"] for g in document["groups"] for i in g["templates"] if edit.is_locked(i)}
    try:
        changed = change(document)
    except UsageError:
        return
    ids = {group["id"] for group in changed["groups"]}
    homes = {text: group["id"] for group in changed["groups"] for text in texts_of(group)}
    for id_, group in held.items():
        assert id_ in ids
        assert texts_of(group_of(changed, id_)) == texts_of(group)
    for text, id_ in anchored.items():
        assert homes[text] in (id_, "new", *(ids - set(edit.group_ids_of(document))))
        if id_ in ids:
            assert homes[text] == id_


@settings(max_examples=40)
@given(group_documents(min_groups=2), st.data())
def test_what_is_split_off_and_merged_back_is_the_group_again(document, data):
    group = data.draw(st.sampled_from(document["groups"]))
    assume(len(group["templates"]) > 1 and "new" not in edit.group_ids_of(document))
    tail = list(texts_of(group))[1:]
    assume(init_of(group) == texts_of(group)[0])
    apart = edit.split_off(document, group["id"], tail, "new")
    together = edit.merge(apart, [group["id"], "new"], group["id"])
    assert texts(together) == texts(document)
    assert texts_of(group_of(together, group["id"])) == texts_of(group)
