"""CoCoOp: loss and two whole steps against `naive`, and prompts of images encoded together as if each were alone."""

from __future__ import annotations

import naive
import pytest
import torch
from towers import write_clip_folder
from worlds import CLASSNAMES

from mocoop.backbone.backbone import load_backbone
from mocoop.config import preset
from mocoop.errors import UsageError
from mocoop.methods import method_named
from mocoop.methods.cocoop import ConditionalPrompts

NAMES = CLASSNAMES[:4]


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    folder = write_clip_folder(tmp_path_factory.mktemp("tiny") / "clip")
    return load_backbone(f"local-dir:{folder}", device="cpu", precision="float32")


def config_of(**changes):
    return preset("recommended", "cocoop", **naive.quick(**changes))


def shifted(tensors, image):
    """meta(x): D -> D / 16 -> W with a ReLU between; (W) of one image."""
    hidden = (tensors["meta.first.weight"] @ image + tensors["meta.first.bias"]).clamp_min(0)
    return tensors["meta.second.weight"] @ hidden + tensors["meta.second.bias"]


def plain_logits(backbone, tensors, x, names):
    rows = []
    for image in x:
        ctx = tensors["ctx"] + shifted(tensors, image)  # the same for every token of ctx
        h = naive.prompt_features(backbone, ctx, "a photo of a {}.", names)
        rows.append(backbone.logit_scale * h @ image)
    return torch.stack(rows)


def started(backbone, seed=1):
    """The meta-net's default start: a hidden unit for sixteen of D, all uniform within 1 / sqrt(inputs)."""
    hidden = naive.DIM // 16
    shapes = {
        "meta.first.weight": (hidden, naive.DIM),
        "meta.first.bias": (hidden,),
        "meta.second.weight": (naive.WIDTH, hidden),
        "meta.second.bias": (naive.WIDTH,),
    }
    generator = torch.Generator().manual_seed(seed)
    bounds = {"first": naive.DIM**-0.5, "second": hidden**-0.5}
    meta = {
        name: torch.empty(shape).uniform_(-bounds[name.split(".")[1]], bounds[name.split(".")[1]], generator=generator)
        for name, shape in shapes.items()
    }
    return {"ctx": naive.words(backbone, "a photo of a"), **meta}


@pytest.mark.parametrize("images", [1, 6])
def test_two_steps(backbone, images):
    """A batch of one image, as published, and of several."""
    x, labels = naive.examples(4, images=images)
    config = config_of(batch_size=images)

    def loss(tensors):
        return naive.cross_entropy(plain_logits(backbone, tensors, x, NAMES), labels)

    start = started(backbone)
    values, losses = naive.descend(start, naive.of_loss(loss), config)
    fitted = naive.trained(backbone, config, x, labels)
    naive.agree(fitted, values, losses)
    assert (values["meta.second.bias"] - start["meta.second.bias"]).abs().max() > 1e-4
    assert set(fitted.learned.tensors) == set(start)


def test_training_gives_the_logits_and_gradients_of_prompts_encoded_alone(backbone):
    x, labels = naive.examples(4, images=5)
    tensors = {name: value.requires_grad_(True) for name, value in started(backbone).items()}
    prompts = ConditionalPrompts(backbone, backbone.prompts.prompt_context("a photo of a", "before", NAMES), NAMES)
    together = prompts(tensors["ctx"], torch.stack([shifted(tensors, image) for image in x]))
    logits = backbone.logit_scale * torch.einsum("bd,bcd->bc", x, together)
    alone = plain_logits(backbone, tensors, x, NAMES)
    torch.testing.assert_close(logits, alone, rtol=1e-5, atol=1e-4)
    shared, plain = (
        torch.autograd.grad(naive.cross_entropy(one, labels), list(tensors.values())) for one in (logits, alone)
    )
    for a, b in zip(shared, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("names", [NAMES, CLASSNAMES[4:]], ids=["trained", "new"])
@pytest.mark.parametrize("chunk", [None, 60], ids=["together", "few-at-once"])
def test_prediction_gives_the_probabilities_of_prompts_encoded_alone(backbone, names, chunk, monkeypatch):
    if chunk:
        monkeypatch.setattr("mocoop.methods.cocoop.CHUNK_TOKENS", chunk)
    x, labels = naive.examples(4, images=7)
    fitted = naive.trained(backbone, config_of(), x, labels)
    assert fitted.class_features is None
    classifier = method_named("cocoop").predictor(fitted.learned, names, None, backbone)
    plain = plain_logits(backbone, fitted.learned.tensors, x, names).softmax(1)
    prediction = classifier.predict(3 * x)  # normalised there
    torch.testing.assert_close(prediction.probabilities, plain, rtol=1e-4, atol=1e-5)
    if chunk:
        assert classifier.prompts.images_at_once < 7


def test_prediction_without_a_backbone_is_refused(backbone):
    x, labels = naive.examples(4, images=4)
    fitted = naive.trained(backbone, config_of(), x, labels)
    with pytest.raises(UsageError, match="depend on the image"):
        method_named("cocoop").predictor(fitted.learned, NAMES, None, None)
