"""Parsing a server's response: the text of a reply, or why there is none; and the one JSON object in a text.

Pure functions on untrusted bytes and text. For any input, the result is a value or an `UnusableReply` that says what
is wrong and keeps the raw reply. Whether the object is a valid answer is decided by the caller.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mocoop import strictjson
from mocoop.errors import RemoteError
from mocoop.groupfile.findings import quote
from mocoop.grouping.llm.settings import Key
from mocoop.grouping.llm.wire import MAX_BODY

MAX_RAW = 64 * 1024  # characters of a reply that are saved for the user
MAX_PIECES = 1000  # balanced braces in an answer; prose about templates contains a few dozen
MAX_SAID = 200  # characters of a server's message that are shown

_THOUGHT = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)
_BRACKET = re.compile(r'[{}"\\]')


class UnusableReply(RemoteError):
    """An unusable reply: `problems` are worded for the model, `raw` is the reply as received, without the key."""

    def __init__(self, message: str, raw: str, problems: Sequence[str] = (), *, cut: bool = False) -> None:
        super().__init__(message)
        self.raw, self.problems, self.cut = raw[:MAX_RAW], tuple(problems) or (message,), cut


@dataclass(frozen=True)
class Reply:
    """A model's text, the model that wrote it, the tokens used, and the sampling parameters that were sent."""

    text: str
    raw: str = field(repr=False)
    model: str | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    sent: Mapping[str, Any] = field(default_factory=dict)


def read_reply(body: bytes, key: Key, sent: Mapping[str, Any]) -> Reply:
    """Parse the reply in a body of status 200. Raises UnusableReply."""
    raw = body.decode("utf-8", "replace")
    envelope = _envelope(body, raw)
    choice = _first(envelope.get("choices"))
    if choice is None:
        raise UnusableReply(f"the answer holds no choices{server_message(body, key)}", raw)
    message = choice.get("message")
    content = _content(message.get("content")) if isinstance(message, dict) else None
    finish = choice.get("finish_reason")
    refusal = message.get("refusal") if isinstance(message, dict) else None
    if isinstance(refusal, str) and refusal.strip():
        raise UnusableReply(f"the model refused: {quote(key.redact(refusal))}", raw, ["the request was refused"])
    if finish == "content_filter":
        raise UnusableReply("the server's content filter stopped the answer", raw, ["a content filter stopped it"])
    if finish == "length":
        raise UnusableReply("the answer was cut off at the limit of its length", raw, ["it was too long"], cut=True)
    if content is None or not content.strip():
        raise UnusableReply("the answer is empty", raw)
    usage = envelope.get("usage")
    counts = usage if isinstance(usage, dict) else {}
    served = envelope.get("model")
    return Reply(
        key.redact(content),
        raw,
        _line(key.redact(served)) if isinstance(served, str) else None,
        _count(counts.get("prompt_tokens")),
        _count(counts.get("completion_tokens")),
        sent,
    )


def server_message(body: bytes, key: Key) -> str:
    """A server's error message, as the end of a sentence; empty if there is none that can be read."""
    value = strictjson.parse(body, max_bytes=MAX_BODY).value
    error = value.get("error", value) if isinstance(value, dict) else None
    said = error.get("message", error.get("detail")) if isinstance(error, dict) else error
    if not isinstance(said, str) or not said.strip():
        return ""
    shown = " ".join(key.redact(said).split())
    return f": {quote(shown if len(shown) <= MAX_SAID else shown[:MAX_SAID] + '...')}"


def object_in(text: str, raw: str) -> dict[str, Any]:
    """The only JSON object in a text: alone, fenced or amid prose. Raises UnusableReply for none or several."""
    found, fault = [], None
    for number, piece in enumerate(_objects(_THOUGHT.sub("", text, count=1))):
        if number >= MAX_PIECES:
            raise UnusableReply("the answer is a heap of braces", raw, ["answer with one JSON object only"])
        parsed = strictjson.parse(piece.encode("utf-8", "replace"), max_bytes=MAX_BODY)
        if parsed.readable and isinstance(parsed.value, dict) and not parsed.faults:
            found.append(parsed.value)
        else:
            fault = fault or parsed.faults[0].message
    filled = [value for value in found if value]  # "{}" also occurs in templates and in prose about them
    if len(filled) == 1:
        return filled[0]
    if len(filled) > 1:
        raise UnusableReply(f"the answer holds {len(filled)} JSON objects", raw, ["answer with one JSON object only"])
    reason = f"the answer's JSON is wrong: {fault}" if fault else "the answer holds no JSON object"
    raise UnusableReply(reason, raw, [reason, "answer with one complete JSON object and nothing else"])


def _envelope(body: bytes, raw: str) -> dict[str, Any]:
    parsed = strictjson.parse(body, max_bytes=MAX_BODY)
    if not parsed.readable and raw.lstrip().startswith("<"):
        raise UnusableReply("the answer is a web page, not the interface of a model", raw)
    if not parsed.readable or not isinstance(parsed.value, dict):
        raise UnusableReply("the answer is not the JSON that such a server sends", raw)
    return parsed.value


def _first(choices: object) -> dict[str, Any] | None:
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, dict) else None


def _content(content: object) -> str | None:
    """The text of a message, which some servers send in parts."""
    if isinstance(content, list):
        texts = [part.get("text") for part in content if isinstance(part, dict)]
        return "".join(text for text in texts if isinstance(text, str))
    return content if isinstance(content, str) else None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9 else None


def _line(text: str) -> str | None:
    return "".join(char for char in text if char.isprintable())[:200].strip() or None


def _objects(text: str) -> Iterator[str]:
    """The balanced {...} of a text, in one pass; braces inside strings do not count."""
    depth, start, quoted, skip = 0, 0, False, -1
    for match in _BRACKET.finditer(text):
        token, at = match.group(), match.start()
        if at == skip or (depth == 0 and token != "{"):
            continue
        if token == "\\":
            skip = at + 1 if quoted else skip
        elif token == '"':
            quoted = not quoted
        elif not quoted:
            depth += 1 if token == "{" else -1
            if token == "{" and depth == 1:
                start = at
            elif depth == 0:
                yield text[start : at + 1]
