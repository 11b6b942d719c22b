"""Answers of language models, kept so that the same question gives the same answer, and offline too.

One JSON file an answer under the cache folder's `answers`, named by a hash of all that was asked: prompt, model, host,
seed, temperature and the form of the answer, but not the key and not the way the form was asked for. An entry that is
damaged counts as absent. A cache that cannot be written costs only its use.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mocoop import files
from mocoop.errors import StorageError
from mocoop.grouping.llm_prompts import Prompt
from mocoop.grouping.llm_settings import Settings

FORMAT = 1
MAX_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True)
class Entry:
    """A model's answer as JSON, and what is told of how it came about."""

    answer: dict[str, Any]
    model_served: str | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    seed: int | None = None
    temperature: float | None = None

    @property
    def sha256(self) -> str:
        """Hash of the answer, whatever its spacing and key order were."""
        return files.sha256_bytes(json.dumps(self.answer, sort_keys=True).encode("ascii"))


def key_of(prompt: Prompt, settings: Settings, seed: int | None) -> str:
    """The name of an answer: a hash of all that it depends on."""
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
    """The folder of kept answers, by default in `files.cache_root()`."""

    def __init__(self, root: Path | None = None) -> None:
        self.folder = (root or files.cache_root()) / "answers"

    def read(self, key: str) -> Entry | None:
        """An entry, or None where it is absent or damaged."""
        try:
            kept = files.read_json(self._path(key), max_bytes=MAX_BYTES)
        except StorageError:
            return None
        return _entry(kept, key)

    def write(self, key: str, entry: Entry, about: Mapping[str, Any]) -> None:
        """Keep an entry; `about` is for people who look into the file. Raises StorageError."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise files.os_error(error, "make", self.folder) from error
        files.sweep_stale(self.folder)
        content = {"format": FORMAT, "key": key, **about, "entry": asdict(entry), "sha256": entry.sha256}
        files.write_json(self._path(key), content)

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
