"""Controls: the same sizes, something else inside, the same bytes for the same seed, and valid whatever the file."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mocoop.errors import UsageError
from mocoop.groupfile.groups import RULES, check, dump_groups, parse_groups
from mocoop.groupfile.templatetext import folded
from mocoop.grouping.control import KINDS, control_of
from mocoop.grouping.paper import paper_groups, paper_names


def file_of(*groups, **more):
    listed = [
        {"id": f"g{n}", "templates": list(group)} if not isinstance(group, dict) else group
        for n, group in enumerate(groups)
    ]
    return parse_groups(dump_groups({"schema_version": 1, "domain": "maps", "groups": listed, **more}))


def made(file, kind, seed=0):
    return parse_groups(dump_groups(control_of(file, kind, seed).document))


def partition(file):
    return {frozenset(group.texts) for group in file.groups}


def sizes(file):
    return [len(group.templates) for group in file.groups]


PAPER = {name: parse_groups(paper_groups(name)) for name in paper_names()}
PINNED_RANDOM = [("a {} at dusk.", "a blue {}."), ("a red {}.",), ("a big {}.",)]
PINNED_WAFFLE = [
    ("a photo of a {}, which has comment.", "a photo of a {}, which has nkcn."),
    ("a photo of a {}, which has interest.",),
    ("a photo of a {}, which has axiom series.",),
]
TEXTS = st.lists(
    st.from_regex(r"[a-z]{1,8} [a-z ]{0,8}\{\}[a-z ]{0,8}", fullmatch=True), min_size=3, max_size=20, unique=True
)


@pytest.mark.parametrize("name", PAPER)
@pytest.mark.parametrize("kind", KINDS)
def test_every_paper_set_has_every_control_and_it_is_valid(name, kind):
    file = PAPER[name]
    control = made(file, kind)
    assert sizes(control) == sizes(file)
    assert control.sha256 != file.sha256
    warned = {finding.code for finding in control.findings if RULES[finding.code].severity == "warning"}
    assert not warned & {"G104", "G113", "G117", "G118"} - {finding.code for finding in file.findings}
    assert control.document["description"].startswith("A control")
    assert control.name.startswith(f"control-{kind}-0-")
    step = control.document["provenance"]["steps"][-1]
    assert (step["step"], step["algorithm"], step["seed"]) == ("control", kind, 0)
    assert "at" not in step


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_bytes_and_another_one_another_file(kind):
    file = PAPER["imagenet"]
    again = [dump_groups(control_of(file, kind, seed).document) for seed in (0, 0, 1)]
    assert again[0] == again[1]
    assert again[0] != again[2]


def test_the_draws_are_those_of_every_machine():
    """Pinned: a change of these bytes would make published controls impossible to repeat."""
    file = file_of(["a red {}.", "a blue {}."], ["a big {}."], ["a {} at dusk."])
    assert [group.texts for group in made(file, "random", 7).groups] == PINNED_RANDOM
    assert [group.texts for group in made(file, "waffle", 7).groups] == PINNED_WAFFLE
    assert made(file, "shuffled-init", 7).groups[0].init == "a blue {}."


@given(texts=TEXTS, cut=st.integers(1, 2), seed=st.integers(0, 2**40))
def test_random_deals_every_template_once_and_never_the_same_groups(texts, cut, seed):
    file = file_of(texts[:cut], texts[cut:])
    control = made(file, "random", seed)
    assert sorted(t for g in control.groups for t in g.texts) == sorted(texts)
    assert sizes(control) == sizes(file)
    assert partition(control) != partition(file)


def test_random_differs_even_where_only_few_dealings_are_possible():
    file = file_of(["a {}.", "b {}."], ["c {}."])
    for seed in range(40):
        assert partition(made(file, "random", seed)) != partition(file)


def test_random_is_even_over_what_is_possible():
    file = file_of(["a {}.", "b {}."], ["c {}.", "d {}."])
    drawn = Counter(frozenset(partition(made(file, "random", seed))) for seed in range(300))
    assert len(drawn) == 2  # the third is the file's own
    assert min(drawn.values()) > 110


def test_random_keeps_the_place_of_the_init_and_no_words_about_the_groups():
    group = {"id": "night", "title": "Night", "init": "b {}.", "templates": ["a {}.", "b {}.", "c {}."]}
    control = made(file_of(group, ["d {}.", "e {}."]), "random", 3)
    assert control.groups[0].init == control.groups[0].texts[1]
    assert control.groups[1].init == control.groups[1].texts[0]
    assert [(g.id, g.title) for g in control.groups] == [("random_1", None), ("random_2", None)]


def test_shuffled_init_changes_the_start_and_nothing_else():
    file = file_of(["a {}.", "b {}.", "c {}."], ["d {}."], {"id": "x", "title": "X", "templates": ["e {}.", "f {}."]})
    control = made(file, "shuffled-init", 5)
    assert [g.texts for g in control.groups] == [g.texts for g in file.groups]
    assert [(g.id, g.title) for g in control.groups] == [(g.id, g.title) for g in file.groups]
    assert [g.init != h.init for g, h in zip(control.groups, file.groups, strict=True)] == [True, False, True]
    assert {made(file, "shuffled-init", seed).groups[0].init for seed in range(20)} == {"b {}.", "c {}."}


@given(texts=TEXTS, seed=st.integers(0, 2**40))
def test_waffle_leaves_no_word_that_says_anything(texts, seed):
    file = file_of(texts[:2], texts[2:])
    control = made(file, "waffle", seed)
    said = [template for group in control.groups for template in group.templates]
    assert sizes(control) == sizes(file)
    assert len({folded(t.text) for t in said if t.origin == "control"}) == sum(t.origin == "control" for t in said)
    for group, before in zip(control.groups, file.groups, strict=True):
        for new, old in zip(group.templates, before.templates, strict=True):
            assert new == old if new.origin is None else new.text.startswith("a photo of a {}, which has ")


def test_waffle_keeps_plain_templates_the_sizes_and_the_amount_of_words():
    file = file_of(["a photo of a {}.", "a dark blurry photo of a {} at night."], ["an etching of the {}."])
    control = made(file, "waffle", 2)
    assert control.groups[0].texts[0] == "a photo of a {}."
    assert len(control.groups[0].texts[1].partition("which has ")[2].split()) == 4  # dark, blurry, at, night
    assert len(control.groups[1].texts[0].partition("which has ")[2].split()) == 1
    long = file_of(
        ["a photo of a {} " + " ".join(["wide", "high", "deep", "calm", "warm", "cold"]) + " near far."], ["b {}."]
    )
    assert len(made(long, "waffle").groups[0].texts[0].partition("which has ")[2].split()) == 6


def test_waffle_never_says_the_same_twice():
    words = [f"{a}{b}" for a in "abcdefghijklmn" for b in "opqrstuvwxyz"]
    control = made(file_of([f"a {word} {{}}." for word in words]), "waffle", 1)
    assert len({folded(text) for text in control.groups[0].texts}) == len(words)


def test_waffle_says_no_article_where_classes_take_none():
    assert made(PAPER["ucf101"], "waffle").class_kind == "activity"
    texts = [t for g in made(PAPER["ucf101"], "waffle").groups for t in g.templates if t.origin == "control"]
    assert all(t.text.startswith("a photo of {}, which has") for t in texts)


def test_a_control_fits_with_long_class_names():
    data = dump_groups(control_of(PAPER["imagenet"], "waffle", 1).document)
    codes = {finding.code for finding in check(data, class_names=["yellow-crested southern cockatoo of the islands"])}
    assert "G106" not in codes


def test_locks_reviews_and_metrics_do_not_go_along():
    group = {"id": "a", "locked": True, "reviewed": True, "metrics": {"cohesion": 0.5},
             "templates": [{"text": "a red {}.", "locked": True, "note": "mine"}, "b {}."]}  # fmt: skip
    more = {"metrics": {"embedder": "x"}, "x-mine": 1, "excluded": [{"text": "old {}"}]}
    file = file_of(group, ["c {}."], **more)
    for kind in KINDS:
        control = control_of(file, kind)
        text = json.dumps(control.document)
        assert '"locked"' not in text
        assert '"reviewed"' not in text
        assert '"metrics"' not in text
        assert control.document["x-mine"] == 1
        assert control.document["excluded"] == more["excluded"]
        assert any("locks" in notice for notice in control.notices)
        assert any("metrics" in notice for notice in control.notices)
    assert file.document["groups"][0]["locked"] is True


@pytest.mark.parametrize(
    ("groups", "kind", "message"),
    [
        ([["a {}.", "b {}."]], "random", "one group only"),
        ([["a {}."], ["b {}."]], "random", "single template"),
        ([["a {}."], ["b {}."]], "shuffled-init", "no other init"),
        ([["a photo of a {}."], ["an image of the {}."]], "waffle", "every template is plain"),
    ],
)
def test_where_nothing_can_differ_that_is_said(groups, kind, message):
    with pytest.raises(UsageError, match=message):
        control_of(file_of(*groups), kind)


def test_bad_options():
    with pytest.raises(UsageError, match="the seed is -1"):
        control_of(PAPER["dtd"], "random", -1)
    with pytest.raises(UsageError, match="no control is called 'dice'"):
        control_of(PAPER["dtd"], "dice")


def test_the_command_writes_the_file_and_says_that_it_is_a_control(typed, tmp_path):
    out = tmp_path / "random.json"
    source = tmp_path / "groups.json"
    source.write_bytes(paper_groups("eurosat"))
    done = typed("control", source, "--kind", "random", "--seed", "3", "-o", out)
    assert done.code == 0
    assert "a control for comparison, not for use" in done.err
    assert out.read_bytes() == dump_groups(control_of(PAPER["eurosat"], "random", 3).document)
    assert typed("control", source, "--kind", "random", "-o", out).code == 2
    assert typed("control", source, "--kind", "waffle").out.startswith("{")
    assert typed("control", source).code == 2
    assert typed("control", source, "--kind", "random", "--seed", "-4").code == 2
    assert typed("validate", out).code == 0
