"""Cache of language models' answers, so that the same question gives the same answer, also offline.

One JSON file per answer in the cache folder's `answers`, named by a hash of the request: prompt, model, host, seed,
temperature and answer schema, but neither the key nor the mode in which the schema was requested. A damaged entry
counts as absent. If the cache is not writable, only caching is lost.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mocoop import files
from mocoop.errors import StorageError, UsageError
from mocoop.grouping.llm.prompts import Prompt
from mocoop.grouping.llm.settings import Settings

FORMAT = 1
MAX_BYTES = 8 * 1024 * 1024

_NAME = re.compile(r"[0-9a-f]{64}\.json")


@dataclass(frozen=True)
class Entry:
    """A model's answer as JSON, and metadata about how it was made."""

    answer: dict[str, Any]
    model_served: str | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    seed: int | None = None
    temperature: float | None = None

    @property
    def sha256(self) -> str:
        """The hash of the answer, independent of spacing and key order."""
        return files.sha256_bytes(json.dumps(self.answer, sort_keys=True).encode("ascii"))


@dataclass(frozen=True)
class KeptAnswer:
    """A cached answer as listed to the user; `changed` is in seconds since 1970."""

    key: str
    prompt: str
    title: str
    model: str
    host: str
    changed: float


def key_of(prompt: Prompt, settings: Settings, seed: int | None) -> str:
    """The cache key of an answer: a hash of everything it depends on."""
    asked = {
        "prompt": prompt.id,
        "messages": prompt.messages,
        "schema": prompt.schema,
        "model": settings.model,
        "host": settings.host,
        "temperature": settings.temperature,
        "seed": seed,
    }
    return files.sha256_bytes(json.dumps(asked, sort_keys=True).encode("ascii"))


class AnswerCache:
    """The folder of cached answers, by default in `files.cache_root()`."""

    def __init__(self, root: Path | None = None) -> None:
        self.folder = (root or files.cache_root()) / "answers"

    def read(self, key: str) -> Entry | None:
        """The entry, or None if it is absent or damaged."""
        return _entry(self._content(key), key)

    def write(self, key: str, entry: Entry, about: Mapping[str, Any]) -> None:
        """Store an entry; `about` is for human readers of the file. Raises StorageError."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise files.os_error(error, "make", self.folder) from error
        files.sweep_stale(self.folder)
        content = {"format": FORMAT, "key": key, **about, "entry": asdict(entry), "sha256": entry.sha256}
        files.write_json(self._path(key), content)

    def listed(self) -> list[KeptAnswer]:
        """The intact cached answers, the newest first. Raises StorageError."""
        found = []
        for path in self._files():
            content = self._content(path.stem)
            if content is not None:
                told = {name: str(content.get(name, "")) for name in ("prompt", "title", "model", "host")}
                found.append(KeptAnswer(key=path.stem, changed=path.stat().st_mtime, **told))
        return sorted(found, key=lambda kept: (-kept.changed, kept.key))

    def content(self, start: str) -> dict[str, Any]:
        """The file content of the answer whose key begins with `start`. Raises UsageError for none or several."""
        keys = [path.stem for path in self._files() if path.stem.startswith(start)]
        found = self._content(keys[0]) if len(keys) == 1 else None
        if found is None:
            raise UsageError(f"{len(keys)} kept answers begin with {start!r}", "`mocoop-groups cache` lists them")
        return found

    def clear(self) -> int:
        """Remove all answers and return their number. Raises StorageError."""
        paths = self._files()
        for path in paths:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise files.os_error(error, "remove", path) from error
        return len(paths)

    def _files(self) -> list[Path]:
        try:
            return sorted(path for path in self.folder.iterdir() if _NAME.fullmatch(path.name))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise files.os_error(error, "read", self.folder) from error

    def _content(self, key: str) -> dict[str, Any] | None:
        try:
            kept = files.read_json(self._path(key), max_bytes=MAX_BYTES)
        except StorageError:
            return None
        return kept if _entry(kept, key) is not None else None

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.json"


def _entry(kept: Any, key: str) -> Entry | None:
    if not isinstance(kept, dict) or kept.get("format") != FORMAT or kept.get("key") != key:
        return None
    try:
        entry = Entry(**kept["entry"])
        whole = isinstance(entry.answer, dict) and entry.sha256 == kept["sha256"]
    except (KeyError, TypeError, ValueError):
        return None
    return entry if whole and _typed(entry) else None


def _typed(entry: Entry) -> bool:
    numbers = (entry.tokens_in, entry.tokens_out, entry.seed, entry.temperature)
    named = entry.model_served is None or isinstance(entry.model_served, str)
    return named and all(number is None or isinstance(number, (int, float)) for number in numbers)
