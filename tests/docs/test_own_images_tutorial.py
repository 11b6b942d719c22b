"""The tutorial on one's own images is true: its commands are run on some of its images, and print what it shows.

Fewer images give other numbers and other answers. So lines are compared in their shape: numbers, names of classes,
groups and methods may be others, all other words and the columns of tables may not.
"""

from __future__ import annotations

import json
import re
import shutil

import pytest
from pages import ROOT, is_printed, plain, shell_in, steps

from mocoop.config import METHODS
from mocoop.methods import method_named

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs" / "tutorial-own-images.md").read_text(encoding="utf-8")
PARTS = dict(zip(("land", "fabric"), re.split(r"^## Part (?:one|two).*$", PAGE, flags=re.MULTILINE)[1:], strict=True))
NAMES = json.loads((ROOT / "docs" / "examples" / "ucmerced_names.json").read_text(encoding="utf-8"))
SOME = ("harbor", "parkinglot", "denseresidential", "mediumresidential", "mobilehomepark")  # hard to tell apart
FABRIC = ("nominal", "local", "global")
TITLES = {method_named(name).title for name in METHODS}


def shape(line, names):
    """A line without what may differ: numbers, names, and how many names stand in a list."""
    text = re.sub(r"\d+(?:[.,:]\d+)*", "#", plain(line))
    for name in sorted(names, key=len, reverse=True):
        text = re.sub(rf"(?<![A-Za-z_-]){re.escape(name)}(?![A-Za-z_-])", "<name>", text)
    return re.sub(r"<name>(, <name>)+", "<name>", text.replace("<name> (<name>)", "<name>"))  # "not sure (harbor)"


def names_in(work, classes):
    """The words that may be others: names of classes, groups and methods, and whether a method names any class."""
    groups = [json.loads(path.read_text())["groups"] for path in work.glob("*.json") if '"groups"' in path.read_text()]
    ids = {group["id"] for some in groups for group in some}
    return {*classes, *ids, *TITLES, "not sure", "yes", "no"}


def typed(part, shell, work, classes, *, fewer=lambda command: command, after=lambda _command: None):
    """Give all commands of a part, made to ask for less, and compare what each prints."""
    for command, shown in steps(PARTS[part]):
        code, printed = shell(fewer(command))
        if command.startswith("pip ") and code:
            pytest.skip(f"the package of fabric images cannot be fetched: {printed.strip().splitlines()[-1]}")
        assert code == 0, f"$ {command}\n{printed}\nexit code {code}"
        after(command)
        names = names_in(work, classes)
        lines = [shape(line, names) for line in printed.splitlines()]
        for line in shown:
            alike = line.strip() == "..." or is_printed(shape(line, names), lines)
            assert alike, f"$ {command}\n{printed}\ndoes not print: {line}"


def test_every_code_block_is_run():
    fences = re.findall(r"^ *(```.*)$", PAGE, flags=re.MULTILINE)
    assert set(fences[::2]) == {"```console"}
    assert set(fences[1::2]) == {"```"}
    assert sum(len(steps(part)) for part in PARTS.values()) == len(steps(PAGE))
    assert len(PAGE.splitlines()) < 250


def test_photographs_of_land(test_data, tmp_path):
    shell, work = shell_in(tmp_path), tmp_path / "work"
    for name in SOME:
        for split, count in (("train", 16), ("test", 6)):
            images = sorted((test_data / "ucmerced" / split / name).iterdir())[:count]
            (work / "ucmerced" / split / name).mkdir(parents=True)
            for image in images:
                shutil.copy(image, work / "ucmerced" / split / name)
    (work / "names.json").write_text(json.dumps({name: NAMES[name] for name in SOME}))
    names = {*NAMES, *NAMES.values()}
    typed("land", shell, work, names, fewer=lambda command: command.replace("--shots 16", "--shots 5"))


@pytest.mark.whole  # two minutes of the same commands on other pictures
def test_pictures_of_fabric(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_RETRIES", "0")
    shell, work = shell_in(tmp_path), tmp_path / "work"

    def thin(command):
        if command.startswith("mv "):  # the pictures are there
            for name in FABRIC:
                for image in sorted((work / "fabric" / name).iterdir())[60:]:
                    image.unlink()

    names = {*FABRIC, "flawless fabric", "fabric with a spot", "fabric with a wrong weave"}
    typed(
        "fabric", shell, work, names, fewer=lambda command: command.replace("--minutes 10", "--minutes 1"), after=thin
    )


def test_the_shape_of_a_line_is_its_words_and_columns():
    names = {"harbor", "parking lot", "overhead_map"}
    row = "a/harbor/harbor03.jpg  harbor  0.9938  harbor, parking lot  overhead_map 15%, 5 more 57%"
    assert shape(row, names) == "a/<name>/<name>#.jpg <name> # <name> <name> #%, # more #%"
    assert shape("note: 3 of 84 pictures", names) == shape("note: 1 of 90 pictures", names)
    assert shape("note: 3 of 84 images", names) != shape("note: 1 of 90 pictures", names)
