"""Where a backbone's architecture, weights, activation and tokenizer come from, decided before anything is built.

If weights are missing, open_clip only warns and builds a model with random weights; if a tag and a configuration
disagree, it uses the wrong activation; images for a file of weights are prepared as for OpenAI's, whatever they were
trained with. Here each of these is an error or decided by open_clip's tables: a folder without weights, a tag that does
not load, weights of another size or with NaN, an activation that does not match, a preprocessing in doubt. No code that
comes with a model is run: weights are loaded with `weights_only` (`weights.py`), and Hugging Face repositories that ask
for their own Python (`trust_remote_code`) are refused. The loaded model is `backbone.Backbone`.
"""

from __future__ import annotations

import copy
import difflib
import functools
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from mocoop.backbone.activation import activation_of_file, activation_of_tag, mismatch
from mocoop.backbone.preprocessing import images_of_config, images_of_file
from mocoop.backbone.weights import first_line as _first_line
from mocoop.backbone.weights import is_openai_file, load_weights, refuse_torchscript
from mocoop.errors import BackboneError
from mocoop.files import read_json, sha256_file

MINICLIP = "miniclip"
PHOTOCLIP = "photoclip"
LOCAL = "local-dir:"
HUB = "hf-hub:"
_MAX_CONFIG_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Pretrained:
    """Everything needed to build one backbone, before anything is loaded."""

    name: str
    tag: str | None
    config: dict[str, Any]  # open_clip's model configuration, quick_gelu included
    preprocess: dict[str, Any]  # open_clip's preprocess configuration, if the source has one
    weights: Path
    tokenizer: str  # the name given to open_clip.get_tokenizer
    notes: tuple[str, ...] = ()  # what was assumed, for the user

    def build(self) -> nn.Module:
        """The frozen model in float32 on the CPU. Raises BackboneError if configuration or weights do not fit."""
        return self.load()[0]

    def load(self) -> tuple[nn.Module, tuple[str, ...]]:
        """As `build`, with the notes that loading adds to `notes`."""
        try:
            with WithoutRandomWeights():
                model = build_model(self.config)
        except BackboneError:
            raise
        except Exception as error:  # a wrong key or value in a configuration fails anywhere in open_clip
            raise BackboneError(
                f"{self.name} cannot be built from its configuration: {type(error).__name__}: {_first_line(error)}",
                "take the open_clip_config.json of the model's repository as it is",
            ) from error
        # open_clip knows which architecture a tag's weights belong to; for other files nothing is known.
        known = self.tag is not None and not self.tag.endswith(str(self.weights))
        return model, (*self.notes, *_load_weights(model, self.weights, self.name, known=known))

    @property
    def sha256(self) -> str:
        """Hash of the weights file."""
        return sha256_file(self.weights)


def find_pretrained(name: str, tag: str | None, quick_gelu: bool | None) -> Pretrained:
    """Resolve `--backbone` and `--pretrained`: a local folder, a hub repository, or a built-in architecture.

    Args:
        name: "local-dir:PATH", "hf-hub:ORG/REPO" or an open_clip architecture such as "ViT-B-16".
        tag: for an architecture, a tag ("openai"), a weights file, or both ("openai=FILE": a file with the weights of
            a tag, or trained on from them); None for the other two.
        quick_gelu: the activation of the weights, needed only for a local file that does not state it.
    """
    if name.startswith((LOCAL, HUB)) and tag is not None:
        raise BackboneError(f"{name!r} brings its own weights, so --pretrained {tag!r} has no place", "leave it out")
    if name.startswith(LOCAL):
        found = _local_folder(name)
    elif name.startswith(HUB):
        found = _hub_repository(name)
    else:
        return _architecture(name, tag, quick_gelu)
    stated = bool(found.config.get("quick_gelu", False))
    if quick_gelu is not None and quick_gelu != stated:
        raise mismatch(name, f"its configuration says quick_gelu = {stated}", quick_gelu)
    return found


def stated_context_length(name: str) -> int:
    """The number of tokens a backbone's text tower takes, as far as it is known before loading.

    CLIP's 77 unless a local folder states another number; a hub repository may differ.
    """
    if name.startswith(HUB):
        return 1 << 20
    path = Path(name.removeprefix(LOCAL)) / "open_clip_config.json"
    if not name.startswith(LOCAL) or not path.is_file():
        return 77
    document = read_json(path, what="model configuration", error=BackboneError, max_bytes=_MAX_CONFIG_BYTES)
    try:
        return int(document["model_cfg"]["text_cfg"]["context_length"])
    except (KeyError, TypeError, ValueError):
        return 77  # open_clip's own default; problems in the file are reported when it is loaded


