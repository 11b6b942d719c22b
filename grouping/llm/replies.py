"""Parsing a server's response: the text of a reply, or why there is none; and the JSON object in it that answers.

Pure functions on untrusted bytes and text. For any input, the result is a value or an `UnusableReply` that says what
is wrong and keeps the raw reply. Whether the object is a valid answer is decided by the caller. What a model thought
aloud (`mocoop.grouping.llm.thoughts`) never counts as its answer, drafts included.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from mocoop import strictjson
from mocoop.errors import RemoteError
from mocoop.groupfile.findings import quote
from mocoop.grouping.llm.settings import Key
from mocoop.grouping.llm.thoughts import holds_thought, without_thoughts
from mocoop.grouping.llm.wire import MAX_BODY

MAX_RAW = 64 * 1024  # characters of a reply that are saved for the user
MAX_PIECES = 1000  # balanced braces in an answer; prose about templates contains a few dozen
MAX_SAID = 200  # characters of a server's message that are shown
MAX_MARKS = 500_000  # braces, quotes and backslashes read in search of objects, as lone braces make it begin again

_THOUGHT_FIELDS = ("reasoning_content", "reasoning", "thinking")
_LONGER = "give each answer more with --max-answer-tokens, or take a model that thinks less"
_BRACKET = re.compile(r'[{}"\\]')


class UnusableReply(RemoteError):
    """An unusable reply: `problems` are worded for the model, `raw` is the reply as received, without the key."""

    def __init__(
        self, message: str, raw: str, problems: Sequence[str] = (), *, cut: bool = False, hint: str | None = None
    ) -> None:
        super().__init__(message, hint)
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


def read_reply(body: bytes, key: Key, sent: Mapping[str, Any], limit: int | None = None) -> Reply:
    """Parse the reply in a body of status 200; `limit` is the number of tokens it could take. Raises UnusableReply."""
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
    thought = _thought_aloud(envelope, message, content or "")
    if finish == "length":
        raise _cut(thought, without_thoughts(content or ""), raw, limit)
    if content is None or not content.strip():
        said = "the answer is empty: a thought came and no answer" if thought else "the answer is empty"
        raise UnusableReply(said, raw, hint=_LONGER if thought else None)
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
    return f": {quote(shown, MAX_SAID)}"


def object_in(text: str, raw: str, schema: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The JSON object in a text: alone, fenced or amid prose; of several, the last that keeps the form of `schema`.

    Raises UnusableReply for none, and for several of which none keeps the form.
    """
    answer = without_thoughts(text)
    found, fault = _parsed(answer, raw)
    if fitting := [value for value, _ in found if schema is not None and _keeps_form(value, schema)]:
        return fitting[-1]
    filled = [value for value, whole in found if value and whole]  # "{}" also occurs in prose about templates
    if len(filled) == 1:
        return filled[0]  # the caller says what is wrong with it
    if len(filled) > 1:
        lists = ", ".join(f'"{name}"' for name in (schema or {}).get("required", ()))
        form = f", none of the form asked for: with a list {lists}" if lists else ""
        raise UnusableReply(
            f"the answer holds {len(filled)} JSON objects{form}", raw, ["answer with one JSON object only"]
        )
    reason = "the answer holds no JSON object"
    if fault:
        reason = f"the answer's JSON is wrong: {fault}"
    elif holds_thought(text):
        reason = "the answer holds no JSON object after its thought"
    raise UnusableReply(reason, raw, [reason, "answer with one complete JSON object and nothing else"])


def _parsed(text: str, raw: str) -> tuple[list[tuple[dict[str, Any], bool]], str | None]:
    """The JSON objects of a text in order, and the first fault of what is not one.

    With each object, whether it stands alone: behind a brace that begins no object it may be part of a broken one.
    Raises UnusableReply for a heap of braces.
    """
    found, fault = list[tuple[dict[str, Any], bool]](), None
    at = read = broken_until = 0
    for _ in range(MAX_PIECES):
        span, marks = _balanced(text, at, MAX_MARKS - read)
        read += marks
        start = span[0] if span else text.find("{", at)
        if start < 0:
            return found, fault
        if read >= MAX_MARKS:
            break
        parsed = strictjson.parse(text[slice(*span)].encode("utf-8", "replace"), max_bytes=MAX_BODY) if span else None
        if span and parsed and parsed.readable and isinstance(parsed.value, dict) and not parsed.faults:
            found.append((parsed.value, start >= broken_until))
            at = span[1]
            continue
        if parsed:
            fault = fault or parsed.faults[0].message
        at, broken_until = start + 1, max(broken_until, span[1] if span else len(text))
    raise UnusableReply("the answer is a heap of braces", raw, ["answer with one JSON object only"])


def _keeps_form(value: Mapping[str, Any], schema: Mapping[str, Any]) -> bool:
    """Whether an object has the lists that were asked for, with items in them of the right kind.

    As lenient as the readers of `mocoop.grouping.llm.answers`: an item may lack members, and a text may stand alone.
    """
    return all(
        isinstance(items := value.get(name), list)
        and bool(items)
        and all(_is_item(item, part["items"]) for item in items)
        for name, part in schema["properties"].items()
    )


def _is_item(item: Any, form: Mapping[str, Any]) -> bool:
    if isinstance(item, str):
        return "text" in form["required"]
    return isinstance(item, dict) and any(name in item for name in form["required"])


def _thought_aloud(envelope: Mapping[str, Any], message: Any, content: str) -> bool:
    """Whether the model thought before its answer: in a field of its own, in the text, or by the count of tokens."""
    fields = message if isinstance(message, dict) else {}
    usage = envelope.get("usage")
    details = usage.get("completion_tokens_details") if isinstance(usage, dict) else None
    counted = _count(details.get("reasoning_tokens")) if isinstance(details, dict) else None
    return bool(counted) or any(fields.get(name) for name in _THOUGHT_FIELDS) or holds_thought(content)


def _cut(thought: bool, answer: str, raw: str, limit: int | None) -> UnusableReply:
    """The error of an answer that its limit ended."""
    tokens = f" of {limit:,} tokens" if limit is not None else ""
    said = f"the answer was cut off at the limit{tokens or ' of its length'}"
    if thought and answer.strip():
        said = f"thought and answer together passed the limit{tokens}: the answer was cut off"
    elif thought:
        said = f"the thought used up the limit{tokens}: no answer is left"
    problem = "the thought was too long: think less and answer" if thought else "it was too long"
    return UnusableReply(said, raw, [problem], cut=True, hint=_LONGER)


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


def _balanced(text: str, begin: int, most: int) -> tuple[tuple[int, int] | None, int]:
    """Where the next balanced {...} of a text is, and the number of marks read for it, of which there may be `most`.

    One pass; braces inside strings do not count.
    """
    depth, start, quoted, skip, read = 0, 0, False, -1, 0
    for read, match in enumerate(islice(_BRACKET.finditer(text, begin), most), start=1):
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
                return (start, at + 1), read
    return None, read
