"""Whether weights were trained with QuickGELU, OpenAI's faster approximation of GELU, or with GELU itself.

The wrong one of the two costs several points of accuracy and raises no error: open_clip takes what the architecture's
name says. Here tag, file, name and the user's choice are compared, and a doubt is an error.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mocoop.backbone.weights import is_openai_file
from mocoop.errors import BackboneError


def activation_of_tag(
    name: str, tag: str, config: dict[str, Any], tag_config: dict[str, Any], asked: bool | None
) -> bool:
    """Whether a tag's weights were trained with QuickGELU: from the tag, checked against name and request.

    If the architecture says yes and the tag does not (roberta-ViT-B-32), the request decides.
    """
    trained, stated = bool(tag_config.get("quick_gelu", False)), bool(config.get("quick_gelu", False))
    if stated and not trained:
        if asked is None:
            raise BackboneError(
                f"the activation of {name} is in doubt: its configuration says quick_gelu = True, the tag {tag!r} not",
                "name an architecture without '-quickgelu', or add --quick-gelu or --no-quick-gelu",
            )
        return asked
    if asked is not None and asked != trained:
        raise mismatch(name, f"the tag {tag!r} was trained with quick_gelu = {trained}", asked)
    return trained


def activation_of_file(name: str, weights: Path, config: dict[str, Any], asked: bool | None) -> bool:
    """Whether a file's weights were trained with QuickGELU; an error if neither file nor name states it."""
    from open_clip.pretrained import get_pretrained_cfg

    from mocoop.openclip import open_clip

    if is_openai_file(weights):
        if asked is False:
            raise mismatch(name, f"{weights} is OpenAI's, trained with quick_gelu = True", asked)
        return True
    if config.get("quick_gelu", False):
        if asked is False:
            raise mismatch(name, "its configuration says quick_gelu = True", asked)
        return True
    if asked is not None:
        return asked
    tags = open_clip.list_pretrained_tags_by_model(name)
    ever_quick = any(get_pretrained_cfg(name, tag).get("quick_gelu", False) for tag in tags)
    if ever_quick or f"{name}-quickgelu" in open_clip.list_models():
        raise BackboneError(
            f"{weights} does not say which activation {name} was trained with",
            "add --quick-gelu (OpenAI's, DFN's and MetaCLIP's weights) or --no-quick-gelu (LAION's, DataComp's)",
        )
    return False


def mismatch(name: str, evidence: str, asked: bool) -> BackboneError:
    """The error for an activation that is asked for against what the weights say."""
    return BackboneError(
        f"the activation of {name} does not match its weights: {evidence}, but quick_gelu = {asked} is asked for",
        "leave the choice out, or name the architecture without '-quickgelu'",
    )
