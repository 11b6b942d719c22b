"""Safe reading and atomic writing of files.

Writing goes through a temporary file in the same folder that is synced and renamed, so a file is either the old one
or the complete new one. The temporary's name has the host and process id, so that a killed process's leftovers can
be distinguished from files being written. Every OSError becomes one of the errors of `mocoop.errors`, with a hint.

At a `crash_point` a test can end the process, to see what is left.

The strict JSON parser itself is `mocoop.strictjson`.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import os
import re
import secrets
import signal
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mocoop import strictjson
from mocoop.errors import MoCoOpError, StorageError

MAX_JSON_BYTES = 256 * 1024 * 1024
FOREIGN_TEMP_SECONDS = 24 * 3600  # another host's temporary file counts as abandoned after a day

_TEMP_NAME = re.compile(r"\.mocoop-(?P<host>\w+)-(?P<pid>\d+)-[0-9a-f]+-\d+\.tmp[.\w]*")
_SAFETENSORS_TEMP = re.compile(r"\.tmp[A-Za-z0-9]{6}")
_counter = itertools.count()
_in_flight: set[str] = set()

_HINTS = {
    errno.ENOSPC: "free some space on that disk, or write elsewhere",
    errno.EDQUOT: "your disk quota is used up; free some space, or write elsewhere",
    errno.EFBIG: "the file is larger than this system allows; write elsewhere",
    errno.EROFS: "that disk is read-only; write elsewhere",
    errno.EACCES: "check the permissions of the file and its folder",
    errno.EPERM: "check the permissions of the file and its folder",
    errno.EISDIR: "give the path of a file, not of a folder",
    errno.ENOTDIR: "a part of the path is a file, not a folder",
    errno.ENOENT: "check the path; its folder must exist",
    errno.ENAMETOOLONG: "use a shorter name",
    errno.ELOOP: "the path is a loop of symbolic links",
    errno.EMFILE: "too many files are open; raise the limit (ulimit -n)",
    errno.ENFILE: "too many files are open on this machine",
}


def cache_root() -> Path:
    """The folder for everything that can be recomputed: $MOCOOP_CACHE, or the platform's cache folder."""
    if folder := os.environ.get("MOCOOP_CACHE"):
        return Path(folder)
    import platformdirs

    return Path(platformdirs.user_cache_dir("mocoop"))


def state_root() -> Path:
    """The folder for what cannot be recomputed, as steps to undo: $MOCOOP_STATE, or the platform's state folder."""
    if folder := os.environ.get("MOCOOP_STATE"):
        return Path(folder)
    import platformdirs

    return Path(platformdirs.user_state_dir("mocoop"))


def sha256_bytes(data: bytes) -> str:
    """Hex SHA-256 of bytes."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: str | os.PathLike[str]) -> str:
    """Hex SHA-256 of a file's content, read in chunks. Raises StorageError."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
    except OSError as error:
        raise os_error(error, "read", path) from error
    return digest.hexdigest()


def os_error(
    error: OSError, verb: str, path: str | os.PathLike[str], kind: type[MoCoOpError] = StorageError
) -> MoCoOpError:
    """An OSError as one of our errors: "cannot read runs/a: No such file or directory (check the ...)"."""
    reason = error.strerror or str(error)
    return kind(f"cannot {verb} {os.fspath(path)}: {reason}", _HINTS.get(error.errno or 0))


def read_bytes(
    path: str | os.PathLike[str],
    *,
    max_bytes: int,
    what: str = "file",
    error: type[MoCoOpError] = StorageError,
) -> bytes:
    """A file's bytes; refuses more than `max_bytes` without reading all of it, and pipes and devices. Raises `error`.

    Pipes that this process was given, as /dev/fd/63 for a shell's `<(...)`, are read to their end.
    """
    given = os.fspath(path).startswith(("/dev/fd/", "/dev/stdin", "/proc/self/fd/"))
    try:
        with open(path, "rb", opener=None if given else _at_once) as file:
            if not given and (kind := irregular(os.fstat(file.fileno()).st_mode)):
                raise error(f"cannot read the {what} {os.fspath(path)}: it is {kind}", "give the path of a file")
            data = file.read(max_bytes + 1)
    except OSError as caught:
        raise os_error(caught, f"read the {what}", path, error) from caught
    except ValueError as caught:  # a NUL in the path
        raise error(f"cannot read the {what} {os.fspath(path)!a}: {caught}", "check the path") from caught
    if len(data) > max_bytes:
        raise error(f"{os.fspath(path)}: larger than {max_bytes:,} bytes", f"is this really a {what}?")
    return data


