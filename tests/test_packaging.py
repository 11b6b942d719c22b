"""The wheel: everything under one import name, with its data, usable where there is no checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from wheels import build_wheel

import mocoop

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return build_wheel(tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("wheel"))


def test_all_modules_and_data_are_in_it_under_one_name(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {f"mocoop/{path.relative_to(ROOT / 'mocoop')}" for path in (ROOT / "mocoop").glob("**/*.py")}
    for folder in ("grouping", "templates", "schemas"):
        expected |= {f"mocoop/{path.relative_to(ROOT)}" for path in (ROOT / folder).rglob("*.py")}
        expected |= {f"mocoop/{path.relative_to(ROOT)}" for path in (ROOT / folder).rglob("*.json")}
    expected |= {"mocoop/miniclip/miniclip.safetensors", "mocoop/miniclip/miniclip.json", "mocoop/py.typed"}
    expected |= {"mocoop/photoclip/photoclip.safetensors", "mocoop/photoclip/photoclip.json"}
    for room in ("mocoop/serving", "mocoop/looking", "grouping/web"):
        inside = room if room.startswith("mocoop") else f"mocoop/{room}"
        expected |= {f"{inside}/pages/{path.name}" for path in (ROOT / room / "pages").iterdir()}
    assert expected <= names
    tops = {name.split("/")[0] for name in names}
    assert tops == {"mocoop", f"mocoop-{mocoop.__version__}.dist-info"}


def test_it_names_its_commands_and_its_licence(wheel):
    archive = zipfile.ZipFile(wheel)
    info = f"mocoop-{mocoop.__version__}.dist-info"
    entry_points = archive.read(f"{info}/entry_points.txt").decode()
    assert "mocoop = mocoop.commands:main" in entry_points
    assert "mocoop-groups = mocoop.grouping.commands:main" in entry_points
    assert "License-Expression: MIT" in archive.read(f"{info}/METADATA").decode()


def test_it_works_unpacked_anywhere(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}

    def run(*arguments):
        command = [sys.executable, "-m", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout

    assert str(tmp_path / "site") in run("mocoop.grouping.commands", "schema", "--path")
    document = json.loads(run("mocoop.grouping.commands", "generate", "--domain", "satellite imagery"))
    assert document["domain"] == "satellite imagery"
    assert "train" in run("mocoop.commands", "--help")


def test_the_launcher_of_a_checkout_serves_both_halves():
    for arguments, word in ((["--help"], "mocoop demo"), (["groups", "--help"], "mocoop-groups generate")):
        done = subprocess.run(
            [sys.executable, str(ROOT / "cli.py"), *arguments], capture_output=True, text=True, check=True
        )
        assert word in done.stdout


def test_type_checkers_find_the_top_level_folders_by_links_outside_the_package():
    folders = ("grouping", "templates", "schemas")
    assert {entry.name: entry.resolve() for entry in (ROOT / "typings" / "mocoop").iterdir()} == {
        name: ROOT / name for name in folders
    }
    assert not [entry for entry in (ROOT / "mocoop").rglob("*") if entry.is_symlink()]


def test_the_citation_and_the_package_agree_on_the_version():
    assert f"version: {mocoop.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"## {mocoop.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
