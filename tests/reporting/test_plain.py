"""Markdown, CSV and the page have the same tables with the same digits, whatever text they are given."""

from __future__ import annotations

import csv
import html.parser
import io
import re

import pytest
from result_rows import drawn_rows

from mocoop.reporting.comparison import comparison
from mocoop.reporting.document import Document, Number, Section, Table, Words
from mocoop.reporting.page import html as page
from mocoop.reporting.plain import csv_text, markdown

HOSTILE = "<script>alert(1)</script> | `x` [a](b) *s* \x1b[31m\n=1+1"


class Tables(html.parser.HTMLParser):
    """Every table of a page as rows of texts, its heading first."""

    def __init__(self, text):
        super().__init__()
        self.tables, self._entry = [], None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self._entry = ""

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.tables[-1][-1].append(self._entry)
            self._entry = None

    def handle_data(self, data):
        if self._entry is not None:
            self._entry += data


def markdown_tables(text):
    """The same of Markdown."""
    tables = []
    for block in re.findall(r"(?:^\|.*\|\n?)+", text, flags=re.MULTILINE):
        rows = [re.split(r" (?<!\\)\| ", f" {line[1:-1].strip()} ") for line in block.splitlines()]
        plain = [[_unescaped(entry.strip()) for entry in row] for row in rows]
        tables.append([plain[0], *plain[2:]])
    return tables


def _unescaped(text):
    text = re.sub(r"\\([\\`*_\[\]|~#$])", r"\1", text)
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


@pytest.fixture(scope="module")
def document():
    rows = drawn_rows(protocols=("base-to-new", "few-shot"), ablations=("top-k",), shots=(1, 16))
    return comparison(rows[:-4])


def test_all_three_forms_have_the_same_tables(document):
    on_page, in_markdown = Tables(page(document)).tables, markdown_tables(markdown(document))
    assert len(on_page) == len(document.tables()) > 5
    assert in_markdown == on_page
    in_csv = {(one["table"], one["row"], one["column"]): one for one in csv.DictReader(io.StringIO(csv_text(document)))}
    count = 0
    for table, (head, *rows) in zip(document.tables(), on_page, strict=True):
        for place, row in enumerate(rows, start=1):
            for column, text in zip(head, row, strict=True):
                one = in_csv.get((table.name, str(place), column))
                assert (one is None) == (text == "")
                if one is not None:
                    count += 1
                    shown = f"{one['value']} ± {one['deviation']}" if one["deviation"] else one["value"]
                    assert shown.removeprefix("'") == text.removesuffix("†")  # the mark of a footnote is no number
    assert count == len(in_csv)


def test_whatever_comes_in_is_text_on_one_line():
    table = Table("t", (HOSTILE, "b"), ((HOSTILE, Number(1.0)), ("-", Number(-0.5, signed=True))), HOSTILE)
    document = Document(HOSTILE, [Section("s", HOSTILE, [Words(HOSTILE, "note"), table])])
    said = markdown(document)
    assert "<script" not in said
    assert "\x1b" not in said
    assert all(line.startswith(("#", ">", "|")) or not line or "script" in line for line in said.splitlines())
    head, first, _ = markdown_tables(said)[0]
    assert head[0] == first[0] == HOSTILE.replace("\x1b", "\\x1b").replace("\n", "\\n")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", " =1", "\t=1"])
def test_no_spreadsheet_takes_text_for_a_formula(text):
    table = Table("t", ("a",), ((text,),), "")
    line = next(csv.DictReader(io.StringIO(csv_text(Document("d", [Section("s", "s", [table])])))))
    assert not line["value"].lstrip().startswith(("=", "+", "-", "@"))


def test_numbers_are_numbers_in_csv():
    table = Table("t", ("a", "b"), ((Number(-1.005, 0.5), Number(2.0, signed=True)), (None, "-")), "")
    lines = list(csv.reader(io.StringIO(csv_text(Document("d", [Section("s", "s", [table])])))))
    assert lines[1:] == [["t", "1", "a", "-1.00", "0.50"], ["t", "1", "b", "+2.00", ""], ["t", "2", "b", "-", ""]]
