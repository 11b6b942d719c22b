"""Which job wrote a file of predictions: the same one may write its file again, another is asked first.

The file cannot say it itself, a table has no place for it, and nothing else is to lie beside it: the record is in the
state folder of the user, a small file for each path.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from mocoop.errors import StorageError
from mocoop.files import json_bytes, read_json, sha256_bytes, state_root, write_json

FOLDER = "predictions"


def remember(file: Path, job: Mapping[str, Any]) -> None:
    """Keep that a job wrote a file, as it is now; where nothing can be kept, nothing is."""
    record = _record(file)
    with suppress(OSError, StorageError):
        record.parent.mkdir(parents=True, exist_ok=True)
        write_json(record, _told(file, job))


def is_of(file: Path, job: Mapping[str, Any]) -> bool:
    """Whether a file is as that job left it, for all that is known on this machine."""
    try:
        return bool(read_json(_record(file), what="record of a file") == _told(file, job))
    except (OSError, StorageError):
        return False


def _told(file: Path, job: Mapping[str, Any]) -> dict[str, Any]:
    about = file.stat()
    path = os.path.realpath(file)
    return {"file": path, "bytes": about.st_size, "time": about.st_mtime_ns, "job": sha256_bytes(json_bytes(dict(job)))}


def _record(file: Path) -> Path:
    return state_root() / FOLDER / f"{sha256_bytes(os.fsencode(os.path.realpath(file)))}.json"