def _at_once(path: str, flags: int) -> int:
    """Open a file; a pipe that nobody writes to does not make us wait for somebody."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def irregular(mode: int) -> str | None:
    """What a thing in the file system is, if neither a file nor a folder."""
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return None
    return "a pipe" if stat.S_ISFIFO(mode) else "a socket" if stat.S_ISSOCK(mode) else "a device"


def read_json(
    path: str | os.PathLike[str],
    *,
    what: str = "JSON file",
    error: type[MoCoOpError] = StorageError,
    max_bytes: int = MAX_JSON_BYTES,
) -> Any:
    """Read a strict JSON file: UTF-8 (a byte order mark is dropped), no duplicate keys, no NaN.

    `what` names the file in messages. Raises `error` with file:line:column of the first fault.
    """
    parsed = strictjson.parse(read_bytes(path, max_bytes=max_bytes, what=what, error=error), max_bytes=max_bytes)
    if parsed.faults:
        fault = parsed.faults[0]
        raise error(f"{os.fspath(path)}:{fault.line}:{fault.column}: {fault.message}", fault.hint)
    return parsed.value


def json_bytes(value: Any) -> bytes:
    """The format of all JSON written: given key order, two-space indent, LF, final newline, UTF-8."""
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write a value as JSON (see `json_bytes`), atomically. Raises StorageError."""
    atomic_write(path, json_bytes(value))


