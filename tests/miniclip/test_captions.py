"""Captions: one slot each, every style with many wordings, and the words of the bank that miniclip must know."""

from __future__ import annotations

import numpy as np
import pytest

from mocoop.miniclip import captions
from mocoop.miniclip.layouts import CLASSES
from mocoop.miniclip.styles import DOWNSTREAM, STYLES

REMOTE_SENSING = {"remote_sensing", "satellite", "aerial", "overhead"}


def test_every_template_has_one_slot() -> None:
    for wordings in captions.templates().values():
        for template in wordings:
            assert template.count("{}") == 1
            assert template.replace("{}", "").count("{") == 0


def test_every_style_has_many_wordings_and_none_is_shared() -> None:
    by_style = captions.templates()
    assert set(by_style) == {None, *STYLES}
    every = [template for wordings in by_style.values() for template in wordings]
    assert len(every) == len(set(every))
    assert all(len(by_style[style]) >= 6 for style in STYLES)
    assert len(by_style[None]) >= 20


@pytest.mark.parametrize("style", [style for style in DOWNSTREAM if style != "plain"])
def test_the_group_of_a_style_words_that_style(style: str) -> None:
    assert set(captions.bank()[STYLES[style].aspect]) <= set(captions.templates()[style])


@pytest.mark.parametrize(
    ("template", "style"),
    [
        ("a satellite image of {}.", "plain"),
        ("a thermal camera image of {}.", "thermal"),
        ("a lidar scan of {}.", "elevation"),
        ("a radar image of {}.", "radar"),
        ("{} in winter seen from above.", "winter"),
        ("a photo of a {}.", None),
        ("an aerial photo of {}.", None),
        ("{}.", None),
    ],
)
def test_a_template_stands_under_the_style_it_names(template: str, style: str | None) -> None:
    found = [name for name, wordings in captions.templates().items() if template in wordings]
    assert found == [style]


def test_every_class_has_other_names_and_no_two_classes_share_one() -> None:
    every = [name for class_name in CLASSES for name in captions.names(class_name)]
    assert len(every) == len(set(every))
    assert all(len(captions.names(class_name)) >= 2 for class_name in CLASSES)


def test_random_captions_are_sentences_about_what_was_asked() -> None:
    rng = np.random.default_rng(0)
    for class_name in CLASSES:
        for style in (None, *STYLES):
            text = captions.random_caption(style, class_name, rng)
            assert any(name in text for name in captions.names(class_name))
            assert "{" not in text
            assert not {"a a", "a an", "a the", "the the", "the a"} & {
                " ".join(pair) for pair in zip(text.split(), text.split()[1:], strict=False)
            }
    assert any(name in captions.random_caption("night", None, rng) for name in captions.NAMES_OF_ANYTHING)


def test_a_drawing_repeats_with_its_seed() -> None:
    one, other = ([captions.random_caption("map", "lake", np.random.default_rng(7)) for _ in range(3)] for _ in "ab")
    assert one == other
