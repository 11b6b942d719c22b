"""A frozen vision-language backbone: images to features, its text tower, its tokenizer, and its fingerprint.

`load_backbone` is the only entry point. Two small models ship with the package: `miniclip`, the default, for drawn
tiles, and `photoclip` for photographs; any open_clip model can be named instead. `pretrained.py` decides which files
are read. `features:WIDTH` names no model, but image features that were made elsewhere.
"""

from __future__ import annotations

import contextlib
import functools
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, fields, replace
from types import ModuleType
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from mocoop.backbone.devices import autocast, resolve_device, resolve_precision
from mocoop.backbone.preprocessing import preprocess_of
from mocoop.backbone.pretrained import (
    MINICLIP,
    PHOTOCLIP,
    WithoutRandomWeights,
    build_model,
    find_pretrained,
    freeze,
    tokenizer_of,
)
from mocoop.backbone.prompts import PromptTokenizer
from mocoop.backbone.text_engine import TextTower
from mocoop.data.views import Preprocess
from mocoop.errors import BackboneError
from mocoop.files import sha256_bytes

STAND_IN_NOTE = (
    "miniclip is a small stand-in trained on drawn satellite-like tiles: it shows that the method runs, "
    "and says nothing about CLIP. For real work use e.g. --backbone ViT-B-16 --pretrained openai"
)
SMALL_MODEL_NOTE = (
    "photoclip is a small model of ours for photographs: it knows fewer things and words than CLIP "
    "(docs/photoclip.md). For real work use e.g. --backbone ViT-B-16 --pretrained openai"
)
PIXELS_AT_ONCE = 1 << 17  # 2 images of 224 x 224, 32 of 64 x 64
MAX_WIDTH = 1 << 20  # of features without a model
FEATURES = "features:"  # before the width of features that were made elsewhere
_PLACES = ("hf_model_name", "hf_tokenizer_name")  # of a local folder: its location, not its content


