"""Loading backbones: never random weights, never the wrong activation, never code from a file."""

from __future__ import annotations

import json

import pytest
import torch
from attacks import Bomb
from safetensors.torch import load_file, save_file
from towers import CONFIGS, small_model, write_bert_folder, write_clip_folder

from mocoop.backbone.activation import activation_of_file, activation_of_tag
from mocoop.backbone.backbone import load_backbone
from mocoop.backbone.pretrained import (
    find_pretrained,
)
from mocoop.backbone.weights import is_openai_file
from mocoop.errors import BackboneError, UsageError


def test_a_local_folder_gives_its_own_features(tmp_path):
    backbone = load_backbone(f"local-dir:{write_clip_folder(tmp_path / 'm')}", device="cpu", precision="float32")
    model = small_model("clip")
    pixels = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(backbone.encode_images(pixels), model.encode_image(pixels))
    assert (backbone.embed_dim, backbone.context_length, backbone.preprocess.size) == (24, 40, (32, 32))
    assert backbone.logit_scale == pytest.approx(1 / 0.07)
    assert not any(p.requires_grad for p in backbone.model.parameters())


def test_on_a_cpu_images_are_encoded_in_float32_whatever_the_text_tower_does(tmp_path):
    folder, pixels = write_clip_folder(tmp_path / "m"), torch.randn(2, 3, 32, 32)
    exact, rounded = (load_backbone(f"local-dir:{folder}", device="cpu", precision=p) for p in ("float32", "bfloat16"))
    assert torch.equal(exact.encode_images(pixels), rounded.encode_images(pixels))
    rows = exact.prompts.rows(["a photo of a {}."], ["dog"])
    assert not torch.equal(exact.text.prepare(rows)(), rounded.text.prepare(rows)())


def test_the_stand_in_stays_in_float32_unless_told(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    assert load_backbone("miniclip", device="cpu").precision == "float32"
    assert load_backbone("miniclip", device="cpu", precision="bfloat16").precision == "bfloat16"


def test_coca_image_features_are_not_normalised(tmp_path):
    backbone = load_backbone(f"local-dir:{write_clip_folder(tmp_path / 'm', 'coca')}", device="cpu")
    assert not torch.allclose(backbone.encode_images(torch.randn(2, 3, 32, 32)).norm(dim=-1), torch.ones(2))


def test_the_fingerprint_follows_weights_and_configuration(tmp_path):
    one = load_backbone(f"local-dir:{write_clip_folder(tmp_path / 'a')}", device="cpu")
    same = load_backbone(f"local-dir:{write_clip_folder(tmp_path / 'b')}", device="cpu")
    other = load_backbone(f"local-dir:{write_clip_folder(tmp_path / 'c', 'quickgelu')}", device="cpu")
    assert one.fingerprint == same.fingerprint != other.fingerprint


def test_a_folder_without_weights_is_an_error(tmp_path):
    (write_clip_folder(tmp_path / "m") / "open_clip_model.safetensors").unlink()
    with pytest.raises(BackboneError, match="a configuration but no weights"):
        load_backbone(f"local-dir:{tmp_path / 'm'}")


def test_a_folder_without_configuration_is_an_error(tmp_path):
    (tmp_path / "m").mkdir()
    with pytest.raises(BackboneError, match=r"open_clip_config\.json"):
        load_backbone(f"local-dir:{tmp_path / 'm'}")
    with pytest.raises(BackboneError, match="there is no folder"):
        load_backbone(f"local-dir:{tmp_path / 'nowhere'}")


def test_weights_of_another_architecture_are_an_error(tmp_path):
    folder = write_clip_folder(tmp_path / "m")
    wider = {**CONFIGS["clip"], "embed_dim": 48}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": wider}))
    with pytest.raises(BackboneError, match="do not load into"):
        load_backbone(f"local-dir:{folder}")


@pytest.mark.parametrize("damage", ["cut", "missing"])
def test_damaged_weights_are_an_error(tmp_path, damage):
    path = write_clip_folder(tmp_path / "m") / "open_clip_model.safetensors"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:1000])
    else:
        state = load_file(path)
        state.pop("ln_final.weight")
        save_file(state, path)
    with pytest.raises(BackboneError):
        load_backbone(f"local-dir:{tmp_path / 'm'}")


def test_a_hugging_face_tower_needs_its_configuration_in_the_folder(tmp_path):
    folder = write_bert_folder(tmp_path / "m")
    (folder / "config.json").unlink()
    with pytest.raises(BackboneError, match=r"no config\.json.*example/bert-that-is-only-on-a-hub"):
        load_backbone(f"local-dir:{folder}")


def test_an_unknown_name_suggests_near_ones():
    with pytest.raises(BackboneError, match="did you mean ViT-B-16"):
        load_backbone("ViT-B16")
    with pytest.raises(BackboneError, match="did you mean miniclip"):
        load_backbone("miniclp")


