"""The worked examples of CONTRIBUTING.md: their diffs apply, touch as few files as they say, and work."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"^### (.+?)\n.*?^```diff\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
MOST_FILES = {"A method": 1, "A loss": 2, "A setting": 2, "A command": 1, "A kind of data": 2}

USE = """
    import csv, sys
    from pathlib import Path
    import mocoop
    from mocoop.config import METHODS
    from mocoop.data.sources import open_dataset
    from mocoop.runs.train import train
    from datafiles import put_classes
    from worlds import config_of, plan_for, write_world

    folder = Path(sys.argv[1])
    assert mocoop.__file__.startswith(str(folder)), mocoop.__file__
    assert METHODS[-3:] == ("smooth-coop", "mocoop", "blend")
    world = write_world(folder / "world")
    run = train(plan_for(world, folder / "run", config_of("smooth-coop", nesterov=True), groups=None))
    plain = train(plan_for(world, folder / "plain", config_of("smooth-coop"), groups=None))
    other = train(plan_for(world, folder / "other", config_of("coop"), groups=None))
    assert len({one.history()[-1].loss for one in (run, plain, other)}) == 3
    assert "nesterov" in run.method.read(run.config)
    linear = {"router_form": "linear", "router_loss": "total-variation"}
    assert 0 < train(plan_for(world, folder / "mixture", config_of("mocoop", **linear))).history()[-1].router_loss < 1

    images = put_classes(folder / "images", {"dog": 6, "sea snake": 6})
    listed = sorted(images.rglob("*.png"))
    (images / "all.lst").write_text("".join(f"{one.relative_to(images)} {one.parent.name[:3]}\\n" for one in listed))
    assert open_dataset(images / "all.lst").classnames == ("dog", "sea")
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The code with every example applied."""
    folder = tmp_path_factory.mktemp("copy")
    for name in ("mocoop", "grouping", "templates", "schemas"):
        shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for diff in EXAMPLES.values():
        subprocess.run(["git", "apply", "-"], cwd=folder, input=diff, text=True, check=True)
    return folder


def python(folder, *arguments):
    path = os.pathsep.join([str(folder), str(ROOT / "tests" / "helpers")])
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_they_touch_as_few_files_as_a_reader_expects():
    touched = {heading: len(re.findall(r"^diff --git", diff, re.MULTILINE)) for heading, diff in EXAMPLES.items()}
    assert touched == MOST_FILES


def test_what_they_add_works(copy, tmp_path):
    (copy / "world").mkdir()
    script = tmp_path / "use.py"
    script.write_text("\n".join(line[4:] for line in USE.splitlines()))
    python(copy, str(script), str(copy))
    assert python(copy, "-m", "mocoop", "classes", str(copy / "run")).splitlines()[:2] == ["class", "dog"]
    assert "smooth-coop" in python(copy, "-m", "mocoop", "train", "--help")
