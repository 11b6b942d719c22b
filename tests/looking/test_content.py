"""What the page shows is what the run computes: against a naive recomputation, number by number."""

from __future__ import annotations

import json
import math

import pytest
import torch
from hostile import CLASSES, GROUPS, SCRIPT
from worlds import plan_for

from mocoop.config import preset
from mocoop.data.images import open_image
from mocoop.data.views import centre_view
from mocoop.looking.content import page_content, some_of
from mocoop.looking.gates import reference_gates
from mocoop.runs.train import train


def unit(vector):
    length = math.sqrt(sum(one * one for one in vector))
    return [one / length for one in vector]


def softmax(numbers):
    powers = [math.exp(one - max(numbers)) for one in numbers]
    return [one / sum(powers) for one in powers]


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


@pytest.fixture(scope="module")
def pictures(looked):
    """Image features (N, D) as lists, straight from the files."""
    tower = looked.backbone
    return [
        unit(
            tower.encode_images(torch.from_numpy(centre_view(open_image(example.path), tower.preprocess))[None])[
                0
            ].tolist()
        )
        for example in looked.result.examples
    ]


def test_gates_are_those_of_the_equations(looked, pictures):
    """Eq. 1 with the learned router, Eq. 6 with the prototypes, both on features without their mean."""
    router = {name.removeprefix("router."): one.tolist() for name, one in looked.run.tensors.items()}
    tau = looked.run.config.gate_temperature(looked.run.learned.logit_scale)
    for image, x in enumerate(pictures):
        centred = [a - b for a, b in zip(x, router["centre"], strict=True)]
        reference = [dot(row, centred) / tau for row in router["prototypes"]]
        learned = [
            logit + dot(row, centred) / router["spread"] + bias
            for logit, row, bias in zip(reference, router["linear.weight"], router["linear.bias"], strict=True)
        ]
        assert looked.content["images"]["reference"][image] == pytest.approx(softmax(reference), abs=1.5e-4)
        assert looked.content["images"]["gate"][image] == pytest.approx(softmax(learned), abs=1.5e-4)


def test_the_reference_gate_of_a_linear_router_comes_from_the_templates(looked, world, tmp_path):
    """The paper's router keeps no prototypes: they are made of the templates again."""
    config = preset("paper", epochs=1, batch_size=16)
    run = train(plan_for(world, tmp_path / "run", config))
    assert run.config.router_form == "linear"
    tower = looked.backbone
    x = torch.nn.functional.normalize(looked.result.features, dim=-1)
    labels = torch.tensor([example.label for example in looked.result.examples])
    tau = run.config.gate_temperature(run.learned.logit_scale)
    rows = []
    for group in GROUPS["groups"]:
        texts = [template.replace("{}", name) for template in group["templates"] for name in run.classnames]
        features = tower.text.prepare(tower.prompts.rows(["{}"], texts))()[0]
        rows.append(torch.nn.functional.normalize(features, dim=-1).mean(dim=0))
    prototypes = torch.nn.functional.normalize(torch.stack(rows), dim=-1)
    expected = (x @ prototypes.T / tau).softmax(-1)
    found = reference_gates(run, tower, looked.result.features, labels)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-3)


def test_the_released_codes_gate_is_by_the_true_class_and_its_two_largest(looked, world, tmp_path):
    """The prototype of each image's class, and 10 added to the two largest of its logits."""
    config = preset("paper", epochs=1, batch_size=16, gate_prototypes="true-class", gate_target="two-hot")
    run = train(plan_for(world, tmp_path / "run", config))
    tower = looked.backbone
    images = torch.nn.functional.normalize(looked.result.features, dim=-1)
    labels = [example.label for example in looked.result.examples]
    tau = run.config.gate_temperature(run.learned.logit_scale)
    found = reference_gates(run, tower, looked.result.features, torch.tensor(labels))
    for x, label, gate in zip(images, labels, found.tolist(), strict=True):
        logits = []
        for group in GROUPS["groups"]:
            texts = [template.replace("{}", run.classnames[label]) for template in group["templates"]]
            features = tower.text.prepare(tower.prompts.rows(["{}"], texts))()[0]
            prototype = torch.nn.functional.normalize(features, dim=-1).mean(dim=0).tolist()
            logits.append(dot(unit(prototype), x.tolist()) / tau)
        for place in sorted(range(3), key=lambda g: -logits[g])[:2]:
            logits[place] += 10
        assert gate == pytest.approx(softmax(logits), abs=1e-3)


