"""From a card's drop to its being drawn in the other group, on the review page, in a real browser.

    python benchmarks/review_page.py

A file of 64 groups of 200 templates, as large as one may be, is opened in headless Chromium by Playwright. Cards are
dragged by real mouse events; the page's own clock says how long it takes from the release of the button to the first
frame after the card stands in the other column, which includes the server's answer. Median and maximum in milliseconds.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from mocoop.files import write_json

ADJECTIVES = ("old", "new", "red", "dark", "pale", "wet", "dry", "huge", "tiny", "soft", "hard", "flat", "bent", "torn")

# Resolves with the milliseconds from the next release of the button to the frame after the card has come to a column.
TIMED = """group => {
  const list = document.querySelector(`.column[data-group="${group}"] .cards`);
  window.timed = new Promise((done) => {
    let began;
    addEventListener("pointerup", () => { began = performance.now(); }, { capture: true, once: true });
    const seen = new MutationObserver(() => {
      if (began === undefined) return;
      seen.disconnect();
      requestAnimationFrame(() => setTimeout(() => done(performance.now() - began)));
    });
    seen.observe(list, { childList: true });
  });
}"""


def document(groups: int, templates: int) -> dict[str, Any]:
    """A file in which no template is like another; the groups are full, but for a few places."""

    def text(group: int, number: int) -> str:
        words = f"{ADJECTIVES[number % 14]} {ADJECTIVES[number // 14 % 14]}"
        return f"a {words} view {group} number {number} of a {{}}."

    return {
        "schema_version": 1,
        "domain": "views",
        "groups": [
            {"id": f"g{group}", "templates": [text(group, number) for number in range(templates - 10 * (group % 2))]}
            for group in range(groups)
        ],
    }


def drops(page: Any, rounds: int) -> list[float]:
    """Milliseconds of each drop: from the first column to the second."""
    found = []
    for number in range(rounds):
        page.evaluate(TIMED, "g1")
        card = page.locator('.column[data-group="g0"] .card').nth(number % 3).bounding_box()
        target = page.locator('.column[data-group="g1"]').bounding_box()
        page.mouse.move(card["x"] + 30, card["y"] + 15)
        page.mouse.down()
        page.mouse.move(card["x"] + 60, card["y"] + 40, steps=3)
        page.mouse.move(target["x"] + 80, target["y"] + 200, steps=4)
        page.mouse.up()
        found.append(page.evaluate("window.timed"))
        page.wait_for_timeout(400)  # a person's hand; the rules are checked meanwhile
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", type=int, default=64)
    parser.add_argument("--templates", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=10, help="Drops; the second groups have room for 10.")
    given = parser.parse_args()
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        path = Path(folder) / "groups.json"
        write_json(path, document(given.groups, given.templates))
        command = [sys.executable, "-m", "mocoop.grouping.commands", "review", str(path), "--web", "--no-browser"]
        state = {**os.environ, "MOCOOP_STATE": folder}
        server = subprocess.Popen([*command, "--lexical"], stderr=subprocess.PIPE, text=True, env=state)
        assert server.stderr is not None
        address = next(filter(None, (re.search(r"http://\S+/", line) for line in server.stderr)))[0]
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.goto(address)
        page.locator(".column:nth-child(2) .card").first.wait_for()
        page.wait_for_timeout(8000)  # the first check of 12,800 templates
        opened = page.evaluate("performance.getEntriesByType('navigation')[0].domInteractive")
        times = drops(page, given.rounds)
        browser.close()
        server.terminate()
        server.wait()
    size = f"{given.groups} groups of {given.templates} templates"
    print(
        f"{size}: drop to drawn {statistics.median(times):.0f} ms median, {max(times):.0f} ms at most of {len(times)}"
    )
    print("each:", " ".join(f"{one:.0f}" for one in times), f"ms; page interactive after {opened:.0f} ms")


if __name__ == "__main__":
    main()
