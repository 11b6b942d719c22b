"""One self-contained HTML page: headings, text, tables, pictures and commands, added from top to bottom.

All input is text: it is escaped, never taken as HTML. Pictures are embedded, so that the file can be mailed, and the
page runs no script and loads nothing; its content security policy forbids both. A report's content is not here.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Sequence
from pathlib import Path

from mocoop.cli import printable
from mocoop.errors import UsageError
from mocoop.files import atomic_write, os_error

_TYPES = {
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
}

_NUMBER = re.compile(r"[+-]?\d")
_NO_NUMBER = ("-", "cannot")  # entries of a column of numbers without a number

_STYLE = """
:root { color-scheme: light dark; --line: #8886; --soft: #8881; --note: #0072b2; }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { line-height: 1.2; overflow-wrap: anywhere; } h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto; }
th, td { padding: .3rem .8rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
td.number { white-space: nowrap; }
.wide { max-width: 84rem; } .wide p { max-width: 60rem; }
.wide th, .wide td { padding: .25rem .6rem; font-size: .9rem; }
.wide td:first-child, .wide th:first-child { position: sticky; left: 0; background: Canvas; }
caption, figcaption { text-align: left; opacity: .8; font-size: .9rem; padding: .3rem 0; overflow-wrap: anywhere; }
figure { margin: 1.2rem 0; } figure > img { max-width: 100%; background: white; }
.tiles { display: flex; flex-wrap: wrap; gap: .8rem; } .tiles figure { margin: 0; width: 8.5rem; }
.tiles img { width: 100%; image-rendering: pixelated; }
pre { background: var(--soft); padding: .8rem; overflow-x: auto; }
.pictures { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; }
.pictures figure { margin: 0; flex: 1 1 22rem; max-width: 34rem; }
.pictures img { width: 100%; background: white; }
nav { border: 1px solid var(--line); padding: .2rem 1rem; }
nav ol { margin: .5rem 0; padding-left: 1.6rem; columns: 24rem; }
nav a { color: inherit; }
.note { border-left: .3rem solid var(--note); background: var(--soft); padding: .6rem 1rem; }
"""


class Report:
    """Builds the page part by part; every method returns the report itself."""

    def __init__(self, title: str, *, wide: bool = False) -> None:
        """`wide`: for tables with many columns."""
        self._title = title
        self._body = '<body class="wide">' if wide else "<body>"
        self._parts: list[str] = []
        self._contents: list[tuple[str, str]] = []

    def heading(self, text: str, anchor: str | None = None) -> Report:
        """Start a section; with an anchor it is listed in a table of contents at the top."""
        if anchor is None:
            return self._add(f"<h2>{_text(text)}</h2>")
        self._contents.append((anchor, text))
        return self._add(f'<h2 id="{_text(anchor)}">{_text(text)}</h2>')

    def paragraph(self, text: str) -> Report:
        """Plain text."""
        return self._add(f"<p>{_text(text)}</p>")

    def note(self, text: str) -> Report:
        """An emphasised note."""
        return self._add(f'<p class="note" role="note">{_text(text)}</p>')

    def code(self, text: str) -> Report:
        """Commands or files, verbatim."""
        return self._add(f"<pre><code>{_text(text)}</code></pre>")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[object]], caption: str | None = None) -> Report:
        """A table; columns of numbers are right-aligned. Raises ValueError for a ragged row."""
        if any(len(row) != len(columns) for row in rows):
            raise ValueError(f"each row must have {len(columns)} cells")
        kinds = [_column_class([row[n] for row in rows]) for n in range(len(columns))]
        head = "".join(f'<th scope="col"{kind}>{_text(name)}</th>' for name, kind in zip(columns, kinds, strict=True))
        body = "".join(f"<tr>{_cells(row, kinds)}</tr>\n" for row in rows)
        title = f"<caption>{_text(caption)}</caption>" if caption else ""
        return self._add(f"<table>{title}<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>")

    def picture(self, path: Path, description: str) -> Report:
        """An image file with its description. Raises UsageError for a format no browser shows, StorageError."""
        return self._add(_figure(path, description))

    def pictures(self, pictures: Sequence[tuple[Path, str]]) -> Report:
        """Image files side by side if there is room, each with its description."""
        figures = "".join(_figure(path, description) for path, description in pictures)
        return self._add(f'<div class="pictures">{figures}</div>')

    def tiles(self, pictures: Sequence[tuple[Path, str]]) -> Report:
        """Small pictures side by side, each with a caption."""
        figures = "".join(_figure(path, caption) for path, caption in pictures)
        return self._add(f'<div class="tiles">{figures}</div>')

    def html(self) -> str:
        """The whole page."""
        body = "\n".join([f"<h1>{_text(self._title)}</h1>", *self._contents_list(), *self._parts])
        return (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta http-equiv="Content-Security-Policy" '
            "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\n"
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{_text(self._title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
            f"{self._body}\n<main>\n{body}\n</main>\n</body>\n</html>\n"
        )

    def write(self, path: Path) -> Path:
        """Write the page. Raises StorageError."""
        atomic_write(path, self.html())
        return path

    def _contents_list(self) -> list[str]:
        if not self._contents:
            return []
        links = "\n".join(f'<li><a href="#{_text(anchor)}">{_text(text)}</a></li>' for anchor, text in self._contents)
        return [f'<nav aria-label="Contents"><ol>\n{links}\n</ol></nav>']

    def _add(self, part: str) -> Report:
        self._parts.append(part)
        return self


def _text(value: object) -> str:
    """Escape for element text and attribute values; characters invalid in HTML become visible marks."""
    held = "".join(c if c in "\n\t" else printable(c) for c in str(value))
    return html.escape(held, quote=True)


def _cells(row: Sequence[object], kinds: Sequence[str]) -> str:
    return "".join(f"<td{kind}>{_text(cell)}</td>" for cell, kind in zip(row, kinds, strict=True))


def _column_class(cells: Sequence[object]) -> str:
    words = [str(cell) for cell in cells]
    numeric = any(words) and all(_NUMBER.match(word) or word in ("", *_NO_NUMBER) for word in words)
    return ' class="number"' if numeric else ""


def _figure(path: Path, description: str) -> str:
    return f"<figure>{_image(path, description)}<figcaption>{_text(description)}</figcaption></figure>"


def _image(path: Path, description: str) -> str:
    kind = _TYPES.get(path.suffix.lower())
    if kind is None:
        raise UsageError(f"{path} cannot be shown in a report", f"use one of {', '.join(_TYPES)}")
    try:
        data = base64.b64encode(path.read_bytes()).decode("ascii")
    except OSError as error:
        raise os_error(error, "read", path) from error
    return f'<img alt="{_text(description)}" src="data:{kind};base64,{data}">'
