"""The cache of features: never wrong, only slower.

Faults: damaged entries, a full or read-only disk, a kill in the middle of a build, two builders at once.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tinyencoder import PLAN, TinyEncoder, entry_of, features_of, naive, spoil

from mocoop.data import cache as cache_module
from mocoop.data.cache import FeatureCache
from mocoop.data.views import ViewPlan
from mocoop.files import cache_root, sha256_file

ROOT = Path(__file__).parents[2]


# Damage


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4])


def flip(path: Path, place: int = -5) -> None:
    """Change one byte and nothing else that could be seen from outside."""
    state, data = os.stat(path), bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "cut": cut,
    "flipped": flip,
    "flipped header": lambda path: flip(path, 3),
    "empty": lambda path: path.write_bytes(b""),
    "array gone": lambda path: path.unlink(),
    "description cut": lambda path: cut(path.with_suffix(".json")),
    "description is a list": lambda path: path.with_suffix(".json").write_text("[]\n"),
    "description of another": lambda path: path.with_suffix(".json").write_text('{"entry": {}, "sha256": ""}\n'),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_entry_is_built_again_and_said_aloud(paths, cache, damage):
    good = features_of(TinyEncoder(), paths, cache).features.copy()
    path = entry_of(cache)
    DAMAGE[damage](path)
    cache_module._verified.clear()  # as in a new process
    encoder, notices = TinyEncoder(), []
    found = features_of(encoder, paths, cache, notice=notices.append)
    assert encoder.batches
    np.testing.assert_array_equal(found.features, good)
    (notice,) = notices
    assert str(path) in notice
    assert "computed again" in notice
    again = TinyEncoder()
    features_of(again, paths, cache, notice=notices.append)
    assert not again.batches
    assert len(notices) == 1


def test_no_byte_of_a_description_can_change_unnoticed(paths, cache):
    spoil(paths[1])
    features_of(TinyEncoder(), paths, cache, on_bad_image="skip")
    (entry,) = cache.entries()
    described = cache.path(entry.key).with_suffix(".json")
    whole = described.read_bytes()
    original = json.loads(whole)
    for place in range(0, len(whole), 3):
        flip(described, place)
        stored = cache.read(entry.key)
        assert stored is None or stored.about == original["entry"], whole[max(0, place - 20) : place + 20]
        described.write_bytes(whole)


def test_an_array_without_description_is_silently_built(paths, cache):
    """What a kill between the two leaves."""
    features_of(TinyEncoder(), paths, cache)
    entry_of(cache).with_suffix(".json").unlink()
    encoder, notices = TinyEncoder(), []
    features_of(encoder, paths, cache, notice=notices.append)
    assert encoder.batches
    assert notices == []


def test_a_large_file_is_hashed_once_a_process(paths, cache, monkeypatch):
    hashed: list[str] = []
    monkeypatch.setattr(cache_module, "sha256_file", lambda path: hashed.append(str(path)) or sha256_file(path))
    for _ in range(3):
        features_of(TinyEncoder(), paths, FeatureCache(cache.root))
    assert hashed == [str(entry_of(cache))]


# Storage


def test_a_cache_that_cannot_be_written_costs_only_its_use(paths, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    notices: list[str] = []
    found = features_of(TinyEncoder(), paths, FeatureCache(tmp_path / "file"), notice=notices.append)
    np.testing.assert_allclose(found.features, naive(TinyEncoder(), paths, PLAN), atol=1e-4)
    (notice,) = notices
    assert "cannot be kept" in notice
    assert "MOCOOP_CACHE" in notice


def test_notices_go_to_the_log_by_default(paths, tmp_path, caplog):
    (tmp_path / "file").write_text("not a folder")
    features_of(TinyEncoder(), paths, FeatureCache(tmp_path / "file"))
    assert "cannot be kept" in caplog.text


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.setenv("MOCOOP_CACHE", str(tmp_path / "here"))
    assert FeatureCache().root == tmp_path / "here"
    monkeypatch.delenv("MOCOOP_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_root().name == "mocoop"


def test_list_and_clear(paths, cache):
    assert cache.entries() == cache.clear() == ()
    for plan in (ViewPlan(), PLAN):
        features_of(TinyEncoder(), paths, cache, plan=plan)
    mine = cache.folder / "a note of mine.npy"
    mine.write_text("keep")
    left = cache.folder / f"{'0' * 64}.npy"  # of a builder killed before it wrote the description
    left.write_bytes(b"x")
    entries = cache.entries()
    assert [entry.about and entry.about["shape"] for entry in entries].count([3, 7, 5]) == 1
    assert [entry.about for entry in entries].count(None) == 1
    assert all(entry.bytes >= cache.path(entry.key).stat().st_size for entry in entries)
    assert cache.clear() == entries
    assert list(cache.folder.iterdir()) == [mine]
    encoder = TinyEncoder()
    features_of(encoder, paths, cache)
    assert encoder.batches


def test_clear_leaves_what_is_being_built(paths, cache):
    removed: list[object] = []
    encoder = TinyEncoder(before_batch=lambda: removed.append(cache.clear()))
    features_of(encoder, paths, cache)
    assert removed == [()]
    assert len(cache.entries()) == 1


def test_a_cleared_entry_stays_readable_to_who_has_it_open(paths, cache):
    found = features_of(TinyEncoder(), paths, cache)
    cache.clear()
    np.testing.assert_allclose(found.features, naive(TinyEncoder(), paths, PLAN), atol=1e-4)


# Other processes

PRELUDE = """
import os, sys, time, signal
from pathlib import Path
import numpy as np
from tinyencoder import TinyEncoder, examples_of
from mocoop.data.cache import FeatureCache
from mocoop.data.features import image_features
from mocoop.data.views import ViewPlan
folder, images = Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]]

