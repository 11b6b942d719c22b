"""Filling, tokenising and finding contexts."""

from __future__ import annotations

import pytest
from towers import clip_tokenizer

from mocoop.backbone.prompts import without_full_stop
from mocoop.errors import DataError, GroupFileError

NAMES = ["golden retriever", "sea snake", "annual crop land", "airport"]


@pytest.fixture(scope="module")
def tokenizer():
    return clip_tokenizer()


def words(context_ids):
    import open_clip

    decoder = open_clip.SimpleTokenizer().decoder
    return [decoder[i].replace("</w>", "") for i in context_ids]


@pytest.mark.parametrize(
    ("template", "before", "after"),
    [
        ("a photo of a {}.", ["a", "photo", "of", "a"], ["."]),
        ("a close-up photo of the {}.", ["a", "close", "-", "up", "photo", "of", "the"], ["."]),
        ("{} texture.", [], ["texture", "."]),
        ("itap of my {}", ["itap", "of", "my"], []),
        ("a {} seen from above.", ["a"], ["seen", "from", "above", "."]),
    ],
)
def test_context_is_what_all_classes_share(tokenizer, template, before, after):
    (context,) = tokenizer.contexts([template], NAMES)
    assert words(context.after) == after
    assert "".join(words(context.before)) == "".join(before)


def test_a_name_that_merges_with_the_full_stop_keeps_that_token_as_written(tokenizer):
    (context,) = tokenizer.contexts(["a photo of {}."], [*NAMES, "u.s."])
    assert words(context.before) == ["a", "photo", "of"]
    assert context.after == ()
    rows = tokenizer.learned_rows([context], [*NAMES, "u.s."])
    assert int((rows.learned >= 0).sum(-1).min()) == int((rows.learned >= 0).sum(-1).max()) == 3


def test_a_slot_glued_to_an_s(tokenizer):
    (context,) = tokenizer.contexts(["many {}s."], ["dog", "fox"])
    assert words(context.before) == ["many"]
    assert words(context.after) == ["."]


def test_classes_that_share_a_first_word_do_not_lend_it_to_the_context(tokenizer):
    (context,) = tokenizer.contexts(["a photo of {}."], ["dense forest", "dense town"])
    assert words(context.before) == ["a", "photo", "of"]


def test_nothing_to_learn_is_refused(tokenizer):
    with pytest.raises(GroupFileError, match="no token of its own"):
        tokenizer.contexts(["{}"], NAMES)


def test_a_new_class_that_changes_the_context_is_refused_by_name(tokenizer):
    contexts = tokenizer.contexts(["a photo of {}."], NAMES)
    with pytest.raises(DataError, match=r"'u\.s\.'.*'a photo of \{\}\.'"):
        tokenizer.learned_rows(contexts, ["u.s."])


def test_too_long_names_template_class_and_count(tokenizer):
    with pytest.raises(DataError, match=r"has 4[0-9] tokens, the backbone takes 40"):
        tokenizer.rows(["a photo of {}."], ["dog", "very " * 36 + "long"])


def test_learned_rows_point_into_one_table_expert_after_expert(tokenizer):
    contexts = tokenizer.contexts(["a photo of a {}.", "{} texture."], NAMES)
    rows = tokenizer.learned_rows(contexts, NAMES)
    for c in range(len(NAMES)):
        assert rows.learned[0, c][rows.learned[0, c] >= 0].tolist() == [0, 1, 2, 3, 4]
        assert rows.learned[1, c][rows.learned[1, c] >= 0].tolist() == [5, 6]
    ids = [i for context in contexts for i in (*context.before, *context.after)]
    for row, learned in zip(rows.ids.flatten(0, 1), rows.learned.flatten(0, 1), strict=True):
        mine = learned >= 0
        assert row[mine].tolist() == [ids[i] for i in learned[mine].tolist()]


def test_without_full_stop():
    assert without_full_stop("a photo of a {}.") == "a photo of a {}"
    assert without_full_stop("a photo of a {}") == "a photo of a {}"
