"""A report is one page that holds everything and runs nothing, whatever it is told."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser

import pytest
from datafiles import put_image

from mocoop.errors import StorageError, UsageError
from mocoop.reporting.html import Report

HOSTILE = '<script>alert("x")</script> & <img src=x onerror=alert(1)> \'"'


class Page(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.text = [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def picture(tmp_path):
    return put_image(tmp_path / "tile.png")


def hostile_report(picture):
    return (
        Report(HOSTILE)
        .heading(HOSTILE)
        .paragraph(HOSTILE)
        .note(HOSTILE)
        .code(HOSTILE)
        .table([HOSTILE], [[HOSTILE]], HOSTILE)
        .picture(picture, HOSTILE)
        .tiles([(picture, HOSTILE)])
    )


def test_whatever_comes_in_is_text(picture):
    page = Page(hostile_report(picture).html())
    assert page.all("script") == []
    assert len(page.all("img")) == 2
    assert all(image["alt"] == HOSTILE and set(image) == {"alt", "src"} for image in page.all("img"))
    assert sum(HOSTILE in text for text in page.text) == 11  # each part, and the title twice


def test_a_report_holds_everything_and_loads_nothing(picture):
    html = hostile_report(picture).html()
    page = Page(html)
    assert "http:" not in html
    assert "https:" not in html
    assert page.all("link") == []
    assert "url(" not in html
    assert "@import" not in html
    policy = next(meta["content"] for meta in page.all("meta") if "http-equiv" in meta)
    assert policy.startswith("default-src 'none'")
    kind, _, data = page.all("img")[0]["src"].partition(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(data) == picture.read_bytes()


def test_characters_that_html_cannot_hold_become_visible(picture):
    html = Report("a\x00b\x1b\u202e\udcff").code("one\n\ttwo").html()
    assert r"a\x00b\x1b\u202e\udcff" in html
    assert "one\n\ttwo" in html
    html.encode()


@pytest.mark.parametrize("row", [["a"], ["a", "b", "c"], []])
def test_a_ragged_row_is_refused(row):
    with pytest.raises(ValueError, match="must have 2 cells"):
        Report("r").table(["one", "two"], [["a", "b"], row])


def test_numbers_are_set_right_and_words_are_not():
    html = Report("r").table(["name", "share"], [["plain", "12.5 ± 1"], ["none", "-"]]).html()
    assert '<th scope="col">name</th><th scope="col" class="number">share</th>' in html
    assert '<td class="number">12.5 ± 1</td>' in html


def test_a_written_report_is_the_page(tmp_path):
    report = Report("Käse").paragraph("über")
    assert report.write(tmp_path / "report.html").read_text(encoding="utf-8") == report.html()
    assert re.match(r"<!doctype html>\n<html lang=\"en\">", report.html())


def test_pictures_that_cannot_be_shown_or_read_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"loss\.pdf cannot be shown"):
        Report("r").picture(tmp_path / "loss.pdf", "losses")
    with pytest.raises(StorageError, match=r"cannot read .*missing\.png"):
        Report("r").tiles([(tmp_path / "missing.png", "tile")])