class WithoutRandomWeights(TorchFunctionMode):
    """Within the context a model is built without drawing the random weights that a strict load replaces anyway."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Skip the functions that draw."""
        return args[0] if func in (Tensor.normal_, Tensor.uniform_) else func(*args, **(kwargs or {}))


def build_model(config: dict[str, Any]) -> nn.Module:
    """Build one of open_clip's three model classes from a configuration; no weights are downloaded for its parts."""
    from mocoop.openclip import complete, open_clip

    config = copy.deepcopy(config)
    if "timm_model_name" in config["vision_cfg"]:
        complete("timm")
        config["vision_cfg"]["timm_model_pretrained"] = False
    hugging_face = "hf_model_name" in config["text_cfg"]
    if hugging_face:
        complete("transformers")
        config["text_cfg"]["hf_model_pretrained"] = False
        _check_hugging_face(config["text_cfg"]["hf_model_name"])
    custom = config.pop("custom_text", False) or hugging_face
    if "multimodal_cfg" in config:
        kind: Any = open_clip.CoCa
    else:
        kind = open_clip.CustomTextCLIP if custom else open_clip.CLIP
    model: nn.Module = kind(**config)
    return model.eval().requires_grad_(False)


def _check_hugging_face(source: str) -> None:
    """Check that a text tower's configuration is available and of a type built into transformers."""
    from transformers import AutoConfig

    try:
        # Set explicitly: otherwise transformers would ask on the terminal whether to run the repository's Python.
        config = AutoConfig.from_pretrained(source, trust_remote_code=False)
    except Exception as error:  # see _hub_repository
        raise BackboneError(
            f"the configuration of the Hugging Face text tower {source!r} cannot be read: {_first_line(error)}",
            "check the network (HF_HUB_OFFLINE?), or use local-dir:PATH with the tower's files in the folder",
        ) from error
    if getattr(config, "auto_map", None):
        raise BackboneError(
            f"the Hugging Face text tower {source!r} brings code of its own (auto_map), which is never run",
            "choose a model with a text tower that transformers itself knows",
        )


@dataclass(frozen=True)
class Tokenizer:
    """A tokenizer of open_clip: texts and a length to ids (N, length), and a token back to its letters."""

    inner: Any

    def __call__(self, texts: list[str], length: int) -> Tensor:
        """Token ids (N, length)."""
        ids: Tensor = self.inner(texts, context_length=length)
        return ids

    def letters(self, token: int) -> str:
        """What one token stands for; "" for one that stands for no letters."""
        inner = getattr(self.inner, "tokenizer", self.inner)  # Hugging Face's lies inside open_clip's
        return str(inner.decode([token])).strip()


def tokenizer_of(source: str) -> Tokenizer:
    """The backbone's own tokenizer."""
    from mocoop.openclip import open_clip

    try:
        text = (open_clip.get_model_config(source) or {}).get("text_cfg", {})
        others = text.get("hf_tokenizer_name") or text.get("tokenizer_kwargs") or "siglip" in source.lower()
        if text and not others:
            return _clip_tokenizer()
        # Set explicitly, it overrides the model's configuration, and transformers does not ask on the terminal.
        options = {"trust_remote_code": False} if text.get("hf_tokenizer_name") else {}
        tokenizer = open_clip.get_tokenizer(source, **options)
        dog, airport = tokenizer(["dog", "airport"], context_length=16).tolist()
        if dog == airport:  # transformers makes an empty tokenizer if a folder has none
            raise ValueError("it does not tell one word from another")
    except Exception as error:  # transformers and the hub raise unrelated types; all mean that it is not available
        raise BackboneError(
            f"the tokenizer of {source!r} cannot be loaded: {_first_line(error)}",
            "a local folder needs its tokenizer files (tokenizer.json, tokenizer_config.json, vocab.txt)",
        ) from error
    return Tokenizer(tokenizer)


@functools.cache  # its byte pairs take a quarter of a second to read, and never change
def _clip_tokenizer() -> Tokenizer:
    from mocoop.openclip import open_clip

    return Tokenizer(open_clip.SimpleTokenizer())


def _local_folder(name: str) -> Pretrained:
    folder = Path(name.removeprefix(LOCAL)).absolute()  # a run may be used from another working directory
    if folder.is_file():
        raise BackboneError(
            f"{str(folder)!r} is a file",
            f"name its architecture, and the file as weights: --backbone ViT-B-16 --pretrained {folder}",
        )
    if not folder.is_dir():
        raise BackboneError(f"there is no folder {str(folder)!r}", "give local-dir:PATH of a folder with a model")
    path = folder / "open_clip_config.json"
    if not path.is_file():
        raise BackboneError(f"{folder} has no open_clip_config.json", "it must hold 'model_cfg' and 'preprocess_cfg'")
    config, preprocess = _read_config(path)
    if "hf_model_name" in config["text_cfg"]:
        config["text_cfg"] = _local_text_config(config["text_cfg"], folder)
    weights = [p for p in folder.iterdir() if p.suffix in (".safetensors", ".bin", ".pth", ".pt")]
    # open_clip's own names first: a text tower's weights may be in the same folder, in a preferred format.
    weights.sort(key=lambda p: (not p.stem.startswith("open_clip"), p.suffix != ".safetensors", p.name))
    if not weights:
        raise BackboneError(
            f"{folder} holds a configuration but no weights",
            "add open_clip_model.safetensors; random weights are no use",
        )
    preprocess, notes = images_of_config(config, preprocess, path)
    return Pretrained(f"{LOCAL}{folder}", None, config, preprocess, weights[0], name, notes)