def test_one_prompt_has_no_gates(looked, world, tmp_path):
    run = train(plan_for(world, tmp_path / "run", preset("recommended", "zero-shot")))
    labels = torch.zeros(1, dtype=torch.int64)
    assert reference_gates(run, looked.backbone, looked.result.features[:1], labels) is None


def test_sets_hold_what_cannot_be_ruled_out(looked):
    images, limits = looked.content["images"], looked.run.calibration.limits(0.8)
    for image, row in enumerate(looked.result.probabilities.tolist()):
        order = sorted(range(len(row)), key=lambda c: -row[c])
        expected = [c for c in order if 1 - row[c] <= limits[c] or c == order[0]]
        assert images["set"][image] == expected
        assert images["top"][image] == [[c, pytest.approx(row[c], abs=1e-4)] for c in order[:5]]
        assert images["truth"][image] == pytest.approx(row[images["label"][image]], abs=1e-4)
        assert images["unsure"][image] == int(max(row) < looked.doubt.unsure_below)
    assert max(map(len, images["set"])) > 1, "a test of sets has a set of several classes"
    assert 0 < sum(images["unsure"]) < len(images["unsure"])


def test_classes_and_answers_are_those_of_the_evaluation(looked):
    content, result = looked.content, looked.result
    counts = {}
    for label, guess in zip(content["images"]["label"], content["images"]["guess"], strict=True):
        counts[label, guess] = counts.get((label, guess), 0) + 1
    for c, one in enumerate(result.per_class):
        assert sum(n for (label, _), n in counts.items() if label == c) == one.images
        assert counts.get((c, c), 0) == one.correct
    assert content["classes"] == sorted(CLASSES)
    assert content["notes"] == ["twice"]
    assert content["backbone"] == "tiny", "not the folder it lies in"


def test_names_are_printable_and_without_the_folders_of_all(looked):
    names = looked.content["images"]["name"]
    assert f"dog/{SCRIPT}" in names
    assert "dog/photo\\u202egnp.png" in names
    assert all(one.isprintable() for one in names)
    assert json.loads(json.dumps(looked.content, allow_nan=False)) == looked.content


def test_tokens_stand_beside_the_words_they_started_from(looked):
    experts = looked.content["experts"]
    assert [one["id"] for one in experts] == ["plain", "blurry", "texture"]
    assert [one["templates"] for one in experts] == [group["templates"] for group in GROUPS["groups"]]
    assert [token["start"] for token in experts[1]["tokens"]] == ["a", "blurry", "photo", "of", "a", "."]
    assert [token["before"] for token in experts[1]["tokens"]] == [True] * 5 + [False]
    assert [token["before"] for token in experts[2]["tokens"]] == [False, False]
    for token in experts[1]["tokens"]:
        distances = [distance for _, distance in token["near"]]
        assert distances == sorted(distances)


def test_of_very_many_images_some_are_shown(looked):
    some, notes = some_of(looked.result, 8)
    assert some.examples == looked.result.examples[::3]
    assert notes == ("8 of 22 images are shown, evenly spaced; all numbers here are of those",)
    content = page_content(
        looked.run, some, looked.reference[::3], looked.doubt, data="", coverage=0.8, backbone=looked.backbone
    )
    for name, values in content["images"].items():
        if name != "name":
            assert values == looked.content["images"][name][::3]
    assert some_of(looked.result, 22) == (looked.result, ())
