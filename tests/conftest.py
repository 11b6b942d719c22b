"""Every test runs without a network, without keys, and with home and caches in a folder of its own."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import llm_server
import pytest
from dying import WHOLE
from grouping_cli import Typed
from hypothesis import HealthCheck, settings

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything imports the hub's client
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny models: more threads only wait for each other

# What a script starts in the background ignores Ctrl-C, and so would every process that a test interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile(
    "mocoop", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
settings.load_profile("mocoop")

_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
_connect = socket.socket.connect


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out the tests of `whole` unless they are asked for."""
    if WHOLE not in os.environ:
        for item in items:
            if item.get_closest_marker("whole"):
                item.add_marker(pytest.mark.skip(reason=f"others show the same in less time: set {WHOLE}"))


@pytest.fixture(autouse=True)
def closed_world(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Block sockets except loopback, drop OPENAI_*, and give home and caches a temporary folder."""

    def connect(self: socket.socket, address: object) -> None:
        if self.family != socket.AF_UNIX and isinstance(address, tuple) and address[0] not in _LOOPBACK:
            raise OSError(f"tests may not connect to {address[0]}")
        _connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)
    home = tmp_path_factory.mktemp("home")
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "HF_HOME", "MOCOOP_CACHE", "MOCOOP_STATE"):
        monkeypatch.setenv(name, str(home / name.lower()))
    for name in [name for name in os.environ if name.startswith("OPENAI_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session", autouse=True)
def autograd_in_forks() -> None:
    """PyTorch counts devices at its first backward pass, and forbids others in a fork if there were more than the CPU.

    Exporting a model adds one that is none; tests that train in forks may come after it in the same process.
    """
    import torch

    torch.ones(1, requires_grad=True).sum().backward()


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Data outside the project: real images and CoOp's splits."""
    folder = os.environ.get("MOCOOP_TEST_DATA")
    if not folder:
        pytest.skip("MOCOOP_TEST_DATA is not set: it names a folder with coop_splits/ and ucmerced/")
    return Path(folder)


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Typed:
    """`typed("validate", path)` runs `mocoop-groups validate PATH` and returns its exit code and output."""
    return Typed(monkeypatch, capfd)


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str, bytes | str], Path]:
    """`written("pool.txt", text)` puts a file into the test's folder and returns its path."""

    def write(name: str, content: bytes | str) -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.fixture
def server() -> Iterator[llm_server.LlmServer]:
    """A server on the loopback that speaks a language model's API."""
    with llm_server.running() as running:
        yield running
