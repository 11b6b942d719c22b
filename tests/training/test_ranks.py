"""Several processes that train one run: the same losses as one, errors told once, a lost process ends the others."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
import torch
from command_line import small_world, train
from safetensors.torch import load_file

from mocoop.backbone import ranks
from mocoop.errors import UsageError
from mocoop.runs.record import LOG, MODEL, read_log
from mocoop.runs.run import Run

pytestmark = pytest.mark.slow  # every rank is a process that imports torch


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return small_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def alone(world, tmp_path_factory):
    out = tmp_path_factory.mktemp("alone") / "run"
    assert train(world, out, "--epochs", 3, "--precision", "float32").code == 0
    return out


def command(world, out, *more):
    return [
        "-m", "mocoop", "train", "--groups", world["groups"], "--data", world["photos"], "--shots", 2, "--epochs", 3,
        "--backbone", f"local-dir:{world['backbone']}", "--precision", "float32", "--device", "cpu", "--no-cache",
        "-o", out, *more,
    ]  # fmt: skip


@contextlib.contextmanager
def started(arguments, count, killed_after=None):
    """The processes as torchrun starts them on one machine; the last is killed after a step if asked for."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": 1}
    last = {"MOCOOP_SIGNAL_AT": f"SIGKILL:after-step:{killed_after}"} if killed_after else {}
    processes = [
        subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            env={**os.environ, **{name: str(value) for name, value in shared.items()}, "RANK": str(rank)}
            | (last if rank == count - 1 else {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def ended(processes):
    """Exit code, stdout and stderr of each."""
    told = [process.communicate(timeout=120) for process in processes]
    return [(process.returncode, out, err) for process, (out, err) in zip(processes, told, strict=True)]


def losses(run, steps):
    return [log.loss for log in read_log(run / LOG, steps)]


def test_two_processes_of_torchrun_learn_what_one_learns(world, alone, tmp_path):
    out = tmp_path / "run"
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*launcher, *map(str, command(world, out))], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("training") == 1  # the first process alone speaks
    steps = Run.open(alone).info["training"]["steps"]
    assert losses(out, steps) == pytest.approx(losses(alone, steps), abs=1e-5)
    expected, found = load_file(alone / MODEL), load_file(out / MODEL)
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("method", "count"), [("mocoop", 4), ("cocoop", 2)])
def test_so_do_others_by_every_way_to_encode(world, tmp_path, method, count):
    how = ("--method", method, "--set", 'ctx_init="a photo of a"') if method == "cocoop" else ()
    assert train(world, tmp_path / "one", "--epochs", 3, "--precision", "float32", *how).code == 0
    with started(command(world, tmp_path / "many", *how), count) as processes:
        told = ended(processes)
    assert [code for code, *_ in told] == [0] * count, told
    assert [out for _, out, _ in told[1:]] == [""] * (count - 1)
    steps = Run.open(tmp_path / "one").info["training"]["steps"]
    assert losses(tmp_path / "many", steps) == pytest.approx(losses(tmp_path / "one", steps), abs=1e-5)


def test_a_killed_process_ends_the_others_at_once_and_another_number_goes_on(world, alone, tmp_path):
    out = tmp_path / "run"
    with started(command(world, out), 3, killed_after=2) as processes:
        processes[-1].wait()
        died = time.monotonic()
        told = ended(processes)
        assert time.monotonic() - died < 30  # an hour if nobody noticed
    assert not (out / MODEL).exists()
    assert all(code != 0 for code, *_ in told)
    survivors = [err for code, _, err in told if code != -signal.SIGKILL]
    assert all("another process of the training ended" in err and "Traceback" not in err for err in survivors)
    with started(command(world, out), 2) as processes:
        assert [code for code, *_ in ended(processes)] == [0, 0]
    steps = Run.open(alone).info["training"]["steps"]
    assert losses(out, steps) == pytest.approx(losses(alone, steps), abs=1e-5)


def test_a_bad_image_on_one_of_them_is_told_by_all(world, tmp_path):
    (bad := world["photos"] / "train" / "bad_class").mkdir()
    (bad / "0.png").write_bytes(b"no image")
    try:
        with started(command(world, tmp_path / "run"), 2) as processes:
            told = ended(processes)
    finally:
        (bad / "0.png").unlink()
        bad.rmdir()
    codes = [code for code, *_ in told]
    assert 4 in codes, told
    assert 0 not in codes, told  # gloo may abort a process that sees the other leave first
    assert all("0.png" in err for _, _, err in told)


@pytest.mark.parametrize("size", ["2", "x"])
def test_a_world_without_a_rank_is_named(monkeypatch, size):
    monkeypatch.setenv("WORLD_SIZE", size)
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(UsageError, match=f"WORLD_SIZE is {size}, but RANK is not set"), ranks.joined():
        pass


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"WORLD_SIZE": "x"}, "WORLD_SIZE is 'x', and no number"),
        ({"RANK": "-1"}, "RANK is '-1', and no number"),
        ({"MASTER_PORT": "http"}, "MASTER_PORT is 'http', and no number"),
        ({"RANK": "2"}, "RANK is 2 of 2 processes, counted from 0"),
    ],
)
def test_what_torchrun_would_never_say_is_named(monkeypatch, changed, said):
    whole = {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    for name, value in {**whole, **changed}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=said), ranks.joined():
        pass


def test_parts_are_even_and_cover_everything(monkeypatch):
    monkeypatch.setattr(ranks, "count", lambda: 3)
    assert ranks.bounds(8) == [(0, 2), (2, 5), (5, 8)]
    with pytest.raises(UsageError, match="3 processes cannot share 2 classes"):
        ranks.parts_of_classes(2)
