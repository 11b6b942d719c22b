"""Options of the commands that compare what templates say: which model makes vectors of them.

A command takes `@embedder_options` and gets one `choice: EmbedderChoice`; class names, class kind and seed it sets
itself with `dataclasses.replace`. How vectors are made is in `mocoop.grouping.embed`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

_OPTIONS = (
    click.option("--embedder", metavar="NAME", default="auto", show_default=True,
                 help="auto, sentence, backbone, tfidf (wording only), or a .npz with your own vectors."),
    click.option("--sentence-model", metavar="MODEL",
                 help="A sentence-transformers model: a folder, or a name on the hub, which is then downloaded."),
    click.option("--backbone", metavar="NAME", help="Compare in this backbone's text space, as the trainer's router."),
    click.option("--pretrained", metavar="TAG", help="The backbone's weights: a tag of open_clip, or a file."),
    click.option("--offline", is_flag=True, help="Download nothing."),
)  # fmt: skip


def embedder_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options; the command gets them as one `choice: EmbedderChoice`."""

    @functools.wraps(command)
    def with_choice(
        *arguments: Any,
        embedder: str,
        sentence_model: str | None,
        backbone: str | None,
        pretrained: str | None,
        offline: bool,
        **others: Any,
    ) -> Any:
        from mocoop.grouping.embed import EmbedderChoice

        choice = EmbedderChoice(embedder, sentence_model, backbone, pretrained, offline=offline)
        return command(*arguments, choice=choice, **others)

    return functools.reduce(lambda made, option: option(made), reversed(_OPTIONS), with_choice)
