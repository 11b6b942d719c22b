"""Templates from other software's files and back.

`read_listings` takes a file apart by its format, which its name or its content tells; `checks` makes templates of the
sentences, `assemble` a group file, `writers` goes the other way. Nothing a file holds is ever run.
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
MOST_NAMED = 40  # lists that a message names
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
_SIGNS = (  # what a file of a format looks like where its name does not tell; text is what is left
    ("clip-benchmark", re.compile(r'\s*(?:\{\s*"|\[\s*["\[\]{])')),
    ("yaml", re.compile(r"(?s:.*\n)?[ \t]*(?:LASP_)?PROMPTS:")),
    ("open_clip", re.compile(r"(?s:.*\n)?\w+ = [(\[{]")),
    ("csv", re.compile(r'(?:[^\n]*[,;\t])?"?template"?(?:[,;\t][^\n]*)?(?:\n|$)')),
    ("markdown", re.compile(r"(?s:.*\n)?#{1,6} [^\n]*\n\s*[-*] ")),
)


def read_listings(data: bytes, source: str, file_format: str = "auto") -> list[Listing]:
    """The lists of sentences in a file. `source` is its name, which tells the format where `file_format` is auto.

    Raises GroupFileError for what is no such file, with place and rule code.
    """
    text = decoded(data, source)
    return _READERS[_format(text, source) if file_format == "auto" else file_format](text, source)


def chosen(listings: list[Listing], name: str | None, source: str) -> Listing:
    """The one list of a file, or the one of a name. Raises UsageError that lists the names."""
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
    """The text of a file, its line ends as \\n. Raises GroupFileError where it is too large or no UTF-8."""
    if len(data) > MAX_BYTES:
        raise refuse("G002", f"larger than {MAX_BYTES:,} bytes", "this is not a list of templates", source)
    text, fault = strictjson.decode(data)
    if fault is not None:
        raise refuse("G003", fault.message, fault.hint, source, fault.line, fault.column)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _format(text: str, source: str) -> str:
    by_name = _SUFFIXES.get(PurePath(source).suffix.lower())
    return by_name or next((kind for kind, sign in _SIGNS if sign.match(text)), "txt")
