"""One step of each preset against the equations put together by hand, and the number formats of a step."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from towers import write_clip_folder
from worlds import CLASSNAMES, GROUPS

from mocoop.backbone.backbone import load_backbone
from mocoop.backbone.hard_features import hard_features
from mocoop.config import preset
from mocoop.groupfile.groups import dump_groups, parse_groups
from mocoop.mixture.classifier import Learned
from mocoop.mixture.losses import class_loss, mix_similarities, router_loss, text_loss
from mocoop.mixture.model import new_model
from mocoop.mixture.objective import Objective
from mocoop.mixture.router import class_prototypes, group_prototypes, reference_gate, two_hot_gate

TEXTS = [group.texts for group in parse_groups(dump_groups(GROUPS)).groups]
INITS = [texts[0] for texts in TEXTS]


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return load_backbone(f"local-dir:{write_clip_folder(tmp_path_factory.mktemp('tiny') / 'clip')}", device="cpu")


def step(backbone, config, trained=4):
    """Terms of one step, with all that they are made of."""
    names = [*CLASSNAMES[:trained], *config.extra_class_names]
    contexts = backbone.prompts.contexts(INITS, names)
    hard = hard_features(backbone, TEXTS, names)
    x = F.normalize(torch.randn(8, 24, generator=torch.Generator().manual_seed(1)), dim=-1)
    model = new_model(backbone, contexts, config, [features[:, :trained] for features in hard], 3, lambda: x)
    encoder = backbone.text.prepare(backbone.prompts.learned_rows(contexts, names))
    labels = torch.arange(8) % trained
    objective = Objective(config, hard, trained, backbone.logit_scale)
    return objective(model, encoder, x, labels), model, encoder, hard, x, labels


@pytest.mark.parametrize("lambdas", [(1.0, 5.0), (0.0, 5.0), (1.0, 0.0), (0.3, 0.7)])
def test_the_total_is_eq_10(backbone, lambdas):
    terms, *_ = step(backbone, preset("paper", lambda_router=lambdas[0], lambda_text=lambdas[1]))
    expected = terms.class_term + lambdas[0] * terms.router_term + lambdas[1] * terms.text_term
    assert terms.total.item() == pytest.approx(expected.item(), rel=1e-6)


def test_the_paper_preset_is_put_together_as_printed(backbone):
    terms, model, encoder, hard, x, labels = step(backbone, preset("paper"))
    h = F.normalize(encoder(model.ctx), dim=-1)
    similarities = mix_similarities(x, h, terms.mixed.gate, renormalise=True)
    reference = reference_gate(x, group_prototypes(hard), 1.0)
    torch.testing.assert_close(terms.class_term, class_loss(similarities, labels, 0.07))
    torch.testing.assert_close(terms.router_term, router_loss(model.router(x), reference, "kl"))
    torch.testing.assert_close(terms.text_term, text_loss(hard, h, torch.arange(4), 0.07))


def test_the_official_preset_takes_the_true_class_two_hot_and_new_names(backbone):
    config = preset("official", views=0, tune_layer_norm=False, extra_class_names=CLASSNAMES[4:])
    terms, model, encoder, hard, x, labels = step(backbone, config)
    h = F.normalize(encoder(model.ctx) + model.text_offset, dim=-1)
    assert h.shape[1] == 6
    assert terms.mixed.similarities.shape == (8, 4)
    prototypes = class_prototypes(hard)[:, labels].transpose(0, 1)  # (B, E, D)
    reference = two_hot_gate(x, prototypes, 1.0)
    torch.testing.assert_close(terms.router_term, router_loss(model.router(x), reference, "kl-reversed"))
    torch.testing.assert_close(terms.text_term, text_loss(hard, h, torch.arange(6), 1.0, "mean-template"))
    plain = mix_similarities(x, h[:, :4], terms.mixed.gate, renormalise=False)
    torch.testing.assert_close(terms.mixed.similarities, plain)


def test_the_recommended_router_starts_as_the_reference_gate(backbone):
    terms, model, _, hard, x, _ = step(backbone, preset("recommended"))
    reference = reference_gate(x - x.mean(0), group_prototypes(hard), 4 / backbone.logit_scale)
    torch.testing.assert_close(terms.reference, reference)
    torch.testing.assert_close(model.router(x).softmax(-1), reference, rtol=0, atol=1e-5)
    assert terms.router_term.item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_is_for_the_towers_only(backbone, precision):
    """Text features move by rounding (2e-2 of unit vectors); routing and mixing are those of prediction, in float32."""
    half = dataclasses.replace(backbone, precision=precision)
    config = preset("recommended")
    terms, model, _, _, x, _ = step(half, config)
    exact, *_ = step(backbone, config)
    assert {terms.mixed.similarities.dtype, terms.total.dtype, terms.mixed.router_logits.dtype} == {torch.float32}
    torch.testing.assert_close(terms.mixed.similarities, exact.mixed.similarities, rtol=0, atol=2e-2)
    torch.testing.assert_close(terms.mixed.router_logits, exact.mixed.router_logits, rtol=1e-2, atol=2e-1)
    learned = Learned(
        model.state_dict(),
        model.contexts,
        parse_groups(dump_groups(GROUPS)),
        tuple(CLASSNAMES[:4]),
        config,
        half.logit_scale,
    )
    predicted = learned.classifier(CLASSNAMES[:4], learned.class_features(CLASSNAMES[:4], half)).predict(x)
    expected = (terms.mixed.similarities * half.logit_scale).softmax(-1)
    torch.testing.assert_close(predicted.probabilities, expected, rtol=0, atol=1e-3)
    assert ((predicted.gate > 0) == (terms.mixed.gate > 0)).all()
