"""Predictions as a table and as a page: flat, harmless, bounded, the least sure first."""

from __future__ import annotations

import csv
import re

import pytest
from datafiles import put_image

from mocoop.reporting import predictions
from mocoop.reporting.predictions import COLUMNS, write_page, write_table

ROW = {
    "path": "a.png", "class": "dog", "probability": 0.625, "set": ["dog", "sea snake"], "unsure": True,
    "top_k": [{"class": "dog", "probability": 0.625}, {"class": "sea snake", "probability": 0.25}],
    "experts": [{"id": "plain", "weight": 0.75}, {"id": "night", "weight": 0.25}], "trained_on": True,
}  # fmt: skip
BAD = {"path": "b.png", "error": "the file is empty"}
BARE = {"path": "c.png", "class": "dog", "probability": 0.5, "top_k": [{"class": "dog", "probability": 0.5}]}


def summary_of(rows):
    read = [row for row in rows if "error" not in row]
    failed = [row for row in rows if "error" in row]
    return {
        "images": len(rows), "failed": len(failed), "trained_on": 0, "classes": {"dog": len(read), "cat": 0},
        "mean_probability": {"dog": 0.5, "cat": None}, "first_failed": failed[:20],
    }  # fmt: skip


def test_the_table_is_flat(tmp_path):
    write_table([ROW, BAD, BARE], tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
        header, *lines = csv.reader(file)
    assert tuple(header) == COLUMNS
    assert lines == [
        ["a.png", "dog", "0.625000", "sea snake", "0.250000", "dog; sea snake", "yes", "plain", "0.750000", "yes", ""],
        ["b.png", *[""] * 9, "the file is empty"],
        ["c.png", "dog", "0.500000", *[""] * 8],
    ]


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", " =1", "a\nb", 'a"b,c', "\u202e"])
def test_no_cell_is_a_formula_or_breaks_a_line(text, tmp_path):
    write_table([{**ROW, "path": text, "class": text, "set": [text]}], tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
        header, cells = csv.reader(file)
    assert len(cells) == len(header)
    assert not any(cell.lstrip().startswith(("=", "+", "-", "@")) or "\n" in cell for cell in cells)


def page_of(rows, out, paths=None):
    write_page(zip(paths or [None] * len(rows), rows, strict=True), summary_of(rows), out, title="Some <images>")
    return out.read_text(encoding="utf-8")


def test_the_page_has_the_least_sure_first_and_no_script(tmp_path):
    rows = [{**ROW, "path": f"{n}.png", "probability": (n * 7 % 10) / 10 + 0.05} for n in range(10)]
    paths = [put_image(tmp_path / f"{n}.png", n) for n in range(10)]
    paths[3].unlink()  # gone since
    page = page_of([*rows, BAD], tmp_path / "out.html", [*paths, tmp_path / "b.png"])
    order = [str(n) for n in sorted(range(10), key=lambda n: n * 7 % 10)]
    assert re.findall(r"<td[^>]*>(\d)\.png</td>", page) == order
    assert re.findall(r'alt="(\d)\.png:', page) == [n for n in order if n != "3"]
    assert page.count("data:image/jpeg;base64,") == 9
    assert "<script" not in page
    assert "Some &lt;images&gt;" in page
    assert "the file is empty" in page


def test_words_of_strangers_are_text(tmp_path):
    bad = "<script>alert(1)</script>"
    path = put_image(tmp_path / "<img src=x onerror=alert(1)>.png", 0)
    row = {**ROW, "path": str(path), "class": bad, "set": [bad]}
    page = page_of([row, {"path": bad, "error": bad}], tmp_path / "out.html", [path, None])
    assert "<script" not in page
    assert "<img src=x" not in page


def test_of_very_many_rows_a_page_keeps_the_least_sure_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(predictions, "MOST_ROWS", 30)
    monkeypatch.setattr(predictions, "MOST_PICTURES", 2)
    path = put_image(tmp_path / "a.png", 0)
    most, alive = 0, []

    class Counted(dict):
        def __init__(self, *given):
            super().__init__(*given)
            alive.append(1)

        def __del__(self):
            alive.pop()

    def rows():
        nonlocal most
        for n in range(3000):
            yield path, Counted({**ROW, "path": f"{n}.png", "probability": 1 - n / 3000})
            most = max(most, len(alive))

    summary = summary_of([ROW] * 3000)
    write_page(rows(), summary, tmp_path / "out.html", title="Many")
    page = (tmp_path / "out.html").read_text()
    assert most < 40
    assert re.findall(r"<td[^>]*>(\d+)\.png</td>", page) == [str(n) for n in range(2999, 2969, -1)]
    assert "the 30 least sure of 3,000; a .csv, .jsonl or .parquet has all" in page
    assert page.count("<img ") == 2
    assert "The 2 least sure are shown." in page
