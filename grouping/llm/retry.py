"""A client for a language model behind OpenAI's chat completions: one question, one reply, and error handling.

A transient failure (busy, broken, cut off) is retried a few times; a permanent one (key, model, quota) ends at once. A
server without strict schemas gets simpler requests from then on. The result is a `Reply`, an `UnusableReply` (there
was a reply, but it cannot be used) or a RemoteError. What is asked and whether an answer is valid is in
`mocoop.grouping.llm.session`.
"""

from __future__ import annotations

import email.utils
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from mocoop.errors import RemoteError
from mocoop.groupfile.findings import quote
from mocoop.grouping.llm.replies import Reply, read_reply, server_message
from mocoop.grouping.llm.settings import FORMATS, Key, Settings
from mocoop.grouping.llm.wire import Exchange, Unreached, Wire

Message = Mapping[str, str]
Wait = Callable[[float, str], None]
Tell = Callable[[str], None]

PAUSES = (1.0, 2.0, 4.0)  # seconds before a second, third and fourth attempt
_BUSY = (408, 409, 425, 429)
_NAMES_FORMAT = re.compile(r"response_format|json[_ ]schema|json[_ ]object|json[_ -]mode|structured[_ ]output", re.I)
_KEPT = "finished answers are kept: the same command goes on from there"


@dataclass
class _Dialect:
    """What this server supports, learned from its refusals."""

    form: str
    tokens_name: str
    unsent: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class _Failure:
    """A failed attempt: the error to raise, the maximum number of attempts, and the pause the server asks for."""

    error: RemoteError
    attempts: int = 1
    pause: float | None = None


