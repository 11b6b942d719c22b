"""Model folders and weights that are wrong, damaged or hostile: refused by name, never run, never random."""

from __future__ import annotations

import contextlib
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from attacks import Bomb
from open_clip.pretrained import get_pretrained_cfg
from safetensors.torch import load_file, save_file
from towers import CONFIGS, write_bert_folder, write_clip_folder

from mocoop.backbone.activation import activation_of_tag
from mocoop.backbone.backbone import load_backbone
from mocoop.backbone.pretrained import build_model, find_pretrained
from mocoop.errors import BackboneError

Document = dict[str, Any]


def load(folder: Path):
    return load_backbone(f"local-dir:{folder}", device="cpu")


def change(folder: Path, name: str, how: Callable[[Document], object]) -> Path:
    document = json.loads((folder / name).read_text())
    how(document)
    (folder / name).write_text(json.dumps(document))
    return folder


# ---- code that comes with a model


def plant(folder: Path) -> Path:
    """A Python module in a model folder that leaves a trace when it is imported; the trace's path."""
    trace = folder / "ran"
    code = f"""
        import pathlib
        pathlib.Path({str(trace)!r}).touch()
        from transformers import BertConfig, BertTokenizerFast
        class Tokenizer(BertTokenizerFast): pass
        class Config(BertConfig): model_type = "evil"
    """
    (folder / "evil.py").write_text("\n".join(line.strip() for line in code.splitlines()))
    return trace


def test_a_folder_cannot_ask_for_its_own_tokenizer_code(tmp_path):
    folder = write_bert_folder(tmp_path / "m")
    trace = plant(folder)
    change(
        folder,
        "open_clip_config.json",
        lambda d: d["model_cfg"]["text_cfg"].update(tokenizer_kwargs={"trust_remote_code": True}),
    )
    own = {"auto_map": {"AutoTokenizer": ["evil.Tokenizer", "evil.Tokenizer"]}, "tokenizer_class": "Tokenizer"}
    change(folder, "tokenizer_config.json", lambda d: d.update(own))
    with contextlib.suppress(BackboneError):  # refused, or read with transformers' own class: both are fine
        load(folder)
    assert not trace.exists()


@pytest.mark.parametrize("model_type", ["evil", "bert"])
def test_a_folder_cannot_ask_for_its_own_text_tower_code(tmp_path, model_type, monkeypatch):
    """Without being told, transformers asks on the terminal; there must be no question either."""
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked a question"))
    folder = write_bert_folder(tmp_path / "m")
    trace = plant(folder)
    own = {"auto_map": {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}, "model_type": model_type}
    change(folder, "config.json", lambda d: d.update(own))
    with pytest.raises(BackboneError, match=r"text tower .*code"):
        load(folder)
    assert not trace.exists()


@pytest.mark.parametrize("suffix", [".safetensors", ".bin", ".pt", ".pth", ".npz", ".ckpt"])
@pytest.mark.parametrize("container", ["pickle", "torch"])
def test_a_bomb_offered_as_weights_does_not_run(tmp_path, suffix, container):
    path, trap = tmp_path / f"w{suffix}", tmp_path / "exploded"
    if container == "pickle":
        path.write_bytes(pickle.dumps(Bomb(str(trap))))
    else:
        torch.save({"state_dict": {"x": Bomb(str(trap))}}, path)
    with pytest.raises(BackboneError):
        find_pretrained("RN50", str(path), False).build()
    assert not trap.exists()


@pytest.mark.parametrize("suffix", [".safetensors", ".bin", ".pt", ".pth"])
def test_a_bomb_in_a_model_folder_does_not_run(tmp_path, suffix):
    folder = write_clip_folder(tmp_path / "m")
    (folder / "open_clip_model.safetensors").unlink()
    torch.save(Bomb(str(tmp_path / "exploded")), folder / f"open_clip_model{suffix}")
    with pytest.raises(BackboneError, match=r"do not load|not a safetensors file"):
        load(folder)
    assert not (tmp_path / "exploded").exists()