def atomic_write(path: str | os.PathLike[str], data: bytes | str) -> None:
    """Write a complete file or leave the old one. Text is encoded as UTF-8 with its line ends unchanged."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.encode("utf-8") if isinstance(data, str) else data)


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path in the folder of `path`; what the body writes there becomes `path` if the body succeeds.

    The temporary keeps the suffix of `path` (numpy requires it). A symbolic link is written through, an existing
    file's permissions are kept. The temporary is removed on failure. An OSError becomes a StorageError.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(_temp_name(target.suffix))
    _in_flight.add(temporary.name)
    try:
        there = target.stat().st_mode if target.exists() else stat.S_IFREG
        if stat.S_ISDIR(there):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if kind := irregular(there):
            raise StorageError(f"cannot write {os.fspath(path)}: it is {kind}", "give the path of a file")
        yield temporary
        mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o666 & ~_umask()
        os.chmod(temporary, mode)  # a writer may make files readable only by their owner
        _sync(temporary)
        os.replace(temporary, target)
        _sync_folder(target.parent)
    except OSError as error:
        raise os_error(error, "write", path) from error
    finally:
        _in_flight.discard(temporary.name)
        with suppress(OSError):
            temporary.unlink()


def check_can_write(path: str | os.PathLike[str]) -> None:
    """Find out before long work whether a file can be written, by making another one beside it for a moment.

    Folders that are missing are not made, and count as wrong. Raises StorageError.
    """
    with suppress(_Refused), atomic_path(path) as temporary:
        temporary.touch()
        raise _Refused


def check_can_make(folder: str | os.PathLike[str]) -> None:
    """The same for files in a folder that may have to be made, with those above it. Raises StorageError."""
    above = Path(os.path.realpath(folder))
    while not os.path.lexists(above):
        above = above.parent
    try:
        check_can_write(above / _temp_name(""))
    except StorageError as error:
        if isinstance(error.__cause__, OSError):  # it names a file that nobody asked for
            raise os_error(error.__cause__, "write", folder) from error
        raise


class _Refused(Exception):
    """Ends an atomic write without a file."""


@contextmanager
def sole_writer(lock: Path, path: str | os.PathLike[str], doing: str, option: str = "-o") -> Iterator[bool]:
    """Hold a lock file while something is written to `path`. The system releases it when a process ends, however.

    Yields whether the lock file of a process that died was there. The file goes with the lock: filelock does not take
    one that was removed after it had been opened. Raises StorageError for a lock that another process holds ("another
    process (pid 7) is training into run"), and for a folder that cannot be written.
    """
    from filelock import FileLock, Timeout

    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        left = lock.exists()
        held = FileLock(lock)
        held.acquire(timeout=0)
        lock.write_text(f"{os.getpid()}\n")
    except Timeout as error:
        owner = _owner(lock)
        raise StorageError(
            f"another process (pid {owner}) is {doing} {os.fspath(path)}", f"wait for it, or choose another {option}"
        ) from error
    except FileExistsError as error:
        raise os_error(NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)), "write", path) from error
    except OSError as error:
        raise os_error(error, "write", path) from error
    try:
        yield left
    finally:
        with suppress(OSError):  # still held: no other process has it open as its own
            lock.unlink()
        held.release()


def _owner(lock: Path) -> str:
    """The process that holds a lock; it may be about to write its number, or have ended."""
    with suppress(OSError):
        return lock.read_text().strip() or "unknown"
    return "unknown"


def atomic_link(original: str | os.PathLike[str], path: str | os.PathLike[str]) -> None:
    """Make `path` a symbolic link to `original`, whatever it was before. Raises StorageError."""
    temporary = Path(path).with_name(_temp_name(""))
    _in_flight.add(temporary.name)
    try:
        os.symlink(original, temporary)
        os.replace(temporary, path)
        _sync_folder(Path(path).parent)
    except OSError as error:
        raise os_error(error, "link", path) from error
    finally:
        _in_flight.discard(temporary.name)
        with suppress(OSError):
            temporary.unlink()


def _umask() -> int:
    """The process's file mode mask, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def ordered_metadata(safetensors: bytes) -> bytes:
    """A .safetensors file's bytes with its metadata sorted, so that equal content gives equal bytes.

    safetensors (0.8.0) writes the entries in the order of a hash map whose seed is random: two files of the same
    tensors and metadata mostly differ.
    """
    size = int.from_bytes(safetensors[:8], "little")
    header = json.loads(safetensors[8 : 8 + size])
    if len(header.get("__metadata__", {})) < 2:
        return safetensors
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    ordered = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    assert len(ordered) <= size, "the same entries without spaces are no longer"
    return safetensors[:8] + ordered.ljust(size) + safetensors[8 + size :]  # padded with spaces, as before


@contextmanager
def folder_locked(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Hold a folder's lock against other processes that take it; where folders cannot be locked, hold nothing."""
    try:
        import fcntl

        handle = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):  # Windows, or a folder that is writable but not readable
        yield
        return
    try:
        with suppress(OSError):  # some network file systems have no locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def sweep_stale(folder: str | os.PathLike[str], *, alone: bool = False) -> list[Path]:
    """Remove temporary files that dead processes left in a folder (not its subfolders); returns those removed.

    `alone` says that no other process writes there: then those of all hosts and processes are stale.
    """
    removed = []
    try:
        entries = list(Path(folder).iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise os_error(error, "read", folder) from error
    for entry in entries:
        if _is_stale(entry, alone):
            with suppress(OSError):
                entry.unlink()
                removed.append(entry)
    return removed


def is_temporary(name: str) -> bool:
    """Whether a file's name is that of a temporary file: ours, or safetensors' own, which earlier versions used."""
    return bool(_TEMP_NAME.fullmatch(name) or _SAFETENSORS_TEMP.fullmatch(name))


def process_alive(pid: int) -> bool:
    """Whether a process of this host runs. True if that cannot be checked safely (not POSIX)."""
    if os.name != "posix":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def crash_point(name: str, step: int) -> None:
    """Send this process a signal here, if the environment asks for it: lets tests kill it at an exact point.

    MOCOOP_SIGNAL_AT is SIGNAL:name:step, such as SIGKILL:after-step:4.
    """
    wanted, _, place = os.environ.get("MOCOOP_SIGNAL_AT", "").partition(":")
    if place == f"{name}:{step}":
        os.kill(os.getpid(), signal.Signals[wanted])


def host_name() -> str:
    """This host's name in letters, digits and underscores, as used in names of temporary and lock files."""
    return re.sub(r"\W", "_", socket.gethostname(), flags=re.ASCII)[:40] or "host"


def _temp_name(suffix: str) -> str:
    # The target's own name is left out: with it, a long name would exceed the file system's limit.
    kept = suffix if re.fullmatch(r"\.\w{1,16}", suffix) else ""
    return f".mocoop-{host_name()}-{os.getpid()}-{secrets.token_hex(4)}-{next(_counter)}.tmp{kept}"


def _is_stale(entry: Path, alone: bool) -> bool:
    match = _TEMP_NAME.fullmatch(entry.name)
    if alone:
        return is_temporary(entry.name) and entry.name not in _in_flight
    if match is None:
        return False
    if match["host"] != host_name():
        try:
            return time.time() - entry.stat().st_mtime > FOREIGN_TEMP_SECONDS
        except OSError:
            return False
    pid = int(match["pid"])
    if pid == os.getpid():  # a container's first process is always 1: ours only if we are writing it now
        return entry.name not in _in_flight
    return not process_alive(pid)


def _sync(path: Path) -> None:
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable, if the file system can sync folders."""
    if os.name != "posix":
        return
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
