"""Class names that a text tower can read.

A class has a key: its folder's name, its label in a manifest, or its name in a split file. `_` in a key becomes a
space, nothing else changes. If that is not enough ("mediumresidential"), a file gives every class a readable name:

- `.json`: one object, {"mediumresidential": "medium residential area", ...}
- `.csv` or `.tsv`: two columns, key and name; a first row `folder,name` is a header
- anything else: text, one name per line, in the order of the classes

Tokens are not counted here: that depends on the text tower.
"""

from __future__ import annotations

import csv
import difflib
import os
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

from mocoop.data.dataset import named
from mocoop.errors import DataError
from mocoop.files import read_bytes, read_json

MAX_FILE_BYTES = 16 * 1024 * 1024
MAX_NAME = 200  # characters; CLIP's whole context is 77 tokens
_HEADING = ["folder", "name"]

ClassNames = Mapping[str, str] | str | os.PathLike[str]


def readable(key: str) -> str:
    """The default name of a key: `_` becomes a space."""
    return " ".join(key.replace("_", " ").split())


def final_names(
    keys: Sequence[str],
    names: Sequence[str] | None = None,
    given: ClassNames | None = None,
    *,
    twins_allowed: bool = False,
) -> tuple[tuple[str, ...], list[str]]:
    """Class names by label, and notes. `names` come from the source; `given` come from the user and take precedence.

    Raises DataError for a name that is empty or has control characters, for two classes that a text tower cannot tell
    apart (case is ignored), and for given names that do not match the classes.
    """
    if given is None:
        chosen = [readable(name) for name in (names or keys)]
    else:
        chosen = [" ".join(name.split()) for name in _given_names(keys, given)]
    for key, name in zip(keys, chosen, strict=True):
        _check_name(key, name)
    twins = _twins(keys, chosen)
    if twins and not twins_allowed:
        raise DataError(
            f"classes with one and the same name: {named(twins)}", "give them names that differ (--class-names)"
        )
    notes = [f"no text can tell these classes apart: {named(twins)}"] if twins else []
    if not any(character.isalpha() for name in chosen for character in name):
        notes.append("the class names are numbers, which say nothing to a text tower: see --class-names")
    return tuple(chosen), notes


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


def _given_names(keys: Sequence[str], given: ClassNames) -> list[str]:
    if isinstance(given, Mapping):
        return _by_key(keys, given, "the class names given")
    suffix = Path(given).suffix.lower()
    if suffix == ".json":
        return _by_key(keys, _from_json(given), str(given))
    if suffix in (".csv", ".tsv"):
        return _by_key(keys, _from_table(given, "\t" if suffix == ".tsv" else ","), str(given))
    names = list(read_list(given))
    if len(names) != len(keys):
        message = f"{os.fspath(given)}: {len(names)} names for {len(keys)} classes"
        raise DataError(message, f"write one name a line, in this order: {named(keys)}")
    return names


def _by_key(keys: Sequence[str], names: Mapping[str, str], where: str) -> list[str]:
    known = {readable(key): key for key in keys} | {key: key for key in keys}
    renamed: dict[str, str] = {}
    unknown = []
    for written, name in names.items():
        key = known.get(written) or known.get(readable(written))
        if key is None:
            unknown.append(f'"{written}"{nearest(written, keys)}')
        elif key in renamed:
            raise DataError(f'{where}: the class "{key}" is named twice', "keep one of the two")
        else:
            renamed[key] = name
    if unknown:
        raise DataError(f"{where}: no such class: {named(unknown)}", "use the names of the class folders")
    if missing := [key for key in keys if key not in renamed]:
        raise DataError(f"{where}: no name for {named(missing)}", "name every class, or rename the folders")
    return [renamed[key] for key in keys]


def _from_json(path: str | os.PathLike[str]) -> dict[str, str]:
    value = read_json(path, what="class names", error=DataError, max_bytes=MAX_FILE_BYTES)
    if not isinstance(value, dict):
        raise DataError(f"{os.fspath(path)}: not an object", 'write {"folder": "readable name", ...}')
    for key, name in value.items():
        if not isinstance(name, str):
            raise DataError(f'{os.fspath(path)}: the name of "{key}" is no string', "put it in double quotes")
    return value


def _from_table(path: str | os.PathLike[str], delimiter: str) -> dict[str, str]:
    names: dict[str, str] = {}
    rows = csv.reader(_text(path).splitlines(), delimiter=delimiter, skipinitialspace=True, strict=True)
    try:
        for row in rows:
            cells = [cell.strip() for cell in row]
            where = f"{os.fspath(path)}:{rows.line_num}"
            if not any(cells) or (not names and cells == _HEADING):
                continue
            if len(cells) != 2:
                raise DataError(f"{where}: {len(cells)} columns", "write two: the class folder and its name")
            if cells[0] in names:
                raise DataError(f'{where}: the class "{cells[0]}" is named twice', "keep one of the two")
            names[cells[0]] = cells[1]
    except csv.Error as error:
        raise DataError(f"{os.fspath(path)}:{rows.line_num}: {error}", "write two columns") from error
    return names


def _text(path: str | os.PathLike[str]) -> str:
    data = read_bytes(path, max_bytes=MAX_FILE_BYTES, what="class names", error=DataError)
    return decode(data, path)


def decode(data: bytes, path: str | os.PathLike[str]) -> str:
    """Decode UTF-8, without a byte order mark. Raises DataError."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"{os.fspath(path)}:{line}: not UTF-8", "save the file again as UTF-8") from error


def _check_name(key: str, name: str) -> None:
    if not name.strip():
        raise DataError(f'the class "{key}" has an empty name', "give it one with --class-names")
    if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in name):
        raise DataError(f"the class name {name!a} holds control characters", "take them out")
    if len(name) > MAX_NAME:
        raise DataError(f'the class name "{name[:40]}..." has {len(name)} characters', f"at most {MAX_NAME}")


def _twins(keys: Sequence[str], names: Sequence[str]) -> list[str]:
    """Pairs of classes whose names differ only in case and spaces, which CLIP's tokenizer ignores."""
    first: dict[str, str] = {}
    twins = []
    for key, name in zip(keys, names, strict=True):
        folded = " ".join(name.casefold().split())
        if folded in first:
            twins.append(f'"{first[folded]}" and "{key}" ({name})')
        first.setdefault(folded, key)
    return twins