# ---- configurations


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("a list", lambda d: d.clear()),
        ("no towers", lambda d: d.update(model_cfg={})),
        ("no vision tower", lambda d: d["model_cfg"].pop("vision_cfg")),
        ("a text tower that is a list", lambda d: d["model_cfg"].update(text_cfg=[])),
        ("an unknown key", lambda d: d["model_cfg"].update(embed_dims=3)),
        ("an unknown key of a tower", lambda d: d["model_cfg"]["text_cfg"].update(depth=3)),
        ("a width in words", lambda d: d["model_cfg"].update(embed_dim="wide")),
        ("no width", lambda d: d["model_cfg"].pop("embed_dim")),
        ("heads that do not divide", lambda d: d["model_cfg"]["text_cfg"].update(heads=5)),
        ("an unknown timm tower", lambda d: d["model_cfg"].update(vision_cfg={"timm_model_name": "no-such"})),
        ("preprocessing as a list", lambda d: d.update(preprocess_cfg=[1])),
        ("a mean of two", lambda d: d.update(preprocess_cfg={"mean": [0.5, 0.5]})),
        ("a spread of words", lambda d: d.update(preprocess_cfg={"std": ["a", "b", "c"]})),
        ("a spread of nothing", lambda d: d.update(preprocess_cfg={"std": [0, 0, 0]})),
        ("an unknown way to resize", lambda d: d.update(preprocess_cfg={"resize_mode": "stretch"})),
        ("tokens after the padding", lambda d: d["model_cfg"]["text_cfg"].update(tokenizer_mode="clips")),
    ],
)  # fmt: skip
def test_configurations_that_cannot_be(tmp_path, name, how):
    with pytest.raises(BackboneError) as caught:
        load(change(write_clip_folder(tmp_path / "m"), "open_clip_config.json", how))
    assert caught.value.hint, name


@pytest.mark.parametrize("text", ["", "null", "[]", "{", '{"model_cfg": {}, "model_cfg": {}}', "[" * 10_000])
def test_a_configuration_that_is_no_json_object(tmp_path, text):
    folder = write_clip_folder(tmp_path / "m")
    (folder / "open_clip_config.json").write_text(text)
    with pytest.raises(BackboneError, match=r"open_clip_config\.json"):
        load(folder)


def test_a_hugging_face_tower_is_never_read_with_clips_tokenizer(tmp_path):
    folder = write_bert_folder(tmp_path / "m")
    change(folder, "open_clip_config.json", lambda d: d["model_cfg"]["text_cfg"].pop("hf_tokenizer_name"))
    with pytest.raises(BackboneError, match="no 'hf_tokenizer_name'"):
        load(folder)


def test_a_hugging_face_tower_without_its_tokenizer_is_refused(tmp_path):
    folder = write_bert_folder(tmp_path / "m")
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        (folder / name).unlink(missing_ok=True)
    with pytest.raises(BackboneError, match=r"tokenizer of .* cannot be loaded"):
        load(folder)


