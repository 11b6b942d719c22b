"""A report as one self-contained HTML page, by mocoop/reporting/html.py."""

from __future__ import annotations

import tempfile
from pathlib import Path

from mocoop.reporting.document import Block, Document, Picture, Table, Tiles, Words
from mocoop.reporting.html import Report


def html(document: Document) -> str:
    """The page with its pictures drawn and embedded. Raises StorageError."""
    page = Report(document.title, wide=True)
    with tempfile.TemporaryDirectory() as folder:
        for section in document.sections:
            page.heading(section.title, section.anchor)
            for block in section.blocks:
                _add(page, block, Path(folder))
    return page.html()


def _add(page: Report, block: Block, folder: Path) -> None:
    if isinstance(block, Words):
        (page.note if block.kind == "note" else page.paragraph)(block.text)
    elif isinstance(block, Table):
        rows = [["" if entry is None else str(entry) for entry in row] for row in block.rows]
        page.table(block.columns, rows, block.caption)
    elif isinstance(block, Tiles):
        page.tiles(block.pictures)
    elif isinstance(block, Picture):
        page.picture(_drawn(block, folder), block.description)
    else:
        page.pictures([(_drawn(picture, folder), picture.description) for picture in block])


def _drawn(picture: Picture, folder: Path) -> Path:
    return picture.draw(folder / f"{picture.name}.svg")
