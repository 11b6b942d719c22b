"""The gate before every server of ours, which refuses what may not be asked before anything is touched.

A request to a foreign name (a page that makes a browser believe that its own name is this machine) or from a page of
another origin is refused; a body that is too large or comes too slowly is cut off. Every answer forbids a browser to
run or load anything that is not ours.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from mocoop.errors import UsageError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Counted = Callable[[str, int, float], None]  # path, status, seconds

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_DAY = 86_400.0
_BODIES = 8  # full-sized bodies in memory at once


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """The bounds of any server."""

    body_bytes: int = 20_000_000  # of a whole request
    seconds: float = 30.0  # from a request's end to its answer
    body_seconds: float = 10.0  # for a whole request to come in
    connections: int = 200

    def __post_init__(self) -> None:
        """Raises UsageError for times that no clock can keep."""
        if not (0 < self.seconds <= _DAY and 0 < self.body_seconds <= _DAY):
            raise UsageError("a time limit must be above 0 and at most a day", "give seconds")


class Gate:
    """An ASGI application around another, which it shields."""

    def __init__(
        self,
        app: App,
        bounds: Bounds,
        names: Iterable[str] = (),
        counted: Counted | None = None,
        remedy: str = "--allow-host adds a name",
    ) -> None:
        """Guard an application.

        Args:
            app: the application.
            bounds: its bounds.
            names: those it is served under, beside localhost and addresses in numbers.
            counted: hears of each answer.
            remedy: what to do about a name that is none of them.
        """
        self._app, self._bounds, self._counted = app, bounds, counted or (lambda *_: None)
        self._remedy = remedy
        self._names = frozenset(name.lower() for name in names) | {"localhost"}
        self._held = 0  # bytes of bodies that are being received or answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse, one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.monotonic(), 500
        body = _Body(self, receive)

        async def guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message.get("headers", ()), *_HEADERS]}
            await asyncio.wait_for(send(message), self._bounds.seconds)  # a client that reads nothing is left

        try:
            refusal = self._refusal(scope)
            app: App = self._app if refusal is None else refusal
            with suppress(asyncio.TimeoutError):
                await app(scope, body.receive, guarded)
        finally:
            self._held -= body.held
            self._counted(scope["path"], status, time.monotonic() - began)

    def hold(self, held: int, more: int) -> None:
        """Account for more bytes of one body. Raises HTTPException if that body, or all together, are too large."""
        if held + more > self._bounds.body_bytes:
            raise HTTPException(413, f"the request is larger than {self._bounds.body_bytes:,} bytes", _CLOSE)
        if self._held + more > _BODIES * self._bounds.body_bytes:
            raise HTTPException(503, "the server holds as many bytes as it may; try again", {**_CLOSE, **_AGAIN})
        self._held += more

    @property
    def body_seconds(self) -> float:
        """How long a whole body may take."""
        return self._bounds.body_seconds

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers = {key: value.decode("latin-1") for key, value in scope["headers"]}
        host, origin = headers.get(b"host", ""), headers.get(b"origin")
        if not self._is_ours(host):
            return _refused(400, f"nothing is served under the name {host[:100]!r} ({self._remedy})")
        if origin is not None and _place_of(origin) != host.lower():
            return _refused(403, "pages of other servers may not ask here")
        length = headers.get(b"content-length", "0")
        if not length.isascii() or not length.isdigit() or len(length) > 18 or int(length) > self._bounds.body_bytes:
            return _refused(413, f"the request is larger than {self._bounds.body_bytes:,} bytes")
        return None

    def _is_ours(self, host: str) -> bool:
        """Addresses in numbers are always ours: only a name can be pointed at us by somebody else."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
            if name in self._names:
                return True
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def _place_of(origin: str) -> str | None:
    """Host and port of an origin; None if it is none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


class _Body:
    """The body of one request as it comes in, within the limits."""

    def __init__(self, gate: Gate, receive: Receive) -> None:
        self._gate, self._receive = gate, receive
        self._until = time.monotonic() + gate.body_seconds
        self._complete = False
        self.held = 0

    async def receive(self) -> Message:
        if self._complete:  # what comes now is only that the client has gone
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._receive(), max(0.001, self._until - time.monotonic()))
        except asyncio.TimeoutError as error:
            raise HTTPException(408, f"the request took longer than {self._gate.body_seconds:g} s", _CLOSE) from error
        more = len(message.get("body", b""))
        self._gate.hold(self.held, more)
        self.held += more
        self._complete = not message.get("more_body", False)
        return message


_CLOSE = {"Connection": "close"}
_AGAIN = {"Retry-After": "1"}


def _refused(status: int, why: str) -> JSONResponse:
    return JSONResponse({"error": why}, status, headers=_CLOSE)
