"""How a backbone's images are prepared: mean, standard deviation, resizing, as its weights were trained.

A file of weights says nothing of it, and a configuration may leave it out. Both then take what open_clip's tables say
of the architecture's own tags, and where those disagree, a person must decide.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from mocoop.backbone.weights import is_openai_file
from mocoop.data.views import Preprocess
from mocoop.errors import BackboneError

_IMAGES = ("mean", "std", "interpolation", "resize_mode")  # what a tag's configuration says of its images


def preprocess_of(model: nn.Module, config: dict[str, Any]) -> Preprocess:
    """The image preprocessing: mean, std and resizing from the source, size from the image tower."""
    from mocoop.openclip import open_clip

    size = getattr(model.visual, "image_size", None) or config.get("size", 224)
    height, width = size if isinstance(size, (tuple, list)) else (size, size)
    return Preprocess(
        size=(int(height), int(width)),
        mean=_triple(config.get("mean") or open_clip.OPENAI_DATASET_MEAN),
        std=_triple(config.get("std") or open_clip.OPENAI_DATASET_STD),
        interpolation=config.get("interpolation", "bicubic"),
        resize_mode=config.get("resize_mode", "shortest"),
    )


def images_of_file(name: str, weights: Path, quick_gelu: bool) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The preprocessing of a file that says nothing of it: that of its architecture's tags, where they agree.

    Only tags of the same activation count, and for OpenAI's own file OpenAI's. Where they still disagree, taking one
    would be a guess that costs accuracy without a word, so a person must say whose weights they are.
    """
    kinds = _tags_by_images(name, quick_gelu)
    if is_openai_file(weights):
        kinds = [(images, tags) for images, tags in kinds if "openai" in tags] or kinds
    if len(kinds) > 1:
        choices = ", or ".join(f"--pretrained {tags[0]}={weights} ({_said(images)})" for images, tags in kinds)
        raise BackboneError(
            f"the weights of {name} have more than one preprocessing, and {weights} does not say which is its own",
            f"name the tag that it comes from: {choices}",
        )
    if kinds:
        return kinds[0][0], ()
    images = _default_images()
    return images, (f"open_clip knows no weights of {name}: images are prepared as by its default ({_said(images)})",)


def images_of_config(
    config: dict[str, Any], given: dict[str, Any], path: Path
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """A folder's or repository's preprocessing; without mean and std, that of the architecture it is."""
    from mocoop.openclip import open_clip

    if given.get("mean") and given.get("std"):
        return given, ()
    quick = bool(config.get("quick_gelu", False))
    bare = {key: value for key, value in config.items() if key != "quick_gelu"}
    for name in open_clip.list_models():
        known = open_clip.get_model_config(name) or {}
        if {key: value for key, value in known.items() if key != "quick_gelu"} != bare:
            continue
        kinds = _tags_by_images(name, quick)
        if len(kinds) == 1:
            images = {**kinds[0][0], **given}
            return images, (f"{path} says no mean and std: images are prepared as for {name} ({_said(images)})",)
        if kinds:
            choices = ", or ".join(f"{_said(images)} ({tags[0]})" for images, tags in kinds)
            raise BackboneError(
                f"{path} says no mean and std, and the weights of {name} have more than one preprocessing",
                f"write 'preprocess_cfg' into it: {choices}",
            )
    images = {**_default_images(), **given}
    return images, (f"{path} says no mean and std: images are prepared as by open_clip's default ({_said(images)})",)


def _tags_by_images(name: str, quick_gelu: bool) -> list[tuple[dict[str, Any], list[str]]]:
    """The preprocessings of an architecture's tags, each with its tags; of those with the given activation, if any."""
    from open_clip.pretrained import get_pretrained_cfg

    from mocoop.openclip import open_clip

    every = {tag: get_pretrained_cfg(name, tag) for tag in open_clip.list_pretrained_tags_by_model(name)}
    alike = {tag: one for tag, one in every.items() if bool(one.get("quick_gelu", False)) is quick_gelu}
    kinds: list[tuple[dict[str, Any], list[str]]] = []
    for tag, one in (alike or every).items():
        images = {key: one[key] for key in _IMAGES}
        if tags := next((tags for known, tags in kinds if known == images), None):
            tags.append(tag)
        else:
            kinds.append((images, [tag]))
    return kinds


def _default_images() -> dict[str, Any]:
    """What open_clip itself trains with unless it is told otherwise: OpenAI's."""
    from mocoop.openclip import open_clip

    mean, std = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD
    return {"mean": mean, "std": std, "interpolation": "bicubic", "resize_mode": "shortest"}


def _said(images: dict[str, Any]) -> str:
    """A preprocessing in words: mean 0.5 0.5 0.5, std 0.5 0.5 0.5, bicubic, squash."""
    mean, std = (" ".join(f"{value:.4g}" for value in _triple(images[key])) for key in ("mean", "std"))
    return f"mean {mean}, std {std}, {images['interpolation']}, {images['resize_mode']}"


def _triple(values: Any) -> tuple[float, float, float]:
    try:
        red, green, blue = values if isinstance(values, (tuple, list)) else (values,) * 3
        return float(red), float(green), float(blue)
    except (TypeError, ValueError) as error:
        raise BackboneError(f"the preprocessing's mean or std is {values!r}", "give three numbers") from error
