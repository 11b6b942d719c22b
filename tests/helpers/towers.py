"""Small models of every family of text tower, with random weights: what the engine is tested on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import open_clip
import torch
from torch import nn

from mocoop.backbone.pretrained import build_model
from mocoop.backbone.prompts import PromptTokenizer

VISION = {"image_size": 32, "layers": 2, "width": 32, "patch_size": 8, "head_width": 16}
TEXT = {"context_length": 40, "vocab_size": 49408, "width": 32, "heads": 4, "layers": 3}

CONFIGS: dict[str, dict[str, Any]] = {
    "clip": {"embed_dim": 24, "vision_cfg": VISION, "text_cfg": TEXT},
    "quickgelu": {"embed_dim": 24, "quick_gelu": True, "vision_cfg": VISION, "text_cfg": TEXT},
    "custom": {"embed_dim": 24, "custom_text": True, "vision_cfg": VISION, "text_cfg": {**TEXT, "ls_init_value": 0.5}},
    "eos": {"embed_dim": 24, "vision_cfg": VISION, "text_cfg": {**TEXT, "pool_type": "eos", "eos_id": 49407}},
    "projection-bias": {"embed_dim": 24, "vision_cfg": VISION, "text_cfg": {**TEXT, "proj_bias": True}},
    "qk-norm": {"embed_dim": 24, "custom_text": True, "vision_cfg": VISION, "text_cfg": {**TEXT, "qk_norm": True}},
    "siglip": {
        "embed_dim": 24,
        "custom_text": True,
        "init_logit_bias": -10,
        "vision_cfg": VISION,
        "text_cfg": {**TEXT, "no_causal_mask": True, "pool_type": "last", "proj_bias": True},
    },
    "coca": {
        "embed_dim": 24,
        "custom_text": True,
        "vision_cfg": {**VISION, "attentional_pool": True, "attn_pooler_heads": 2, "output_tokens": True},
        "text_cfg": {**TEXT, "embed_cls": True, "output_tokens": True},
        "multimodal_cfg": {"context_length": 40, "vocab_size": 49408, "width": 32, "heads": 4, "layers": 1},
    },
}
SHARED_PREFIX = {"clip", "quickgelu", "custom", "eos", "projection-bias"}


def small_model(family: str, seed: int = 0) -> nn.Module:
    """A frozen model of a family with random weights, biases included."""
    torch.manual_seed(seed)
    model = build_model(CONFIGS[family])
    for name, parameter in model.named_parameters():
        if name.endswith("bias") and parameter.ndim == 1:
            nn.init.normal_(parameter, std=0.1)
    return model


def clip_tokenizer(context_length: int = 40) -> PromptTokenizer:
    """CLIP's byte pairs at the small models' context length."""
    tokenizer = open_clip.SimpleTokenizer()
    return PromptTokenizer(lambda texts, length: tokenizer(list(texts), context_length=length), context_length)


def write_bert_folder(folder: Path, *, weights: bool = True, hf_config: bool = True) -> Path:
    """A local model folder with a tiny Hugging Face text tower, as BiomedCLIP's repository is laid out."""
    from safetensors.torch import save_file
    from transformers import BertConfig, BertModel, BertTokenizerFast

    words = (
        "[PAD] [UNK] [CLS] [SEP] a photo of the scan an x ray showing dog air ##port quiet zebra 4 ##7 lung tissue ."
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(words.split()) + "\n")
    BertTokenizerFast(vocab=str(folder / "vocab.txt"), vocab_file=str(folder / "vocab.txt")).save_pretrained(folder)
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
    bert = BertConfig(vocab_size=len(words.split()), max_position_embeddings=64, **size)
    if hf_config:
        bert.save_pretrained(folder)
    text = {
        "hf_model_name": "example/bert-that-is-only-on-a-hub",
        "hf_tokenizer_name": "example/bert-that-is-only-on-a-hub",
        "hf_proj_type": "mlp",
        "hf_pooler_type": "cls_last_hidden_state_pooler",
        "context_length": 40,
    }
    config = {"embed_dim": 24, "vision_cfg": VISION, "text_cfg": text}
    preprocess = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "interpolation": "bicubic", "resize_mode": "squash"}
    document = {"model_cfg": config, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(document))
    if weights and hf_config:
        torch.manual_seed(0)
        model = build_model({**config, "text_cfg": {**text, "hf_model_name": str(folder)}})
        assert isinstance(model.text.transformer, BertModel)
        save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    return folder


def write_clip_folder(folder: Path, family: str = "clip") -> Path:
    """A local model folder with one of the small models, random weights and all."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    model = small_model(family)
    preprocess = {"mean": open_clip.OPENAI_DATASET_MEAN, "std": open_clip.OPENAI_DATASET_STD, "resize_mode": "shortest"}
    document = {"model_cfg": CONFIGS[family], "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(document))
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    return folder
