"""A quick request for a server's list of models, which ends within seconds whatever the server does.

Redirects are not followed, so that a key is never sent to another host; little is read; of the response only the model
names are shown, without the key. Requests for templates are in `wire`.
"""

from __future__ import annotations

import http.client
import json
import queue
import socket
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mocoop.groupfile.findings import quote
from mocoop.grouping.llm.settings import Key

SECONDS = 4.0  # for the whole exchange
MAX_BYTES = 256 * 1024
MOST_NAMED = 5


class Unanswered(Exception):
    """No answer came; the text says why."""


@dataclass(frozen=True)
class Answer:
    """The verdict on a server that answered."""

    words: str
    refused: bool = False
    how: str = ""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_arguments: Any) -> None:
        return None


def ask_models(
    url: str, key: Key | None, seconds: float = SECONDS, *, query: Mapping[str, str] | None = None
) -> Answer:
    """Request /models. A server that asks for a key, or has no such list, still counts as there. Raises Unanswered."""
    end = f"?{urllib.parse.urlencode(query)}" if query else ""
    found: queue.SimpleQueue[Answer | Unanswered] = queue.SimpleQueue()
    threading.Thread(target=lambda: found.put(_asked(f"{url}/models{end}", key, seconds)), daemon=True).start()
    try:  # a DNS look-up has no timeout of its own
        answer = found.get(timeout=seconds + 0.5)
    except queue.Empty:
        raise Unanswered("no answer in time") from None
    if isinstance(answer, Unanswered):
        raise answer
    return answer


def _asked(url: str, key: Key | None, seconds: float) -> Answer | Unanswered:
    request = urllib.request.Request(url, headers={"Accept": "application/json"})
    if key is not None and key.value:
        request.add_unredirected_header("Authorization", f"Bearer {key.value}")
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=seconds) as response:
            return Answer(_named(response.read(MAX_BYTES), key))
    except urllib.error.HTTPError as error:
        return _status(error.code, key)
    except urllib.error.URLError as error:
        return Unanswered(_reason(error.reason))
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Unanswered(_reason(error))


def _status(status: int, key: Key | None) -> Answer:
    if status in (401, 403):
        if key is not None:
            hint = f"check the key in {key.variable}"
            return Answer(f"answers, and refuses the key (status {status})", refused=True, how=hint)
        return Answer(f"answers, and asks for a key (status {status})", how="name its variable with --key-env")
    if 300 <= status < 400:
        hint = "give the address it points to"
        return Answer(f"answers with a redirect (status {status}), which is not followed", refused=True, how=hint)
    if status >= 500:
        return Answer(f"answers with a fault of its own (status {status})", refused=True, how="try again later")
    return Answer(f"answers (status {status}), without a list of models")


def _named(body: bytes, key: Key | None) -> str:
    try:
        listed = json.loads(body)["data"]
        names = [entry["id"] for entry in listed if isinstance(entry["id"], str)]
    except (ValueError, KeyError, TypeError, RecursionError):
        return "answers, without a list of models"
    shown = [quote((key or Key()).redact(name))[1:-1] for name in names[:MOST_NAMED]]
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"{len(names)} model{'s' if len(names) != 1 else ''}: {', '.join(shown)}{more}" if names else "no models"


def _reason(error: object) -> str:
    """The reason, in words that reveal neither the URL nor what was sent."""
    if isinstance(error, (TimeoutError, socket.timeout)):
        return "no answer in time"
    if isinstance(error, socket.gaierror):
        return "no such host"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"no answer ({type(error).__name__})"
