"""The folder of a training: who may write there, what an earlier one left, and whether that goes on.

Whenever a process dies, the folder is known as a run's, and the same command works again.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

from mocoop.config import Config
from mocoop.errors import UsageError
from mocoop.files import is_temporary, os_error, sole_writer
from mocoop.runs.record import (
    AUTO,
    CALIBRATION,
    FEATURES,
    GROUPS,
    LOG,
    MODEL,
    RUN,
    read_log,
    read_record,
    write_log,
)
from mocoop.training.trainer import OTHER_BITS, SAME_BITS, FolderCheckpoints, Listener

_OURS = (RUN, GROUPS, MODEL, FEATURES, CALIBRATION, LOG, AUTO)
_LOCK, _CHECKPOINTS = ".lock", "checkpoints"
_IDENTITY = ("method", "shots", "seed", "split_seed", "classes", "classnames")


def _interrupted(out: Path, before: Mapping[str, Any] | None) -> bool:
    """Whether a training that had learned something stopped here."""
    return before is not None and before["status"] != "finished" and (out / _CHECKPOINTS / "latest").is_file()


def threads_of_before(out: Path, *, force: bool) -> int | None:
    """With how many threads the training that goes on here was started: the last bits depend on it."""
    if force or not _interrupted(out, before := read_record(out)):
        return None
    assert before is not None
    return before.get("threads")


def goes_on(out: Path, info: dict[str, Any], listener: Listener) -> bool:
    """Refuse to go on with a run unless settings, data, groups and backbone are the same; returns if it is finished."""
    before = read_record(out)
    finished = before is not None and before["status"] == "finished"
    if before is None or not (finished or _interrupted(out, before)):
        return False  # nothing has been learned yet
    pairs = {name: (before.get(name), info[name]) for name in _IDENTITY}
    pairs["groups"] = (before["groups"]["sha256"], info["groups"]["sha256"])
    pairs["data"] = (before["data"]["sha256"], info["data"]["sha256"])
    now = info["data"]["reading"]
    pairs["bands and range"] = (before["data"].get("reading", now), now)
    pairs["backbone"] = (before["backbone"]["fingerprint"], info["backbone"]["fingerprint"])
    old = Config.from_dict(before["config"]).to_dict()  # newer settings have their default
    pairs |= {f"config.{key}": (old.get(key), value) for key, value in info["config"].items()}
    if not finished and info["device"] == "cpu":
        pairs["threads"] = (before.get("threads", info["threads"]), info["threads"])
    changed = {name: f"{name} ({_short(was)}, now {_short(now)})" for name, (was, now) in pairs.items() if was != now}
    if list(changed) == ["data"] and before["data"].get("images_sha256") == info["data"]["images_sha256"] != []:
        raise UsageError(OTHER_BITS.format(out=out, what="images"), SAME_BITS)
    if changed:
        which = "a finished" if finished else "an interrupted"
        raise UsageError(
            f"{out} holds {which} run with other settings: {'; '.join(changed.values())}",
            "give the settings it was started with, add --force to start anew, or choose another -o",
        )
    if before["versions"] != info["versions"]:
        listener.notice("going on with other versions of the software than the run was started with")
    return finished


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:12]}..."


def check_folder(out: Path, inputs: Iterable[Path | None], *, force: bool, left: bool = False) -> None:
    """Refuse a finished run, a folder that is not a run, and inputs that the run would overwrite.

    `left` says that a process died here: if it had just finished the run, the same command may still tidy up after it.
    """
    for given in inputs:
        if given is not None and given.resolve() in {(out / name).resolve() for name in _OURS}:
            raise UsageError(f"{given} is a file of the run folder itself", "copy it elsewhere and name the copy")
    if not (out / RUN).is_file():
        _check_remains(out, force=force)
        return
    left = left or (out / _CHECKPOINTS).exists()
    if force or left or (before := read_record(out)) is None or before["status"] != "finished":
        return
    raise UsageError(f"{out} holds a finished run", "add --force to train it again, or choose another -o")


def _check_remains(out: Path, *, force: bool) -> None:
    """Refuse a folder without run.json that holds more than remains of a run, or those without --force.

    A group file alone may be somebody's own; with the log beside it, it is of a run.
    """
    names = {entry.name for entry in out.iterdir() if entry.name != _LOCK and not is_temporary(entry.name)}
    remains = {name for name in (*_OURS, _CHECKPOINTS) if name != GROUPS or LOG in names}
    if foreign := sorted(names - remains):
        raise UsageError(f"{out} holds other files ({foreign[0]})", "choose an empty or a new folder for -o")
    if names and not force:
        raise UsageError(
            f"{out} holds a run without its {RUN} ({min(names)})",
            "add --force to train it again, or choose another -o",
        )


def clear(out: Path) -> None:
    """Remove an earlier run, after everything for the next one has been read and checked.

    Its run.json stays until that of the next one takes its place: whenever a process dies, the folder is known as a
    run's. Raises StorageError.
    """
    drop_checkpoints(out)
    for name in _OURS:
        if name != RUN:
            with _removing(out / name):
                (out / name).unlink(missing_ok=True)


def drop_checkpoints(out: Path) -> None:
    """Remove the folder for resuming. Raises StorageError."""
    with _removing(out / _CHECKPOINTS), suppress(FileNotFoundError):
        shutil.rmtree(out / _CHECKPOINTS)


@contextmanager
def _removing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise os_error(error, "remove", path) from error


def locked(out: Path) -> AbstractContextManager[bool]:
    """The folder for one training process: whether the lock of one that died was there (`mocoop.files.sole_writer`)."""
    return sole_writer(out / _LOCK, out, "training into")


def checkpoints(out: Path) -> FolderCheckpoints:
    """Checkpoints of a training in its folder, and its log."""
    return FolderCheckpoints(
        out / _CHECKPOINTS,
        write_log=lambda history: write_log(out / LOG, history),
        read_log=lambda step: read_log(out / LOG, step),
    )
