"""What takes no steps: zero-shot, ensembles, gated ensembles, linear probe, against plain products and scikit-learn."""

from __future__ import annotations

import naive
import numpy as np
import pytest
import torch
from datafiles import put_classes
from sklearn.linear_model import LogisticRegression
from towers import write_clip_folder
from worlds import CLASSNAMES, GROUPS, plan_for, write_features, write_world

from mocoop.backbone.backbone import load_backbone
from mocoop.config import preset
from mocoop.data.sources import open_dataset
from mocoop.groupfile.groups import dump_groups, parse_groups
from mocoop.methods import linear_probe, method_named
from mocoop.methods.linear_probe import DEFAULT_C, best_c
from mocoop.runs.evaluate import evaluate
from mocoop.runs.train import train
from mocoop.training.method import Samples
from mocoop.training.trainer import Listener

TEXTS = [group["templates"] for group in GROUPS["groups"]]


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    folder = write_clip_folder(tmp_path_factory.mktemp("tiny") / "clip")
    return load_backbone(f"local-dir:{folder}", device="cpu", precision="float32")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return write_world(tmp_path_factory.mktemp("world"))


def predicted(backbone, config, x, names):
    """What a method of no steps predicts of image features for classes that it may never have met."""
    fitted = naive.trained(backbone, config, x, torch.arange(len(x)) % 4, groups=dump_groups(GROUPS))
    method = method_named(config.method)
    features = method.class_features(fitted.learned, names, backbone)
    return method.predictor(fitted.learned, names, features, backbone).predict(5 * x)


@pytest.mark.parametrize("names", [CLASSNAMES[:4], CLASSNAMES[4:]], ids=["first", "others"])
@pytest.mark.parametrize("tau", [None, 0.5])
def test_zero_shot_is_a_matrix_product_and_a_softmax(backbone, names, tau):
    x, _ = naive.examples(4)
    features = naive.template_features(backbone, "{} texture.", names)
    plain = (x @ features.T * (1 / tau if tau else backbone.logit_scale)).softmax(1)
    config = preset("recommended", "zero-shot", template="{} texture.", tau_class=tau)
    torch.testing.assert_close(predicted(backbone, config, x, names).probabilities, plain, rtol=1e-5, atol=1e-6)


