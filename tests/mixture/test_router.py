"""The two forms of router: what they start as, what they compute, and how a run keeps them."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from mocoop.config import preset
from mocoop.mixture.router import CorrectedGate, Router, new_router, reference_gate, router_of

DIM, EXPERTS, SCALE = 8, 3, 100.0


def unit(*shape, seed):
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def images(count=20, seed=1):
    """Unit features with a large common mean, as CLIP's."""
    return F.normalize(3 * unit(DIM, seed=9) + unit(count, DIM, seed=seed), dim=-1)


def started(scale=SCALE, seed=2):
    router = CorrectedGate(DIM, EXPERTS, scale=scale)
    router.init_gate(2.5 * unit(EXPERTS, DIM, seed=seed), images())  # prototypes of any length
    return router


def learnt():
    router = started()
    with torch.no_grad():
        router.linear.weight.copy_(unit(EXPERTS, DIM, seed=3))
        router.linear.bias.copy_(torch.tensor([0.3, -0.1, 0.0]))
    return router


def test_a_corrected_gate_starts_as_the_reference_gate_of_centred_features():
    x = images(5, seed=4)
    want = reference_gate(x - images().mean(0), unit(EXPERTS, DIM, seed=2), 1 / SCALE)
    torch.testing.assert_close(started()(x).softmax(-1), want)


def test_what_it_computes_written_out():
    router, train = learnt(), images()
    centre = sum(train) / len(train)
    spread = sum((one - centre).norm() for one in train) / len(train)
    for x, logits in zip(images(4, seed=5), router(images(4, seed=5)), strict=True):
        for e in range(EXPERTS):
            gate = SCALE * sum(p * (a - m) for p, a, m in zip(unit(EXPERTS, DIM, seed=2)[e], x, centre, strict=True))
            learned = sum(v * (a - m) for v, a, m in zip(router.linear.weight[e], x, centre, strict=True)) / spread
            want = gate + learned + router.linear.bias[e]
            torch.testing.assert_close(logits[e], want, rtol=0, atol=1e-4)


def test_its_mean_over_the_training_images_prefers_no_expert_at_the_start():
    torch.testing.assert_close(started()(images()).mean(0), torch.zeros(EXPERTS), atol=1e-4, rtol=0)


@pytest.mark.parametrize("scale", [22.6, 100.0])
def test_a_step_moves_the_logits_alike_at_any_logit_scale(scale):
    """The linear form moves them by scale squared: the fault that this form mends."""

    def moved(router):
        before = router(images()).detach()
        router(images())[:, 0].mean().backward()
        with torch.no_grad():
            for parameter in router.parameters():
                parameter -= 0.1 * parameter.grad
        return (router(images()) - before)[:, 0].mean()

    corrected, plain = moved(started(scale)), moved(Router(DIM, EXPERTS, scale=scale))
    assert corrected.item() == pytest.approx(-0.1, abs=1e-4)  # the bias alone: centred features do not move the mean
    assert plain.item() < -0.1 * scale**2


def test_images_that_are_all_the_same_give_a_gate_and_no_division_by_zero():
    router = CorrectedGate(DIM, EXPERTS, scale=SCALE)
    router.init_gate(unit(EXPERTS, DIM, seed=2), images(1).expand(4, -1))
    logits = router(images(3))
    assert bool(logits.isfinite().all())
    logits.square().sum().backward()
    assert router.linear.weight.grad.norm().item() < 1e6  # not divided by a spread of nothing


@pytest.mark.parametrize("changes", [{}, {"router_form": "linear", "top_k": 2}, {"tau_gate": 0.05}])
def test_a_run_gives_back_the_same_router(changes):
    config = preset("recommended", **changes)
    router = new_router(config, DIM, EXPERTS, SCALE)
    with torch.no_grad():
        for number, tensor in enumerate(router.state_dict().values()):
            tensor.copy_(torch.rand(tensor.shape, generator=torch.Generator().manual_seed(number)) + 0.5)
    tensors = {f"router.{name}": tensor for name, tensor in router.state_dict().items()} | {"ctx": torch.zeros(2)}
    again = router_of(tensors, "router.", config, SCALE)
    torch.testing.assert_close(again(images(3)), router(images(3)), rtol=0, atol=0)


def test_the_gate_is_as_soft_as_the_settings_say():
    scales = [new_router(preset("recommended", **c), DIM, EXPERTS, SCALE).scale for c in ({}, {"gate_softness": 1.0})]
    assert scales == [SCALE / 4, SCALE]
    assert new_router(preset("recommended", tau_gate=0.5), DIM, EXPERTS, SCALE).scale == 2


@pytest.mark.parametrize("routing", ["uniform", "random"])
def test_controls_without_a_gate_have_the_plain_form(routing):
    router = new_router(preset("recommended", routing=routing), DIM, EXPERTS, SCALE)
    assert type(router) is Router
    assert not any(parameter.requires_grad for parameter in router.parameters())
