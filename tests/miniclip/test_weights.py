"""The shipped weights: read back whole, knowing the bank's words, and as accurate as they say."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import open_clip
import pytest
import torch

from mocoop.errors import BackboneError
from mocoop.miniclip import captions, scorecard, weights
from mocoop.miniclip.layouts import CLASSES
from mocoop.miniclip.pretrain import compact_ids, encode_captions, seen_ids
from mocoop.miniclip.scenes import draw_scenes
from mocoop.miniclip.styles import STYLES

CONTROL = {49406, 49407}
OVERHEAD = {"remote_sensing", "satellite", "aerial", "overhead"}
FLOOR = 0.85
TOKENIZER = open_clip.SimpleTokenizer()


def token_ids(text: str) -> set[int]:
    return set(TOKENIZER.encode(text))


@pytest.fixture(scope="module")
def model() -> open_clip.CLIP:
    return scorecard.load()


def test_the_file_is_small_and_says_how_it_was_made() -> None:
    assert weights.WEIGHTS.stat().st_size < 6e6
    facts = weights.facts()
    assert {"recipe.seed", "recipe.steps", "zero_shot.held_out", "stand_in"} <= facts.keys()
    assert float(facts["zero_shot.held_out"]) > 0.92
    assert len(weights.sha256()) == 64


def test_the_configuration_is_a_fresh_copy() -> None:
    weights.config()["text_cfg"]["width"] = 1
    assert weights.config()["text_cfg"]["width"] == 128


@pytest.mark.slow
def test_every_word_of_the_overhead_aspects_is_known() -> None:
    document = json.loads(files("mocoop.templates").joinpath("template_bank.json").read_text(encoding="utf-8"))
    known = weights.seen_tokens()
    aspects = [aspect for aspect in document["aspects"] if OVERHEAD & set(aspect["domains"])]
    assert len(aspects) >= 6
    for aspect in aspects:
        for template in aspect["templates"]:
            assert token_ids(template.replace("{}", " ")) <= known, template


@pytest.mark.slow
def test_every_caption_that_training_draws_is_made_of_seen_tokens() -> None:
    known = weights.seen_tokens()
    assert known >= CONTROL
    assert known == set(seen_ids())
    for name in (name for class_name in CLASSES for name in captions.names(class_name)):
        assert token_ids(name) <= known
    assert not token_ids("zebra crossing a hovercraft") <= known


def test_packing_keeps_the_seen_rows_and_makes_the_others_alike_everywhere(tmp_path: Path) -> None:
    state = dict(weights.state_dict())
    seen = sorted(weights.seen_tokens())
    table = state["token_embedding.weight"]
    state["token_embedding.weight"] = table[seen]
    weights.pack(tmp_path / "again.safetensors", state, seen, {"recipe.seed": "0"})
    again = weights.state_dict(tmp_path / "again.safetensors")
    assert again.keys() == state.keys()
    for name, tensor in state.items():
        stored = again[name][seen] if name == "token_embedding.weight" else again[name]
        assert torch.equal(stored, tensor), name
    assert weights.facts(tmp_path / "again.safetensors") == {"recipe.seed": "0"}
    unseen = torch.ones(len(table), dtype=torch.bool)
    unseen[seen] = False
    assert torch.allclose(again["token_embedding.weight"][unseen], table[unseen], atol=2e-3)
    norms = table.norm(dim=1)
    assert 0.7 < float(norms[unseen].median() / norms[seen].median()) < 1.4
    assert len(torch.unique(table[unseen][:1000], dim=0)) == 1000


def test_packing_refuses_rows_that_do_not_fit_the_tokens(tmp_path: Path) -> None:
    state = weights.state_dict()
    with pytest.raises(ValueError, match="token rows"):
        weights.pack(tmp_path / "bad.safetensors", state, [1, 2, 3])


@pytest.mark.parametrize("content", [b"", b"not weights at all", None])
def test_a_damaged_or_missing_file_says_how_to_get_it_back(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "bad.safetensors"
    if content is not None:
        path.write_bytes(content)
    for read in (weights.state_dict, weights.seen_tokens, weights.facts):
        with pytest.raises(BackboneError, match=r"pretrain"):
            read(path)


def test_captions_cut_short_encode_as_whole_ones_do(model: open_clip.CLIP) -> None:
    texts = ["a satellite image of a river at night.", "{}".replace("{}", "forest")]
    whole = open_clip.SimpleTokenizer(context_length=77)(texts)
    longest = int((whole == 49407).int().argmax(1).max()) + 1
    with torch.no_grad():
        assert torch.allclose(encode_captions(model, whole[:, :longest]), model.encode_text(whole), atol=1e-5)
    vocabulary = seen_ids()
    compact = compact_ids(texts, vocabulary)
    assert compact.shape == (2, longest)
    back = torch.tensor(vocabulary)[compact]
    for row, original in zip(back, whole, strict=True):
        end = int(original.argmax()) + 1
        assert torch.equal(row[:end], original[:end])


def test_the_shipped_weights_classify_fresh_tiles(model: open_clip.CLIP) -> None:
    scenes = draw_scenes(2, scorecard.HELD_OUT_SEED, styles=tuple(STYLES))
    with torch.no_grad():
        features = scorecard.image_features(model, scenes.images)
        classifier = scorecard.text_features(model, [scorecard.ZERO_SHOT_TEMPLATE])[0]
    accuracy = ((features @ classifier.T).argmax(1).numpy() == scenes.labels).mean()
    assert accuracy > FLOOR


@pytest.mark.slow
@pytest.mark.whole  # a minute on weights that seldom change
def test_the_score_card_agrees_with_a_count_by_hand(model: open_clip.CLIP) -> None:
    card = scorecard.score(model, tiles=1)
    assert card.zero_shot > FLOOR
    assert abs(card.zero_shot - sum(card.by_class.values()) / len(card.by_class)) < 1e-9
    assert abs(card.style - sum(card.told.values()) / len(card.told)) < 1e-9
    shifted = {row.shift: row for row in card.shifted}
    assert shifted[0.3].all > shifted[0.9].all
    assert shifted[0.6].style > 0.756  # the first prototype's
    assert "zero-shot" in str(card)
    assert card.facts()["zero_shot.held_out"] == f"{card.zero_shot:.4f}"
