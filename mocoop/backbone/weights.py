"""A file of weights: reading it without running anything, taking off what training tools wrap around it, loading it.

Names and shapes are compared here, before anything is copied: open_clip interpolates position embeddings of another
size with only a log line, and torch lists every name or none. A file that does not fit is called what it is.
"""

from __future__ import annotations

import re
import textwrap
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mocoop.errors import BackboneError

OPENAI_KEYS = frozenset({"input_resolution", "context_length", "vocab_size"})  # buffers of OpenAI's own files only
BIG_VISION = (".npz", ".npy")  # SigLIP as its authors publish it; open_clip copies it tensor by tensor
FIRST = 3  # names listed in a message

_HOLDERS = ("state_dict", "model_state_dict", "model", "module", "net", "network", "weights", "params")
_WRAPPERS = re.compile(r"(?<![^.])(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
_DEEPEST = 8  # levels of wrapping that are taken off
_ANCHOR = "logit_scale"  # every model has one, so it shows what stands before the names
_ALIEN = (  # how a name of another kind of file looks, and what that is; the first that fits
    (r"(?:^|\.)(?:text_model|vision_model)\.(?:encoder|embeddings)\.", "in transformers' format"),
    (r"lora_|adapter_|\.hada_", "adapters of a model, not the model"),
    (r"^(?:cond_stage_model|first_stage_model|model\.diffusion_model)\.", "of a diffusion model"),
    (r"^(?:blocks\.\d+\.|patch_embed\.|cls_token$|trunk\.)", "an image tower alone, in timm's format"),
    (r"^(?:bert|roberta|encoder\.layer|embeddings\.word)", "a text tower of transformers alone"),
)
_HINTS = {
    "in transformers' format": "take the model in open_clip's format: a tag (--backbone ViT-B-16 --pretrained openai), "
    "or a repository with an open_clip_config.json (--backbone hf-hub:ORG/REPO)",
    "adapters of a model, not the model": "merge them into the model and save its state_dict()",
}
_FITS = "name the architecture that they were trained as, with its image size and context length"


def load_weights(model: nn.Module, path: Path, name: str) -> tuple[str, ...]:
    """Load a file that nothing is known of into a model, strictly; notes on what was left aside.

    Raises BackboneError if the file does not fit or cannot be read safely; the model is then unchanged.
    """
    try:
        if path.suffix in BIG_VISION:
            from mocoop.openclip import open_clip

            open_clip.convert.load_big_vision_weights(model, str(path))
            return ()
        state, aside = _own_names(read_state(path))
        state = _adapted(model, state)
        _compare(model, state)
        model.load_state_dict(state, strict=True)
    except _Misfit as error:
        raise BackboneError(f"the weights {path} do not load into {name}: {error.words}", error.hint) from error
    except BackboneError:
        raise
    except Exception as error:  # torch and safetensors raise unrelated types for a file that is damaged
        raise BackboneError(
            f"the weights {path} do not load into {name}: {first_line(error)}", "check that they belong to this model"
        ) from error
    if not aside:
        return ()
    return (f"the weights {path.name} hold {len(aside)} tensors beside the model, left aside: {_listed(aside)}",)


def read_state(path: Path, device: str = "cpu") -> dict[str, Tensor]:
    """The tensors of a file by name, out of the dictionaries around them; on "meta" without their values.

    Raises what torch and safetensors raise for a damaged file, and BackboneError for one that is refused.
    """
    if path.suffix == ".safetensors":
        return _safetensors(path, device)
    refuse_torchscript(path)
    try:
        # PyTorch's own format is a pickle; `weights_only` reads tensors and plain containers, and calls nothing else.
        content = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:
        if "weights only load failed" not in str(error).lower():
            raise
        # torch's own text tells how to run what is in the file
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        said = (
            f"it holds objects besides tensors ({found[1]})" if found else "it holds more than tensors, or is damaged"
        )
        raise _Misfit(
            f"{said}: they are never loaded",
            "save the tensors alone: torch.save(model.state_dict(), FILE), or as safetensors",
        ) from error
    return _tensors(content)


def refuse_torchscript(path: Path) -> None:
    """Raises BackboneError for an archive of TorchScript."""
    if _is_torchscript(path):
        raise BackboneError(
            f"{path} is a TorchScript archive, which holds code and is not loaded",
            "use --pretrained openai (the same weights as safetensors), or save its state dict as safetensors",
        )


def is_openai_file(path: Path) -> bool:
    """Whether a file has the buffers that only OpenAI's own state dictionaries contain. Raises BackboneError."""
    if path.suffix in BIG_VISION:
        return False
    try:
        names = read_state(path, "meta")
    except Exception as error:  # reported as what it is when it is loaded, but for the format of safetensors
        if path.suffix != ".safetensors":
            return False
        raise BackboneError(f"{path} is not a safetensors file: {first_line(error)}") from error
    return any(name.rpartition(".")[2] in OPENAI_KEYS for name in names)


class _Misfit(BackboneError):
    """A file that is not the weights of the model; the caller says which file and model."""

    def __init__(self, words: str, hint: str) -> None:
        super().__init__(words, hint)
        self.words = words


def _safetensors(path: Path, device: str) -> dict[str, Tensor]:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        names = list(file.keys())
        if device != "meta":
            return {name: file.get_tensor(name) for name in names}
        return {name: torch.empty(file.get_slice(name).get_shape(), device="meta") for name in names}


def _tensors(content: Any) -> dict[str, Tensor]:
    """The state dictionary inside what training tools save: {"model": ...}, {"state_dict": ...} and their like."""
    for _ in range(_DEEPEST):
        if not isinstance(content, Mapping):
            raise _Misfit(f"it is a {type(content).__name__}, not tensors by name", "save the model's state_dict()")
        if "param_groups" in content:
            raise _Misfit("it is the state of an optimizer", "give the file of the model beside it")
        inner = next((content[key] for key in _HOLDERS if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            break
        content = inner
    found = {key: value for key, value in content.items() if isinstance(key, str) and isinstance(value, Tensor)}
    if not found:
        raise _Misfit("it holds no tensors", "give the file with the model's state_dict()")
    return found


def _own_names(state: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors without what wrappers put before their names, and the names of tensors outside the wrapped model."""
    state = {_WRAPPERS.sub("", name): value for name, value in state.items()}
    places = [name.removesuffix(_ANCHOR) for name in state if name == _ANCHOR or name.endswith(f".{_ANCHOR}")]
    if len(places) > 1:
        raise _Misfit(
            f"it holds two models or more, under {' and '.join(places[:FIRST])}",
            "save the one that you mean by itself: its state_dict()",
        )
    prefix = places[0] if places else ""
    inside = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    inside = {name: value for name, value in inside.items() if name not in OPENAI_KEYS}
    return inside, [name for name in state if not name.startswith(prefix)]


def _adapted(model: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same numbers under this model's names and shapes, for the differences that mean nothing."""
    from mocoop.openclip import open_clip

    own = model.state_dict()
    state = dict(open_clip.convert.convert_state_dict(model, state))
    if "positional_embedding" in state and "positional_embedding" not in own:
        state = open_clip.model.convert_to_custom_text_state_dict(state)
    elif "positional_embedding" in own and "text.positional_embedding" in state:
        state = {name.removeprefix("text."): value for name, value in state.items()}
    if "logit_bias" not in own:  # a softmax over classes is invariant to it
        state.pop("logit_bias", None)
    elif "logit_scale" in state:
        state.setdefault("logit_bias", torch.zeros_like(own["logit_bias"]))
    for name in ("logit_scale", "logit_bias"):  # a number, or a list of one
        if name in state and state[name].numel() == 1:
            state[name] = state[name].reshape(own[name].shape)
    if "text.transformer.embeddings.position_ids" not in own:  # older transformers stored these
        state.pop("text.transformer.embeddings.position_ids", None)
    return state


def _compare(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Raises _Misfit if names, shapes or kinds of numbers differ."""
    own = model.state_dict()
    missing = [name for name in own if name not in state]
    extra = [name for name in state if name not in own]
    both = [name for name in own if name in state]
    other = [
        f"{name} is {tuple(state[name].shape)}, not {tuple(own[name].shape)}"
        for name in sorted(both, key=lambda name: "positional" not in name)
        if state[name].shape != own[name].shape
    ]
    integer = [
        f"{name} holds {_kind(state[name])}, not {_kind(own[name])}"
        for name in both
        if own[name].is_floating_point() and not state[name].is_floating_point()
    ]
    if not (missing or extra or other or integer):
        return
    alien = _alien(extra, state)
    differences = [
        *other[:FIRST],
        *integer[:FIRST],
        *([f"{len(missing)} missing: {_listed(missing)}"] if missing else []),
        *([f"{len(extra)} of no place: {_listed(extra)}"] if extra else []),
    ]
    if other and not (missing or extra or integer):
        alien = "the same kind of model in another size"
    words = "; ".join([f"it is {alien}", *differences] if alien else differences)
    raise _Misfit(words, _HINTS.get(alien.partition(" (")[0], _FITS))


def _alien(extra: Iterable[str], state: Mapping[str, Tensor]) -> str:
    """What kind of file has these names, with the first such name; empty if it is not known."""
    names = list(extra)
    for pattern, kind in _ALIEN:
        if seen := next((name for name in names if re.search(pattern, name)), None):
            return f"{kind} ({seen})"
    if all(name.startswith("visual.") for name in state):
        return f"an image tower alone ({next(iter(state))})"
    if "class_embedding" in state:
        return "an image tower alone (class_embedding)"
    return ""


def _listed(names: list[str]) -> str:
    return ", ".join(names[:FIRST]) + (", ..." if len(names) > FIRST else "")


def _kind(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any("/code/" in member or member.endswith("constants.pkl") for member in archive.namelist())


def first_line(error: BaseException) -> str:
    """The first line of an exception's text, shortened."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return textwrap.shorten(line, 240, placeholder=" ...")
