"""run.json and log.jsonl: written whole, read strictly, and checked against their hashes.

run.json carries a hash of its own content, and one of each file beside it, so that no change goes unnoticed: neither
a class name edited by hand nor a file of another run. A record of an earlier version has no hash of its own; it is
still read, with a note.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from importlib.resources import files
from pathlib import Path
from typing import Any

from mocoop.errors import CheckpointError
from mocoop.files import atomic_write, read_bytes, read_json, sha256_bytes, sha256_file, write_json
from mocoop.training.trainer import StepLog

FORMAT = 1
RUN, GROUPS, MODEL, FEATURES, LOG = "run.json", "groups.json", "model.safetensors", "features.safetensors", "log.jsonl"
CALIBRATION = "calibration.json"
AUTO = "auto.json"  # what `mocoop auto` tried before it chose the method
SEAL = "sha256"  # of all else in run.json
MAX_LOG_BYTES = 1 << 30
RESTORE = "restore it, or train again"

_HASHED = (GROUPS, MODEL, FEATURES, CALIBRATION, LOG)
_SHARES = ("expert_use", "reference_use")  # tuples of a StepLog
_COUNTS = ("epoch", "step", "steps")


def write_record(path: Path, info: Mapping[str, Any]) -> None:
    """Write run.json with the hash of its content. Raises StorageError."""
    write_json(path / RUN, {**info, SEAL: _seal(info)})


def read_record(path: Path) -> dict[str, Any] | None:
    """The content of run.json, or None if there is none. Raises CheckpointError if it is damaged, changed or newer."""
    if not (path / RUN).is_file():
        return None
    info = read_json(path / RUN, what="run file", error=CheckpointError)
    if not isinstance(info, dict) or not isinstance(info.get("format"), int):
        raise CheckpointError(f"{path / RUN} is not the record of a run")
    if info["format"] > FORMAT:
        raise CheckpointError(f"{path} was written by a newer mocoop (format {info['format']})", "upgrade mocoop")
    if misfit := next(_schema().iter_errors(info), None):
        where = ".".join(str(step) for step in misfit.absolute_path) or "it"
        raise CheckpointError(f"{path / RUN} is not the record of a run: {where}: {misfit.message[:200]}", RESTORE)
    if SEAL in info and info[SEAL] != _seal(info):
        raise CheckpointError(f"{path / RUN} has changed since it was written (its hash differs)", RESTORE)
    return info


def check_files(path: Path, info: Mapping[str, Any]) -> None:
    """Every file that a finished record names is there and as it was written. Raises CheckpointError."""
    for name, sha256 in info["files"].items():
        if name not in _HASHED:
            raise CheckpointError(f"{path / RUN} names a file that no run has: {name[:100]}", RESTORE)
        if not (path / name).is_file():
            raise CheckpointError(f"{path / name} is missing", RESTORE)
        if sha256_file(path / name) != sha256:
            raise CheckpointError(f"{path / name} has changed since it was written (its hash differs)", RESTORE)


def hashes(path: Path, written: Collection[str]) -> dict[str, str]:
    """The hash of each file that was written."""
    return {name: sha256_file(path / name) for name in _HASHED if name in written}


def write_log(path: Path, history: Sequence[StepLog]) -> None:
    """Write the log atomically, one JSON line per step."""
    atomic_write(path, "".join(json.dumps(log.to_dict()) + "\n" for log in history))


def read_log(path: Path, upto: int | None = None) -> list[StepLog]:
    """Read the log, up to a step. Raises CheckpointError, with its line, for anything but whole steps."""
    if not path.is_file():
        return []
    lines = read_bytes(path, max_bytes=MAX_LOG_BYTES, what="log", error=CheckpointError).splitlines()
    logs = [_step(line, f"{path}:{number}") for number, line in enumerate(lines, start=1)]
    return [log for log in logs if upto is None or log.step <= upto]


def _step(line: bytes, where: str) -> StepLog:
    """One line of the log, of whole numbers, finite numbers and lists of those."""
    hint = "start again with --force"
    try:
        values = json.loads(line, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{where}: this is no step of a training: it is not JSON", hint) from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{where}: this is no step of a training: it is no object", hint)
    names = [field.name for field in fields(StepLog)]
    wrong = [name for name in names if name in values and not _fits(name, values[name])]
    missing = [name for name in names if name not in values and name != "reference_use"]
    other = [name for name in values if name not in names]
    if faults := [*(f"{name} is missing" for name in missing), *(f"{name} cannot be" for name in (*wrong, *other))]:
        raise CheckpointError(f"{where}: this is no step of a training: {faults[0][:100]}", hint)
    return StepLog(**{**values, **{name: tuple(values[name]) for name in _SHARES if name in values}})


def _fits(name: str, value: Any) -> bool:
    if name in _SHARES:
        return isinstance(value, list) and all(map(_is_number, value))
    return type(value) is int and value >= 0 if name in _COUNTS else _is_number(value)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 10**300 and math.isfinite(value)


def _no_number(text: str) -> None:
    raise ValueError(text)  # NaN and the infinities are not JSON


def _seal(info: Mapping[str, Any]) -> str:
    content = {name: value for name, value in info.items() if name != SEAL}
    return sha256_bytes(json.dumps(content, sort_keys=True).encode())


@functools.cache
def _schema() -> Any:
    """The validator of run.json."""
    import jsonschema

    text = files("mocoop.schemas").joinpath("run.v1.json").read_text(encoding="utf-8")
    return jsonschema.Draft202012Validator(json.loads(text))