@pytest.mark.parametrize(
    ("name", "quick"), [("roberta-ViT-B-32", True), ("nllb-clip-base", False), ("xlm-roberta-base-ViT-B-32", None)]
)
def test_a_text_tower_that_is_only_on_a_hub_is_refused_offline(tmp_path, name, quick):
    save_file({"x": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(BackboneError, match=r"text tower .* cannot be read.*local-dir:PATH"):
        load_backbone(name, str(tmp_path / "w.safetensors"), quick_gelu=quick)


# ---- weights of something else


def test_weights_for_another_image_size_are_not_stretched(tmp_path):
    folder = write_clip_folder(tmp_path / "m")
    change(folder, "open_clip_config.json", lambda d: d["model_cfg"]["vision_cfg"].update(image_size=64))
    with pytest.raises(BackboneError, match=r"visual\.positional_embedding is \(17, 32\), not \(65, 32\)"):
        load(folder)


@pytest.mark.parametrize("family", ["clip", "custom"])
@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
def test_weights_for_another_context_length_are_not_stretched(tmp_path, family, suffix):
    folder = write_clip_folder(tmp_path / "m", family)
    if suffix == ".bin":
        path = folder / "open_clip_model.safetensors"
        torch.save(
            {"state_dict": {f"module.{k}": v for k, v in load_file(path).items()}}, folder / "open_clip_model.bin"
        )
        path.unlink()
    load(folder)  # as it is, it fits
    change(folder, "open_clip_config.json", lambda d: d["model_cfg"]["text_cfg"].update(context_length=30))
    with pytest.raises(BackboneError, match=r"positional_embedding is \(40, 32\), not \(30, 32\)"):
        load(folder)


@pytest.mark.parametrize("other", ["custom", "qk-norm", "siglip", "coca", "projection-bias"])
def test_weights_of_another_family_are_refused(tmp_path, other):
    folder = write_clip_folder(tmp_path / "m")
    change(folder, "open_clip_config.json", lambda d: d.update(model_cfg=CONFIGS[other]))
    with pytest.raises(BackboneError, match="do not load into"):
        load(folder)


@pytest.mark.parametrize("damage", ["nothing inside", "NaN", "a tensor too many", "renamed", "a list"])
def test_weights_that_are_not_whole_are_refused(tmp_path, damage):
    folder = write_clip_folder(tmp_path / "m")
    path = folder / "open_clip_model.safetensors"
    state = load_file(path)
    if damage == "NaN":
        state["ln_final.weight"][3] = torch.nan
    elif damage == "a tensor too many":
        state["ln_final.more"] = torch.zeros(1)
    elif damage == "renamed":
        state["ln_finale.weight"] = state.pop("ln_final.weight")
    if damage == "a list":
        path.unlink()
        torch.save(list(state.values()), folder / "open_clip_model.bin")
    else:
        save_file({} if damage == "nothing inside" else state, path)
    with pytest.raises(BackboneError, match="weights"):
        load(folder)


def test_a_text_towers_own_weights_beside_the_models_are_not_taken_for_them(tmp_path):
    """As on hubs: model.safetensors holds the tower, open_clip_pytorch_model.bin the whole."""
    folder = write_bert_folder(tmp_path / "m")
    whole = load_file(folder / "open_clip_model.safetensors")
    torch.save(whole, folder / "open_clip_pytorch_model.bin")
    (folder / "open_clip_model.safetensors").unlink()
    save_file({"embeddings.word_embeddings.weight": torch.zeros(2, 2)}, folder / "model.safetensors")
    loaded = load(folder).model.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in whole.items())


def test_every_loaded_number_comes_from_the_file(tmp_path):
    """No parameter keeps a random start: two loads under different seeds are equal in every tensor."""
    folder = write_clip_folder(tmp_path / "m")
    states = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        states.append(load(folder).model.state_dict())
    stored = load_file(folder / "open_clip_model.safetensors")
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name
        assert torch.equal(value, stored[name]), name


# ---- open_clip's own names


def test_every_published_tag_has_one_activation_and_that_one_is_set():
    doubtful = []
    for name, tag in open_clip.list_pretrained():
        config, tag_config = open_clip.get_model_config(name), get_pretrained_cfg(name, tag)
        try:
            quick = activation_of_tag(name, tag, config, tag_config, None)
        except BackboneError:
            doubtful.append((name, tag))
            continue
        assert quick is bool(tag_config.get("quick_gelu", False)), (name, tag)
        assert quick or tag != "openai", name
    assert doubtful in ([], [("roberta-ViT-B-32", "laion2b_s12b_b32k")])
    for name, tag in doubtful:  # open_clip contradicts itself there, so a person must say
        for asked in (True, False):
            config, tag_config = open_clip.get_model_config(name), get_pretrained_cfg(name, tag)
            assert activation_of_tag(name, tag, config, tag_config, asked) is asked


@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize("family", ["clip", "custom", "coca"])
def test_the_activation_reaches_both_towers(family, quick):
    model = build_model({**CONFIGS[family], "quick_gelu": quick})
    text = getattr(model, "text", model).transformer
    kinds = {type(block.mlp.gelu) for tower in (model.visual.transformer, text) for block in tower.resblocks}
    assert kinds == {open_clip.transformer.QuickGELU if quick else torch.nn.GELU}


def test_a_convolutional_image_tower_beside_quickgelu_text(tmp_path):
    """RN50's layout: the activation concerns its text tower, and D is not the text's width."""
    config = {**CONFIGS["quickgelu"], "embed_dim": 32}
    config["vision_cfg"] = {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None}
    model = build_model(config)
    assert isinstance(model.transformer.resblocks[0].mlp.gelu, open_clip.transformer.QuickGELU)
    assert model.encode_image(torch.randn(2, 3, 32, 32)).shape == (2, 32)
