"""Pictures of the pages for the docs, by a real browser: `python docs/pictures/make_pages.py [--images UCMERCED]`.

Writes `review-page.png` and `review-page-dark.png` beside this file: the review page of the groups that the bank gives
for satellite imagery, with images if a folder of them is named. Needs Playwright and a Chromium on the path.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

HERE = Path(__file__).parent
MOST_BYTES = 300_000


@contextmanager
def served(command: list[str], folder: str) -> Iterator[str]:
    """The address of a page while it is served."""
    environment = {**os.environ, "MOCOOP_STATE": folder}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stderr is not None
    try:
        yield next(found[0] for line in process.stderr if (found := re.search(r"http://\S+/", line)))
    finally:
        process.terminate()
        process.wait()
        process.stderr.close()


def review_page(browser: Any, folder: str, images: Path | None) -> None:
    """The review page with a card chosen, as one sees it by day and by night."""
    groups = str(Path(folder) / "groups.json")
    curator = [sys.executable, "-m", "mocoop.grouping.commands"]
    subprocess.run([*curator, "generate", "--domain", "satellite imagery", "-o", groups], check=True)
    options = ["--data", str(images), "--backbone", "photoclip", "--embedder", "sentence"] if images else []
    with served([*curator, "review", groups, "--web", "--no-browser", *options], folder) as address:
        for name, scheme in (("review-page.png", "light"), ("review-page-dark.png", "dark")):
            page = browser.new_page(viewport={"width": 1400, "height": 860}, color_scheme=scheme)
            page.goto(address)
            page.locator("#mapped svg").wait_for(timeout=300_000)
            if images:
                page.locator(".picture img").first.wait_for(timeout=600_000)
                page.wait_for_timeout(1500)
            page.get_by_role("button", name="a blocky satellite tile of {}.").first.click()
            page.locator(".near h3").first.wait_for(timeout=60_000)
            page.mouse.move(700, 840)
            shown = Image.open(io.BytesIO(page.screenshot()))
            shown.convert("RGB").quantize(256, method=Image.Quantize.FASTOCTREE).save(HERE / name, optimize=True)
            page.close()
            size = (HERE / name).stat().st_size
            print(f"{name}: {size:,} bytes")
            assert size < MOST_BYTES, "make the window smaller"


def main() -> None:
    """Make all pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, help="a folder of class folders, such as UC Merced's")
    given = parser.parse_args()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver, tempfile.TemporaryDirectory() as folder:
        program = shutil.which("chromium") or shutil.which("google-chrome")
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        review_page(browser, folder, given.images)
        browser.close()


if __name__ == "__main__":
    main()
