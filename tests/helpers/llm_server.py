"""A server on the loopback that speaks chat completions as OpenAI and its likes do, well or badly as a test wants.

`good_answer` answers each question of the tool as a language model would. A mode is a function that sends one
response; `LlmServer.modes` is a queue of modes for the next requests, after which `LlmServer.mode` serves. Every
request is kept with its headers.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ASPECTS = [
    "Cloud cover",
    "Season",
    "Sensor noise",
    "Sun angle",
    "Scale",
    "Haze",
    "Compression",
    "Colour cast",
    "Tiling",
]
WORDS = ["faint", "strong", "partial", "heavy", "slight", "uneven", "gentle", "marked", "dim", "broad", "thin", "late"]


@dataclass
class Asked:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    data: dict[str, Any]  # what the tool put into the user's message

    @property
    def format(self) -> str:
        return {"json_schema": "schema", "json_object": "object"}.get(
            self.body.get("response_format", {}).get("type"), "text"
        )


Mode = Callable[["Handler", Asked], None]


class Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        data = _data([message["content"] for message in body["messages"] if message["role"] == "user"])
        asked = Asked(self.path, {k.lower(): v for k, v in self.headers.items()}, body, data)
        with self.server.lock:
            self.server.asked.append(asked)
            mode = self.server.modes.pop(0) if self.server.modes else self.server.mode
        mode(self, asked)

    def send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"content-type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def send_json(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        self.send(status, json.dumps(value).encode(), headers)

    def log_message(self, *args: Any) -> None:
        pass


def _data(contents: list[str]) -> dict[str, Any]:
    """The data of a question, whatever was put into the user's message before and after it."""
    _, _, data = "\n".join(contents).partition("not instructions.\n")
    value: dict[str, Any] = json.JSONDecoder().raw_decode(data)[0]
    return value


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[Asked] = []
        self.modes: list[Mode] = []
        self.mode: Mode = well
        self.lock = threading.Lock()
        self.closing = threading.Event()

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # clients that left are part of the tests

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


LlmServer = _Server


@contextmanager
def running() -> Iterator[LlmServer]:
    server = _Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


# ---- answers


def good_answer(data: dict[str, Any]) -> dict[str, Any]:
    """What a capable model would answer."""
    what, number = data["task"].split()[0], int((re.findall(r"\d+", data["task"]) or ["3"])[0])
    if data["task"].endswith("aspects"):
        return {"aspects": [_aspect(title) for title in ASPECTS[:number]]}
    if what == "write":
        word = data["aspect"]["title"].lower()
        texts = [f"a view of {{}} with {WORDS[n % 12]} {word}{' again' * (n // 12)}." for n in range(number)]
        return {"templates": [{"text": text, "fits": "such images"} for text in texts]}
    if what == "place":
        ids = [group["id"] for group in data["groups"]]
        return {"places": [{"template": int(n), "group": ids[int(n) % len(ids)]} for n in data["templates"]]}
    titles = ["Night pictures", "Drawings", "Weather"]
    groups = [
        {"id": t.lower().replace(" ", "_"), "title": t, "description": f"{t} fit", "rationale": "alike"} for t in titles
    ]
    if what == "name":
        return {"groups": groups}
    numbers = sorted(map(int, data["templates"]))
    return {"groups": [{**group, "templates": numbers[at::3]} for at, group in enumerate(groups)]}


def _group(title: str) -> dict[str, Any]:
    slug = title.lower().replace(" ", "_")
    return {"id": slug, "title": title, "description": f"{title} fit", "rationale": "alike"}


def _aspect(title: str) -> dict[str, str]:
    slug = title.lower().replace(" ", "_")
    return {"id": slug, "title": title, "description": f"how {title} shows", "fits_when": f"images with {title}"}


def completion(content: Any, *, finish: str = "stop", **message: Any) -> dict[str, Any]:
    """The envelope of an answer."""
    length = len(content) if isinstance(content, str) else 0
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "served-model-1",
        "choices": [
            {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": content, **message}}
        ],
        "usage": {"prompt_tokens": 100, "completion_tokens": length // 4, "total_tokens": 100 + length // 4},
    }


# ---- modes


def well(handler: Handler, asked: Asked) -> None:
    handler.send_json(200, completion(json.dumps(good_answer(asked.data))))


def says(content: Any, **options: Any) -> Mode:
    """Always the same content of a message."""
    return lambda handler, asked: handler.send_json(200, completion(content, **options))


def sends(status: int, body: bytes | dict[str, Any], headers: dict[str, str] | None = None) -> Mode:
    """Always the same response."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda handler, asked: handler.send(status, data, headers)


def error(status: int, message: str, *, code: str | None = None, headers: dict[str, str] | None = None) -> Mode:
    """An error as OpenAI words it."""
    return sends(status, {"error": {"message": message, "type": "error", "code": code}}, headers)


def costs(tokens: int) -> Mode:
    """The good answer, said to have taken so many output tokens."""

    def mode(handler: Handler, asked: Asked) -> None:
        made = completion(json.dumps(good_answer(asked.data)))
        handler.send_json(200, {**made, "usage": {"prompt_tokens": 10, "completion_tokens": tokens}})

    return mode


def answers(change: Callable[[dict[str, Any]], Any]) -> Mode:
    """The good answer, changed."""
    return lambda handler, asked: handler.send_json(200, completion(json.dumps(change(good_answer(asked.data)))))


def texts(*lines: str) -> Mode:
    """Good aspects, and for every aspect these templates."""

    def change(answer: dict[str, Any]) -> dict[str, Any]:
        return {"templates": [{"text": line, "fits": ""} for line in lines]} if "templates" in answer else answer

    return answers(change)


def lesser(*refused: str, chatty: bool = False) -> Mode:
    """A server that refuses some formats by name, and may talk around its answer."""

    def mode(handler: Handler, asked: Asked) -> None:
        if asked.format in refused:
            name = asked.body["response_format"]["type"]
            handler.send_json(400, {"error": {"message": f"response_format type {name} is not supported"}})
            return
        text = json.dumps(good_answer(asked.data), indent=2)
        handler.send_json(200, completion(f"Sure! With {{}}:\n```json\n{text}\n```\nDone." if chatty else text))

    return mode


def hangs(handler: Handler, asked: Asked) -> None:
    handler.server.closing.wait(30)


def closes(handler: Handler, asked: Asked) -> None:
    handler.close_connection = True


def closes_midway(handler: Handler, asked: Asked) -> None:
    handler.send_response(200)
    handler.send_header("content-length", "10000")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [')
    handler.close_connection = True


def drips(handler: Handler, asked: Asked) -> None:
    """A byte now and then, so that no single read is slow."""
    handler.send_response(200)
    handler.send_header("content-length", "10000")
    handler.end_headers()
    while not handler.server.closing.is_set():
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.05)


def floods(handler: Handler, asked: Asked) -> None:
    handler.send_response(200)
    handler.send_header("content-length", str(1 << 30))
    handler.end_headers()
    for _ in range(1 << 14):
        handler.wfile.write(b" " * (1 << 16))


def echoes_key(handler: Handler, asked: Asked) -> None:
    handler.send_json(401, {"error": {"message": f"Incorrect API key provided: {asked.headers.get('authorization')}"}})


@dataclass
class Slow:
    """Counts how long waits were, instead of waiting."""

    waited: list[float] = field(default_factory=list)

    def __call__(self, seconds: float, reason: str) -> None:
        self.waited.append(seconds)
