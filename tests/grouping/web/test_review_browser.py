"""The review page in a real browser: from opening to saving by mouse and by keyboard, hostile files, other tabs."""

from __future__ import annotations

import contextlib
import json
import re

import pytest
from browser import accessibility_faults, browser, page, watched  # noqa: F401
from review_page import reviewing

from mocoop.groupfile.groups import load_groups

pytestmark = pytest.mark.browser

GROUPS = {
    "schema_version": 1,
    "domain": "birds",
    "groups": [
        {"id": "plain", "title": "Plain", "templates": ["a photo of a {}.", "a picture of the {}."]},
        {"id": "night", "title": "Night", "templates": ["a {} at night.", "a {} after dark.", "a {} in thick fog."]},
        {"id": "fog", "title": "Fog", "templates": ["a {} in mist.", "a {} in the thick fog."]},
    ],
}


@pytest.fixture
def path(written):
    return written("groups.json", json.dumps(GROUPS))


def card(page, text):  # noqa: F811
    return page.locator("li.card", has=page.get_by_role("button", name=text, exact=True))


def column(page, title):  # noqa: F811
    return page.get_by_role("region", name=re.compile(f"^{title}"))


def cards(page, title):  # noqa: F811
    return column(page, title).locator("li.card .words").all_inner_texts()


def drag(page, text, title):  # noqa: F811
    """Drag a card to a column, or to the small target that shows while one drags where the board is too wide."""
    start, target = card(page, text).locator(".words").bounding_box(), column(page, title)
    page.mouse.move(start["x"] + 20, start["y"] + 10)
    page.mouse.down()
    page.mouse.move(start["x"] + 40, start["y"] + 30, steps=3)
    if page.locator("#tray").is_visible():
        target = page.locator("#tray").get_by_text(title, exact=True)
    end = target.bounding_box()
    page.mouse.move(end["x"] + end["width"] / 2, end["y"] + end["height"] / 2, steps=5)
    page.mouse.up()


@contextlib.contextmanager
def opened(page, path, *options, **environment):  # noqa: F811
    """The page of a file; it is left before the server ends, which it would tell."""
    with reviewing(path, *options, **environment) as server:
        page.goto(server.address)
        page.locator(".card").first.wait_for()
        yield server
        page.goto("about:blank")


def texts(path):
    return {group.id: list(group.texts) for group in load_groups(path).groups}


def test_by_mouse_from_opening_to_saving(page, path):  # noqa: F811
    before = path.read_bytes()
    with opened(page, path) as server:
        drag(page, "a {} in thick fog.", "Fog")
        page.get_by_role("button", name="Save …").wait_for()
        assert cards(page, "Fog") == ["a {} in mist.", "a {} in the thick fog.", "a {} in thick fog."]
        assert path.read_bytes() == before
        page.get_by_text("G104 a twin").first.wait_for()
        card(page, "a {} in mist.").dblclick()
        page.get_by_label("Words of the template").fill("a {} in a mist")
        page.get_by_label("Words of the template").press("Enter")
        card(page, "a {} in a mist").wait_for()
        drag(page, "a {} after dark.", "Excluded")
        column(page, "Excluded").get_by_role("button", name="a {} after dark.").wait_for()
        page.get_by_role("button", name="Save …").click()
        page.get_by_text('moved "a {} in thick fog." from night to fog').wait_for()
        page.get_by_role("button", name="Save", exact=True).click()
        page.get_by_role("button", name="Saved").wait_for()
        assert texts(path)["fog"] == ["a {} in a mist", "a {} in the thick fog.", "a {} in thick fog."]
        assert json.loads(path.read_bytes())["excluded"] == [{"text": "a {} after dark.", "by": "person"}]
        page.goto("about:blank")
        assert server.end() == 0
        assert server.said[-1].endswith("2 of 6 templates reviewed\n")
