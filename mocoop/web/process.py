"""The process of a server: its socket, its patience with slow connections, its end.

On SIGTERM or SIGINT no new connection is taken, what was asked is answered, and the process ends with 0.
"""

from __future__ import annotations

import asyncio
import math
import signal
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from mocoop.errors import UsageError
from mocoop.web.gate import App, Bounds

_KEEP_ALIVE = 5  # seconds that an idle connection is kept
_MAX_HEAD = 16 * 1024  # bytes of a request's line and headers
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def serve(
    app: App, *, host: str, port: int, bounds: Bounds, ready: Callable[[str], None] = lambda _address: None
) -> None:
    """Serve an application until a signal ends it; `ready` is called with the address once connections are taken.

    Port 0 takes any free one. Raises UsageError if the address cannot be had.
    """
    bound = _bound(host, port)
    shown = f"[{host}]" if ":" in host else host
    config = uvicorn.Config(
        app,
        http=_patient(bounds.body_seconds),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=bounds.connections,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=math.ceil(bounds.seconds + bounds.body_seconds) + 1,  # clients that read nothing
        h11_max_incomplete_event_size=_MAX_HEAD,
    )
    server = uvicorn.Server(config)
    before = {one: signal.signal(one, _no_more) for one in _SIGNALS}  # uvicorn raises the signal again when it is done
    try:
        asyncio.run(_served(server, bound, lambda: ready(f"http://{shown}:{bound.getsockname()[1]}")))
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


async def _served(server: uvicorn.Server, bound: socket.socket, ready: Callable[[], None]) -> None:
    serving = asyncio.create_task(server.serve([bound]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.01)
    if server.started:
        ready()
    await serving


def _bound(host: str, port: int) -> socket.socket:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        # asyncio sets TCP_NODELAY only if the protocol is named; else answers wait 40 ms for the client's ACK.
        bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    except OSError as error:
        raise UsageError(f"--host {host} is no address of this machine: {error.strerror or error}") from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        remedy = "take another --port, or 0 for any that is free"
        raise UsageError(f"cannot serve on {host} port {port}: {error.strerror or error}", remedy) from error
    return bound


def _no_more(_signal: int, _frame: object) -> None:
    """The signal has been obeyed."""


def _patient(seconds: float) -> type[H11Protocol]:
    """uvicorn's protocol, which closes a connection whose next request has not begun within `seconds`.

    uvicorn itself waits forever for the end of a request's headers.
    """

    class Patient(H11Protocol):
        _timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._watch()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            self._unwatch()
            super().connection_lost(exc)

        def _watch(self) -> None:
            self._unwatch()
            self._timer = self.loop.call_later(seconds, self._close_if_idle)

        def _unwatch(self) -> None:
            if self._timer is not None:
                self._timer.cancel()

        def _close_if_idle(self) -> None:
            if self.cycle is None or self.cycle.response_complete:
                self.transport.abort()  # close() would wait for a client that reads nothing

    return Patient
