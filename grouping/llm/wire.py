"""One HTTP exchange with a server, through the openai client only.

Whatever the server does, an exchange ends in time, uses bounded memory, and returns a status and a body or raises
`Unreached` with our own message. Redirects are not followed, the key is sent to the named server only, and it is
removed from the body before anything else sees it. Statuses and bodies are interpreted in `mocoop.grouping.llm.retry`.
"""

from __future__ import annotations

import queue
import socket
import ssl
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

from mocoop.errors import RemoteError
from mocoop.grouping.llm.settings import Key, Settings

MAX_BODY = 4 * 1024 * 1024  # bytes; an answer with 200 templates has about 30,000

_SENT_HEADERS = ("host", "content-type", "content-length", "accept", "accept-encoding", "connection", "user-agent")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Exchange:
    """A server's response: any status, lower-case header names, and the body with the key removed."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class Unreached(Exception):
    """No answer came. `words` says why; `lasting` means that a retry will not help."""

    def __init__(self, words: str, *, lasting: bool = False, slow: bool = False) -> None:
        super().__init__(words)
        self.words, self.lasting, self.slow = words, lasting, slow


class Wire:
    """A connection to one server. The constructor imports the openai client but sends nothing. Raises RemoteError."""

    def __init__(self, settings: Settings, key: Key) -> None:
        self._library = _openai()
        self._settings, self._key = settings, key
        self._client: Any = None

    def exchange(self, payload: Mapping[str, Any], seconds: float) -> Exchange:
        """Request one chat completion. Raises Unreached."""
        if self._client is None:
            self._client = self._new_client()
        client = self._client
        try:
            response = _within(seconds, lambda: self._send(client, payload, seconds))
        except Unreached as failed:
            self._client = None  # a thread may still hold it
            through = ", through the proxy that the environment names" if _proxied(self._settings.url) else ""
            raise Unreached(failed.words + through, lasting=failed.lasting, slow=failed.slow) from None
        body = self._key.redact(response.content.decode("utf-8", "replace")).encode("utf-8")
        headers = {name.lower(): self._key.redact(value) for name, value in response.headers.items()}
        return Exchange(response.status_code, headers, body)

    def _send(self, client: Any, payload: Mapping[str, Any], seconds: float) -> Any:
        """The HTTP response of any status; every failure becomes Unreached, without any text from the server."""
        try:
            made = client.with_options(timeout=seconds).chat.completions.with_raw_response.create(**payload)
            return made.http_response
        except self._library.APIStatusError as error:
            return error.response
        except self._library.APITimeoutError:
            raise Unreached(f"no answer within {seconds:.3g} s", slow=True) from None
        except (self._library.OpenAIError, OSError) as error:
            raise _unreached(error) from None

    def _new_client(self) -> Any:
        try:
            http_client = _http_client(self._library, with_key=self._key.value is not None)
        except (ImportError, ValueError, OSError, _invalid_url(self._library)):  # their messages contain URLs
            raise Unreached(
                "the proxy or the certificates that the environment names are no good", lasting=True
            ) from None
        return self._library.OpenAI(
            api_key=self._key.value or "none",
            base_url=self._settings.url,
            default_query=self._settings.query,  # left in the address, the client would put its path behind it
            max_retries=0,
            http_client=http_client,
        )


def _openai() -> Any:
    try:
        import openai
    except ImportError:
        hint = "pip install openai"
        raise RemoteError("the openai package, which asks language models, is not installed", hint) from None
    import logging

    logging.getLogger("openai").setLevel(logging.ERROR)  # OPENAI_LOG would print responses, including the key
    return openai


def _http_client(library: Any, *, with_key: bool) -> Any:
    """The openai client's own HTTP client, limited to bounded bodies and necessary headers."""

    class Bounded(library.DefaultHttpxClient):  # type: ignore[misc]
        def send(self, request: Any, **options: Any) -> Any:
            wanted = (*_SENT_HEADERS, "authorization") if with_key else _SENT_HEADERS
            full = request.headers.copy()
            for name in [name for name in full if name.lower() not in wanted]:
                del request.headers[name]
            response = super().send(request, **{**options, "stream": True})
            try:
                body = _bounded(response.iter_bytes())
            finally:
                response.close()
                request.headers = full  # the openai client reads its own settings from there
            kept = [(n, v) for n, v in response.headers.multi_items() if n.lower() not in _LENGTHS]
            return type(response)(response.status_code, headers=kept, content=body, request=request)

    return Bounded(follow_redirects=False)


_LENGTHS = ("content-length", "content-encoding", "transfer-encoding")


def _invalid_url(library: Any) -> type[Exception]:
    """The exception of the openai client's HTTP library for an invalid URL; the library depends on the version."""
    names = [base.__module__.partition(".")[0] for base in library.DefaultHttpxClient.__mro__]
    found: type[Exception] = sys.modules[next(name for name in names if name.startswith("httpx"))].InvalidURL
    return found


def _proxied(url: str) -> bool:
    """Whether the environment sets a proxy for a URL."""
    parts = urlsplit(url)
    proxies = urllib.request.getproxies()
    named = parts.scheme in proxies or "all" in proxies
    return named and not urllib.request.proxy_bypass(parts.hostname or "")


def _bounded(pieces: Iterator[bytes]) -> bytes:
    body = bytearray()
    for piece in pieces:
        body += piece
        if len(body) > MAX_BODY:
            raise _TooLarge
    return bytes(body)


class _TooLarge(OSError):
    """A body above MAX_BODY."""


def _unreached(error: BaseException) -> Unreached:
    """The cause of a failed exchange in our own words, as a library's message may contain URLs."""
    for cause in _chain(error):
        name = type(cause).__name__
        if isinstance(cause, _TooLarge):
            return Unreached(f"it sent more than {MAX_BODY // 1024 // 1024} MiB", lasting=True)
        if isinstance(cause, ssl.SSLError):
            return Unreached("its certificate or encryption was not accepted", lasting=True)
        if isinstance(cause, socket.gaierror):
            return Unreached("its name is not known to the network")
        if isinstance(cause, ConnectionRefusedError):
            return Unreached("it refused the connection; does it run?")
        if "ProxyError" in name or "UnsupportedProtocol" in name:
            return Unreached("the proxy that the environment names could not be used", lasting=True)
        if "DecodingError" in name:
            return Unreached("its answer could not be unpacked", lasting=True)
        if "Protocol" in name or isinstance(cause, ConnectionError):
            return Unreached("it closed the connection before its answer was complete")
    return Unreached("the connection failed")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception and its causes, the deepest first."""
    found: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in found:
        found.append(current)
        current = current.__cause__ or current.__context__
    return reversed(found)


def _within(seconds: float, work: Callable[[], _Result]) -> _Result:
    """The result of `work`; raises Unreached when time is up. A slow name server, or a server that sends a byte per
    second, only blocks a thread that is then abandoned."""
    done: queue.SimpleQueue[tuple[_Result | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            done.put((work(), None))
        except BaseException as error:  # re-raised in the waiting thread
            done.put((None, error))

    threading.Thread(target=run, daemon=True, name="mocoop-llm").start()
    try:
        result, error = done.get(timeout=seconds + 0.5)  # the client's own timeout normally fires first
    except queue.Empty:
        raise Unreached(f"no complete answer within {seconds:.3g} s", slow=True) from None
    if error is not None:
        raise error
    return result  # type: ignore[return-value]
