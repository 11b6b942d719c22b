"""The words nearest to learned tokens, by every tower's own vocabulary and tokenizer."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest
import torch
from towers import write_bert_folder, write_clip_folder

from mocoop.backbone.backbone import load_backbone
from mocoop.backbone.nearest import letters_of, nearest_words


@pytest.fixture(scope="module")
def miniclip():
    return load_backbone("miniclip", device="cpu")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return load_backbone(f"local-dir:{write_clip_folder(tmp_path_factory.mktemp('tiny') / 'clip')}", device="cpu")


def learned(backbone, template, shift=0.0):
    ids = backbone.prompts.contexts([template], ["dog"])[0].before
    return ids, backbone.text.embed(torch.tensor(ids)) + shift


def test_a_token_is_nearest_to_itself(miniclip):
    ids, vectors = learned(miniclip, "an overhead map of a {}.", shift=0.01)
    words = letters_of(miniclip, ids)
    assert words == ["an", "overhead", "map", "of", "a"]
    near = nearest_words(miniclip, vectors, 3)
    assert [one[0].word for one in near] == words
    assert [one[0].distance for one in near] == pytest.approx([0.01 * miniclip.text.width**0.5] * 5, rel=1e-3)


def test_they_are_those_of_the_whole_vocabulary(tiny):
    """Against all distances, one by one; a word is named once."""
    _, vectors = learned(tiny, "a photo of a {}.", shift=0.5)
    table = tiny.text.embed(torch.arange(tiny.text.embedding.num_embeddings))
    for vector, near in zip(vectors, nearest_words(tiny, vectors, 4), strict=True):
        order = (table - vector).norm(dim=-1).argsort().tolist()
        expected = list(dict.fromkeys(word for word in map(tiny.tokenize.letters, order[:24]) if word))[:4]
        assert [one.word for one in near] == expected
        assert [one.distance for one in near] == sorted(one.distance for one in near)


def test_only_words_that_the_tower_was_trained_on_count(miniclip):
    assert miniclip.vocabulary is not None
    near = nearest_words(miniclip, torch.randn(3, miniclip.text.width, generator=torch.Generator().manual_seed(1)))
    known = {miniclip.tokenize.letters(token) for token in miniclip.vocabulary}
    assert {one.word for words in near for one in words} <= known


def test_a_tokenizer_that_gives_no_letters_gives_no_words(tiny):
    mute = replace(tiny, tokenize=lambda texts, length: tiny.tokenize(texts, length))
    assert nearest_words(mute, torch.zeros(2, tiny.text.width)) == [[], []]
    assert letters_of(mute, (5, 6)) == ["", ""]


def test_a_tokenizer_can_be_pickled(tiny):
    again = pickle.loads(pickle.dumps(tiny.tokenize))
    assert torch.equal(again(["a dog"], 8), tiny.tokenize(["a dog"], 8))


def test_hugging_face_tokenizers_give_letters_too(tmp_path):
    backbone = load_backbone(f"local-dir:{write_bert_folder(tmp_path / 'bert')}", device="cpu")
    ids = backbone.tokenize(["dog"], backbone.context_length)[0].tolist()
    assert "dog" in letters_of(backbone, tuple(ids))