@dataclass(eq=False)
class Backbone:
    """A frozen open_clip model with the interface that the methods need.

    `fingerprint` identifies weights, architecture, activation, preprocessing and number format: equal fingerprints
    give equal features. `vocabulary` holds the token ids the text tower was trained on, if those are not all of them.
    """

    name: str
    pretrained: str | None
    model: nn.Module
    config: dict[str, Any]
    preprocess: Preprocess
    tokenize: Callable[[list[str], int], Tensor]
    weights_sha256: str
    device: torch.device
    precision: str
    vocabulary: frozenset[int] | None = None
    stand_in: bool = False
    notes: tuple[str, ...] = ()  # what was assumed while it was loaded, a line each
    adopted: dict[str, Tensor] = field(default_factory=dict)  # LayerNorms tuned in a run, replacing the backbone's own

    def __getstate__(self) -> dict[str, Any]:
        """Without what is made on first use: it is made again, and holds functions that cannot be pickled."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    @property
    def fingerprint(self) -> str:
        """Hash of everything that the features depend on."""
        adopted = {name: sha256_bytes(tensor.numpy().tobytes()) for name, tensor in self.adopted.items()}
        return _hash([self.identity, self.precision, adopted])

    @property
    def identity(self) -> str:
        """Hash of the model, independent of its location: weights, architecture, activation, preprocessing."""
        text = {key: value for key, value in self.config["text_cfg"].items() if key not in _PLACES}
        return _hash([self.weights_sha256, {**self.config, "text_cfg": text}, asdict(self.preprocess)])

    @property
    def embed_dim(self) -> int:
        """D, the joint width of image and text features."""
        return int(self.config["embed_dim"])

    @property
    def logit_scale(self) -> float:
        """CLIP's own 1 / tau. A SigLIP model's bias is left out: a softmax over classes is invariant to it."""
        return float(self.model.logit_scale.detach().exp().mean())  # type: ignore[operator, union-attr]

    @property
    def context_length(self) -> int:
        """The number of tokens the text tower takes."""
        return int(self.config["text_cfg"].get("context_length") or 77)  # open_clip's own default

    @functools.cached_property
    def text(self) -> TextTower:
        """The text tower. Raises BackboneError if it cannot be fed embeddings."""
        return TextTower(self.model, self.name, self.precision)

    @functools.cached_property
    def prompts(self) -> PromptTokenizer:
        """Templates and class names to token rows, with this backbone's tokenizer."""
        return PromptTokenizer(lambda texts, length: self.tokenize(list(texts), length), self.context_length)

    @property
    def reads_text(self) -> bool:
        """Whether there is a text tower at all."""
        return True

    def check_sees(self) -> None:
        """Raises BackboneError if no features of pictures can be had of it, before anything waits for them."""

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """Autocast of the image tower to this backbone's number format; on a CPU it stays in float32.

        Its features are computed once and decide everything, and rounding them there cost accuracy (docs/speed.md).
        """
        return autocast(self.device, "float32" if self.device.type == "cpu" else self.precision)

    @torch.no_grad()
    def encode_images(self, pixels: Tensor) -> Tensor:
        """Image features (B, D), float32 on the CPU, not normalised, of pixels (B, 3, H, W)."""
        return torch.cat([self.image_features(part).cpu() for part in pixels.split(self._at_once(pixels))])

    def image_features(self, pixels: Tensor) -> Tensor:
        """Like `encode_images`, but on the backbone's device and with gradients if enabled (`views = "online"`)."""
        with self.autocast():
            features: Tensor = self.model.encode_image(pixels.to(self.device), normalize=False)  # type: ignore[operator]
        return features.float()

    def _at_once(self, pixels: Tensor) -> int:
        """How many of the images (B, 3, H, W) go through the tower together: of a convolutional one on a CPU a few.

        Its maps are large, and soon leave the processor's caches: by twos photoclip takes half the time of 64 at once.
        """
        height, width = pixels.shape[-2:]
        small = self.device.type == "cpu" and self._convolutional
        return max(1, PIXELS_AT_ONCE // (height * width) if small else len(pixels))

    @functools.cached_property
    def _convolutional(self) -> bool:
        """Whether the image tower convolves more than once, for its patches."""
        layers = self.model.visual.modules()  # type: ignore[union-attr, operator]
        return sum(isinstance(layer, nn.Conv2d) for layer in layers) > 1

    def block_layer_norms(self) -> dict[str, nn.Parameter]:
        """Weights and biases of the LayerNorms in the image tower's blocks (the `official` preset trains them)."""
        found = {}
        for module_name, module in self.model.visual.named_modules():  # type: ignore[union-attr, operator]
            in_block = re.search(r"(^|\.)(resblocks|blocks|layers)\.\d+\.", f"{module_name}.")
            if in_block and isinstance(module, nn.LayerNorm):
                found.update({f"{module_name}.{key}": value for key, value in module.named_parameters()})
        if not found:
            raise BackboneError(
                f"the image tower of {self.name} has no LayerNorm in blocks to train",
                "set tune_layer_norm = false, or use a vision transformer",
            )
        return found

    @torch.no_grad()
    def adopt_layer_norms(self, tensors: dict[str, Tensor]) -> None:
        """Load the tuned LayerNorms of a run. This changes the features, and so the fingerprint."""
        own = self.block_layer_norms()
        for name, tensor in tensors.items():
            own[name].copy_(tensor)
        self.adopted = dict(tensors)

    def unknown_words(self, texts: Iterable[str]) -> tuple[str, ...]:
        """Words outside the vocabulary the text tower was trained on, sorted; empty if it was trained on all tokens."""
        if self.vocabulary is None:
            return ()
        words = {word for text in texts for word in re.findall(r"[^\s{}.,;:!?()]+", text.lower())}
        return tuple(sorted(word for word in words if not self._knows(word)))

    def _knows(self, word: str) -> bool:
        assert self.vocabulary is not None
        return set(self.prompts.rows(["{}"], [word]).ids[0, 0].tolist()) <= self.vocabulary | self._empty_row

    @functools.cached_property
    def _empty_row(self) -> set[int]:
        """The special tokens and the padding, which are in every row."""
        return set(self.tokenize([""], self.context_length)[0].tolist())

    def describe(self) -> dict[str, Any]:
        """The record of the backbone that a run stores."""
        return {
            "name": self.name,
            "pretrained": self.pretrained,
            "quick_gelu": bool(self.config.get("quick_gelu", False)),
            "weights_sha256": self.weights_sha256,
            "identity": self.identity,
            "fingerprint": self.fingerprint,
            "embed_dim": self.embed_dim,
            "logit_scale": self.logit_scale,
            "stand_in": self.stand_in,
        }


class FeaturesOnly(Backbone):
    """No model: image features of one width that were made elsewhere, for methods that read no text.

    Whatever would need pixels or text raises BackboneError.
    """

    @property
    def logit_scale(self) -> float:
        """1: nothing is compared with text."""
        return 1.0

    @property
    def reads_text(self) -> bool:
        """No."""
        return False

    def check_sees(self) -> NoReturn:
        """Refused."""
        hint = "give a file of features of this width (.npz, .safetensors), or train with a backbone"
        raise BackboneError(f"{self.name} makes no features of images", hint)

    def encode_images(self, pixels: Tensor) -> NoReturn:  # noqa: ARG002  # of a backbone
        """Refused."""
        self.check_sees()

    def image_features(self, pixels: Tensor) -> NoReturn:  # noqa: ARG002  # of a backbone
        """Refused."""
        self.check_sees()

    @functools.cached_property
    def text(self) -> NoReturn:
        """Refused."""
        raise BackboneError(f"{self.name} has no text tower", "use the linear probe, or a backbone")

    @functools.cached_property
    def prompts(self) -> NoReturn:
        """Refused."""
        raise BackboneError(f"{self.name} has no tokenizer", "use the linear probe, or a backbone")


def _hash(values: Any) -> str:
    return sha256_bytes(json.dumps(values, sort_keys=True, default=str).encode())


def load_backbone(
    name: str = MINICLIP,
    pretrained: str | None = None,
    *,
    device: str = "auto",
    precision: str = "auto",
    quick_gelu: bool | None = None,
) -> Backbone:
    """Load a backbone, frozen and in evaluation mode.

    Args:
        name: "miniclip", "photoclip", an open_clip architecture ("ViT-B-16"), "local-dir:PATH", "hf-hub:ORG/REPO", or
            "features:WIDTH" for features of this width without a model.
        pretrained: an architecture's weights: a tag ("openai"), a file, or both ("openai=FILE": whose they are).
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        precision: "auto", "float32", "bfloat16" or "float16" (devices.resolve_precision).
        quick_gelu: the activation, for a local weights file that does not state it.

    Raises:
        BackboneError: unknown name or tag, missing or damaged weights, an activation that does not match.
    """
    where = resolve_device(device)
    numbers = resolve_precision(precision, where)  # type: ignore[arg-type]
    if name == MINICLIP:  # too small a tower to gain by another format
        return _load_miniclip(pretrained, where, "float32" if precision == "auto" else numbers)
    if name == PHOTOCLIP:
        return _load_photoclip(pretrained, where, numbers)
    if name.startswith(FEATURES):
        return _features_only(name, pretrained, where)
    found = find_pretrained(name, pretrained, quick_gelu)
    model, notes = found.load()
    return Backbone(
        name=found.name,
        pretrained=found.tag,
        preprocess=preprocess_of(model, found.preprocess),
        model=freeze(model, where),
        config=found.config,
        tokenize=tokenizer_of(found.tokenizer),
        weights_sha256=found.sha256,
        device=where,
        precision=numbers,
        notes=notes,
    )


def _features_only(name: str, pretrained: str | None, device: torch.device) -> FeaturesOnly:
    width = name.removeprefix(FEATURES)
    if pretrained is not None or not (width.isdecimal() and 0 < int(width) <= MAX_WIDTH):
        raise BackboneError(f"{name!r} names no width of features", f"write {FEATURES}512, without --pretrained")
    return FeaturesOnly(
        name=f"{FEATURES}{int(width)}",
        pretrained=None,
        model=nn.Module(),
        config={"embed_dim": int(width), "text_cfg": {}},
        preprocess=Preprocess(size=(1, 1), mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
        tokenize=_no_tokens,
        weights_sha256=sha256_bytes(b""),
        device=device,
        precision="float32",
    )


def _no_tokens(texts: list[str], length: int) -> Tensor:
    return torch.zeros(len(texts), length, dtype=torch.int64)


def _load_miniclip(pretrained: str | None, device: torch.device, precision: str) -> Backbone:
    from mocoop.miniclip import weights

    made = _embedded(MINICLIP, weights, {}, pretrained, device, precision)
    return replace(made, vocabulary=weights.seen_tokens(), stand_in=True)


def _load_photoclip(pretrained: str | None, device: torch.device, precision: str) -> Backbone:
    from mocoop.photoclip import weights

    pixels = {"mean": weights.MEAN_AND_DEVIATION, "std": weights.MEAN_AND_DEVIATION}
    made = _embedded(PHOTOCLIP, weights, pixels, pretrained, device, precision)
    tower: nn.Module = made.model.visual  # type: ignore[assignment]
    weights.fold_batch_norms(tower)
    tower.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # its order on a CPU: no copies between
    return replace(made, notes=(SMALL_MODEL_NOTE,))


def _embedded(
    name: str, weights: ModuleType, pixels: dict[str, Any], pretrained: str | None, device: torch.device, precision: str
) -> Backbone:
    """A backbone that ships with the package, from its module of weights."""
    if pretrained is not None:
        raise BackboneError(f"{name} brings its own weights", "leave --pretrained out")
    config = weights.config()
    with WithoutRandomWeights():
        model = build_model(config)
    model.load_state_dict(weights.state_dict(), strict=True, assign=True)
    return Backbone(
        name=name,
        pretrained=None,
        preprocess=preprocess_of(model, {"interpolation": "bicubic", **pixels}),
        model=freeze(model, device),
        config=config,
        tokenize=tokenizer_of("ViT-B-32"),  # CLIP's own byte pairs
        weights_sha256=weights.sha256(),
        device=device,
        precision=precision,
    )
