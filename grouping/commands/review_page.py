"""`mocoop-groups review --web`: its options, and the page from its start to Ctrl-C."""

from __future__ import annotations

import functools
import ipaddress
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mocoop import cli
from mocoop.errors import UsageError
from mocoop.grouping.commands.embedding import EmbedderOptions, choice
from mocoop.grouping.commands.model import ModelChoice, open_session
from mocoop.grouping.commands.shared import TEXT_FILE, class_names

if TYPE_CHECKING:
    from mocoop.grouping.clustering.embed import EmbedderChoice
    from mocoop.grouping.web.attraction import Attraction
    from mocoop.grouping.web.session import Session
    from mocoop.grouping.web.writing import Writing

_HOST = "127.0.0.1"
_FIELDS = ("web", "host", "port", "no_browser", "data", "images", "llm_config")
_IMAGES = 200
_OPTIONS = (
    click.option("--web", is_flag=True, help="On a page in the browser: all groups at once, with mouse or keyboard."),
    click.option("--host", default=_HOST, show_default=True, help="Address of the page of --web."),
    click.option("--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="Its port; 0 for any."),
    click.option("--no-browser", is_flag=True, help="Open no browser; the address is printed in any case."),
    click.option("--data", type=click.Path(path_type=Path), metavar="DIR",
                 help="Images, as in `mocoop train`: the page shows those that fit each group best, by --backbone."),
    click.option("--images", type=click.IntRange(min=1), default=_IMAGES, show_default=True,
                 help="How many of them, drawn by chance."),
    click.option("--llm-config", type=TEXT_FILE, metavar="FILE",
                 help="A language model that the page may ask for templates, as in `generate --backend llm`."),
)  # fmt: skip


@dataclass(frozen=True)
class PageOptions:
    """The options as typed."""

    web: bool = False
    host: str = _HOST
    port: int = 0
    no_browser: bool = False
    data: Path | None = None
    images: int = _IMAGES
    llm_config: Path | None = None

    def refuse_alone(self) -> None:
        """Raises UsageError for options that need --web."""
        if self != PageOptions():
            told = "--host, --port, --no-browser, --data, --images and --llm-config are of the page"
            raise UsageError(told, "add --web")


def page_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options; the command receives them as one `page: PageOptions`."""

    @functools.wraps(command)
    def with_options(*arguments: Any, **others: Any) -> Any:
        typed = {name: others.pop(name) for name in _FIELDS}
        return command(*arguments, page=PageOptions(**typed), **others)

    return functools.reduce(lambda made, option: option(made), reversed(_OPTIONS), with_options)


def review_on_page(path: str, page: PageOptions, embedder: EmbedderOptions | None, typed: EmbedderOptions) -> None:
    """Serve the page of a file until Ctrl-C. `embedder` None compares wording only."""
    from mocoop.packages import require

    require("starlette", "uvicorn", extra="web")
    if path == "-":
        raise UsageError("the page needs a file", "give the path of a group file")
    if page.data is not None and typed.backbone is None:
        raise UsageError("--data needs a backbone that sees images", "add --backbone NAME, as in `mocoop train`")

    from mocoop.grouping.web.kept import Kept
    from mocoop.grouping.web.session import Session

    kept = Kept(path)
    with kept.alone():
        session = Session.open(path, kept, class_names(typed.classes))
        kind = session.document.get("class_kind", "object")
        attraction = _attraction(session, page, choice(typed, kind))
        try:
            ended = _serve(session, page, None if embedder is None else choice(embedder, kind), attraction)
        finally:
            session.close()
    _farewell(session, path)
    if not ended:  # a thread that is left inside PyTorch aborts the process when Python shuts down
        sys.stderr.flush()
        os._exit(0)


def _serve(session: Session, page: PageOptions, way: EmbedderChoice | None, attraction: Attraction | None) -> bool:
    """Serve until Ctrl-C; whether all threads are at their end then."""
    from mocoop.grouping.editing.drafts import keep_line, take_line
    from mocoop.grouping.web.checking import Checking
    from mocoop.grouping.web.routes import Desk
    from mocoop.web.gate import Bounds
    from mocoop.web.page import make_page, new_secret, show_page

    for note in session.notes:
        cli.say(f"note: {note}")
    if not _is_loopback(page.host):
        cli.say(f"note: whoever reaches {page.host} and knows the address may change {session.path}")
    checking = Checking(session, way)
    line = take_line(session.path)
    if line is not None:  # until it is entered or given up on the page, which may never be opened
        keep_line(session.path, line)
    desk = Desk(session, checking, way, line, attraction, _writing(session, page))
    secret, bounds = new_secret(), Bounds(body_bytes=2_000_000)
    checking.start()
    if attraction is not None:
        attraction.start()
    ended = True
    try:
        show_page(
            make_page("mocoop.grouping.web", desk.routes(), secret=secret, bounds=bounds, names=[page.host]),
            secret,
            host=page.host,
            port=page.port,
            bounds=bounds,
            browser=not page.no_browser,
            ready=lambda address: cli.say(f"reviewing {session.path} on {address} (Ctrl-C ends it)"),
        )
    finally:
        ended = checking.end() and (attraction is None or attraction.end())
    return ended


def _attraction(session: Session, page: PageOptions, way: EmbedderChoice) -> Attraction | None:
    if page.data is None:
        return None
    from mocoop.grouping.web.attraction import Attraction

    return Attraction(session, way, page.data, page.images)


def _writing(session: Session, page: PageOptions) -> Writing | None:
    """The language model that was set up, if one was. Raises ConfigError."""
    if page.llm_config is None:
        return None
    from mocoop.grouping.web.writing import Writing

    model = ModelChoice({}, page.llm_config, cache=True, refresh=False)
    return Writing(session, open_session(model, seed=0, offline=False, out=Path(session.path)))


def _farewell(session: Session, path: str) -> None:
    from mocoop.grouping.editing.review import reviewed_counts

    if session.unsaved:
        again = f"mocoop-groups review {cli.command_path(path)} --web"
        kept = f"what is not saved is kept; the same command takes it up: {again}"
        cli.say(f"{path}: {f'what is not saved is lost: {session.unkept}' if session.unkept else kept}")
    reviewed, total = reviewed_counts(session.document)
    cli.say(f"{path}: {reviewed} of {total} templates reviewed")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