def compute(encoder, **options):
    plan = ViewPlan(count=3, seed=5, scale=(0.3, 0.9))
    return image_features(encoder, examples_of(images), plan, cache=FeatureCache(folder), **options)
"""


def start(code: str, cache: FeatureCache, paths: list[Path]) -> subprocess.Popen[str]:
    """A Python process with `compute(encoder)` on the same cache and images."""
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests' / 'helpers'}",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-c", PRELUDE + textwrap.dedent(code), str(cache.root), *map(str, paths)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 100
    while not path.exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_of_two_builders_one_waits_and_reads(paths, cache, tmp_path):
    """The first builds until the second has said that it waits."""
    first = start(
        """
        def slow():
            (folder.parent / "building").touch()
            while not (folder.parent / "waiting").exists():
                time.sleep(0.02)
        encoder = TinyEncoder(before_batch=slow)
        print(compute(encoder).features.tobytes().hex(), len(encoder.batches))
        """,
        cache,
        paths,
    )
    wait_for(tmp_path / "building", first)
    second = start(
        """
        def notice(text):
            assert "waiting" in text, text
            (folder.parent / "waiting").touch()
        encoder = TinyEncoder()
        print(compute(encoder, notice=notice).features.tobytes().hex(), len(encoder.batches))
        """,
        cache,
        paths,
    )
    built, read = finish(first).split(), finish(second).split()
    assert built[0] == read[0]
    assert (built[1], read[1]) == ("1", "0")
    assert len(cache.entries()) == 1


KILLS = {
    "encoding": "compute(TinyEncoder(before_batch=lambda: os.kill(os.getpid(), signal.SIGKILL)))",
    "half written": """
        import hashlib, types
        import mocoop.data.cache as cache
        class Deadly:
            def __init__(self):
                self.pieces = 0
            def update(self, piece):
                self.pieces += 1
                if self.pieces == 4:
                    os.kill(os.getpid(), signal.SIGKILL)
        cache._PIECE = 64
        cache.hashlib = types.SimpleNamespace(sha256=Deadly)
        compute(TinyEncoder())
        """,
    "before the array's rename": """
        os.replace = lambda *names: os.kill(os.getpid(), signal.SIGKILL)
        compute(TinyEncoder())
        """,
    "between array and description": """
        import mocoop.data.cache as cache
        cache.write_json = lambda *args: os.kill(os.getpid(), signal.SIGKILL)
        compute(TinyEncoder())
        """,
}


@pytest.mark.parametrize("moment", KILLS)
def test_a_killed_builder_leaves_nothing_that_is_read(paths, cache, moment):
    process = start(KILLS[moment], cache, paths)
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    encoder, notices = TinyEncoder(), []
    found = features_of(encoder, paths, cache, notice=notices.append)
    assert encoder.batches
    assert notices == []
    np.testing.assert_allclose(found.features, naive(encoder, paths, PLAN), atol=1e-4)
    path = entry_of(cache)
    assert {file.name for file in cache.folder.iterdir()} <= {f"{path.stem}{end}" for end in (".npy", ".json", ".lock")}


def test_of_many_images_a_killed_builder_leaves_the_blocks_that_are_done(paths, cache):
    process = start(
        """
        import mocoop.data.features as features
        features.BLOCK = 6
        encoder = TinyEncoder()
        def kill():  # in the third block of two images, three views each
            if len(encoder.batches) == 9:
                os.kill(os.getpid(), signal.SIGKILL)
        encoder._before_batch = kill
        compute(encoder, batch_size=2)
        """,
        cache,
        paths,
    )
    _, err = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL, err
    assert [entry.about["shape"] for entry in cache.entries()] == [[3, 2, 5]] * 2
    encoder = TinyEncoder()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mocoop.data.features.BLOCK", 6)
        found = features_of(encoder, paths, cache, batch_size=2)
    assert sum(encoder.batches) == 3 * 3, "the blocks that were done were computed again"
    np.testing.assert_array_equal(found.features, features_of(TinyEncoder(), paths, None, batch_size=2).features)
    assert len(cache.entries()) == 1


def test_a_full_disk_costs_only_the_keeping(paths, cache):
    """No file of more than 256 bytes can be written; the features are whole and nothing is left behind."""
    out = finish(
        start(
            """
            import resource
            resource.setrlimit(resource.RLIMIT_FSIZE, (256, 256))
            notices = []
            print(compute(TinyEncoder(), notice=notices.append).features.tobytes().hex())
            print(notices)
            """,
            cache,
            paths,
        )
    )
    features, notices = out.splitlines()
    assert features == features_of(TinyEncoder(), paths, None).features.tobytes().hex()
    assert "cannot be kept" in notices
    assert "write elsewhere" in notices
    assert cache.entries() == ()
