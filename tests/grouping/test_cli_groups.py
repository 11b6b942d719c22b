"""Tables of `mocoop-groups` on a terminal: drawn, within its width, and with nothing in a file taken for markup."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mocoop.groupfile.groups import dump_groups
from mocoop.grouping.generate import Wanted, generate_from_bank

pty = pytest.importorskip("pty")

COLOUR = re.compile(r"\x1b\[[\d;]*m")
ROOT = Path(__file__).parents[2]


def on_a_terminal(*arguments: str, columns: int = 100, **variables: str) -> str:
    """What a command draws on a terminal of so many columns."""
    reading, writing = pty.openpty()
    command = [sys.executable, "-m", "mocoop.grouping.commands", *arguments]
    surroundings = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(columns), **variables}
    with subprocess.Popen(command, cwd=ROOT, env=surroundings, stdout=writing, stderr=writing) as running:
        os.close(writing)
        drawn = b""
        while piece := _read(reading):
            drawn += piece
    os.close(reading)
    assert running.returncode == 0, drawn
    return drawn.decode().replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux ends a terminal whose other side has closed with an error
        return b""


def put(path: Path, domain: str, **change: str) -> str:
    document = generate_from_bank(Wanted("satellite imagery", groups=3)).document
    document["domain"] = domain
    document["groups"][0].update(change)
    path.write_bytes(dump_groups(document))
    return str(path)


def test_a_table_is_drawn_within_the_terminal(tmp_path: Path) -> None:
    path = put(tmp_path / "groups.json", "fields and roads")
    for columns in (60, 120):
        drawn = on_a_terminal("show", path, columns=columns, NO_COLOR="1")
        assert "fields and roads" in drawn
        assert "satellite_view" in drawn or columns == 60
        assert "│" in drawn
        assert "\t" not in drawn
        assert max(map(len, COLOUR.sub("", drawn).splitlines())) <= columns


def test_no_color_is_honoured() -> None:
    drawn = on_a_terminal("bank", NO_COLOR="1")
    assert not re.search(r"\x1b\[(?:[\d;]*;)?[349]\d[;m]", drawn)


def test_nothing_in_a_cell_is_markup(tmp_path: Path) -> None:
    path = put(tmp_path / "groups.json", "fields", title="[red]hot[/red] [/x]")
    assert "[red]hot[/red] [/x]" in on_a_terminal("show", path, columns=200)


def test_nothing_in_a_domain_is_markup(tmp_path: Path) -> None:
    path = put(tmp_path / "groups.json", "a [/bold] domain")
    assert "a [/bold] domain" in on_a_terminal("show", path)
