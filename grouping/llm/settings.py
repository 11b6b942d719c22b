"""Settings for calling a language model: which model, which server, which key, which limits.

Options override a JSON file (`schemas/llm.v1.json`), which overrides the defaults here. The key itself is never a
setting: `key_of` reads it from the environment by its variable's name, and decides whether this host may receive it.
The prompts are elsewhere.
"""

from __future__ import annotations

import base64
import html
import json
import os
import re
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from mocoop import files
from mocoop.errors import ConfigError, RemoteError, UsageError
from mocoop.groupfile.findings import quote

OPENAI_URL = "https://api.openai.com/v1"
OPENAI_KEY = "OPENAI_API_KEY"
FORMATS = ("schema", "object", "text")  # answer formats, the strictest first
MAX_CONFIG_BYTES = 64 * 1024
LOOPBACK = ("localhost", "127.0.0.1", "::1")

_SECRETS = ("key", "api_key", "apikey", "token", "password", "secret")
_SECRET_NAME = re.compile(r"key|token|secret|password|credential|auth|^sig|^code$", re.I)  # as in the schema
_REDACTED = "[key]"
_SECRET = 8  # shortest secret, in characters; local servers are often given words such as "none" or "EMPTY"
_RUN = 5  # characters of a key in a row that are redacted wherever they are in it; servers show the last four as a hint
_RUN_BASE64 = 8  # characters of base64 that hold as many
_PLAIN = ("dummy", "empty", "local", "model", "needed", "ollama", "openai", "placeholder", "required", "secret",
          "server", "studio", "token", "unused")  # of what is given to a server that needs no key  # fmt: skip
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that determines how a model is called. Raises ConfigError for an invalid value."""

    model: str = "gpt-4.1"
    base_url: str | None = None  # None is OpenAI; or any server with an OpenAI-compatible chat completions API
    key_env: str | None = None  # the variable that holds the key; None is OPENAI_API_KEY, for OpenAI only
    structured: str = "auto"  # auto starts with a strict schema and falls back if the server does not support it
    temperature: float | None = None  # None uses the server's default; some models accept no other value
    timeout: float = 60.0  # maximum seconds per call
    total_timeout: float = 300.0  # maximum seconds for all calls of a command, waiting included
    max_tokens: int = 24_000  # maximum output tokens for all calls of a command
    max_answer_tokens: int | None = None  # maximum output tokens per answer, thought included; None: by the question

    def __post_init__(self) -> None:
        _text("model", self.model, 200)
        if self.base_url is not None:
            _check_url(self.base_url)
        if self.key_env is not None and not _VARIABLE.fullmatch(str(self.key_env)):
            hint = "give the name of an environment variable, such as OPENAI_API_KEY; never the key itself"
            raise ConfigError("key_env is no name of a variable", hint)  # its value may be a key: not shown
        if self.structured not in ("auto", *FORMATS):
            raise ConfigError(f"structured is {self.structured!r}", f"choose auto, {', '.join(FORMATS)}")
        _number("temperature", self.temperature, 0, 2, none=True)
        _number("timeout", self.timeout, 0.05, 3600)
        _number("total_timeout", self.total_timeout, 0.05, 86_400)
        _number("max_tokens", self.max_tokens, 1, 10_000_000, whole=True)
        _number("max_answer_tokens", self.max_answer_tokens, 1, 10_000_000, none=True, whole=True)

    def answer_tokens(self, needed: int) -> int:
        """The output tokens that an answer may take, for a question whose answer needs at most `needed`."""
        return self.max_answer_tokens or needed

    @property
    def url(self) -> str:
        """The base URL of the server's API, without a trailing slash and without its query."""
        return (self.base_url or OPENAI_URL).partition("?")[0].rstrip("/")

    @property
    def query(self) -> dict[str, str]:
        """The parameters that the base URL ends in, such as api-version; they are sent with each request."""
        return dict(parse_qsl(urlsplit(self.base_url or "").query, keep_blank_values=True))

    @property
    def host(self) -> str:
        """Host and, if given, port: the only part of the URL that is ever shown or stored."""
        parts = urlsplit(self.url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
        return f"{host}:{parts.port}" if parts.port else host

    @property
    def is_openai(self) -> bool:
        """Whether the server is OpenAI's own, over an encrypted connection."""
        return urlsplit(self.url).hostname == urlsplit(OPENAI_URL).hostname and self.url.startswith("https:")


NAMES = tuple(entry.name for entry in fields(Settings))


@dataclass(frozen=True)
class Key:
    """A key, or none if the server needs none; hidden in its repr. `variable` is the variable that held it."""

    value: str | None = field(default=None, repr=False)
    variable: str | None = None

    def redact(self, text: str) -> str:
        """Remove every run of five or more characters of the key: verbatim, or encoded as URL, JSON, HTML or base64.

        A run that is a word of what people give servers that need no key ("lm-studio") stays.
        """
        hidden = bytearray(len(text))
        for run in _runs(self.value or ""):
            at = text.find(run)
            while at >= 0:
                hidden[at : at + len(run)] = b"x" * len(run)
                at = text.find(run, at + 1)
        pieces, end = [], 0
        for found in re.finditer(b"x+", hidden):
            run = text[found.start() : found.end()]
            pieces += [text[end : found.start()], run if _is_plain(run) else _REDACTED]
            end = found.end()
        return "".join([*pieces, text[end:]])


def resolve(options: Mapping[str, Any], config: str | os.PathLike[str] | None = None) -> Settings:
    """Settings from options (those that are not None), which override a file, which overrides the defaults.

    Raises ConfigError for the file and UsageError for the options.
    """
    from_file = _read(config) if config is not None else {}
    typed = {name: value for name, value in options.items() if value is not None}
    try:
        return Settings(**{**from_file, **typed})
    except ConfigError as error:
        raise UsageError(error.message, error.hint) from None


def key_of(settings: Settings, environ: Mapping[str, str] = os.environ) -> Key:
    """The key for a server, or none if the server is not OpenAI's and no variable was named.

    Raises RemoteError if a key is needed but missing, or cannot be sent in a header.
    """
    if settings.key_env is None and not settings.is_openai:
        return Key()
    variable = settings.key_env or OPENAI_KEY
    value = environ.get(variable, "").strip(" ")
    if not value:
        hint = f"set {variable}, or name a server that needs none (--base-url URL)"
        raise RemoteError(f"there is no key for {settings.host}: {variable} is not set", hint)
    if not value.isascii() or not value.isprintable() or " " in value:
        hint = f"set {variable} again: one line of plain characters, without spaces or quotes"
        raise RemoteError(f"the key in {variable} holds a character that no key has", hint)
    return Key(value, variable)


def reachable(settings: Settings, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether a server or a key is configured, which decides `--backend auto`."""
    named = settings.base_url is not None or settings.key_env is not None
    return named or bool(environ.get(OPENAI_KEY, "").strip())


def warnings(settings: Settings, key: Key, environ: Mapping[str, str] = os.environ) -> list[str]:
    """Warnings for the user before anything is sent."""
    told = []
    if environ.get("OPENAI_BASE_URL"):
        told.append("OPENAI_BASE_URL is set and not used: name a server with --base-url")
    parts = urlsplit(settings.url)
    if parts.scheme == "http" and parts.hostname not in LOOPBACK and key.value:
        told.append(f"the key of {key.variable} goes to {settings.host} over a connection that is not encrypted")
    return told


def _runs(key: str) -> set[str]:
    """All runs of a key that are redacted, in every encoding; none of what is too short to be a secret."""
    if len(key) < _SECRET:
        return set()
    encodings: list[Callable[[str], str]] = [
        str,
        html.escape,
        lambda character: urllib.parse.quote(character, safe=""),
        lambda character: json.dumps(character)[1:-1],
        lambda character: json.dumps(character)[1:-1].replace("/", "\\/"),
    ]
    runs: set[str] = set()
    for encode in encodings:
        encoded = [encode(character) for character in key]
        runs |= {"".join(encoded[at : at + _RUN]) for at in range(len(key) - _RUN + 1)}
    for before in range(
        3
    ):  # bytes that stand before the key in what was encoded, as a name: three place it differently
        text = base64.b64encode(bytes(before) + key.encode()).decode().rstrip("=")[before + (before > 0) :]
        runs |= {text[at : at + _RUN_BASE64] for at in range(len(text) - _RUN_BASE64 + 1)}
    return runs


def _is_plain(run: str) -> bool:
    return any(run.strip("-_") in word for word in _PLAIN)


def _read(path: str | os.PathLike[str]) -> dict[str, Any]:
    content = files.read_json(path, what="settings file", error=ConfigError, max_bytes=MAX_CONFIG_BYTES)
    where = os.fspath(path)
    if not isinstance(content, dict):
        raise ConfigError(f"{where}: the settings are not an object", 'write them as {"model": "..."}')
    given = {name: value for name, value in content.items() if not name.startswith(("$schema", "x-", "_comment"))}
    for name in given:
        if name.lower() in _SECRETS:
            hint = (
                'the key is read from the environment: name its variable with "key_env"; change a key that was written'
            )
            raise ConfigError(f"{where}: {name} does not belong in a file", hint)
        if name not in NAMES:
            raise ConfigError(f"{where}: no setting is called {quote(name)}", f"there are {', '.join(NAMES)}")
    try:
        Settings(**given)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error.message}", error.hint) from None
    return given


def _check_url(url: object) -> None:
    """Raises ConfigError; a URL that contains a user name and password is not shown."""
    hint = "give an address such as http://localhost:11434/v1"
    if not isinstance(url, str) or not url.isprintable() or " " in url or len(url) > 500:
        raise ConfigError("base_url is no address", hint)
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        raise ConfigError("base_url is no address", hint) from None
    if "@" in parts.netloc:
        hint = "put the secret into an environment variable and name it with --key-env"
        raise ConfigError("base_url holds a name or password", hint)
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigError("base_url is no address that begins with http:// or https://", hint)
    if parts.fragment:
        raise ConfigError("base_url holds a # part, which may be a secret", "leave it out: " + hint)
    names = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
    if any(_SECRET_NAME.search(name) for name in names):
        hint = "put the secret into an environment variable and name it with --key-env"
        raise ConfigError("base_url holds a parameter that may be a secret", hint)
    if len(set(names)) < len(names):
        raise ConfigError("base_url gives a parameter twice", "give each once")


def _text(name: str, value: object, most: int) -> None:
    if not isinstance(value, str) or not value.strip() or not value.isprintable() or len(value) > most:
        raise ConfigError(f"{name} is no text of 1 to {most} characters on one line", f"correct {name}")


def _number(name: str, value: object, least: float, most: float, *, none: bool = False, whole: bool = False) -> None:
    if none and value is None:
        return
    kind = "whole number" if whole else "number"
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)) or not least <= value <= most:
        raise ConfigError(f"{name} is no {kind} from {least:g} to {most:,g}", f"correct {name}")
