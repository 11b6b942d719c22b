"""How quick the page of `mocoop show` is in a browser with thousands of images, and its pictures for the docs.

The page of RUN on the test images of DATA is written as one file; its images are repeated until they are as many as
asked for, without pictures. In headless Chromium, a process of its own on the same machine, each action is done several
times and measured in the page itself, from the action to the second frame after it, by when it is drawn; the median and
the largest are shown, in milliseconds. With --pictures the page is served as with --web and photographed.

    python benchmarks/routing_page.py RUN DATA [--class-names FILE] [--images 5000] [--times 15] [--pictures FOLDER]
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from mocoop import cli
from mocoop.looking.onefile import one_file

# An action in the page, as an expression, and how to undo it.
ACTIONS = {
    "filter: wrong answers": ("pick('answer', 'wrong')", "pick('answer', '')"),
    "filter: one class": (
        "pick('class', document.querySelector('[name=class]').options[1].value)",
        "pick('class', '')",
    ),
    "order: least sure first": ("pick('sort', 'unsure')", "pick('sort', '')"),
    "scroll to the middle": ("scrollTo(0, document.body.scrollHeight / 2)", "scrollTo(0, 0)"),
    "open an image": ("document.querySelector('#gallery .card').click()", "document.querySelector('#detail').close()"),
    "confusion matrix": (
        "document.querySelector('#tab-confusion').click()",
        "document.querySelector('#tab-images').click()",
    ),
    "experts by class": ("document.querySelector('#tab-use').click()", "document.querySelector('#tab-images').click()"),
}
TIMED = """async ([action, undo]) => {
  const pick = (name, value) => {
    const select = document.querySelector(`#filters [name=${name}]`);
    select.value = value;
    select.dispatchEvent(new Event("change"));
  };
  const frames = async () => { for (let n = 0; n < 2; n += 1) await new Promise(requestAnimationFrame); };
  const began = performance.now();
  ACTION;
  await frames();
  const took = performance.now() - began;
  UNDO;
  await frames();
  return took;
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--class-names", type=Path)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--times", type=int, default=15)
    parser.add_argument("--pictures", type=Path)
    options = parser.parse_args()
    names = ["--class-names", options.class_names] if options.class_names else []
    command = [sys.executable, "-m", "mocoop", "show", options.run, "--data", options.data, *names]
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        program = shutil.which("chromium") or shutil.which("google-chrome")
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        if options.pictures:
            with served(command) as address:
                photograph(browser, address, options.pictures)
        many = Path(folder) / "many.html"
        many.write_text(one_file(repeated(content_of(command, Path(folder)), options.images), lambda _: None))
        cli.show_table(("action", "median ms", "largest ms"), measure(browser, many, options.times))
        browser.close()


def content_of(command: list[Any], folder: Path) -> dict[str, Any]:
    """The content of the page, without its pictures."""
    out = folder / "page.html"
    subprocess.run([*map(str, command), "-o", str(out), "--most-images", "0"], check=True)
    found = re.search(r'<script type="application/json" id="content">(.*?)</script>', out.read_text())
    assert found is not None
    content: dict[str, Any] = json.loads(found[1])
    return content


def repeated(content: dict[str, Any], images: int) -> dict[str, Any]:
    """The same with so many images."""
    times = -(-images // len(content["images"]["name"]))
    columns = {name: (values * times)[:images] if values else values for name, values in content["images"].items()}
    return {**content, "images": columns, "notes": []}


def measure(browser: Browser, path: Path, times: int) -> Iterator[tuple[str, str, str]]:
    """A row for each action, and one for opening the file."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    opened = []
    for _ in range(times):
        page.goto("about:blank")
        page.goto(path.as_uri())
        page.wait_for_selector("#gallery .card")
        opened.append(page.evaluate("performance.now()"))
    yield row("open the file", opened)
    for name, (action, undo) in ACTIONS.items():
        timed = TIMED.replace("ACTION", action).replace("UNDO", undo)
        yield row(name, [page.evaluate(timed, [None, None]) for _ in range(times)])


def row(name: str, took: list[float]) -> tuple[str, str, str]:
    return name, f"{statistics.median(took):.0f}", f"{max(took):.0f}"


@contextmanager
def served(command: list[Any]) -> Iterator[str]:
    """The address of the page while it is served."""
    process = subprocess.Popen([*map(str, command), "--web", "--no-browser"], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        yield next(found[1] for line in process.stderr if (found := re.search(r"look at (\S+)", line)))
    finally:
        process.terminate()
        process.wait()
        process.stderr.close()


def photograph(browser: Browser, address: str, folder: Path) -> None:
    """The pictures of the docs: the gallery, an image in full, both tables and the experts."""
    shots = {
        "routing-gallery": ("light", "answer=wrong&sort=sure", 1280, 860),
        "routing-image": ("light", "answer=wrong&sort=sure", 1280, 860),
        "routing-use": ("light", "view=use", 1280, 860),
        "routing-confusion": ("dark", "view=confusion", 1280, 860),
        "routing-experts": ("dark", "view=experts", 1280, 860),
    }
    for name, (scheme, part, width, height) in shots.items():
        page: Page = browser.new_page(viewport={"width": width, "height": height})
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.goto(f"{address}#{part}")
        page.wait_for_selector("#tabs button")
        if name == "routing-image":
            page.locator("#gallery .card").nth(2).click()
        page.wait_for_load_state("networkidle")
        page.screenshot(path=folder / f"{name}.jpg", type="jpeg", quality=82)
        page.close()


if __name__ == "__main__":
    main()
