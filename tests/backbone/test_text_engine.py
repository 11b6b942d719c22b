"""The text engine against open_clip's own encode_text, for every family of tower."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from towers import CONFIGS, SHARED_PREFIX, clip_tokenizer, small_model, write_bert_folder

from mocoop.backbone.text_engine import TextTower
from mocoop.errors import BackboneError

TEMPLATES = ["a photo of a {}.", "{} texture.", "a blurry satellite photo of the {} from above", "many {}s."]
NAMES = ["golden retriever", "sea snake", "annual crop land", "airport", "u.s."]


def literal(model, tokenizer, templates, names):
    """open_clip's own features of the filled sentences, (E, C, D)."""
    texts = [template.replace("{}", name) for template in templates for name in names]
    ids = tokenizer._tokenize(texts, tokenizer.context_length)
    return model.encode_text(ids, normalize=False).unflatten(0, (len(templates), len(names)))


@pytest.mark.parametrize("family", CONFIGS)
def test_literal_templates_equal_encode_text(family):
    model, tokenizer = small_model(family), clip_tokenizer()
    tower = TextTower(model, family)
    assert tower.shared_prefix == (family in SHARED_PREFIX)
    expected = literal(model, tokenizer, TEMPLATES, NAMES)
    rows = tokenizer.rows(TEMPLATES, NAMES)
    torch.testing.assert_close(tower.prepare(rows)(), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(tower.prepare(rows, full_length=True)(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", CONFIGS)
def test_learned_contexts_start_as_their_templates(family):
    model, tokenizer = small_model(family), clip_tokenizer()
    tower = TextTower(model, family)
    contexts = tokenizer.contexts(TEMPLATES, NAMES)
    ctx = tower.embed(torch.tensor([i for c in contexts for i in (*c.before, *c.after)]))
    features = tower.prepare(tokenizer.learned_rows(contexts, NAMES))(ctx)
    torch.testing.assert_close(features, literal(model, tokenizer, TEMPLATES, NAMES), rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", sorted(SHARED_PREFIX))
@pytest.mark.parametrize(
    "templates", [TEMPLATES, ["{} texture."], ["a photo of a {}."]], ids=["mixed", "none-before", "one"]
)
def test_gradients_by_shared_prefix_equal_the_plain_path(family, templates):
    model, tokenizer = small_model(family), clip_tokenizer()
    tower = TextTower(model, family)
    contexts = tokenizer.contexts(templates, NAMES[:4])
    rows = tokenizer.learned_rows(contexts, NAMES[:4])
    start = tower.embed(torch.tensor([i for c in contexts for i in (*c.before, *c.after)])) + 0.05
    weight = torch.randn(len(templates), 4, 24, generator=torch.Generator().manual_seed(3))

    def gradient(**how):
        ctx = start.clone().requires_grad_(True)
        (F.normalize(tower.prepare(rows, **how)(ctx), dim=-1) * weight).sum().backward()
        return ctx.grad

    plain = gradient(full_length=True)
    for how in ({}, {"chunk_tokens": 30}):  # in one piece, and recomputed in chunks of one class
        assert ((gradient(**how) - plain).norm() / plain.norm()).item() < 1e-4


def test_the_learned_tokens_matter():
    model, tokenizer = small_model("clip"), clip_tokenizer()
    tower = TextTower(model, "clip")
    contexts = tokenizer.contexts(TEMPLATES, NAMES)
    encoder = tower.prepare(tokenizer.learned_rows(contexts, NAMES))
    ctx = tower.embed(torch.tensor([i for c in contexts for i in (*c.before, *c.after)]))
    moved = ctx.clone()
    moved[-1] += torch.randn(len(moved[-1]), generator=torch.Generator().manual_seed(0))  # last token, last expert
    difference = (encoder(moved) - encoder(ctx)).abs().amax(dim=(1, 2))
    assert difference[-1] > 1e-3
    assert difference[:-1].max() < 1e-5


def test_one_class_and_one_template():
    model, tokenizer = small_model("clip"), clip_tokenizer()
    features = TextTower(model, "clip").prepare(tokenizer.rows(["a photo of a {}."], ["dog"]))()
    torch.testing.assert_close(features, literal(model, tokenizer, ["a photo of a {}."], ["dog"]), rtol=0, atol=1e-5)


def test_chunks_give_the_same_features():
    model, tokenizer = small_model("clip"), clip_tokenizer()
    tower, rows = TextTower(model, "clip"), tokenizer.rows(TEMPLATES, NAMES)
    torch.testing.assert_close(tower.prepare(rows, chunk_tokens=1)(), tower.prepare(rows)(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("full_length", [False, True])
def test_in_bfloat16_features_and_gradients_are_near_and_come_out_in_float32(full_length):
    model, tokenizer = small_model("clip"), clip_tokenizer()
    contexts = tokenizer.contexts(TEMPLATES, NAMES)
    rows = tokenizer.learned_rows(contexts, NAMES)
    found = []
    for precision in ("float32", "bfloat16"):
        tower = TextTower(model, "clip", precision)
        ctx = tower.embed(torch.tensor([i for c in contexts for i in (*c.before, *c.after)])).requires_grad_(True)
        features = tower.prepare(rows, full_length=full_length)(ctx)
        assert features.dtype == torch.float32
        F.normalize(features, dim=-1).square().cumsum(-1).sum().backward()
        found.append((features.detach(), ctx.grad))
    (exact, exact_gradient), (near, near_gradient) = found
    assert F.cosine_similarity(exact, near, dim=-1).min() > 0.999
    assert not torch.equal(exact, near)  # it was really used
    assert F.cosine_similarity(exact_gradient.flatten(), near_gradient.flatten(), dim=0) > 0.999


def test_hugging_face_tower_at_full_length(tmp_path):
    from mocoop.backbone.backbone import load_backbone

    backbone = load_backbone(f"local-dir:{write_bert_folder(tmp_path / 'bert')}", device="cpu", precision="float32")
    templates, names = ["a photo of a {}.", "{} tissue.", "an x ray showing {}"], ["lung", "dog", "airport"]
    texts = [t.replace("{}", n) for t in templates for n in names]
    expected = backbone.model.encode_text(backbone.tokenize(texts, 40)).unflatten(0, (3, 3))
    assert not backbone.text.shared_prefix
    torch.testing.assert_close(
        backbone.text.prepare(backbone.prompts.rows(templates, names))(), expected, rtol=0, atol=1e-5
    )
    contexts = backbone.prompts.contexts(templates, names)
    assert [(len(c.before), len(c.after)) for c in contexts] == [(4, 1), (0, 2), (4, 0)]
    ctx = backbone.text.embed(torch.tensor([i for c in contexts for i in (*c.before, *c.after)]))
    learned = backbone.text.prepare(backbone.prompts.learned_rows(contexts, names))
    torch.testing.assert_close(learned(ctx), expected, rtol=0, atol=1e-5)


def test_a_tower_without_embeddings_is_refused_by_name():
    class Odd(nn.Module):
        text = nn.Linear(3, 3)

    with pytest.raises(BackboneError, match=r"'odd-one'.*takes no token embeddings"):
        TextTower(Odd(), "odd-one")
