"""Files: old or complete new, never half; an OSError becomes ours; only dead temporaries are swept."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mocoop import files
from mocoop.errors import DataError, GroupFileError, StorageError

ROOT = Path(__file__).parent.parent


def python(code: str, *arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, **options)  # type: ignore[call-overload, no-any-return]


def test_write_and_replace(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    files.atomic_write(path, "first\n")
    files.atomic_write(path, b"second\r\n")
    assert path.read_bytes() == b"second\r\n"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_json_is_canonical_and_read_back(tmp_path: Path) -> None:
    value = {"z": [1, 2.5, None], "a": {"é": "日本", "empty": []}}
    path = tmp_path / "v.json"
    files.write_json(path, value)
    text = path.read_text(encoding="utf-8")
    assert files.read_json(path) == value
    assert text.endswith("}\n")
    assert "日本" in text
    assert text.index('"z"') < text.index('"a"')
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.json_bytes(float("nan"))


def test_hashes(tmp_path: Path) -> None:
    data = os.urandom(3_000_000)
    (tmp_path / "x").write_bytes(data)
    assert files.sha256_file(tmp_path / "x") == files.sha256_bytes(data) == hashlib.sha256(data).hexdigest()
    with pytest.raises(StorageError, match="cannot read"):
        files.sha256_file(tmp_path / "none")


def test_failure_in_the_body_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    files.atomic_write(path, "old")

    def half_write() -> None:
        with files.atomic_path(path) as temporary:
            temporary.write_text("half")
            raise KeyError("the body's own mistake is not ours to rename")

    with pytest.raises(KeyError):
        half_write()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_body_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError), files.atomic_path(tmp_path / "a.txt"):
        pass
    assert os.listdir(tmp_path) == []


def test_temporary_is_a_sibling_with_the_suffix(tmp_path: Path) -> None:
    with files.atomic_path(tmp_path / "a.npy") as temporary:
        assert temporary.parent == tmp_path.resolve()
        assert temporary.suffix == ".npy"
        assert str(os.getpid()) in temporary.name
        temporary.write_bytes(b"x")


def test_permissions_and_links_are_kept(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real" / "a.txt", tmp_path / "link.txt"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    files.atomic_write(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_longest_name_the_file_system_takes(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 250 + ".json")
    files.atomic_write(path, "{}")
    assert path.read_text() == "{}"


@pytest.mark.parametrize(
    ("name", "hint"),
    [(".", "of a file, not of a folder"), ("none/a.txt", "must exist"), ("file/a.txt", "is a file")],
)
def test_places_that_cannot_be_written(tmp_path: Path, name: str, hint: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="cannot write") as caught:
        files.atomic_write(tmp_path / name, "x")
    assert hint in str(caught.value.hint)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StorageError, match="permissions"):
            files.atomic_write(tmp_path / "a.txt", "x")
    finally:
        tmp_path.chmod(0o700)


def test_full_disk_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    files.atomic_write(path, "old")
    code = """
import sys
from mocoop import files
from mocoop.errors import StorageError
try:
    files.atomic_write(sys.argv[1], b"x" * 100_000)
except StorageError as error:
    print(error)
"""
    done = python(code, path, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)))
    assert "larger than this system allows" in done.stdout, done.stderr
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_killed_while_writing_then_swept(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    files.atomic_write(path, "old")
    code = """
import sys, time
from mocoop import files
with files.atomic_path(sys.argv[1]) as temporary:
    temporary.write_text("half")
    print("ready", flush=True)
    time.sleep(60)
"""
    child = subprocess.Popen([sys.executable, "-c", code, path], cwd=ROOT, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    assert files.sweep_stale(tmp_path) == []  # its writer lives
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    left = [entry.name for entry in tmp_path.iterdir() if entry != path]
    assert len(left) == 1
    assert [entry.name for entry in files.sweep_stale(tmp_path)] == left
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_sweep_spares_what_is_not_ours_or_not_dead(tmp_path: Path) -> None:
    def make(host: str, pid: int, age: float = 0) -> str:
        entry = tmp_path / f".mocoop-{host}-{pid}-0a1b2c3d-0.tmp.json"
        entry.write_text("x")
        os.utime(entry, (time.time() - age, time.time() - age))
        return entry.name

    here = files.host_name()
    init_lives = make(here, 1)
    own_predecessor = make(here, os.getpid())  # same number, another life: this process is not writing it
    no_such_process = make(here, 2**31 - 1)
    elsewhere_new, elsewhere_old = (
        make("elsewhere", 5),
        make("elsewhere", 6, age=2 * files.FOREIGN_TEMP_SECONDS),
    )
    (tmp_path / ".mocoop-notes.tmp").write_text("mine")
    removed = {entry.name for entry in files.sweep_stale(tmp_path)}
    assert removed == {own_predecessor, no_such_process, elsewhere_old}
    assert {init_lives, elsewhere_new, ".mocoop-notes.tmp"} == set(os.listdir(tmp_path))
    with files.atomic_path(tmp_path / "a.txt") as temporary:
        temporary.write_text("x")
        assert files.sweep_stale(tmp_path) == []
    assert files.sweep_stale(tmp_path / "none") == []


def test_many_writers_leave_one_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    values = [{"writer": number, "filler": "x" * 10_000} for number in range(8)]
    writers = [threading.Thread(target=files.write_json, args=(path, value)) for value in values]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert files.read_json(path) in values
    assert os.listdir(tmp_path) == ["a.json"]


@pytest.mark.parametrize(
    ("data", "place", "what"),
    [
        (b"", "1:1", "empty"),
        (b'{"a": 1,\n "a": 2}', "2:2", "twice"),
        (b"[NaN]", "1:2", "NaN"),
        (b"[" * 200_000, "1:65", "deep"),
        ('{"a": 1}'.encode("utf-16"), "1:1", "UTF-16"),
        (b'["\\udc00"]', "1:2", "half a character"),
        (b"[1" + b"0" * 5000 + b"]", "1:2", "integer of 5,001 digits"),
    ],
)
def test_read_json_is_strict(tmp_path: Path, data: bytes, place: str, what: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(data)
    with pytest.raises(DataError) as caught:
        files.read_json(path, what="manifest", error=DataError)
    assert caught.value.message.startswith(f"{path}:{place}: ")
    assert what in caught.value.message
    assert caught.value.hint


def test_read_json_takes_a_byte_order_mark_and_a_pair_of_surrogates(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": "\\ud83d\\ude00"}')
    assert files.read_json(path) == {"a": "😀"}


def test_reading_too_much_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(json.dumps("x" * 1000).encode())
    with pytest.raises(GroupFileError, match=r"larger than 100 bytes"):
        files.read_json(path, max_bytes=100, error=GroupFileError)
    with pytest.raises(StorageError, match="cannot read the log"):
        files.read_json(tmp_path / "none", what="log")
    with pytest.raises(StorageError, match="cannot read the log"):
        files.read_json("a\0b", what="log")
    with pytest.raises(StorageError, match="folder"):
        files.read_json(tmp_path)
