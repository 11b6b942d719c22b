"""The page in a real browser: looked at by mouse and by keyboard, as it is served and as one file."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from browser import accessibility_faults, browser, page  # noqa: F401
from hostile import MARKUP, SCRIPT

from mocoop.looking.onefile import one_file
from mocoop.looking.pictures import SIDES, jpeg_copy

pytestmark = pytest.mark.browser
PANELS = ("", "view=use", "view=confusion", "view=experts")


@pytest.fixture(scope="module")
def on_disk(looked, tmp_path_factory):
    """The address of the page as one file."""
    paths = [example.path for example in looked.result.examples]
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(one_file(looked.content, lambda n: jpeg_copy(paths[n], looked.run.reading, SIDES["small"])))
    return path.as_uri()


@pytest.fixture(scope="module")
def served(world, tmp_path_factory):
    """`mocoop show --web` on a copy of the pictures; Ctrl-C ends it."""
    photos = shutil.copytree(world["data"], tmp_path_factory.mktemp("served") / "photos")
    command = [sys.executable, "-m", "mocoop", "show", world["run"].path, "--data", photos, "--web", "--no-browser"]
    process = subprocess.Popen(
        [*map(str, command), "--device", "cpu", "--no-cache", "--threads", "1", "--coverage", "0.8"],
        stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    said = []
    for line in process.stderr:
        said.append(line)
        if found := re.search(r"look at (http://127\.0\.0\.1:\d+/\S+/) \(Ctrl-C ends it\)", line):
            break
    else:
        raise AssertionError("".join(said))
    yield SimpleNamespace(address=found[1], photos=photos, process=process)
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)


def opened(page, address, *parts):  # noqa: F811
    page.goto(f"{address}#{'&'.join(parts)}")
    settled(page)


def settled(page):  # noqa: F811
    """Wait until the page has heard of its new address."""
    page.wait_for_selector("#tabs button")
    page.evaluate("new Promise((done) => setTimeout(() => requestAnimationFrame(done)))")


def cards(page):  # noqa: F811
    return page.locator("#gallery .card")


def counted(page):  # noqa: F811
    return int(re.match(r"[\d,]+", page.locator("#count").text_content())[0].replace(",", ""))


def picked(page, name, value):  # noqa: F811
    page.locator(f"#filters [name={name}]").select_option(value)


def numbers(looked, test):
    """The images for which something holds: of label, answer, first expert and "not sure"."""
    images = looked.content["images"]
    firsts = [weights.index(max(weights)) for weights in images["gate"]]
    rows = zip(images["label"], images["guess"], firsts, images["unsure"], strict=True)
    return [n for n, row in enumerate(rows) if test(*row)]


def test_filters_work_together_and_stay_in_the_address(page, on_disk, looked):  # noqa: F811
    opened(page, on_disk)
    classes = looked.content["classes"]
    said = Counter(looked.content["images"]["guess"]).most_common(1)[0][0]
    picked(page, "said", classes[said])
    assert counted(page) == len(numbers(looked, lambda _, guess, *__: guess == said))
    picked(page, "answer", "wrong")
    wrong = numbers(looked, lambda label, guess, *_: guess == said != label)
    assert counted(page) == len(wrong)
    picked(page, "sure", "no")
    both = numbers(looked, lambda label, guess, _, unsure: guess == said != label and unsure)
    assert counted(page) == len(both)
    link = page.url
    page.reload()
    settled(page)
    assert (page.url, counted(page)) == (link, len(both))
    page.go_back()
    settled(page)
    assert counted(page) == len(wrong)
    page.get_by_role("button", name="Show all").click()
    assert counted(page) == len(looked.result.examples)
    first = looked.content["experts"][0]["id"]
    picked(page, "expert", first)
    assert counted(page) == len(numbers(looked, lambda _, __, expert, ___: expert == 0))
    picked(page, "sort", "unsure")
    shown = [float(text.split()[0]) for text in page.locator("#gallery .answer .number").all_text_contents()]
    assert shown == sorted(shown)


def test_a_cell_of_the_confusion_matrix_opens_its_images(page, on_disk, looked):  # noqa: F811
    opened(page, on_disk, "view=confusion")
    images, classes = looked.content["images"], looked.content["classes"]
    counts = Counter(zip(images["label"], images["guess"], strict=True))
    shown = page.locator("#panel-confusion .cell button")
    assert sorted(map(int, shown.all_text_contents())) == sorted(counts.values())
    (label, said), count = next((pair, n) for pair, n in counts.items() if pair[0] != pair[1])
    page.get_by_role("button", name=f"{classes[label]} taken for {classes[said]}: ").click()
    assert counted(page) == count
    assert cards(page).count() == count
    names = {images["name"][n] for n in numbers(looked, lambda a, b, *_: (a, b) == (label, said))}
    told = cards(page).evaluate_all("all => all.map((one) => one.getAttribute('aria-label'))")
    assert {one.split(", said ")[0] for one in told} == names


def test_a_cell_of_expert_use_opens_its_images(page, on_disk, looked):  # noqa: F811
    opened(page, on_disk, "view=use")
    (label, expert), count = Counter(
        (looked.content["images"]["label"][n], e)
        for e in range(3)
        for n in numbers(looked, lambda _, __, first, ___, e=e: first == e)
    ).most_common(1)[0]
    name, one = looked.content["classes"][label], looked.content["experts"][expert]["id"]
    page.get_by_role("button", name=f"{name}, {one}: ").click()
    assert counted(page) == count
    page.go_back()
    settled(page)
    for measure, values in (("weight", "gate"), ("reference", "reference")):
        page.locator("#panel-use select").select_option(measure)
        weights = [row[0] for row in looked.content["images"][values]]
        shown = page.locator("#panel-use .total .cell button").first.text_content()
        assert shown == f"{100 * sum(weights) / len(weights):.0f} %"


def test_an_image_in_full_by_mouse_and_by_keyboard(page, on_disk, looked):  # noqa: F811
    opened(page, on_disk)
    images, content = looked.content["images"], looked.content
    cards(page).nth(1).click()
    dialog = page.locator("#detail[open]")
    assert dialog.locator("h2").text_content() == images["name"][1]
    shown = dialog.locator("table.bars").nth(1).locator("tbody td.number").all_text_contents()
    pairs = zip(images["gate"][1], images["reference"][1], strict=True)
    assert shown == [f"{100 * weight:.1f} %" for pair in pairs for weight in pair]
    assert dialog.locator(".templates li").all_text_contents() == [
        text
        for _, one in sorted(zip(images["gate"][1], content["experts"], strict=True), key=lambda pair: -pair[0])
        for text in one["templates"]
    ]
    held = ", ".join(content["classes"][c] for c in images["set"][1])
    assert f"Cannot be ruled out (80 %): {held}" in dialog.text_content()
    page.keyboard.press("ArrowRight")
    assert dialog.locator("h2").text_content() == images["name"][2]
    assert "image=2" in page.url
    page.keyboard.press("Escape")
    assert page.locator("#detail[open]").count() == 0
    focused = "document.activeElement.getAttribute('aria-label')"
    assert page.evaluate(focused).startswith(f"{images['name'][2]}, ")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowDown")
    down = page.evaluate(focused)
    page.keyboard.press("Home")
    assert page.evaluate(focused).startswith(f"{images['name'][0]}, ")
    assert not down.startswith(f"{images['name'][1]}, ")
    page.keyboard.press("Enter")
    assert dialog.locator("h2").text_content() == images["name"][0]
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.keyboard.type("script")
    assert counted(page) == 1
    page.keyboard.press("Tab")
    page.keyboard.press("?")
    assert page.locator("#help[open]").count() == 0, "a key of a field is the field's"
    page.locator("h1").click()
    page.keyboard.press("?")
    assert "Keys" in page.locator("#help[open] h2").text_content()
    assert "undefined" not in page.locator("#help").text_content()
    told = page.locator("#summary").text_content()
    assert re.search(
        r"[\d.]+ classes not ruled out on average, the right one among them for [\d.]+ % \(80 % asked\)", told
    )
    page.keyboard.press("Escape")
    page.keyboard.press("4")
    assert page.locator("#panel-experts").is_visible()


def test_the_file_opens_from_disk_and_asks_for_nothing(page, on_disk, looked):  # noqa: F811
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    for part in PANELS:
        opened(page, on_disk, part)
    opened(page, on_disk, "image=0")
    assert {url.split(":")[0] for url in asked} <= {"file", "data"}
    assert page.locator("#detail form").count() == 0, "labels are corrected where they are served"
    assert page.locator("#filters [name=corrected]").count() == 0
    loaded = page.locator("#gallery img").evaluate_all("all => all.every((one) => one.naturalWidth > 0)")
    assert loaded


def test_hostile_names_show_as_text(page, on_disk):  # noqa: F811
    opened(page, on_disk, "view=experts")
    text = page.locator("#panel-experts").text_content()
    assert f"Plain {MARKUP}" in text
    assert f"a {MARKUP} picture of a {{}}." in text
    opened(page, on_disk, "search=script")
    cards(page).first.click()
    assert page.locator("#detail h2").text_content() == f"dog/{SCRIPT}"
    opened(page, on_disk, "view=confusion")
    assert page.locator("#panel-confusion tbody th").first.text_content() == f"{MARKUP} & co"
    assert page.locator("img[src=x], main script").count() == 0


@pytest.mark.parametrize(
    ("scheme", "parts"), [("light", (*PANELS, "image=1")), ("dark", ("view=confusion", "image=1"))]
)
def test_axe_finds_no_serious_fault(page, on_disk, scheme, parts):  # noqa: F811
    page.emulate_media(color_scheme=scheme)
    for part in parts:
        opened(page, on_disk, part)
        assert accessibility_faults(page) == [], part


def test_a_link_that_makes_no_sense_shows_what_can_be_shown(page, on_disk, looked):  # noqa: F811
    everything = len(looked.result.examples)
    for part in ("view=constructor", "sort=constructor", "view=use&measure=constructor", "image=999", "image=x"):
        opened(page, on_disk, part)
        page.reload()
        settled(page)
        assert counted(page) == everything, part
        assert page.locator("dialog[open]").count() == 0
    opened(page, on_disk, "class=elk")
    assert counted(page) == 0
    assert page.locator("#filters [name=class]").input_value() == "elk"
    picked(page, "class", "")
    assert counted(page) == everything


def test_a_narrow_window_does_not_scroll_sideways(page, on_disk):  # noqa: F811
    page.set_viewport_size({"width": 320, "height": 640})  # as at 400 % of 1280
    for part in (*PANELS, "image=1"):
        opened(page, on_disk, part)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), part


@pytest.fixture(scope="module")
def large(looked, tmp_path_factory):
    """The address of a page of 5,000 images, 70 classes with long names, and 64 experts with long templates."""
    rng = np.random.default_rng(1)
    gates = rng.dirichlet(np.ones(64), 5000).round(4).tolist()
    labels, guesses = rng.integers(0, 70, 5000).tolist(), rng.integers(0, 70, 5000).tolist()
    expert = looked.content["experts"][1]
    content = {
        **looked.content,
        "classes": [f"class {c} {'with_a_long_name ' * 8}" for c in range(70)],
        "experts": [
            {**expert, "id": f"expert_{e}", "templates": ["a long photo of a {} " * 9] * 200} for e in range(64)
        ],
        "images": {
            "name": [f"folder/{n}.png" for n in range(5000)],
            "picture": [0] * 5000,
            "label": labels,
            "guess": guesses,
            "top": [[[guess, 0.5], [(guess + 1) % 70, 0.2]] for guess in guesses],
            "truth": [0.1] * 5000,
            "set": [[guess, *range(0, 70, 7)] for guess in guesses],
            "unsure": [0] * 5000,
            "gate": gates,
            "reference": gates[::-1],
        },
    }
    path = tmp_path_factory.mktemp("large") / "page.html"
    path.write_text(one_file(content, lambda _: None))
    return SimpleNamespace(address=path.as_uri(), labels=labels, guesses=guesses)


def test_a_gallery_far_below_the_window_can_be_reached(page, on_disk):  # noqa: F811
    page.set_viewport_size({"width": 200, "height": 120})  # as at a large zoom
    opened(page, on_disk)
    assert page.evaluate("gallery.getBoundingClientRect().top") > 1100
    assert page.locator("#gallery .card[tabindex='0']").count() == 1


def test_of_thousands_of_images_only_those_in_sight_are_there(page, large):  # noqa: F811
    """How quick that is stands in docs/routing-page.md."""
    opened(page, large.address)
    assert counted(page) == 5000
    assert 0 < cards(page).count() < 200
    cards(page).first.focus()
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.parentElement.getAttribute('aria-posinset')") == "5000"
    assert 0 < cards(page).count() < 200
    for width, height in ((1280, 800), (320, 200)):  # at the top again
        page.set_viewport_size({"width": width, "height": height})
        page.keyboard.press("/")
        page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        for _ in range(7):  # over the filters, to a card
            page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className.split(' ')[0]") == "card"
    page.set_viewport_size({"width": 1280, "height": 800})
    picked(page, "answer", "right")
    pairs = zip(large.labels, large.guesses, strict=True)
    assert counted(page) == sum(label == guess for label, guess in pairs)
    assert 0 < cards(page).count() < 200
    for part in (*PANELS, "image=4999"):
        opened(page, large.address, part)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), part
    assert page.locator("#detail .templates").count() == 64


def test_of_many_classes_those_with_most_mistakes_are_in_the_matrix(page, large):  # noqa: F811
    opened(page, large.address, "view=confusion")
    panel = page.locator("#panel-confusion")
    assert panel.locator("tbody tr").count() == 60
    assert "The 60 classes with most mistakes, of 70." in panel.text_content()
    wrong = [0] * 70
    for label, guess in zip(large.labels, large.guesses, strict=True):
        for c in (label, guess):
            wrong[c] += label != guess
    kept = sorted(sorted(range(70), key=lambda c: -wrong[c])[:60])
    shown = panel.locator("tbody th").all_text_contents()
    assert [int(name.split()[1]) for name in shown] == kept


def test_a_label_is_corrected_by_clicking(page, browser, served, looked):  # noqa: F811
    """Last: it ends the server."""
    opened(page, served.address, "answer=wrong")
    wrong = counted(page)
    cards(page).first.click()
    dialog = page.locator("#detail[open]")
    name = dialog.locator("h2").text_content()
    image = looked.content["images"]["name"].index(name)
    said = looked.content["classes"][looked.content["images"]["guess"][image]]
    assert dialog.locator("img").evaluate("one => one.decode().then(() => one.naturalWidth > 0)")
    dialog.locator("select").select_option(label=said)
    dialog.get_by_role("button", name="Correct the label").click()
    page.wait_for_selector("#detail .verdict.right")
    assert f"1 of {wrong}" in dialog.text_content(), "whoever goes from image to image keeps the list"
    page.keyboard.press("Escape")
    settled(page)
    assert counted(page) == wrong - 1
    assert "right with 1 label corrected" in page.locator("#summary").text_content()
    with (served.photos.parent / "photos-corrections.csv").open(newline="") as file:
        _, line = csv.reader(file)
    assert line[0] == f"photos/test/{name}".replace("\\u202e", "\u202e")
    opened(page, served.address, "corrected=yes")
    page.reload()
    settled(page)
    assert counted(page) == 1
    cards(page).first.click()
    dialog.get_by_role("button", name="Take it back").click()
    page.wait_for_selector("#detail .verdict.wrong")
    assert (served.photos.parent / "photos-corrections.csv").read_text().count("\n") == 1
    dialog.locator("select").select_option(label=said)
    dialog.get_by_role("button", name="Correct the label").click()
    page.wait_for_selector("#detail .verdict.right")
    other = browser.new_context().new_page()  # another tab, which sees what the first has done
    opened(other, served.address, "image=0")
    assert "right with 1 label corrected" in other.locator("#summary").text_content()
    dialog.get_by_role("button", name="Take it back").click()
    page.wait_for_selector("#detail .verdict.wrong")
    other.evaluate("dispatchEvent(new Event('focus'))")
    other.locator("#summary", has_not_text="corrected").wait_for()
    dialog.locator("select").select_option(label=said)
    dialog.get_by_role("button", name="Correct the label").click()
    page.wait_for_selector("#detail .verdict.right")
    served.process.send_signal(signal.SIGINT)
    _, told = served.process.communicate(timeout=30)
    assert served.process.returncode == 0
    assert told.splitlines()[-2:] == [
        f"1 label corrected: {served.photos.parent / 'photos-corrections.csv'}",
        f"the whole data set with it: --data {served.photos.parent / 'photos-corrected.csv'}",
    ]
    other.get_by_role("button", name="Correct the label").click()
    other.locator("#message", has_text="not corrected: the server has ended").wait_for()


def test_the_content_of_the_file_is_json(on_disk):
    """So that other programs can read it."""
    from pathlib import Path
    from urllib.parse import unquote, urlsplit

    text = Path(unquote(urlsplit(on_disk).path)).read_text()
    found = json.loads(re.search(r'<script type="application/json" id="content">(.*?)</script>', text)[1])
    assert found["format"] == 1
