"""Class names that a text tower can read.

A class has a key: its folder's name, its label in a manifest, or its name in a split file. `_` in a key becomes a
space, and a key in CamelCase is split ("SeaLake"); nothing else changes. If that is not enough ("mediumresidential"),
a file gives every class a readable name:

- `.json`: one object, {"mediumresidential": "medium residential area", ...}, or a list
- `.csv` or `.tsv`: two columns, key and name; a first row `folder,name` is a header
- anything else: text, a line a class, mapped by `mocoop.data.namelists`: by key, by position only if that is allowed

A note says the first pairs of key and name. Tokens are not counted here: that depends on the text tower.
"""

from __future__ import annotations

import csv
import difflib
import html
import os
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

from mocoop.data.dataset import named
from mocoop.data.namelists import Keys, Match, PositionNeeded, in_order, match_list, pairs_text
from mocoop.data.oddnames import combinations, odd_names
from mocoop.errors import DataError
from mocoop.files import read_bytes, read_json

MAX_FILE_BYTES = 16 * 1024 * 1024
MAX_NAME = 200  # characters; CLIP's whole context is 77 tokens
PAIRS = "class names: "  # how the note on the pairs begins
_HEADING = ["folder", "name"]
_CAMEL = re.compile(r"(?<=[a-z]{2})(?=[A-Z][a-z]{2})")

ClassNames = Mapping[str, str] | str | os.PathLike[str]


def readable(key: str) -> str:
    """The default name of a key: `_` becomes a space, and "SeaLake" becomes "Sea Lake"."""
    words = key.replace("_", " ").split()
    return " ".join(words) if len(words) != 1 else _CAMEL.sub(" ", words[0])


def final_names(
    keys: Sequence[str],
    names: Sequence[str] | None = None,
    given: ClassNames | None = None,
    *,
    kept: Mapping[str, str] | None = None,
    by_position: bool = False,
    twins_allowed: bool = False,
) -> tuple[tuple[str, ...], list[str]]:
    """Class names by label, and notes. `names` come from the source; `given` come from the user and take precedence.

    `kept` are the names by key that a run was trained with: they stand in for names of the source, and for a given
    list of the same names that could only go by position. `by_position` lets such a list go by the order of the keys.

    Raises DataError for a name that is empty or has control characters, for two classes that a text tower cannot tell
    apart (case is ignored), and for given names that do not match the classes (PositionNeeded: only by position).
    """
    notes: list[str] = []
    if given is None:
        chosen = [readable(name) for name in (names or keys)]
        if kept:
            chosen = [kept.get(key, name) for key, name in zip(keys, chosen, strict=True)]
    else:
        found = _given_names(keys, given, kept or {}, by_position)
        chosen = [" ".join(name.split()) for name in found.names]
        pairs = dict(zip(keys, chosen, strict=True))
        if any(key != name for key, name in pairs.items()):
            notes.append(f"{PAIRS}{pairs_text([(key, pairs[key]) for key in in_order(keys)])}, {found.how}")
        if found.unused:
            notes.append(f"names of classes that are not here: {named(found.unused)}")
    for key, name in zip(keys, chosen, strict=True):
        _check_name(key, name)
    twins = _twins(keys, chosen)
    if twins and not twins_allowed:
        raise DataError(
            f"classes with one and the same name: {named(twins)}", "give them names that differ (--class-names)"
        )
    if twins:
        notes.append(f"no text can tell these classes apart: {named(twins)}")
    return tuple(chosen), [*notes, *odd_names(chosen), *combinations(keys)]


def naming_notes(notes: Sequence[str]) -> list[str]:
    """Those of a data set's notes that say which class got which of the names given."""
    return [note for note in notes if note.startswith(PAIRS)]


