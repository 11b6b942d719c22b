"""A report as Markdown and as CSV: the same tables with the same digits as the page, without its pictures."""

from __future__ import annotations

import csv
import io
import re

from mocoop.cli import printable
from mocoop.reporting.document import Document, Entry, Number, Table, Words

_MARKUP = re.compile(r"([\\`*_\[\]|~#$])")
_FORMULA = ("=", "+", "-", "@")  # spreadsheets run cells that start with these


def markdown(document: Document) -> str:
    """Text and tables; pictures are only in the page."""
    parts = [f"# {_escaped(document.title)}"]
    for section in document.sections:
        parts.append(f"## {_escaped(section.title)}")
        for block in section.blocks:
            if isinstance(block, Words):
                parts.append(f"> {_escaped(block.text)}" if block.kind == "note" else _escaped(block.text))
            elif isinstance(block, Table):
                parts.append(_markdown_table(block))
    return "\n\n".join(parts) + "\n"


def csv_text(document: Document) -> str:
    """A line per entry of each table: table, row, column, value, deviation. Entries not measured have no line."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("table", "row", "column", "value", "deviation"))
    for table in document.tables():
        for place, row in enumerate(table.rows, start=1):
            for column, entry in zip(table.columns, row, strict=True):
                if entry is not None:
                    writer.writerow((harmless(table.name), place, harmless(column), *_value(entry)))
    return out.getvalue()


def _markdown_table(table: Table) -> str:
    lines = [[_escaped(column) for column in table.columns], ["---"] * len(table.columns)]
    lines += [[_escaped("" if entry is None else str(entry)) for entry in row] for row in table.rows]
    drawn = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{_escaped(table.caption)}\n\n{drawn}"


def _escaped(text: str) -> str:
    """Text escaped for Markdown, on one line."""
    marked = _MARKUP.sub(r"\\\1", printable(text))
    return marked.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _value(entry: Entry) -> tuple[str, str]:
    if isinstance(entry, Number):
        return entry.value_text, entry.deviation_text
    return harmless(str(entry)), ""


def harmless(text: str) -> str:
    """Text on one line that no spreadsheet treats as a formula."""
    text = printable(text)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) and text != "-" else text