def test_the_ensemble_is_the_mean_of_all_templates(backbone):
    x, _ = naive.examples(4)
    every = torch.stack([naive.template_features(backbone, text, CLASSNAMES) for texts in TEXTS for text in texts])
    plain = torch.stack([naive.unit(mean) for mean in every.mean(0)])
    found = predicted(backbone, preset("recommended", "zero-shot-ensemble"), x, CLASSNAMES).probabilities
    torch.testing.assert_close(found, (backbone.logit_scale * x @ plain.T).softmax(1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("top_k", [1, 2, 3])
@pytest.mark.parametrize("tau", [None, 0.3])
def test_gated_ensembles_are_mixed_by_the_reference_gate_of_the_evaluated_classes(backbone, top_k, tau):
    x, _ = naive.examples(4)
    hard = [torch.stack([naive.template_features(backbone, text, CLASSNAMES[2:]) for text in g]) for g in TEXTS]
    rows = []
    for image in x:
        gate = torch.stack([image @ naive.unit(group.flatten(0, 1).mean(0)) for group in hard])
        gate = gate / tau if tau else gate * backbone.logit_scale
        chosen = gate.argsort(descending=True)[:top_k].tolist()
        shares = {e: (gate[e].exp() / sum(gate[k].exp() for k in chosen)) for e in chosen}
        means = [torch.stack([naive.unit(c) for c in group.mean(0)]) for group in hard]
        mixed = [sum(shares[e] * means[e][c] for e in chosen) for c in range(4)]
        rows.append(backbone.logit_scale * torch.stack([image @ naive.unit(mix) for mix in mixed]))
    # Routing controls of MoCoOp are none of this method's settings, and change nothing.
    config = preset("recommended", "gated-zero-shot", top_k=top_k, tau_gate=tau, routing="uniform")
    found = predicted(backbone, config, x, CLASSNAMES[2:]).probabilities
    torch.testing.assert_close(found, torch.stack(rows).softmax(1), rtol=1e-4, atol=1e-6)


def samples(classes, seed=0, val=4):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(classes, 24))
    labels, held = np.repeat(np.arange(classes), 8), np.repeat(np.arange(classes), val)
    x, y = (centres[one] + 2 * rng.normal(size=(len(one), 24)) for one in (labels, held))
    return Samples(*(torch.from_numpy(a) for a in (x.astype(np.float32), labels, y.astype(np.float32), held)))


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("c", [0.01, 1.0, 30.0])
def test_the_probe_is_scikit_learns_logistic_regression(backbone, classes, c):
    """Two classes too, of which scikit-learn keeps one row. Features are taken as they come, not at length 1."""
    some = samples(classes)
    config = preset("recommended", "linear-probe", probe_c=c)
    fitted = naive.trained(backbone, config, some.train, some.train_labels, classes=classes)
    probe = method_named("linear-probe").predictor(fitted.learned, fitted.learned.classnames, None)
    plain = LogisticRegression(C=c, max_iter=1000).fit(some.train.double().numpy(), some.train_labels.numpy())
    expected = torch.from_numpy(plain.predict_proba(some.val.double().numpy())).float()
    torch.testing.assert_close(probe.predict(some.val).probabilities, expected, rtol=1e-3, atol=1e-4)


def test_the_probe_of_some_of_its_classes_leaves_the_others_out(backbone):
    some = samples(4)
    fitted = naive.trained(backbone, preset("recommended", "linear-probe"), some.train, some.train_labels)
    method = method_named("linear-probe")
    whole = method.predictor(fitted.learned, CLASSNAMES[:4], None).predict(some.val).probabilities
    part = method.predictor(fitted.learned, (CLASSNAMES[3], CLASSNAMES[1]), None).predict(some.val).probabilities
    chosen = whole[:, [3, 1]]
    torch.testing.assert_close(part, chosen / chosen.sum(1, keepdim=True), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_c_is_at_least_as_good_on_val_as_every_one_of_the_coarse_grid(seed):
    some = samples(4, seed)

    def accuracy(c):
        model = LogisticRegression(C=c, max_iter=1000).fit(some.train.double().numpy(), some.train_labels.numpy())
        return (model.predict(some.val.double().numpy()) == some.val_labels.numpy()).mean()

    c, how = best_c(some)
    assert how == "chosen on 16 validation images"
    assert accuracy(c) >= max(accuracy(10.0**power) for power in (6, 4, 2, 0, -2, -4, -6))


class Heard(Listener):
    def __init__(self):
        self.notices = []

    def notice(self, text):
        self.notices.append(text)


def probe_of(world, out, data, monkeypatch, **changes):
    """Trains a probe; what it said of C, and the samples that C was sought on."""
    seen, heard = [], Heard()
    seek = linear_probe.best_c
    monkeypatch.setattr(linear_probe, "best_c", lambda given, weights: (seen.append(given), seek(given, weights))[1])
    run = train(plan_for(world, out, preset("recommended", "linear-probe"), data=data, groups=None, **changes), heard)
    (said,) = [notice for notice in heard.notices if notice.startswith("linear probe")]
    assert said in run.info["notes"]
    return run, said, seen[0]


def test_val_of_the_data_is_what_c_is_sought_on(world, tmp_path, monkeypatch):
    """Ten training rows a class, of which a fifth became val."""
    run, said, some = probe_of(world, tmp_path / "run", world["data"], monkeypatch)
    assert said.endswith("chosen on 12 validation images")
    assert (len(some.train), len(some.val)) == (48, 12)
    assert evaluate(run, open_dataset(world["data"])).accuracy > 90  # chance is 17
    assert not run.stored_features
    assert run.history() == []


def test_without_a_val_unused_training_images_stand_in_for_it(world, tmp_path, monkeypatch):
    """Two training rows a class leave no val; one shot leaves one row unused."""
    data = write_features(tmp_path / "few.npz", per_class=4)
    _, said, some = probe_of(world, tmp_path / "run", data, monkeypatch, shots=1)
    assert said.endswith("chosen on 6 validation images")
    assert some.val_labels.tolist() == list(range(6))
    assert not {tuple(row) for row in some.train.tolist()} & {tuple(row) for row in some.val.tolist()}


def test_without_any_image_to_spare_c_is_the_default(world, tmp_path, monkeypatch):
    data = write_features(tmp_path / "few.npz", per_class=4)
    _, said, some = probe_of(world, tmp_path / "run", data, monkeypatch, shots=2)
    assert said == f"linear probe: C = {DEFAULT_C:.4g}, the default, as there is no val to choose on"
    assert len(some.val) == 0


def test_c_is_never_chosen_on_test_images(world, tmp_path, monkeypatch):
    """ImageNet's val is its test set in CoOp's layout: unused training images stand in for it, of nine a class."""
    wnids = ("n01440764", "n01443537", "n02999999")
    home = tmp_path / "imagenet"
    counts = {f"train/{name}": 9 for name in wnids} | {f"val/{name}": 5 for name in wnids}
    put_classes(home / "images", counts, suffix=".JPEG")
    (home / "classnames.txt").write_text("n01440764 tench\nn01443537 goldfish\nn02999999 maillot\n")
    for shots, spare in ((8, 1), (6, 3), (5, 4)):
        out = tmp_path / f"run{shots}"
        _, said, some = probe_of(world, out, home, monkeypatch, shots=shots)
        monkeypatch.undo()
        assert said.endswith(f"chosen on {3 * spare} validation images")
        assert not {tuple(row) for row in some.train.tolist()} & {tuple(row) for row in some.val.tolist()}


def test_pooled_groups_keep_every_template_once():
    given = parse_groups(dump_groups(GROUPS))
    (group,) = method_named("lasp").groups(given, preset("recommended", "lasp")).groups
    assert group.texts == tuple(text for texts in TEXTS for text in texts)