def read_list(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Class names of a text file, one per line; blank lines are skipped. Raises DataError."""
    if Path(path).suffix.lower() in (".json", ".csv", ".tsv"):
        hint = "write a text file, one class name a line"
        raise DataError(f"{os.fspath(path)}: a table of class names is not read here", hint)
    names = tuple(line.strip() for line in _text(path).splitlines() if line.strip())
    if not names:
        raise DataError(f"{os.fspath(path)}: no class name in it", "write one class name a line")
    return names


def nearest(word: str, known: Sequence[str]) -> str:
    """' (did you mean "x"?)', or "" if no known word is close."""
    matches = difflib.get_close_matches(word[:MAX_NAME], known, n=1, cutoff=0.6)
    return f' (did you mean "{matches[0]}"?)' if matches else ""


def needs_position(keys: Sequence[str], given: ClassNames) -> PositionNeeded | None:
    """Why given names could only go by position, or None if they go by key. Raises DataError if they go neither way."""
    try:
        _given_names(keys, given, {}, by_position=False)
    except PositionNeeded as reason:
        return reason
    return None


def _given_names(keys: Sequence[str], given: ClassNames, kept: Mapping[str, str], by_position: bool) -> Match:
    if isinstance(given, Mapping):
        return _by_key(keys, given, "the class names given")
    where, suffix = os.fspath(given), Path(given).suffix.lower()
    if suffix == ".json":
        found = _from_json(given)
    elif suffix in (".csv", ".tsv"):
        found = _from_table(given, "\t" if suffix == ".tsv" else ",", keys)
    else:
        found = list(read_list(given))
    if isinstance(found, dict):
        numbered = _numbered_lines(keys, found)
        if numbered is None:
            return _by_key(keys, found, where)
        found = numbered
    try:
        return match_list(keys, found, where, by_position=by_position)
    except PositionNeeded as needed:
        mine = [kept.get(key, "") for key in keys]
        if sorted(mine) == sorted(" ".join(name.split()) for _, name in needed.pairs):
            return Match(mine, "as in the training", [])
        raise


def _numbered_lines(keys: Sequence[str], names: Mapping[str, str]) -> list[str] | None:
    """A table from numbers to names as a list, if the keys are no numbers: then the numbers are an order only."""
    known = Keys(keys)
    if any(known.place(written) is not None for written in names) or not all(key.strip().isdecimal() for key in names):
        return None
    return [f"{number}: {name}" for number, name in names.items()]


def _by_key(keys: Sequence[str], names: Mapping[str, str], where: str) -> Match:
    known = Keys(keys)
    renamed: dict[int, str] = {}
    unknown = []
    for written, name in names.items():
        place = known.place(written)
        if place is None:
            unknown.append(written)
        elif place in renamed:
            raise DataError(f'{where}: the class "{keys[place]}" is named twice', "keep one of the two")
        else:
            renamed[place] = name
    missing = [key for place, key in enumerate(keys) if place not in renamed]
    if missing and unknown:
        what = named(f'"{written}"{nearest(written, keys)}' for written in unknown)
        raise DataError(f"{where}: no such class: {what}", "use the names of the class folders")
    if missing:
        raise DataError(f"{where}: no name for {named(missing)}", "name every class, or rename the folders")
    return Match([renamed[place] for place in range(len(keys))], "by key", unknown)


def _from_json(path: str | os.PathLike[str]) -> dict[str, str] | list[str]:
    """An object of names by key, or a list. Also names to numbers, and ImageNet's {"0": ["n01440764", "tench"]}."""
    value = read_json(path, what="class names", error=DataError, max_bytes=MAX_FILE_BYTES)
    where = os.fspath(path)
    if isinstance(value, list) and value and all(isinstance(name, str) for name in value):
        return [name.strip() for name in value]
    if not isinstance(value, dict):
        raise DataError(f"{where}: not an object", 'write {"folder": "readable name", ...}')
    if value and all(_is_pair(item) for item in value.values()):
        return {item[0]: item[1] for item in value.values()}
    numbers = list(value.values())
    if numbers and all(type(item) is int for item in numbers) and sorted(numbers) in (
        list(range(len(numbers))), list(range(1, len(numbers) + 1))
    ):  # fmt: skip
        return {str(number): name for name, number in value.items()}
    for key, name in value.items():
        if not isinstance(name, str):
            raise DataError(f'{where}: the name of "{key}" is no string', "put it in double quotes")
    return value


def _is_pair(item: object) -> bool:
    return isinstance(item, list) and len(item) == 2 and all(isinstance(part, str) for part in item)


def _from_table(path: str | os.PathLike[str], delimiter: str, keys: Sequence[str]) -> dict[str, str] | list[str]:
    """Two columns, key and name or name and key, with or without a header; or one column, a list."""
    where, known = os.fspath(path), Keys(keys)
    lines = _table_lines(path, delimiter)
    if lines and all(len(cells) == 1 for _, cells in lines):
        return [cells[0] for _, cells in lines]
    for number, cells in lines:
        if len(cells) != 2:
            raise DataError(f"{where}:{number}: {len(cells)} columns", "write two: the class folder and its name")
    hits = [sum(known.place(cells[column]) is not None for _, cells in lines) for column in (0, 1)]
    key, name = (1, 0) if hits[1] > hits[0] else (0, 1)
    if len(lines) > 1 and (lines[0][1] == _HEADING or _is_header(known, [cells[key] for _, cells in lines])):
        lines = lines[1:]
    names: dict[str, str] = {}
    for number, cells in lines:
        if cells[key] in names:
            raise DataError(f'{where}:{number}: the class "{cells[key]}" is named twice', "keep one of the two")
        names[cells[key]] = cells[name]
    return names


def _is_header(known: Keys, column: Sequence[str]) -> bool:
    """Whether the first cell is no class and every class has its cell below it."""
    below = {place for cell in column[1:] if (place := known.place(cell)) is not None}
    return known.place(column[0]) is None and len(below) == len(known.keys)


def _table_lines(path: str | os.PathLike[str], delimiter: str) -> list[tuple[int, list[str]]]:
    """The rows of a table that are not blank, with the numbers of their lines. Raises DataError."""
    rows = csv.reader(_text(path).splitlines(), delimiter=delimiter, skipinitialspace=True, strict=True)
    found = []
    try:
        for row in rows:
            cells = [cell.strip() for cell in row]
            if any(cells):
                found.append((rows.line_num, cells))
    except csv.Error as error:
        raise DataError(f"{os.fspath(path)}:{rows.line_num}: {error}", "write two columns") from error
    return found


def _text(path: str | os.PathLike[str]) -> str:
    data = read_bytes(path, max_bytes=MAX_FILE_BYTES, what="class names", error=DataError)
    return decode(data, path)


def decode(data: bytes, path: str | os.PathLike[str]) -> str:
    """Decode UTF-8, without a byte order mark. Raises DataError."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        excel = ', in Excel as "CSV UTF-8"' if os.fspath(path).lower().endswith(".csv") else ""
        raise DataError(f"{os.fspath(path)}:{line}: not UTF-8", f"save the file again as UTF-8{excel}") from error


def _check_name(key: str, name: str) -> None:
    if not name.strip():
        raise DataError(f'the class "{key}" has an empty name', "give it one with --class-names")
    if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in name):
        raise DataError(f"the class name {name!a} holds control characters", "take them out")
    if len(name) > MAX_NAME:
        raise DataError(f'the class name "{name[:40]}..." has {len(name)} characters', f"at most {MAX_NAME}")


def _twins(keys: Sequence[str], names: Sequence[str]) -> list[str]:
    """Pairs of classes whose names differ only in what CLIP's tokenizer ignores: case, spaces, storage of accents."""
    first: dict[str, str] = {}
    twins = []
    for key, name in zip(keys, names, strict=True):
        folded = " ".join(_as_read(name).casefold().split())
        if folded in first:
            twins.append(f'"{first[folded]}" and "{key}" ({name})')
        first.setdefault(folded, key)
    return twins


def _as_read(name: str) -> str:
    """A name as open_clip's tokenizer cleans it: one spelling of accents, quotes, wide letters and HTML's entities."""
    if name.isascii() and "&" not in name:
        return name
    import ftfy

    return html.unescape(html.unescape(ftfy.fix_text(name)))
