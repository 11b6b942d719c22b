"""What the tests of pages rely on: a real browser tells what goes wrong in a page, and axe-core what few can use."""

from __future__ import annotations

import pytest
from browser import accessibility_faults, browser, page, watched  # noqa: F401

pytestmark = pytest.mark.browser


def test_errors_dialogs_and_faults_of_a_page_are_seen(page, browser):  # noqa: F811
    page.set_content("<!doctype html><html lang=en><title>good</title><main><h1>Good</h1></main></html>")
    assert accessibility_faults(page) == []
    context = browser.new_context()
    other = context.new_page()
    said = watched(other)
    other.set_content("<title>bad</title><img src='data:,'><script>console.error('told'); alert('stop')</script>")
    other.evaluate("setTimeout(() => { throw new Error('thrown') })")
    other.wait_for_timeout(100)
    assert [line.split(":")[0] for line in said if "told" in line or "stop" in line or "thrown" in line] == [
        "console",
        "dialog",
        "uncaught",
    ]
    assert any(line.startswith("image-alt") for line in accessibility_faults(other))
    context.close()