def _read_config(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """model_cfg and preprocess_cfg of an open_clip_config.json."""
    document = read_json(path, what="model configuration", error=BackboneError, max_bytes=_MAX_CONFIG_BYTES)
    config = document.get("model_cfg") if isinstance(document, dict) else None
    towers = [config.get(key) for key in ("vision_cfg", "text_cfg")] if isinstance(config, dict) else [None]
    if config is None or not all(isinstance(tower, dict) for tower in towers):
        raise BackboneError(
            f"{path} has no 'model_cfg' of 'vision_cfg' and 'text_cfg'",
            "take the open_clip_config.json of the model's repository",
        )
    preprocess = document.get("preprocess_cfg") or {}
    if not isinstance(preprocess, dict):
        raise BackboneError(f"{path}: 'preprocess_cfg' is no object", "it should hold mean, std and resize_mode")
    text = config["text_cfg"]
    if "hf_model_name" in text and not text.get("hf_tokenizer_name"):
        raise BackboneError(
            f"{path} names a Hugging Face text tower but no 'hf_tokenizer_name'",
            "open_clip would read it with CLIP's tokenizer; name the tower's own",
        )
    if text.get("tokenizer_mode"):
        raise BackboneError(
            f"{path} asks for the tokenizer mode {text['tokenizer_mode']!r}, which puts a token after the padding",
            "prompts cannot be learned for it; use another backbone",
        )
    return config, preprocess


def _local_text_config(text: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Take a Hugging Face tower's configuration and tokenizer from the folder, never from the network."""
    if not (folder / "config.json").is_file():
        raise BackboneError(
            f"{folder} has no config.json for its Hugging Face text tower ({text['hf_model_name']})",
            f"copy config.json and the tokenizer files of {text['hf_model_name']} into the folder",
        )
    return {**text, "hf_model_name": str(folder), "hf_tokenizer_name": str(folder)}


def _hub_repository(name: str) -> Pretrained:
    from huggingface_hub import hf_hub_download

    from mocoop.openclip import open_clip

    repository = name.removeprefix(HUB)
    try:
        with _hub():
            path = Path(hf_hub_download(repository, "open_clip_config.json"))
            weights = Path(open_clip.download_pretrained_from_hf(repository))
    except Exception as error:  # the hub's client raises many unrelated types; all mean that there are no weights
        raise BackboneError(
            f"{name!r} cannot be fetched: {_first_line(error)}",
            "check the name and the network, or download the repository and use local-dir:PATH",
        ) from error
    config, preprocess = _read_config(path)
    preprocess, notes = images_of_config(config, preprocess, path)
    return Pretrained(name, None, config, preprocess, weights, name, notes)


@contextmanager
def _hub() -> Iterator[None]:
    """Download without the client's messages; if its host does not resolve, use only what is on disk, at once.

    The client itself retries five times, nearly a minute in all, before it looks in its own cache.
    """
    from huggingface_hub import constants
    from huggingface_hub.utils import logging

    level, offline = logging.get_verbosity(), constants.HF_HUB_OFFLINE
    logging.set_verbosity_error()
    constants.HF_HUB_OFFLINE = offline or not _can_be_found(constants.ENDPOINT)
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = offline
        logging.set_verbosity(level)


def _can_be_found(address: str) -> bool:
    """Whether the host of a URL resolves here; behind a proxy, resolving is left to the proxy."""
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return True
    try:
        socket.getaddrinfo(urlsplit(address).hostname, 443)
    except OSError:
        return False
    return True


def _architecture(name: str, tag: str | None, quick_gelu: bool | None) -> Pretrained:
    from open_clip.pretrained import download_pretrained, get_pretrained_cfg

    from mocoop.openclip import open_clip

    config = open_clip.get_model_config(name)
    if config is None:
        raise _unknown_name(name)
    tags = open_clip.list_pretrained_tags_by_model(name)
    if tag is None:
        raise BackboneError(
            f"{name} needs weights", f"add --pretrained with a weights file or one of: {', '.join(tags) or '(no tags)'}"
        )
    tag_config = get_pretrained_cfg(name, tag)
    if tag_config:
        config["quick_gelu"] = activation_of_tag(name, tag, config, tag_config, quick_gelu)
        try:
            with _hub():
                weights = Path(download_pretrained(tag_config))
        except Exception as error:  # see _hub_repository
            raise BackboneError(
                f"the weights {tag!r} of {name} cannot be fetched: {_first_line(error)}",
                "check the network (HF_HUB_OFFLINE?), or give the path of a weights file",
            ) from error
        return Pretrained(name, tag, config, tag_config, weights, name)
    return _file_of(name, tag, config, quick_gelu)


def _unknown_name(name: str) -> BackboneError:
    """The error for a name that no backbone has: what was meant by it."""
    from mocoop.openclip import open_clip

    message, path = f"no backbone is called {name!r}", Path(name)
    if path.is_dir():
        return BackboneError(message, f"for the model in this folder: --backbone {LOCAL}{name}")
    if path.is_file():
        hint = f"name its architecture, and the file as weights: --backbone ViT-B-16 --pretrained {name}"
        return BackboneError(message, hint)
    if near := _near(name, [MINICLIP, PHOTOCLIP, *open_clip.list_models()]):
        return BackboneError(message, f"did you mean {', '.join(near)}?")
    if re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        return BackboneError(message, f"for open_clip's model in a repository of the hub: --backbone {HUB}{name}")
    return BackboneError(message, "see open_clip.list_models()")


def _near(name: str, names: list[str]) -> list[str]:
    """The names that one may stand for: the same letters and digits alone, else at most three similar ones."""

    def plain(text: str) -> str:
        return re.sub(r"[^a-z0-9]", "", text.lower())

    by_letters = {plain(known): known for known in names}
    if plain(name) in by_letters:
        return [by_letters[plain(name)]]
    return [by_letters[match] for match in difflib.get_close_matches(plain(name), list(by_letters), n=3)]


def _file_of(name: str, given: str, config: dict[str, Any], quick_gelu: bool | None) -> Pretrained:
    """An architecture with a weights file: FILE, or TAG=FILE for one whose weights are those of a tag."""
    from open_clip.pretrained import get_pretrained_cfg

    from mocoop.openclip import open_clip

    tags = open_clip.list_pretrained_tags_by_model(name)
    tag, _, rest = given.partition("=")
    if not Path(given).is_file() and tag in tags and Path(rest).is_file():
        weights, tag_config = Path(rest), get_pretrained_cfg(name, tag)
        config["quick_gelu"] = activation_of_tag(name, tag, config, tag_config, quick_gelu)
        return Pretrained(name, f"{tag}={weights.absolute()}", config, tag_config, weights.absolute(), name)
    weights = Path(given)
    if weights.is_dir():
        raise BackboneError(
            f"--pretrained {given!r} is a folder", f"give a file in it, or take its model: --backbone {LOCAL}{given}"
        )
    if not weights.is_file():
        near = _near(given, tags)
        raise BackboneError(
            f"{given!r} is neither a file nor a tag of {name}",
            f"did you mean {', '.join(near)}?" if near else f"its tags: {', '.join(tags) or 'none'}",
        )
    config["quick_gelu"] = activation_of_file(name, weights, config, quick_gelu)
    preprocess, notes = images_of_file(name, weights, config["quick_gelu"])
    weights = weights.absolute()
    return Pretrained(name, str(weights), config, preprocess, weights, name, notes)


def _load_weights(model: nn.Module, path: Path, name: str, *, known: bool) -> tuple[str, ...]:
    """Load weights into their model; notes on what was left aside. Raises BackboneError."""
    refuse_torchscript(path)
    notes: tuple[str, ...] = ()
    if known and not is_openai_file(path):
        _load_known(model, path, name)
    else:
        notes = load_weights(model, path, name)
    used = {key: value for key, value in model.state_dict().items() if not key.startswith("text_decoder.")}  # CoCa's
    if broken := [key for key, value in used.items() if not bool(value.isfinite().all())]:
        raise BackboneError(f"the weights {path} hold values that are not finite: {broken[0]}", "fetch them again")
    return notes


def _load_known(model: nn.Module, path: Path, name: str) -> None:
    """Load the file of a tag as open_clip does, which knows of every tag how it differs from its architecture."""
    from mocoop.openclip import open_clip

    try:
        open_clip.load_checkpoint(model, str(path), strict=True, weights_only=True)
    except Exception as error:  # torch and safetensors raise unrelated types for a file that does not fit
        raise BackboneError(
            f"the weights {path} do not load into {name}: {_first_line(error)}", "check that they belong to this model"
        ) from error


def freeze(model: nn.Module, device: torch.device) -> nn.Module:
    """The model on its device, in evaluation mode, with no trainable parameters."""
    return model.to(device).eval().requires_grad_(False)
