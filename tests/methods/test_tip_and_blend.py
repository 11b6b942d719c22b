"""Tip-Adapter and the blend against naive versions from their equations."""

from __future__ import annotations

import math

import naive
import pytest
import torch
from towers import write_clip_folder
from worlds import CLASSNAMES, GROUPS

from mocoop.backbone.backbone import load_backbone
from mocoop.config import preset
from mocoop.groupfile.groups import dump_groups, parse_groups
from mocoop.methods import method_named
from mocoop.methods.blend import shares_of
from mocoop.methods.tip_adapter import DEFAULT, best_weights
from mocoop.runs.fitting import fit
from mocoop.training.method import Samples


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    folder = write_clip_folder(tmp_path_factory.mktemp("tiny") / "clip")
    return load_backbone(f"local-dir:{folder}", device="cpu", precision="float32")


def some_samples(val=3, shots=4, classes=4, seed=0):
    """Images around a centre a class, 24 wide."""
    drawn = torch.Generator().manual_seed(seed)
    centres = torch.randn(classes, 24, generator=drawn)
    labels, held = torch.arange(classes).repeat(shots), torch.arange(classes).repeat(val)
    train, other = (centres[one] + torch.randn(len(one), 24, generator=drawn) for one in (labels, held))
    return Samples(train, labels, other, held)


def learned(backbone, method, samples, **changes):
    own = method_named(method)
    steps = {"epochs": 2, "batch_size": 8} if method in ("blend", "mocoop") else {}
    config = own.settle(preset("recommended", method, **steps, **changes))
    x = torch.nn.functional.normalize(samples.train, dim=-1)
    groups = own.groups(parse_groups(dump_groups(GROUPS)), config)
    return fit(
        backbone, groups, lambda _epoch, index: x[index], samples.train_labels, CLASSNAMES[:4], config,
        seed=1, epochs=2, samples=lambda: samples,
    )  # fmt: skip


def answers(fitted, backbone, names, x):
    method = method_named(fitted.learned.config.method)
    features = method.class_features(fitted.learned, names, backbone)
    return method.predictor(fitted.learned, names, features, backbone).predict(x).probabilities


def naive_tip(text, tau, samples, x, alpha, beta, leave_out=None):
    """One image, one training image and one class at a time."""
    logits = []
    for c in range(len(text)):
        total = float(naive.unit(x) @ text[c]) / tau
        for n, key in enumerate(samples.train):
            if int(samples.train_labels[n]) == c and n != leave_out:
                near = float(naive.unit(x) @ naive.unit(key))
                total += alpha * math.exp(-beta * (1 - near))
        logits.append(total)
    return torch.tensor(logits)


def test_tip_adapter_is_zero_shot_plus_the_cache(backbone):
    samples = some_samples()
    fitted = learned(backbone, "tip-adapter", samples, tip_alpha=1.7, tip_beta=3.0)
    text = naive.template_features(backbone, "a photo of a {}.", CLASSNAMES[:4])
    plain = [naive_tip(text, 1 / backbone.logit_scale, samples, x, 1.7, 3.0).softmax(0) for x in samples.val]
    found = answers(fitted, backbone, CLASSNAMES[:4], 5 * samples.val)
    torch.testing.assert_close(found, torch.stack(plain), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("val", [3, 0], ids=["val", "leave-one-out"])
def test_alpha_and_beta_are_the_most_accurate_of_the_grid(backbone, val):
    samples = some_samples(val)
    text = naive.template_features(backbone, "a photo of a {}.", CLASSNAMES[:4])
    alpha, beta, why = best_weights(samples, text, 0.1)
    assert ("validation" in why) is bool(val)

    def accuracy(alpha, beta):
        if val:
            rows = [naive_tip(text, 0.1, samples, x, alpha, beta) for x in samples.val]
            return (torch.stack(rows).argmax(1) == samples.val_labels).float().mean()
        rows = [naive_tip(text, 0.1, samples, x, alpha, beta, n) for n, x in enumerate(samples.train)]
        return (torch.stack(rows).argmax(1) == samples.train_labels).float().mean()

    assert accuracy(alpha, beta) >= max(accuracy(a, b) for a in (0, 1, 8, 64) for b in (1, 8, 64))


def test_without_any_image_to_choose_on_tip_adapter_takes_the_default():
    samples = some_samples(0, shots=1)
    assert best_weights(samples, torch.eye(4, 24), 0.1)[:2] == DEFAULT
    assert best_weights(samples, torch.eye(4, 24), 0.1, alpha=0.0)[:2] == (0.0, DEFAULT[1])


def test_of_new_classes_tip_adapter_is_zero_shot(backbone):
    samples = some_samples()
    tip, zero = (learned(backbone, name, samples) for name in ("tip-adapter", "zero-shot"))
    new = answers(tip, backbone, CLASSNAMES[4:], samples.val)
    torch.testing.assert_close(new, answers(zero, backbone, CLASSNAMES[4:], samples.val))
    swapped = answers(tip, backbone, CLASSNAMES[3::-1], samples.val)
    torch.testing.assert_close(swapped, answers(tip, backbone, CLASSNAMES[:4], samples.val).flip(1))


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_the_blend_is_the_weighted_product_of_what_its_parts_learn_alone(backbone, weight):
    samples = some_samples(0)
    blend = learned(backbone, "blend", samples, blend_weight=weight)
    mixture, probe = (
        answers(learned(backbone, part, samples), backbone, CLASSNAMES[:4], samples.train).double().log()
        for part in ("mocoop", "linear-probe")
    )
    plain = ((1 - weight) * mixture + weight * probe).softmax(1).float()
    found = answers(blend, backbone, CLASSNAMES[:4], samples.train)
    torch.testing.assert_close(found, plain, rtol=1e-4, atol=1e-5)


def test_of_new_classes_the_blend_is_the_mixture(backbone):
    samples = some_samples()
    blend, mixture = learned(backbone, "blend", samples), learned(backbone, "mocoop", samples)
    for names in (CLASSNAMES[4:], CLASSNAMES):
        torch.testing.assert_close(
            answers(blend, backbone, names, samples.val), answers(mixture, backbone, names, samples.val)
        )


def noisy(right, certain, labels, seed):
    """Log-probabilities that are right for a share of the images, and more or less certain."""
    drawn = torch.Generator().manual_seed(seed)
    guesses = torch.where(torch.rand(len(labels), generator=drawn) < right, labels, (labels + 1) % 5)
    logits = torch.nn.functional.one_hot(guesses, 5).float() + 0.1 * torch.randn(len(labels), 5, generator=drawn)
    return (certain * logits).log_softmax(1)


def test_the_weight_goes_to_the_half_that_is_right_however_unsure_it_is():
    labels = torch.arange(5).repeat(40)
    good, bad = noisy(0.95, 0.2, labels, 0), noisy(0.4, 9.0, labels, 1)

    def accuracy(shares):
        return ((shares[0] * bad + shares[1] * good).argmax(1) == labels).float().mean()

    assert accuracy((0.5, 0.5)) < 0.6
    assert accuracy(shares_of(bad, good, labels)[0]) >= 0.93
    shares, weight = shares_of(good, bad, labels)
    assert weight < 0.5
    assert ((shares[0] * good + shares[1] * bad).argmax(1) == labels).float().mean() >= 0.93