def test_an_architecture_without_weights_lists_its_tags():
    with pytest.raises(BackboneError, match="--pretrained with a weights file or one of: openai"):
        load_backbone("ViT-B-16")


def test_a_tag_that_does_not_exist_or_cannot_be_fetched():
    with pytest.raises(BackboneError, match="neither a file nor a tag"):
        load_backbone("ViT-B-16", "opnai")
    with pytest.raises(BackboneError, match="cannot be fetched"):
        load_backbone("ViT-B-16", "openai")  # offline


def test_a_hub_repository_that_cannot_be_fetched():
    with pytest.raises(BackboneError, match="cannot be fetched"):
        load_backbone("hf-hub:example/none")


def test_pretrained_has_no_place_beside_a_folder_or_miniclip(tmp_path):
    with pytest.raises(BackboneError, match="brings its own weights"):
        load_backbone("local-dir:x", "openai")
    with pytest.raises(BackboneError, match="brings its own weights"):
        load_backbone("miniclip", "openai")


@pytest.mark.parametrize(
    ("name", "tag", "quick"),
    [
        ("ViT-B-16", "openai", True),
        ("RN50", "openai", True),
        ("ViT-B-16", "laion2b_s34b_b88k", False),
        ("ViT-B-32-quickgelu", "openai", True),
        ("coca_ViT-B-32", "laion2b_s13b_b90k", False),
        ("ViT-B-16-SigLIP", "webli", False),
    ],
)
def test_activation_follows_the_tag(name, tag, quick):
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg

    config, tag_config = open_clip.get_model_config(name), get_pretrained_cfg(name, tag)
    assert tag_config, "the tag is not known to this open_clip"
    assert activation_of_tag(name, tag, config, tag_config, None) is quick
    with pytest.raises(BackboneError, match="activation"):
        activation_of_tag(name, tag, config, tag_config, not quick)


def test_a_quickgelu_name_with_weights_trained_without_it_is_an_error():
    with pytest.raises(BackboneError, match="without '-quickgelu'"):
        activation_of_tag("ViT-B-32-quickgelu", "x", {"quick_gelu": True}, {"quick_gelu": False}, None)


def test_a_local_file_that_does_not_tell_its_activation_asks(tmp_path):
    path = tmp_path / "w.safetensors"
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(BackboneError, match="--quick-gelu"):
        activation_of_file("ViT-B-16", path, {}, None)
    assert activation_of_file("ViT-B-16", path, {}, True) is True
    assert activation_of_file("ViT-B-16", path, {}, False) is False
    assert activation_of_file("coca_ViT-B-32", path, {}, None) is False  # never trained with it


def test_openai_files_are_known_by_their_buffers_and_get_quickgelu(tmp_path):
    path = tmp_path / "w.safetensors"
    save_file({"x": torch.zeros(1), "input_resolution": torch.tensor(224)}, path)
    assert is_openai_file(path)
    assert activation_of_file("ViT-B-16", path, {}, None) is True
    with pytest.raises(BackboneError, match="OpenAI's"):
        activation_of_file("ViT-B-16", path, {}, False)


def test_an_openai_state_loads_with_its_extra_buffers_and_half_precision(tmp_path):
    folder = write_clip_folder(tmp_path / "m", "quickgelu")
    path = folder / "open_clip_model.safetensors"
    state = {name: value.half() for name, value in load_file(path).items()}
    save_file({**state, "input_resolution": torch.tensor(32), "vocab_size": torch.tensor(49408)}, path)
    backbone = load_backbone(f"local-dir:{folder}", device="cpu")
    assert backbone.model.token_embedding.weight.dtype == torch.float32


def test_torchscript_is_refused_with_the_way_out(tmp_path):
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(tmp_path / "ViT-B-16.pt"))
    found = find_pretrained("ViT-B-16", str(tmp_path / "ViT-B-16.pt"), True)
    with pytest.raises(BackboneError, match=r"TorchScript.*--pretrained openai"):
        found.build()


def test_a_pickle_bomb_does_not_run(tmp_path):
    import pickle

    (tmp_path / "w.bin").write_bytes(pickle.dumps(Bomb(str(tmp_path / "exploded"))))
    with pytest.raises(BackboneError):
        find_pretrained("ViT-B-16", str(tmp_path / "w.bin"), True).build()
    assert not (tmp_path / "exploded").exists()


def test_unknown_devices_are_refused():
    with pytest.raises(UsageError, match="no device is called"):
        load_backbone("miniclip", device="gpu")
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="not available"):
            load_backbone("miniclip", device="cuda")


def test_block_layer_norms_are_found_or_refused(tmp_path):
    backbone = load_backbone(f"local-dir:{write_clip_folder(tmp_path / 'm')}", device="cpu")
    names = backbone.block_layer_norms()
    assert len(names) == 2 * 2 * 2  # two blocks, two norms each, weight and bias
    before = backbone.fingerprint
    backbone.adopt_layer_norms({name: value.detach() + 1 for name, value in names.items()})
    assert backbone.fingerprint != before
