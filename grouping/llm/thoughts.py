"""What a reasoning model wrote before its answer: which part of a reply is thought, and is never taken for the answer.

Servers are meant to keep the thought apart. Many send it in the text: between tags, with only the closing tag (the
opening one stands in the prompt), or as channels of OpenAI's harmony format.
"""

from __future__ import annotations

import re

_NAMES = r"think|thinking|thought|thoughts|reasoning|reflection|seed:think"
_OPEN = rf"<(?:{_NAMES})>|\[THINK\]|<\|begin_of_thought\|>|<\|START_THINKING\|>|◁think▷"
_CLOSE = rf"</(?:{_NAMES})>|\[/THINK\]|<\|end_of_thought\|>|<\|END_THINKING\|>|◁/think▷"
_MARK = re.compile(rf"(?P<open>{_OPEN})|(?P<close>{_CLOSE})", re.IGNORECASE)
_CHANNEL = re.compile(r"<\|channel\|>\s*(?P<name>\w+)")
_MESSAGE = "<|message|>"
_END = re.compile(r"<\|(?:end|return|call|start|channel)\|>")


def without_thoughts(text: str) -> str:
    """The text that is meant for the reader; empty if all of it is thought."""
    if _CHANNEL.search(text):
        return _final_channel(text)
    kept: list[str] = []
    at, inside = 0, False
    for mark in _MARK.finditer(text):
        if mark["open"] and not inside:
            kept.append(text[at : mark.start()])
            inside = True
        elif mark["close"]:
            if not inside:
                kept.clear()  # a lone end: everything before it was thought
            at, inside = mark.end(), False
    if not inside:
        kept.append(text[at:])
    return "".join(kept)


def holds_thought(text: str) -> bool:
    """Whether a text has marks of a thought, whole or not."""
    return bool(_CHANNEL.search(text) or _MARK.search(text))


def _final_channel(text: str) -> str:
    """The last message of harmony's final channel; the others are thought and calls of tools."""
    final = ""
    starts = [*_CHANNEL.finditer(text)]
    for start, after in zip(starts, [*starts[1:], None], strict=True):
        _, _, message = text[start.end() : after.start() if after else len(text)].partition(_MESSAGE)
        if start["name"].lower() == "final":
            final = _END.split(message, maxsplit=1)[0]
    return final
