"""Each loss against a naive float64 implementation written from its equation, one number at a time."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from mocoop.mixture.losses import class_loss, gram_matrices, mix_similarities, router_loss, text_loss
from mocoop.mixture.router import group_prototypes, reference_gate, top_k_gate, two_hot_gate

B, E, C, D, K = 5, 4, 6, 12, 2
TAU = 0.07


@pytest.fixture(params=[(torch.float32, 1e-6), (torch.float64, 1e-12)], ids=["float32", "float64"])
def case(request):
    """Random unit vectors in a number format, and how near to the naive result it must come."""
    dtype, tolerance = request.param
    g = torch.Generator().manual_seed(7)

    def unit(*shape):
        return F.normalize(torch.randn(*shape, generator=g, dtype=dtype), dim=-1)

    return {
        "tolerance": tolerance,
        "x": unit(B, D),
        "h": unit(E, C, D),
        "logits": torch.randn(B, E, generator=g, dtype=dtype),
        "labels": torch.randint(C, (B,), generator=g),
        "hard": [unit(t, C, D) for t in (1, 3, 2, 4)],
    }


def dot(a, b):
    return sum(p * q for p, q in zip(a, b, strict=True))


def norm(a):
    return math.sqrt(dot(a, a))


def cos(a, b):
    return dot(a, b) / (norm(a) * norm(b))


def softmax(values):
    top = max(values)
    powers = [math.exp(v - top) for v in values]
    return [p / sum(powers) for p in powers]


def lists(value):
    return [v.double().tolist() for v in value] if isinstance(value, list) else value.double().tolist()


def naive_gate(logits, k):
    """Eq. 1-2: the K largest, softmax over them."""
    rows = []
    for row in logits:
        chosen = sorted(range(len(row)), key=lambda e: -row[e])[:k]
        weights = softmax([row[e] for e in chosen])
        rows.append([weights[chosen.index(e)] if e in chosen else 0.0 for e in range(len(row))])
    return rows


def naive_similarity(x, h, gate, renormalise):
    """Eq. 2-3 with the (B, C, D) mix spelt out."""
    out = []
    for xb, gb in zip(x, gate, strict=True):
        row = []
        for c in range(C):
            mix = [sum(gb[e] * h[e][c][d] for e in range(E)) for d in range(D)]
            row.append(cos(xb, mix) if renormalise else dot(xb, mix))
        out.append(row)
    return out


def test_gate(case):
    expected = naive_gate(lists(case["logits"]), K)
    torch.testing.assert_close(
        top_k_gate(case["logits"], K).double(), torch.tensor(expected).double(), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("k", [0, E + 1])
def test_gate_refuses_an_impossible_k(case, k):
    with pytest.raises(ValueError, match="does not fit"):
        top_k_gate(case["logits"], k)


@pytest.mark.parametrize("renormalise", [True, False])
@pytest.mark.parametrize("stored_gram", [True, False])
def test_mix_equals_the_spelt_out_mix(case, renormalise, stored_gram):
    gate = top_k_gate(case["logits"], K)
    gram = gram_matrices(case["h"]) if stored_gram else None
    got = mix_similarities(case["x"], case["h"], gate, renormalise=renormalise, gram=gram)
    expected = naive_similarity(lists(case["x"]), lists(case["h"]), lists(gate), renormalise)
    torch.testing.assert_close(got.double(), torch.tensor(expected).double(), rtol=0, atol=1e-5)


def test_mix_of_vectors_that_cancel_stays_finite():
    h = F.normalize(torch.randn(1, 1, D), dim=-1)
    h = torch.cat([h, -h]).requires_grad_(True)  # (2, 1, D)
    mixed = mix_similarities(F.normalize(torch.randn(1, D), dim=-1), h, torch.tensor([[0.5, 0.5]]), renormalise=True)
    mixed.sum().backward()
    assert mixed.isfinite().all()
    assert h.grad.isfinite().all()


def test_class_loss_is_eq_3(case):
    gate = top_k_gate(case["logits"], K)
    similarities = naive_similarity(lists(case["x"]), lists(case["h"]), lists(gate), True)
    naive = -sum(
        math.log(softmax([s / TAU for s in row])[y])
        for row, y in zip(similarities, case["labels"].tolist(), strict=True)
    )
    got = class_loss(mix_similarities(case["x"], case["h"], gate, renormalise=True), case["labels"], TAU)
    assert abs(got.item() - naive / B) < case["tolerance"] * max(1, naive / B)


def naive_reference(x, hard, tau):
    """Eq. 5-6."""
    prototypes = []
    for group in hard:
        flat = [feature for template in group for feature in template]
        prototypes.append([sum(f[d] for f in flat) / len(flat) for d in range(D)])
    return [softmax([cos(p, xb) / tau for p in prototypes]) for xb in x]


@pytest.mark.parametrize("tau", [1.0, TAU])
def test_reference_gate_is_eq_5_and_6(case, tau):
    expected = naive_reference(lists(case["x"]), lists(case["hard"]), tau)
    got = reference_gate(case["x"], group_prototypes(case["hard"]), tau)
    torch.testing.assert_close(got.double(), torch.tensor(expected).double(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["kl", "kl-reversed", "mse"])
def test_router_loss_is_eq_7_and_its_ablations(case, kind):
    reference = naive_reference(lists(case["x"]), lists(case["hard"]), 1.0)
    naive = 0.0
    for logits, ref in zip(lists(case["logits"]), reference, strict=True):
        router = softmax(logits)
        if kind == "kl":
            naive += sum(p * math.log(p / q) for p, q in zip(router, ref, strict=True)) / B
        elif kind == "kl-reversed":
            naive += sum(q * math.log(q / p) for p, q in zip(router, ref, strict=True)) / B
        else:
            naive += sum((p - q) ** 2 for p, q in zip(router, ref, strict=True)) / (B * E)
    got = router_loss(case["logits"], reference_gate(case["x"], group_prototypes(case["hard"]), 1.0), kind)
    assert abs(got.item() - naive) < case["tolerance"]


def test_router_loss_with_a_reference_of_zeros_is_finite():
    reference = torch.tensor([[1.0, 0.0]])
    assert router_loss(torch.tensor([[200.0, -200.0]]), reference, "kl").isfinite()
    assert router_loss(torch.tensor([[200.0, -200.0]]), reference, "kl-reversed").isfinite()


@pytest.mark.parametrize("tau", [TAU, 0.01])
def test_text_loss_is_eq_8_and_9(case, tau):
    hard, h = lists(case["hard"]), lists(case["h"])
    naive = 0.0
    for g in range(E):
        for y in range(C):
            p = [softmax([cos(template[c], h[g][y]) / tau for c in range(C)])[y] for template in hard[g]]
            naive -= math.log(sum(p) / len(p)) / (E * C)
    got = text_loss(case["hard"], case["h"], torch.arange(C), tau)
    assert abs(got.item() - naive) < case["tolerance"] * max(1, naive)


def test_text_loss_over_more_hard_classes_than_soft_ones(case):
    """Extra names widen the softmax: targets say where each soft class stands among the hard ones."""
    soft, targets = case["h"][:, [4, 1]], torch.tensor([4, 1])
    hard, h = lists(case["hard"]), lists(soft)
    naive = 0.0
    for g in range(E):
        for i, y in enumerate(targets.tolist()):
            p = [softmax([cos(template[c], h[g][i]) / TAU for c in range(C)])[y] for template in hard[g]]
            naive -= math.log(sum(p) / len(p)) / (E * 2)
    assert abs(text_loss(case["hard"], soft, targets, TAU).item() - naive) < case["tolerance"] * max(1, naive)


def test_text_loss_of_the_mean_template(case):
    hard, h = lists(case["hard"]), lists(case["h"])
    naive = 0.0
    for g in range(E):
        mean = [[sum(t[c][d] for t in hard[g]) / len(hard[g]) for d in range(D)] for c in range(C)]
        for y in range(C):
            naive -= math.log(softmax([cos(mean[c], h[g][y]) / 1.0 for c in range(C)])[y]) / (E * C)
    got = text_loss(case["hard"], case["h"], torch.arange(C), 1.0, "mean-template")
    assert abs(got.item() - naive) < case["tolerance"] * max(1, naive)


def test_text_loss_does_not_underflow():
    hard = [F.normalize(torch.randn(2, 3, D), dim=-1)]
    assert text_loss(hard, -hard[0][:1], torch.arange(3), 1e-3).isfinite()


def test_two_hot_reference(case):
    prototypes = group_prototypes(case["hard"])
    for xb, got in zip(case["x"], two_hot_gate(case["x"], prototypes, 1.0), strict=True):
        cosines = [cos(p, xb.double().tolist()) for p in lists(prototypes)]
        best = sorted(range(E), key=lambda e: -cosines[e])[:2]
        expected = softmax([v + 10 * (e in best) for e, v in enumerate(cosines)])
        torch.testing.assert_close(got.double(), torch.tensor(expected).double(), rtol=0, atol=1e-6)
