"""The page holds everything, runs nothing, and can be found through by its contents."""

from __future__ import annotations

import re

import pytest
from result_rows import drawn_rows

from mocoop.reporting.comparison import comparison
from mocoop.reporting.document import Document, Section, Table, Tiles, Words
from mocoop.reporting.page import html


@pytest.fixture(scope="module")
def page():
    rows = drawn_rows(protocols=("base-to-new", "few-shot"), ablations=("lambda-text",), shots=(1, 16))
    return html(comparison(rows))


def test_contents_lead_to_every_section(page):
    links = re.findall(r'<a href="#([^"]+)">([^<]+)</a>', page)
    headings = re.findall(r'<h2 id="([^"]+)">([^<]+)</h2>', page)
    assert links == headings
    assert len(dict(links)) == len(links) > 5
    assert page.index("<nav") < page.index("<h2")


def test_nothing_is_loaded_and_nothing_runs(page):
    assert "<script" not in page
    assert not re.findall(r'(?:src|href)="(?!data:image/svg\+xml;base64,|#)', page)
    assert "default-src 'none'" in page
    assert "color-scheme: light dark" in page
    assert 'name="viewport"' in page


def test_every_picture_is_described(page):
    images = re.findall(r"<img ([^>]*)>", page)
    assert len(images) > 5
    assert all(re.match(r'alt="[^"]{10,}" src="data:', image) for image in images)


def test_an_empty_cell_is_empty():
    table = Table("t", ("a", "b"), (("x", None),), "caption")
    page = html(Document("d", [Section("s", "S", [table, Words("w", "note"), Tiles(())])]))
    assert "<tr><td>x</td><td></td></tr>" in page
    assert '<p class="note" role="note">w</p>' in page