class Client:
    """Asks one model, within the time limits of the settings. Raises RemoteError if a required key is missing.

    `wait` waits some seconds and is given the reason; `tell` receives messages for the user.
    """

    def __init__(self, settings: Settings, key: Key, *, seed: int | None, wait: Wait, tell: Tell) -> None:
        self.settings, self.key = settings, key
        self._seed, self._wait, self._tell = seed, wait, tell
        self._wire = Wire(settings, key)
        form = FORMATS[0] if settings.structured == "auto" else settings.structured
        self._dialect = _Dialect(form, "max_completion_tokens" if settings.is_openai else "max_tokens")
        self._deadline = time.monotonic() + settings.total_timeout

    @property
    def form(self) -> str:
        """The answer format in use: schema, object or text."""
        return self._dialect.form

    def chat(self, messages: Sequence[Message], schema: Mapping[str, Any], name: str, most_tokens: int) -> Reply:
        """Send messages and return the reply. Raises UnusableReply or RemoteError."""
        attempt = 0
        while True:
            payload = self._payload(messages, schema, name, most_tokens)
            exchanged = self._attempt(payload)
            if isinstance(exchanged, Exchange):
                if exchanged.status == 200:
                    sent = {key: payload.get(key) for key in ("seed", "temperature")}
                    return read_reply(exchanged.body, self.key, sent)
                if exchanged.status == 400 and self._step_down(exchanged, payload):
                    continue
                exchanged = self._failure(exchanged)
            attempt += 1
            self._pause(exchanged, attempt)

    def _attempt(self, payload: Mapping[str, Any]) -> Exchange | _Failure:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise RemoteError(f"the {self.settings.total_timeout:g} s for all calls are used up", self._more_time())
        try:
            return self._wire.exchange(payload, min(self.settings.timeout, left))
        except Unreached as failed:
            error = RemoteError(f"{self.settings.host} gave no answer: {failed.words}", self._try_again())
            return _Failure(error, 1 if failed.lasting else 2 if failed.slow else len(PAUSES) + 1)

    def _payload(
        self, messages: Sequence[Message], schema: Mapping[str, Any], name: str, most_tokens: int
    ) -> dict[str, Any]:
        strict = {"type": "json_schema", "json_schema": {"name": name, "strict": True, "schema": schema}}
        wanted = {
            "response_format": {"schema": strict, "object": {"type": "json_object"}, "text": None}[self.form],
            "seed": self._seed,
            "temperature": self.settings.temperature,
        }
        sent = {key: value for key, value in wanted.items() if value is not None and key not in self._dialect.unsent}
        limit = {self._dialect.tokens_name: most_tokens}
        return {"model": self.settings.model, "messages": [dict(message) for message in messages], **limit, **sent}

    def _step_down(self, refused: Exchange, payload: Mapping[str, Any]) -> bool:
        """Whether a refusal names something that can be left out; it is then left out from now on."""
        said = refused.body.decode("utf-8", "replace")
        plainer = FORMATS[FORMATS.index(self.form) + 1 :]
        if self.settings.structured == "auto" and plainer and _NAMES_FORMAT.search(said):
            self._dialect.form = plainer[0]
            self._tell(f"{self.settings.host} takes no {_FORM_WORDS[FORMATS[-len(plainer) - 1]]}: asking for less")
            return True
        for name in ("seed", "temperature"):
            if name in payload and re.search(rf"\b{name}\b", said):
                self._dialect.unsent.add(name)
                self._tell(f"{self.settings.host} takes no {name} for this model: asking without")
                return True
        other = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}[
            self._dialect.tokens_name
        ]
        if "tokens_name" not in self._dialect.unsent and re.search(rf"\b{self._dialect.tokens_name}\b", said):
            self._dialect.tokens_name = other
            self._dialect.unsent.add("tokens_name")  # only once, so that a server that accepts neither ends the loop
            return True
        return False

    def _pause(self, failed: _Failure, attempt: int) -> None:
        """Wait before another attempt, or raise the failure if none is left."""
        if attempt >= failed.attempts:
            raise failed.error
        pause = PAUSES[attempt - 1] if failed.pause is None else failed.pause
        left = self._deadline - time.monotonic()
        if pause >= left:
            asked = f"; it asks to wait {pause:,.0f} s" if failed.pause is not None else ""
            total = f"{max(left, 0):.0f} of the {self.settings.total_timeout:g} s for all calls are left"
            raise RemoteError(f"{failed.error.message}{asked}; {total}", self._more_time())
        self._wait(pause, f"{failed.error.message} (attempt {attempt} of {failed.attempts})")

    def _failure(self, got: Exchange) -> _Failure:
        """Interpret a status other than 200."""
        host, said = self.settings.host, server_message(got.body, self.key)
        quota = re.search(r"insufficient_quota|billing_hard_limit", got.body.decode("utf-8", "replace"))
        if got.status in (401, 403):
            return _Failure(self._key_refused(got.status, said))
        if got.status == 402 or (got.status == 429 and quota):
            hint = "the account has no credit left; waiting does not help: see its billing"
            return _Failure(RemoteError(f"{host}: the quota is used up ({got.status}){said}", hint))
        if got.status == 404:
            hint = "check --model and --base-url; the address of such a server often ends in /v1"
            return _Failure(RemoteError(f"{host} knows no model {quote(self.settings.model)} (404){said}", hint))
        if got.status == 429:
            error = RemoteError(f"{host}: too many requests (429){said}", self._try_again())
            return _Failure(error, len(PAUSES) + 1, retry_after(got.headers))
        if got.status in _BUSY or got.status >= 500:
            error = RemoteError(f"{host} failed ({got.status}){said}", self._try_again())
            return _Failure(error, len(PAUSES) + 1, retry_after(got.headers))
        if 300 <= got.status < 400:
            return _Failure(self._redirected(got))
        return _Failure(RemoteError(f"{host} refused the request ({got.status}){said}", self._refused_hint()))

    def _key_refused(self, status: int, said: str) -> RemoteError:
        if self.key.value is None:
            hint = "name the environment variable that holds its key: --key-env NAME"
            return RemoteError(f"{self.settings.host} asks for a key ({status}){said}", hint)
        hint = f"check {self.key.variable}, and that it belongs to this server"
        return RemoteError(f"{self.settings.host} rejected the key in {self.key.variable} ({status}){said}", hint)

    def _redirected(self, got: Exchange) -> RemoteError:
        try:
            target = urlsplit(got.headers.get("location", "")).hostname or "another address"
        except ValueError:
            target = "another address"
        hint = "redirects are not followed, so that a key stays where it was meant to go; give the address itself"
        return RemoteError(f"{self.settings.host} redirects to {quote(target)} ({got.status})", hint)

    def _refused_hint(self) -> str:
        return "ask for --structured auto" if self.settings.structured != "auto" else "see what the server says of it"

    def _try_again(self) -> str:
        return f"try again later; {_KEPT}"

    def _more_time(self) -> str:
        return f"give more with --total-timeout, or try again later; {_KEPT}"


_FORM_WORDS = {"schema": "strict JSON schema", "object": "JSON mode", "text": "text"}


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds a server asks to wait, from a number or a date; None if the header is missing or unreadable."""
    given = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{0,9})?", given):
        return float(given)
    try:
        return max(email.utils.parsedate_to_datetime(given).timestamp() - time.time(), 0.0)
    except (TypeError, ValueError, OverflowError, OSError):
        return None
