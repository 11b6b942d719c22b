"""Weights from a file of one's own: how its images are prepared, which wrappers it may have, what it is instead."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import open_clip
import pytest
import torch
from open_clip.pretrained import get_pretrained_cfg
from safetensors.torch import save_file
from torch import Tensor
from towers import CONFIGS, VISION, small_model, write_clip_folder
from worlds import plan_for, write_world

from mocoop.backbone.backbone import load_backbone
from mocoop.backbone.preprocessing import preprocess_of
from mocoop.backbone.pretrained import build_model, find_pretrained
from mocoop.backbone.weights import load_weights
from mocoop.errors import BackboneError
from mocoop.runs.train import train
from mocoop.training.trainer import Listener

State = dict[str, Tensor]
CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
NONE = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


# ---- the preprocessing of the architecture


@pytest.fixture
def file(tmp_path: Path) -> str:
    """A file that says nothing of its images."""
    save_file({"x": torch.zeros(1)}, tmp_path / "w.safetensors")
    return str(tmp_path / "w.safetensors")


FAMILIES = [  # values as the authors of each family state them
    ("ViT-B-16-SigLIP", None, *HALF, "bicubic", "squash"),
    ("ViT-SO400M-14-SigLIP-384", None, *HALF, "bicubic", "squash"),
    ("ViT-B-16-SigLIP-i18n-256", None, *HALF, "bicubic", "squash"),
    ("ViT-B-16-SigLIP2", None, *HALF, "bicubic", "squash"),
    ("ViT-gopt-16-SigLIP2-384", None, *HALF, "bicubic", "squash"),
    ("nllb-clip-base-siglip", None, *HALF, "bicubic", "squash"),
    ("ViT-L-14-CLIPA", None, *IMAGENET, "bilinear", "squash"),
    ("ViT-H-14-CLIPA-336", None, *IMAGENET, "bilinear", "squash"),
    ("EVA02-B-16", None, *CLIP, "bicubic", "shortest"),
    ("EVA01-g-14", None, *CLIP, "bicubic", "shortest"),
    ("coca_ViT-B-32", None, *CLIP, "bicubic", "shortest"),
    ("coca_ViT-L-14", None, *CLIP, "bicubic", "shortest"),
    ("MobileCLIP-S1", None, *NONE, "bilinear", "shortest"),
    ("MobileCLIP2-S3", None, *CLIP, "bilinear", "shortest"),
    ("PE-Core-B-16", None, *HALF, "bilinear", "squash"),
    ("ViTamin-B", None, *CLIP, "bicubic", "shortest"),
    ("convnext_base_w", None, *CLIP, "bicubic", "shortest"),
    ("ViT-B-16", False, *CLIP, "bicubic", "shortest"),  # LAION, DataComp
    ("ViT-B-16", True, *CLIP, "bicubic", "shortest"),  # OpenAI, DFN, MetaCLIP
    ("RN50", True, *CLIP, "bicubic", "shortest"),
    ("ViT-B-32-256", False, *CLIP, "bicubic", "shortest"),
    ("ViT-L-14", True, *CLIP, "bicubic", "shortest"),
    ("ViT-L-14-336", True, *CLIP, "bicubic", "shortest"),
    ("ViT-H-14", False, *CLIP, "bicubic", "shortest"),
    ("ViT-H-14-378-quickgelu", None, *CLIP, "bicubic", "squash"),  # DFN
    ("ViT-bigG-14-worldwide-378", False, *CLIP, "bicubic", "squash"),  # MetaCLIP 2
    ("xlm-roberta-base-ViT-B-32", None, *CLIP, "bicubic", "shortest"),
]


@pytest.mark.parametrize(("name", "quick", "mean", "std", "interpolation", "resize_mode"), FAMILIES)
def test_a_file_gets_the_preprocessing_of_its_architecture(
    name: str, quick: bool | None, mean: Any, std: Any, interpolation: str, resize_mode: str, file: str
) -> None:
    found = find_pretrained(name, file, quick)
    made = preprocess_of(small_model("clip"), found.preprocess)
    assert (made.mean, made.std, made.interpolation, made.resize_mode) == (mean, std, interpolation, resize_mode)
    assert found.notes == ()


def test_every_architecture_has_the_preprocessing_of_its_tags_or_asks(file: str) -> None:
    asked = []
    for name in open_clip.list_models():
        tags = open_clip.list_pretrained_tags_by_model(name)
        for quick in (False, True):
            known = [get_pretrained_cfg(name, tag) for tag in tags]
            known = [one for one in known if bool(one.get("quick_gelu")) is quick] or known
            try:
                found = find_pretrained(name, file, quick)
            except BackboneError as error:
                if "preprocessing" in error.message:
                    asked.append((name, quick))
                continue
            keys = ("mean", "std", "interpolation", "resize_mode")
            assert all([one[k] for k in keys] == [found.preprocess[k] for k in keys] for one in known), name
            assert bool(found.notes) is (not tags)
    assert asked == [("ViT-H-14", True), ("ViT-H-14-quickgelu", True), ("ViT-L-14", False)]


def test_where_the_tags_of_an_architecture_disagree_a_person_says_whose_weights_they_are(file: str) -> None:
    with pytest.raises(BackboneError, match="preprocessing") as caught:
        find_pretrained("ViT-L-14", file, False)
    hint = str(caught.value.hint)
    assert f"--pretrained laion2b_s32b_b82k={file} (mean 0.5 0.5 0.5, std 0.5 0.5 0.5, bicubic, shortest)" in hint
    assert f"--pretrained laion400m_e31={file} (mean 0.4815 0.4578 0.4082" in hint
    inception = find_pretrained("ViT-L-14", f"laion2b_s32b_b82k={file}", None)
    assert (inception.preprocess["mean"], inception.config["quick_gelu"]) == ((0.5, 0.5, 0.5), False)
    openai = find_pretrained("ViT-L-14", f"openai={file}", None)
    assert (openai.preprocess["mean"], openai.config["quick_gelu"]) == (CLIP[0], True)
    assert openai.tag == f"openai={Path(file).absolute()}"
    assert find_pretrained("ViT-L-14", openai.tag, True).preprocess == openai.preprocess  # as a run asks for it again
    with pytest.raises(BackboneError, match="activation"):
        find_pretrained("ViT-L-14", f"openai={file}", False)
    with pytest.raises(BackboneError, match="neither a file nor a tag"):
        find_pretrained("ViT-L-14", f"opnai={file}", None)


def test_openais_own_file_needs_no_asking(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file({"x": torch.zeros(1), "input_resolution": torch.tensor(224)}, path)
    assert find_pretrained("ViT-L-14", str(path), None).preprocess["mean"] == CLIP[0]


def test_an_architecture_without_weights_of_its_own_is_told(file: str) -> None:
    found = find_pretrained("ViT-S-16", file, False)
    (note,) = found.notes
    assert "open_clip knows no weights of ViT-S-16" in note
    assert "mean 0.4815 0.4578 0.4082" in note
    assert preprocess_of(small_model("clip"), found.preprocess).mean == CLIP[0]


def without_preprocessing(folder: Path) -> Path:
    path = folder / "open_clip_config.json"
    path.write_text(json.dumps({"model_cfg": json.loads(path.read_text())["model_cfg"]}))
    return folder


def test_a_training_says_and_keeps_what_was_assumed_of_the_images(tmp_path: Path) -> None:
    class Heard(Listener):
        notes: ClassVar[list[str]] = []

        def notice(self, text: str) -> None:
            self.notes.append(text)

    world = write_world(tmp_path)
    without_preprocessing(world["backbone"])
    run = train(plan_for(world, tmp_path / "run"), Heard())
    found = [note for note in Heard.notes if "says no mean and std" in note]
    assert found
    assert found == [note for note in run.info["notes"] if "calibration" not in note]


def test_a_folder_without_preprocessing_gets_its_architectures_or_a_note(tmp_path: Path) -> None:
    folder = tmp_path / "siglip"
    folder.mkdir()
    save_file({"x": torch.zeros(1)}, folder / "open_clip_model.safetensors")
    document: dict[str, Any] = {"model_cfg": open_clip.get_model_config("ViT-B-16-SigLIP")}
    (folder / "open_clip_config.json").write_text(json.dumps(document))
    found = find_pretrained(f"local-dir:{folder}", None, None)
    assert (found.preprocess["mean"], found.preprocess["resize_mode"]) == (HALF[0], "squash")
    assert "ViT-B-16-SigLIP" in found.notes[0]
    document["preprocess_cfg"] = {"mean": [0.1] * 3, "std": [0.2] * 3, "resize_mode": "longest"}
    (folder / "open_clip_config.json").write_text(json.dumps(document))
    found = find_pretrained(f"local-dir:{folder}", None, None)
    assert (found.preprocess["mean"], found.preprocess["resize_mode"], found.notes) == ([0.1] * 3, "longest", ())
    backbone = load_backbone(f"local-dir:{without_preprocessing(write_clip_folder(tmp_path / 'own'))}", device="cpu")
    assert backbone.preprocess.mean == CLIP[0]
    assert "says no mean and std" in backbone.notes[0]


# ---- wrappers around the weights


def prefixed(prefix: str) -> Callable[[State], Any]:
    return lambda state: {prefix + name: value for name, value in state.items()}


WRAPPED: dict[str, Callable[[State], Any]] = {
    "as it is": dict,
    "compiled": prefixed("_orig_mod."),
    "data parallel": prefixed("module."),
    "both": prefixed("module._orig_mod."),
    "the other way": prefixed("_orig_mod.module."),
    "a tower compiled": lambda state: {re.sub(r"^visual\.", "visual._orig_mod.", k): v for k, v in state.items()},
    "model": lambda state: {"model": dict(state), "optimizer": {"state": {}, "param_groups": []}, "epoch": 3},
    "state_dict": lambda state: {"state_dict": prefixed("module.")(state), "epoch": 3, "name": "run"},
    "model_state_dict": lambda state: {"model_state_dict": dict(state)},
    "nested": lambda state: {"model": {"state_dict": dict(state)}},
    "Lightning's": lambda state: {
        "pytorch-lightning_version": "2.5", "epoch": 1, "state_dict": prefixed("model.")(state),
        "optimizer_states": [], "hyper_parameters": {"lr": 0.1},
    },
    "Lightning's, compiled": lambda state: {"state_dict": prefixed("model._orig_mod.")(state)},
    "Lightning's, another attribute": lambda state: {"state_dict": prefixed("net.clip.")(state)},
    "numbers beside": lambda state: {**state, "epoch": 4},
    "half precision": lambda state: {name: value.half().float().bfloat16() for name, value in state.items()},
}  # fmt: skip


@pytest.mark.parametrize("family", ["clip", "siglip", "coca"])
@pytest.mark.parametrize("how", WRAPPED.values(), ids=WRAPPED)
def test_known_wrappers_are_taken_off(family: str, how: Callable[[State], Any], tmp_path: Path) -> None:
    state = small_model(family).state_dict()
    torch.save(how(state), tmp_path / "w.pt")
    model = small_model(family, seed=1)
    assert load_weights(model, tmp_path / "w.pt", "small") == ()
    close = 0.02 if how is WRAPPED["half precision"] else 0
    for name, value in model.state_dict().items():
        if not name.startswith("text_decoder."):  # CoCa's, in part never initialised by open_clip
            torch.testing.assert_close(value, state[name], rtol=close, atol=close)
        assert value.dtype == state[name].dtype


def test_wrappers_in_safetensors_too(tmp_path: Path) -> None:
    state = {f"model.{name}": value.contiguous() for name, value in small_model("clip").state_dict().items()}
    save_file(state, tmp_path / "w.safetensors")
    model = small_model("clip", seed=1)
    load_weights(model, tmp_path / "w.safetensors", "small")
    assert torch.equal(model.state_dict()["ln_final.weight"], state["model.ln_final.weight"])


def test_tensors_beside_the_model_are_left_aside_and_named(tmp_path: Path) -> None:
    state = prefixed("model.")(small_model("clip").state_dict())
    torch.save({"state_dict": {**state, "criterion.scale": torch.ones(1)}}, tmp_path / "w.ckpt")
    (note,) = load_weights(small_model("clip", seed=1), tmp_path / "w.ckpt", "small")
    assert "criterion.scale" in note


def test_two_models_in_one_file_are_not_chosen_from(tmp_path: Path) -> None:
    state = small_model("clip").state_dict()
    torch.save({**prefixed("student.")(state), **prefixed("teacher.")(state)}, tmp_path / "w.pt")
    with pytest.raises(BackboneError, match=r"two models.*student\..*teacher\."):
        load_weights(small_model("clip"), tmp_path / "w.pt", "small")


def test_the_text_tower_may_stand_apart_or_not(tmp_path: Path) -> None:
    """open_clip stores a CLIP with `text.` before the names of its text tower, or without; the numbers are the same."""
    state = small_model("clip").state_dict()
    text = re.compile(r"^(?=transformer|token_embedding|positional_embedding|ln_final|text_projection)")
    apart = {text.sub("text.", name): value for name, value in state.items()}
    for given, wanted in ((apart, {}), (state, {"custom_text": True})):
        torch.save(given, tmp_path / "w.pt")
        model = build_model({**CONFIGS["clip"], **wanted})
        load_weights(model, tmp_path / "w.pt", "small")
        pixels = torch.randn(2, 3, 32, 32)
        ids = open_clip.SimpleTokenizer()(["a dog", "an airport"], context_length=40)
        reference = small_model("clip")
        torch.testing.assert_close(model.encode_image(pixels), reference.encode_image(pixels))
        torch.testing.assert_close(model.encode_text(ids), reference.encode_text(ids))


@pytest.mark.parametrize("shape", [(), (1,)])
def test_siglips_bias_may_be_missing_or_left_over(shape: tuple[int, ...], tmp_path: Path) -> None:
    """A softmax over classes is invariant to it."""
    state = small_model("siglip").state_dict()
    bias = state.pop("logit_bias")
    torch.save(state, tmp_path / "without.pt")
    model = small_model("siglip", seed=1)
    load_weights(model, tmp_path / "without.pt", "small")
    assert model.state_dict()["logit_bias"].abs().max() == 0
    torch.save({**state, "logit_bias": bias.reshape(shape), "logit_scale": state["logit_scale"].reshape(shape)},
               tmp_path / "other.pt")  # fmt: skip
    load_weights(small_model("siglip"), tmp_path / "other.pt", "small")
    plain = small_model("clip").state_dict()
    torch.save({**plain, "logit_bias": bias.reshape(shape)}, tmp_path / "extra.pt")
    load_weights(small_model("clip"), tmp_path / "extra.pt", "small")


# ---- what it is instead


def transformers_clip() -> State:
    from transformers import CLIPConfig, CLIPModel

    text = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 64}
    vision = {**text, "image_size": 32, "patch_size": 8}
    model = CLIPModel(CLIPConfig(text_config={**text, "vocab_size": 99}, vision_config=vision, projection_dim=24))
    return model.state_dict()


def transformers_siglip() -> State:
    from transformers import SiglipConfig, SiglipModel

    text = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 64}
    vision = {**text, "image_size": 32, "patch_size": 8}
    return SiglipModel(SiglipConfig(text_config={**text, "vocab_size": 99}, vision_config=vision)).state_dict()


def image_tower(state: State) -> State:
    return {name.removeprefix("visual."): value for name, value in state.items() if name.startswith("visual.")}


def other_kind(kind: str) -> Any:
    state = small_model("clip").state_dict()
    if kind == "timm":
        import timm

        return timm.create_model("vit_tiny_patch16_224", pretrained=False, depth=1).state_dict()
    return {
        "transformers' CLIP": transformers_clip,
        "transformers' SigLIP": transformers_siglip,
        "transformers' CLIP, wrapped": lambda: {"state_dict": prefixed("model.")(transformers_clip())},
        "image tower": lambda: {name: value for name, value in state.items() if name.startswith("visual.")},
        "bare image tower": lambda: image_tower(state),
        "lora": lambda: {"base_model.model.visual.proj.lora_A.weight": torch.zeros(2, 2)},
        "optimizer": lambda: {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 0.1}]},
        "nothing": dict,
        "a list": lambda: list(state.values()),
        "a tensor": lambda: state["ln_final.weight"],
        "numbers": lambda: {"epoch": 3},
    }[kind]()


KINDS = {
    "transformers' CLIP": r"in transformers' format \(text_model\.",
    "transformers' SigLIP": r"in transformers' format \(text_model\.",
    "transformers' CLIP, wrapped": r"in transformers' format \(text_model\.",
    "timm": r"an image tower alone, in timm's format \(",
    "image tower": r"an image tower alone \(visual\.",
    "bare image tower": r"an image tower alone \(",
    "lora": r"adapters of a model, not the model \(",
    "optimizer": "the state of an optimizer",
    "nothing": "no tensors",
    "a list": "a list, not tensors by name",
    "a tensor": "a Tensor, not tensors by name",
    "numbers": "no tensors",
}


@pytest.mark.parametrize(("kind", "said"), KINDS.items())
def test_another_kind_of_file_is_named(kind: str, said: str, tmp_path: Path) -> None:
    torch.save(other_kind(kind), tmp_path / "w.pt")
    with pytest.raises(BackboneError, match=rf"do not load into small: .*{said}") as caught:
        load_weights(small_model("clip"), tmp_path / "w.pt", "small")
    assert caught.value.hint


def test_the_first_names_that_differ_are_listed_with_their_number(tmp_path: Path) -> None:
    state = small_model("clip").state_dict()
    for name in [name for name in state if name.startswith("transformer.resblocks.1.")]:
        state[name.replace(".1.", ".one.")] = state.pop(name)
    state["ln_final.weight"] = torch.zeros(7)
    state["ln_final.bias"] = state["ln_final.bias"].to(torch.int8)
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(BackboneError) as caught:
        load_weights(small_model("clip"), tmp_path / "w.pt", "small")
    for part in (
        "ln_final.weight is (7,), not (32,)",
        "ln_final.bias holds int8, not float32",
        "12 missing: transformer.resblocks.1.ln_1.weight, transformer.resblocks.1.ln_1.bias, ",
        "12 of no place: transformer.resblocks.one.ln_1.weight, ",
    ):
        assert part in caught.value.message
    assert len(caught.value.message) < 900


def test_the_same_model_in_another_size_says_so(tmp_path: Path) -> None:
    torch.save(small_model("clip").state_dict(), tmp_path / "w.pt")
    other = build_model({**CONFIGS["clip"], "vision_cfg": {**VISION, "width": 64}})
    with pytest.raises(BackboneError, match="the same kind of model in another size"):
        load_weights(other, tmp_path / "w.pt", "small")


def test_objects_beside_the_tensors_are_never_loaded_and_the_way_out_is_told(tmp_path: Path) -> None:
    torch.save({"state_dict": small_model("clip").state_dict(), "args": argparse.Namespace(lr=1)}, tmp_path / "w.pt")
    with pytest.raises(BackboneError, match=r"besides tensors \(argparse\.Namespace\)") as caught:
        load_weights(small_model("clip"), tmp_path / "w.pt", "small")
    assert "state_dict()" in str(caught.value.hint)


def test_openais_buffers_are_known_in_every_kind_of_file(tmp_path: Path) -> None:
    """OpenAI's state dict, saved again with torch: without the buffers' word its activation would be asked for."""
    torch.save({"state_dict": {"x": torch.zeros(1), "input_resolution": torch.tensor(224)}}, tmp_path / "w.pt")
    assert find_pretrained("ViT-B-16", str(tmp_path / "w.pt"), None).config["quick_gelu"] is True
    state = small_model("quickgelu").state_dict()
    torch.save({**state, "input_resolution": torch.tensor(32), "vocab_size": torch.tensor(1)}, tmp_path / "v.pt")
    load_weights(small_model("quickgelu", seed=1), tmp_path / "v.pt", "small")


# ---- names


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("vit-b-16", "ViT-B-16"),
        ("ViT-B/16", "ViT-B-16"),
        ("vit_b_16", "ViT-B-16"),
        ("VIT-B-16-SIGLIP", "ViT-B-16-SigLIP"),
        ("rn50", "RN50"),
        ("Miniclip", "miniclip"),
        ("eva02-b-16", "EVA02-B-16"),
    ],
)
def test_a_name_in_other_letters_suggests_the_right_one_first(name: str, meant: str) -> None:
    with pytest.raises(BackboneError, match=rf"did you mean {re.escape(meant)}\?"):
        load_backbone(name, None)


def test_a_place_given_as_a_name_is_told_how_to_be_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_clip_folder(tmp_path / "m")
    weights = folder / "open_clip_model.safetensors"
    monkeypatch.chdir(tmp_path)
    for given in (str(folder), "m"):
        with pytest.raises(BackboneError, match=rf"--backbone local-dir:{re.escape(given)}"):
            load_backbone(given)
    with pytest.raises(BackboneError, match=rf"--pretrained {re.escape(str(weights))}"):
        load_backbone(str(weights))
    with pytest.raises(BackboneError, match=r"is a file.*--pretrained"):
        load_backbone(f"local-dir:{weights}")
    with pytest.raises(BackboneError, match=r"is a folder.*--backbone local-dir:"):
        load_backbone("ViT-B-16", str(folder))
    with pytest.raises(BackboneError, match="hf-hub:laion/CLIP-ViT-B-16"):
        load_backbone("laion/CLIP-ViT-B-16")
    with pytest.raises(BackboneError, match="did you mean openai"):
        load_backbone("ViT-B-16", "Open.AI")
