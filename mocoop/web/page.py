"""A page of one person's own: behind an address that nobody can guess, its files out of the package, its data as JSON.

The address is `http://127.0.0.1:PORT/SECRET/`. All that the page asks for lies below it by relative addresses, so that
it works through a tunnel under any port; whoever does not know the secret gets the same empty 404 for everything.
"""

from __future__ import annotations

import hmac
import json
import secrets
import threading
import webbrowser
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from mocoop.errors import MoCoOpError
from mocoop.web.gate import App, Bounds, Gate, Receive, Scope, Send
from mocoop.web.process import serve

_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
_SECRET_BYTES = 24
_MOST_PATH = 1000  # characters of an address; ours are short


def new_secret() -> str:
    """What makes an address unguessable: 192 random bits, as letters of an address."""
    return secrets.token_urlsafe(_SECRET_BYTES)


def make_page(
    package: str,
    routes: Sequence[BaseRoute],
    *,
    secret: str,
    folders: Sequence[str] = ("pages",),
    bounds: Bounds | None = None,
    names: Sequence[str] = (),
) -> App:
    """The ASGI application of a page, guarded.

    Args:
        package: whose `folders` have its files; `index.html` is the page, the others lie beside it by their names.
        routes: the addresses of its data, relative to the page ("/api/groups").
        secret: the first part of every address.
        names: those it is served under, beside localhost and addresses in numbers: what --host says.

    A `MoCoOpError` that a route raises is answered as `{"error": what is wrong, "hint": what to do}` with 422.
    """
    handlers = {HTTPException: _refused, MoCoOpError: _told}
    app = Starlette(routes=[*_files(package, folders), *routes], exception_handlers=handlers)  # type: ignore[arg-type]
    remedy = "open the page by its address in numbers, or start it with --host NAME"
    return Gate(_Secret(app, secret), bounds or Bounds(), names, remedy=remedy)


def show_page(
    app: App,
    secret: str,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    bounds: Bounds | None = None,
    browser: bool = True,
    ready: Callable[[str], None] = lambda _address: None,
) -> None:
    """Serve a page until Ctrl-C; `ready` gets its whole address, which a browser opens if there is one.

    Raises UsageError if the address cannot be had.
    """

    def opened(address: str) -> None:
        whole = f"{address}/{secret}/"
        ready(whole)
        if browser:  # some browsers are waited for until they end, and the page must be served meanwhile
            threading.Thread(target=_open, args=(whole,), name="browser", daemon=True).start()

    serve(app, host=host, port=port, bounds=bounds or Bounds(), ready=opened)


def _open(address: str) -> None:
    with suppress(webbrowser.Error, OSError):
        webbrowser.open(address)


async def body_of(request: Request) -> dict[str, Any]:
    """The JSON object that a request brings. Raises HTTPException for anything else.

    Only JSON by its content type: a form of another site could send text, but not that, without being asked first.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "send JSON")
    try:
        found = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, f"no JSON: {error}") from error
    if not isinstance(found, dict):
        raise HTTPException(400, "send a JSON object")
    return found


class _Secret:
    """An ASGI application that is there only below `/secret/`."""

    def __init__(self, app: App, secret: str) -> None:
        self._app, self._secret = app, secret.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        _, first, *rest = [*scope["path"].split("/", 2), ""][:3]
        known = hmac.compare_digest(first.encode("utf-8", "replace"), self._secret)
        if not known or len(scope["path"]) > _MOST_PATH:  # a longer number would be none to Python
            await Response(status_code=404)(scope, receive, send)
            return
        inner = {**scope, "path": f"/{rest[0]}", "raw_path": None}
        await self._app(inner, receive, send)


def _files(package: str, folders: Sequence[str]) -> list[BaseRoute]:
    found: list[BaseRoute] = []
    for folder in folders:
        for file in sorted(files(package).joinpath(folder).iterdir(), key=lambda one: one.name):
            kind = _KINDS.get(file.name[file.name.rfind(".") :])
            if kind is not None:
                address = "/" if file.name == "index.html" else f"/{file.name}"
                found.append(Route(address, _file(file.read_bytes(), kind)))
    return found


def _file(data: bytes, kind: str) -> Any:
    async def answer(_request: Request) -> Response:
        return Response(data, media_type=kind, headers={"Cache-Control": "no-store"})

    return answer


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, headers=dict(error.headers or {}))


async def _told(_request: Request, error: Exception) -> Response:
    assert isinstance(error, MoCoOpError)
    return JSONResponse({"error": error.message, "hint": error.hint}, 422)
