"""Importing templates from other software's files, and exporting them.

`read_listings` parses a file by its format, which is detected from its name or content; `checks` turns the sentences
into templates, `assemble` makes a group file, and `writers` exports. Nothing in a file is ever executed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import PurePath

from mocoop import strictjson
from mocoop.errors import UsageError
from mocoop.groupfile.findings import quote
from mocoop.groupfile.groups import MAX_BYTES
from mocoop.grouping.convert.coopyaml import read_yaml
from mocoop.grouping.convert.listing import Listing, refuse
from mocoop.grouping.convert.markdown import read_markdown
from mocoop.grouping.convert.plain import read_json, read_text
from mocoop.grouping.convert.python import read_python
from mocoop.grouping.convert.table import read_table

_READERS: dict[str, Callable[[str, str], list[Listing]]] = {
    "open_clip": read_python,
    "clip-benchmark": read_json,
    "csv": read_table,
    "txt": read_text,
    "markdown": read_markdown,
    "yaml": read_yaml,
}
FORMATS = tuple(_READERS)
MOST_NAMED = 40  # lists that a message lists by name
_SUFFIXES = {
    ".py": "open_clip",
    ".json": "clip-benchmark",
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "txt",
    ".md": "markdown",
    ".markdown": "markdown",
    ".yaml": "yaml",
    ".yml": "yaml",
}
_SIGNS = (  # detect the format by content if the file name does not tell; the default is txt
    ("clip-benchmark", re.compile(r'\s*(?:\{\s*"|\[\s*["\[\]{])')),
    ("yaml", re.compile(r"(?s:.*\n)?[ \t]*(?:LASP_)?PROMPTS:")),
    ("open_clip", re.compile(r"(?s:.*\n)?\w+ = [(\[{]")),
    ("csv", re.compile(r'(?:[^\n]*[,;\t])?"?template"?(?:[,;\t][^\n]*)?(?:\n|$)')),
    ("markdown", re.compile(r"(?s:.*\n)?#{1,6} [^\n]*\n\s*[-*] ")),
)


def read_listings(data: bytes, source: str, file_format: str = "auto") -> list[Listing]:
    """Read the lists of sentences in a file. `source` is its name, used to detect the format if `file_format` is auto.

    Raises GroupFileError for a file not in that format, with position and rule code.
    """
    text = decoded(data, source)
    return _READERS[_format(text, source) if file_format == "auto" else file_format](text, source)


def chosen(listings: list[Listing], name: str | None, source: str) -> Listing:
    """The only list of a file, or the one with the given name. Raises UsageError that lists the names."""
    if name is None and len(listings) == 1:
        return listings[0]
    names = ", ".join(f"{quote(one.name)[1:-1]} ({len(one.sentences)})" for one in listings[:MOST_NAMED])
    names += f" and {len(listings) - MOST_NAMED:,} more" if len(listings) > MOST_NAMED else ""
    if name is None:
        raise UsageError(
            f"{source} holds {len(listings)} lists: {names}", "choose one: mocoop-groups import FILE --name NAME"
        )
    for listing in listings:
        if listing.name == name:
            return listing
    raise UsageError(f"{source} has no list called {name!r}", f"it has {names}")


def decoded(data: bytes, source: str) -> str:
    """The text of a file, with line ends as \\n. Raises GroupFileError if it is too large or not UTF-8."""
    if len(data) > MAX_BYTES:
        raise refuse("G002", f"larger than {MAX_BYTES:,} bytes", "this is not a list of templates", source)
    text, fault = strictjson.decode(data)
    if fault is not None:
        raise refuse("G003", fault.message, fault.hint, source, fault.line, fault.column)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _format(text: str, source: str) -> str:
    by_name = _SUFFIXES.get(PurePath(source).suffix.lower())
    return by_name or next((kind for kind, sign in _SIGNS if sign.match(text)), "txt")
