"""The site of docs/ is whole: its menu has every page, no link leaves it, its API pages name modules that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
SITE = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
WITHOUT_PAGE = {"commands"}  # a command line is not called from Python


def entries(menu):
    for entry in menu:
        for target in entry.values() if isinstance(entry, dict) else [entry]:
            yield from entries(target) if isinstance(target, list) else [target]


def modules(path):
    return re.findall(r"^::: (\S+)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)


def test_the_menu_has_every_page_once():
    assert sorted(entries(SITE["nav"])) == sorted(str(path.relative_to(DOCS)) for path in PAGES)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(DOCS)))
def test_no_link_leaves_the_site(path):
    for link in re.findall(r"\]\((?!http|#)([^)#]+)[^)]*\)", path.read_text(encoding="utf-8")):
        assert (path.parent / link).resolve().is_relative_to(DOCS), link


@pytest.mark.parametrize("path", sorted((DOCS / "api").glob("*.md")), ids=lambda path: path.stem)
def test_modules_with_a_reference_exist(path):
    for module in modules(path):
        place = ROOT.joinpath(*module.split("."))
        assert place.with_suffix(".py").is_file() or (place / "__init__.py").is_file(), module


def test_every_room_has_a_page_of_its_reference():
    rooms = {path.parent.name for path in (ROOT / "mocoop").glob("*/__init__.py")}
    for room in rooms - WITHOUT_PAGE:
        assert modules(DOCS / "api" / f"{room}.md"), room
