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
_NAMES_FORMAT = re.compile(
    r"response_format|json[_ ]schema|json[_ ]object|json[_ -]mode|structured[_ ]output|guided[_ ](?:json|decoding)"
    r"|\bgrammar",
    re.I,
)
_NAMES_SYSTEM = re.compile(
    r"\bsystem['\"]?[ _-](?:roles?|prompts?|messages?|instructions?)\b|\broles?\b.{0,80}\bsystem\b"
    r"|developer instruction|roles must alternate|only user and assistant|\brole\b.{0,80}\bshould be 'user'",
    re.I | re.S,
)
_REFUSES = re.compile(
    r"not (?:\w+ )?(?:support|allow|permit|accept|enable)|unsupported"
    r"|un(?:known|recogni[sz]ed|expected) (?:param|arg|field)",
    re.I,
)
_OWN_CAUSE = (401, 402, 403, 408, 429)  # these have a cause besides the request's parameters, unless they say so
_TOO_LARGE = re.compile(
    r"too (?:large|high|big|long)|at most|exceed|maximum|less than|<=|supports? (?:only|up to)", re.I
)
_KEPT = "finished answers are kept: the same command goes on from there"


@dataclass
class _Dialect:
    """What this server supports, learned from its refusals."""

    form: str
    tokens_name: str
    system: bool = True  # whether a message may have the role system
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
                    return read_reply(exchanged.body, self.key, sent, most_tokens)
                if self._step_down(exchanged, payload):
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
        asked = [dict(message) for message in messages] if self._dialect.system else [_folded(messages)]
        return {"model": self.settings.model, "messages": asked, **limit, **sent}

    def _step_down(self, refused: Exchange, payload: Mapping[str, Any]) -> bool:
        """Whether a refusal of any status names something that can be left out; it is then left out from now on."""
        said = refused.body.decode("utf-8", "replace")
        if refused.status < 400 or (refused.status in _OWN_CAUSE and not _REFUSES.search(said)):
            return False
        return self._plainer_form(said) or self._without(said, payload) or self._fold(said) or self._other_limit(said)

    def _plainer_form(self, said: str) -> bool:
        plainer = FORMATS[FORMATS.index(self.form) + 1 :]
        if self.settings.structured != "auto" or not plainer or not _NAMES_FORMAT.search(said):
            return False
        self._tell(f"{self.settings.host} takes no {_FORM_WORDS[self.form]}: asking for less")
        self._dialect.form = plainer[0]
        return True

    def _without(self, said: str, payload: Mapping[str, Any]) -> bool:
        for name in ("seed", "temperature"):
            if name in payload and re.search(rf"\b{name}\b", said):
                self._dialect.unsent.add(name)
                self._tell(f"{self.settings.host} takes no {name} for this model: asking without")
                return True
        return False

    def _fold(self, said: str) -> bool:
        if not self._dialect.system or not _NAMES_SYSTEM.search(said):
            return False
        self._dialect.system = False
        self._tell(f"{self.settings.host} takes no system role: its text goes into the user's message")
        return True

    def _other_limit(self, said: str) -> bool:
        name = self._dialect.tokens_name
        if "tokens_name" in self._dialect.unsent or not re.search(rf"\b{name}\b", said) or _limit_too_large(said):
            return False
        self._dialect.tokens_name = "max_tokens" if name == "max_completion_tokens" else "max_completion_tokens"
        self._dialect.unsent.add("tokens_name")  # only once, so that a server that accepts neither ends the loop
        return True

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
        hint = self._refused_hint(got.body.decode("utf-8", "replace"))
        return _Failure(RemoteError(f"{host} refused the request ({got.status}){said}", hint))

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

    def _refused_hint(self, said: str) -> str:
        if _limit_too_large(said):
            return "give a limit that the model takes: --max-answer-tokens"
        return "ask for --structured auto" if self.settings.structured != "auto" else "see what the server says of it"

    def _try_again(self) -> str:
        return f"try again later; {_KEPT}"

    def _more_time(self) -> str:
        return f"give more with --total-timeout, or try again later; {_KEPT}"


def _folded(messages: Sequence[Message]) -> dict[str, str]:
    """All messages as one of the user, for models that have no other role or want the roles to alternate."""
    return {"role": "user", "content": "\n\n".join(message["content"] for message in messages)}


def _limit_too_large(said: str) -> bool:
    """Whether a refusal is about the value of the limit per answer, not about its name."""
    return bool(re.search(r"\bmax_(?:completion_)?tokens\b", said) and _TOO_LARGE.search(said))


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
