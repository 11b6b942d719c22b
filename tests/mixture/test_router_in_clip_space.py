"""The fault of a linear router in CLIP's space, in miniature: a logit scale of 100, features with a large common mean,
and groups that differ by little. There the linear router puts all images on one expert; the default does not.
"""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from towers import write_clip_folder
from worlds import CLASSNAMES, GROUPS

from mocoop.backbone.backbone import load_backbone
from mocoop.backbone.hard_features import hard_features
from mocoop.bench.protocols import LINEAR_ROUTER
from mocoop.config import preset
from mocoop.groupfile.groups import dump_groups, parse_groups
from mocoop.methods import method_named
from mocoop.mixture.router import group_prototypes
from mocoop.runs.fitting import fit
from mocoop.training.method import Samples

CLASSES, EXPERTS, EACH = 4, 3, 8


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    found = load_backbone(f"local-dir:{write_clip_folder(tmp_path_factory.mktemp('tiny') / 'clip')}", device="cpu")
    with torch.no_grad():
        found.model.logit_scale.fill_(torch.tensor(100.0).log())
    return found


def drawn(backbone):
    """Unit features (N, D), their classes and the groups that made them (N,)."""
    texts = [group["templates"] for group in GROUPS["groups"]]
    hard = hard_features(backbone, texts, CLASSNAMES[:CLASSES])
    prototypes = F.normalize(group_prototypes(hard), dim=-1)  # (E, D)
    basis = torch.linalg.qr(prototypes.T).Q
    classes = torch.cat(hard).mean(0)
    classes = F.normalize(classes - (classes @ basis) @ basis.T, dim=-1)  # nothing of the groups in them, (C, D)
    groups = F.normalize(prototypes - prototypes.mean(0), dim=-1)
    label = torch.arange(CLASSES).repeat_interleave(EXPERTS * EACH)
    group = torch.arange(EXPERTS).repeat(CLASSES * EACH)
    draw = torch.Generator().manual_seed(0)
    common = torch.randn(prototypes.shape[1], generator=draw)
    noise = torch.randn(len(label), prototypes.shape[1], generator=draw)
    x = 2 * F.normalize(common, dim=-1) + classes[label] + 0.05 * groups[group] + 0.005 * noise
    return F.normalize(x, dim=-1), label, group


def first_experts(backbone, **changes):
    """The share of the images whose first expert is the group that made them, and of the expert first for most."""
    config = method_named("mocoop").settle(preset("recommended", **changes))
    x, label, group = drawn(backbone)
    fitted = fit(
        backbone,
        parse_groups(dump_groups(GROUPS)),
        lambda _epoch, index: x[index],
        label,
        CLASSNAMES[:CLASSES],
        config,
        seed=1,
        epochs=config.epochs_for(8),
        samples=lambda: Samples(x, label, x[:0], label[:0]),
    )
    first = fitted.learned.classifier(fitted.learned.classnames, fitted.class_features).predict(x).gate.argmax(-1)
    return float((first == group).float().mean()), float(first.bincount().max()) / len(first), fitted


def test_the_miniature_has_what_makes_clips_space_hard(backbone):
    x, _, _ = drawn(backbone)
    hard = hard_features(backbone, [group["templates"] for group in GROUPS["groups"]], CLASSNAMES[:CLASSES])
    cosines = x @ F.normalize(group_prototypes(hard), dim=-1).T
    differences = cosines - cosines.mean(dim=1, keepdim=True)
    assert float(x.mean(0).norm()) > 0.85  # a large common mean
    assert float(differences.std(dim=0).mean()) < 0.02
    assert backbone.logit_scale == pytest.approx(100)


def test_by_default_each_image_goes_to_the_group_that_made_it(backbone):
    right, most, fitted = first_experts(backbone)
    assert right > 0.8
    assert most < 0.5
    assert fitted.collapse is None


def test_a_linear_router_puts_all_on_one_expert_and_the_training_says_so(backbone):
    _, most, fitted = first_experts(backbone, **LINEAR_ROUTER)
    assert most > 0.99
    assert "the router collapsed" in fitted.collapse
    assert any(note.startswith("epoch ") and "collapsed" in note for note in fitted.notes)
