"""A real browser for tests of pages: Debian's or any other Chromium, driven by Playwright.

A test module that asks for `page` imports both fixtures: `from browser import browser, page  # noqa: F401`. A module
starts one browser; each test has a fresh profile in it. What is not installed skips the test, with the reason.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Iterator
from importlib import resources
from typing import Any

import pytest

SERIOUS = ("serious", "critical")  # faults by axe-core that no page may have


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium, one for all tests of a module."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("no Chromium is installed")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page of 1280 by 800; the test fails for any error in its console, any uncaught one, and any unasked dialog."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(10_000)
    opened = context.new_page()
    said = watched(opened)
    yield opened
    context.close()
    assert not said, said


def watched(page: Any) -> list[str]:
    """A list that grows by whatever goes wrong in a page: a test looks at it itself for pages that it opens."""
    said: list[str] = []
    page.on("console", lambda one: said.append(f"console: {one.text}") if one.type == "error" else None)
    page.on("pageerror", lambda error: said.append(f"uncaught: {error}"))

    def dialog(shown: Any) -> None:
        if shown.type != "beforeunload":
            said.append(f"dialog: {shown.message}")
        shown.accept()

    page.on("dialog", dialog)
    return said


def accessibility_faults(page: Any) -> list[str]:
    """The serious and critical faults that axe-core finds in a page as it stands, a line each with its first place."""
    if importlib.util.find_spec("axe_playwright_python") is None:
        pytest.skip("axe-core is not installed (axe-playwright-python)")
    page.evaluate(resources.files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']}: {one['help']}: {json.dumps(one['nodes'][0]['target'])} {one['nodes'][0].get('failureSummary')}"
        for one in found["violations"]
        if one["impact"] in SERIOUS
    ]
