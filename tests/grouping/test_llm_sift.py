"""Sifting: what is mended without loss, what is dropped and why, and which of many are picked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mocoop.groupfile.groups import check, dump_groups
from mocoop.groupfile.templatetext import folded
from mocoop.grouping.llm.sift import diverse, sift

MENDED = {
    "a photo of a {class}.": "a photo of a {}.",
    "a photo of a {c}": "a photo of a {}.",
    "a photo of a {0}": "a photo of a {}.",
    "a photo of a {{}}": "a photo of a {}.",
    "a photo of a { }": "a photo of a {}.",
    "a photo of a {class_name} at night": "a photo of a {} at night.",
    "a [CLASS] at night": "a {} at night.",
    "a [class name] at night": "a {} at night.",
    "a photo of a <object name>": "a photo of a {}.",
    "%s in snow": "{} in snow.",
    "a photo of a CLASS": "a photo of a {}.",
    "a ___ in the rain": "a {} in the rain.",
    "a photo of ${class}": "a photo of {}.",
}
WRITTEN = {
    "A photo of a {}": "a photo of a {}.",
    "  a   photo of a {} . ": "a photo of a {}.",
    '"a photo of a {}."': "a photo of a {}.",
    "“a photo of a {}”": "a photo of a {}.",
    "- a photo of a {}": "a photo of a {}.",
    "12) a photo of a {}!": "a photo of a {}!",
    "a child’s {}": "a child's {}.",
    "SAR image of {}": "SAR image of {}.",
    "{} seen from above": "{} seen from above.",
}
DROPPED = {
    "a photo of a class": "no slot",
    "": "no slot",
    "a {a.b} photo": "no slot",
    "a {} and a {}": "more than one slot",
    "a {class} and {}": "more than one slot",
    "a {} with {brace": "more than one slot",
    "{}": "nothing but the slot",
    "{} !": "nothing but the slot",
    "{} " + "very " * 21 + "late": "too long",
    "{} " + "x" * 200: "too long",
    "{} at " + "ü😀" * 60: "too long",
    "a photo\nof a {}": "control or unreadable characters",
    "a photo\tof\x00 a {}": "control or unreadable characters",
    "a {} \u202eabc": "control or unreadable characters",
    "a {} \ufffd": "control or unreadable characters",
    "a {} <|endoftext|>": "control or unreadable characters",
    "see https://x.example for {}": "an address",
    "mail me@x.example about {}": "an address",
    "example.com photo of {}": "an address",
    "the smell of a {}": "not visible in a picture",
    "a {} that tastes good": "not visible in a picture",
    "I think it is a {}": "talk about the task",
    "Please note that {} is": "talk about the task",
    "as an AI language model, {}": "talk about the task",
    "a template of {}": "talk about the task",
    "a river beside a {}": "a class name",
    "an Annual-Crop field with {}": "a class name",
}


@pytest.mark.parametrize(("text", "kept"), MENDED.items())
def test_a_slot_in_another_spelling_is_mended_and_counted(text: str, kept: str) -> None:
    found = sift([text])
    assert (found.texts, found.repaired, sum(found.dropped.values())) == ((kept,), 1, 0)


@pytest.mark.parametrize(("text", "kept"), WRITTEN.items())
def test_a_template_is_written_as_the_bank_writes(text: str, kept: str) -> None:
    found = sift([text])
    assert (found.texts, found.repaired) == ((kept,), 0)


@pytest.mark.parametrize(("text", "reason"), DROPPED.items())
def test_what_cannot_be_a_template_is_dropped_with_its_reason(text: str, reason: str) -> None:
    found = sift([text, "a photo of a {}."], ["River", "annual crop", "a"])
    assert found.texts == ("a photo of a {}.",)
    assert dict(found.dropped) == {reason: 1}


def test_repetitions_are_dropped_once_exact_and_once_folded() -> None:
    found = sift(["a photo of a {}.", "a photo of a {}", "A photo of the {}.", "photo of {}!"])
    assert found.texts == ("a photo of a {}.", "photo of {}!")
    assert found.dropped == {"repeated": 1, "repeated but for case, article or full stop": 1}


def test_a_word_inside_a_word_is_no_class_name() -> None:
    assert sift(["a driver's {}."], ["river"]).texts


@given(st.lists(st.text(max_size=60) | st.text(alphabet="a {}%s[]CLASS.\n", max_size=30), max_size=8))
def test_whatever_is_left_makes_a_valid_file(texts: list[str]) -> None:
    kept = sift(texts).texts
    assert len({folded(text) for text in kept}) == len(kept)
    if kept:
        document = {"schema_version": 1, "domain": "x", "groups": [{"id": "g", "templates": list(kept)}]}
        assert not [finding for finding in check(dump_groups(document)) if finding.severity == "error"]


@given(st.lists(st.text(max_size=60), max_size=8))
def test_sifting_twice_changes_nothing(texts: list[str]) -> None:
    kept = sift(texts).texts
    assert sift(kept).texts == kept


def test_the_most_unlike_are_picked_and_keep_their_order() -> None:
    texts = ["a blurry photo of a {}.", "a blurry picture of a {}.", "a very blurry photo of a {}.", "{} in thick fog."]
    assert diverse(texts, 2) == (texts[0], texts[3])
    assert diverse(texts, 3) == (texts[0], texts[1], texts[3])
    assert diverse(texts, 9) == tuple(texts)
    assert diverse([], 3) == ()
