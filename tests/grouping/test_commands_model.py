"""The options of commands that ask a language model, and what is seen while it is waited for."""

from __future__ import annotations

import io
import time
from pathlib import Path

import pytest
from grouping_cli import Typed

from mocoop.grouping.commands.model import countdown, rejected_path
from mocoop.grouping.llm.settings import NAMES, Settings


@pytest.mark.parametrize("command", ["generate", "cluster"])
def test_every_setting_has_an_option_and_the_help_tells_the_defaults(command: str, typed: Typed) -> None:
    told = typed(command, "--help").out
    for name in (*NAMES, "llm_config", "refresh", "no_cache"):
        assert f"--{name.replace('_', '-')}" in told
    defaults = Settings()
    for value in (defaults.model, f"{defaults.timeout:g}", f"{defaults.total_timeout:g}", str(defaults.max_tokens)):
        assert value in told


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_wait_counts_down_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    begun = time.monotonic()
    countdown(1.2, "too many requests")
    assert 1.2 <= time.monotonic() - begun < 3
    shown = terminal.getvalue()
    assert "too many requests: waiting 1 s" in shown
    assert shown.count("\r") >= 3


def test_a_wait_in_a_pipe_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    countdown(0.01, "busy")
    assert capfd.readouterr().err == "busy\n"


def test_a_reply_that_cannot_be_used_goes_beside_the_output() -> None:
    assert rejected_path(Path("a/groups.json")) == Path("a/groups.json.rejected.txt")
    assert rejected_path(None) == rejected_path(Path("-")) == Path("mocoop-groups.rejected.txt")
