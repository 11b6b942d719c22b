"""Changes of files that `fuzz.py` makes: of bytes, of JSON values, of .npz and .safetensors files, of folders.

Each takes a `random.Random` and nothing else that varies, so that a case can be made again from its number.
"""

from __future__ import annotations

import io
import json
import random
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

Dice = random.Random

WORDS = (
    b"", b"\0", b"\xff" * 8, b"\xef\xbb\xbf", b"\xff\xfe", b"NaN", b"Infinity", b"-1", b"1e999", b"9" * 400, b"{}",
    b"[]", b'"', b"'", b",", b"\n", b"\r", b"null", b"true", b"../../x", b"{0.__class__}", b"\xed\xa0\x80",
    b"\xe2\x80\xae", b"<end_of_text>", b"%s%n", b"\x1b[2J", b"\x00\x00\x00\x01", b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
)  # fmt: skip
# Put into JSON as they are: some are no JSON, and the reader must say so.
RAW = (
    "NaN", "-Infinity", "1e999", "1" * 400, "-0", "0x10", "[" * 3000, "[" * 200_000, '{"a":' * 3000, '{"a": 1, "a": 2}',
    "'a'", "undefined", '"\\ud800"', '"\\u0000"', "01", "+1", "[1,]", "//", '"\t"',
)  # fmt: skip
VALUES = (
    None, True, False, 0, 1, -1, 3, 10**6, 2**31, 2**63, 2**64, -(2**63) - 1, 10**30, 0.5, -0.0, 1e308, 1e-320, "", " ",
    "a", "{}", "{} {}", "a\nb", "\0", "\u202e{}", "\U0001f600 {}", "ﬁ", "é", "e\u0301", "x" * 5000, "/etc/hostname",
    "..", "../x", "C:\\x", "nan", "1", [], [[]], [None], [1, 2], ["a", "a"], {}, {"": 0}, {"a": {}}, [{}],
)  # fmt: skip


def bytes_changed(dice: Dice, data: bytes) -> bytes:
    """One to four changes: bits, bytes, pieces inserted, removed, doubled, exchanged or emptied, the end cut off."""
    for _ in range(dice.choice((1, 1, 1, 2, 4))):
        start, end = sorted(dice.randrange(len(data) + 1) for _ in range(2))
        if dice.random() < 0.5:  # the beginning, where most headers are
            start, end = start % 64, start % 64 + 1 + end % 16
        end = min(end, start + dice.choice((1, 4, 100, len(data))))
        data = _piece_changed(dice, data[:start], data[start:end], data[end:])
    return data


def _piece_changed(dice: Dice, head: bytes, piece: bytes, tail: bytes) -> bytes:
    word = dice.choice(WORDS)
    flipped = bytes(byte ^ (1 << dice.randrange(8)) for byte in piece[:1]) + piece[1:]
    noise = dice.randbytes(len(piece[:8])) + piece[8:]
    others = (flipped, noise, word, word + piece, b"", piece + piece, bytes(len(piece)))
    return dice.choice((head, tail + piece + head, *(head + other + tail for other in others)))


def json_changed(dice: Dice, value: Any) -> bytes:
    """A JSON value with one to three places of its tree changed, as text; sometimes text that is no JSON."""
    raw: list[str] = []
    for _ in range(dice.choice((1, 1, 2, 3))):
        value = _tree_changed(dice, value, raw)
    text = json.dumps(value, ensure_ascii=dice.random() < 0.5, indent=dice.choice((None, 1)))
    for place, piece in enumerate(raw):
        text = text.replace(json.dumps(_mark(place)), piece)
    if dice.random() < 0.1:
        return bytes_changed(dice, text.encode("utf-8", "surrogatepass"))
    return text.encode(dice.choice(("utf-8",) * 8 + ("utf-16", "utf-8-sig")), "surrogatepass")


def json_or_bytes_changed(dice: Dice, data: bytes) -> bytes:
    """JSON changed as a value; what is none, as an earlier change may have left it, byte by byte."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return bytes_changed(dice, data)
    return json_changed(dice, value)


def _mark(place: int) -> str:
    return f"\u2021raw {place}\u2021"


def _tree_changed(dice: Dice, value: Any, raw: list[str]) -> Any:
    """The value with one place changed; `raw` collects texts that are put in later."""
    value = json.loads(json.dumps(value))
    places = list(_places(value))
    if not places:
        return dice.choice(VALUES)
    inside, key = dice.choice(places)
    other, from_key = dice.choice(places)
    kind = dice.randrange(9)
    if kind == 0:
        del inside[key]
    elif kind == 1:
        inside[key] = json.loads(json.dumps(other[from_key]))  # what stands elsewhere
    elif kind == 2:
        inside[key], other[from_key] = other[from_key], inside[key]
        if _is_circular(value):
            return None
    elif kind == 3:
        raw.append(dice.choice(RAW))
        inside[key] = _mark(len(raw) - 1)
    elif kind == 4 and isinstance(inside, list):
        dice.shuffle(inside)
        inside += inside * dice.choice((0, 1, 40))
    elif kind == 5 and isinstance(inside, dict):
        inside[str(dice.choice((*VALUES, *inside)))] = inside[key]
    elif kind == 6 and isinstance(inside[key], str):
        text, at = inside[key], dice.randrange(len(inside[key]) + 1)
        inside[key] = text[:at] + dice.choice(WORDS).decode("utf-8", "surrogateescape") + text[at:]
    elif kind == 7 and type(inside[key]) in (int, float):
        number = inside[key]
        inside[key] = dice.choice((number + 1, -number, number * 10**9, float(number), str(number)))
    else:
        inside[key] = dice.choice(VALUES)
    return value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from _places(value[key])


def _is_circular(value: Any) -> bool:
    try:
        json.dumps(value)
    except ValueError:
        return True
    return False


def lines_changed(dice: Dice, data: bytes) -> bytes:
    """JSON lines of which some were changed as values, others doubled, left out or exchanged."""
    lines = data.splitlines()
    for _ in range(dice.choice((1, 1, 2))):
        if not lines:
            return data
        at, other = dice.randrange(len(lines)), dice.randrange(len(lines))
        kind = dice.randrange(5)
        if kind == 0 and len(lines) > 1:
            del lines[at]
        elif kind == 1:
            lines.insert(at, lines[other])
        elif kind == 2:
            lines[at], lines[other] = lines[other], lines[at]
        else:
            lines[at] = json_or_bytes_changed(dice, lines[at])
    return dice.choice((b"\n", b"\n", b"\r\n", b"\n\n")).join(lines) + dice.choice((b"\n", b""))


def cells_changed(dice: Dice, data: bytes) -> bytes:
    """A table of comma-separated cells, some of them changed."""
    rows = [line.split(b",") for line in data.splitlines()]
    for _ in range(dice.choice((1, 2, 5))):
        row, other = dice.choice(rows), dice.choice(rows)
        at = dice.randrange(len(row)) if row else 0
        kind = dice.randrange(8)
        if kind == 0:
            row.append(dice.choice(WORDS))
        elif kind == 1 and row:
            del row[at]
        elif kind == 2:
            rows.insert(dice.randrange(len(rows)), list(other))
        elif kind == 3 and row and other:
            row[at], other[-1] = other[-1], row[at]
        elif kind == 4 and row:
            times = dice.choice((1, 2, 20_000))
            row[at] = b'"' + row[at][: 10_000_000 // times] * times + dice.choice((b'"', b"", b'""'))
        elif row:
            row[at] = dice.choice((*WORDS, b"/etc/hostname", b"a" * 200_000, b"train", b"1.5", b"\xe9"))
    lines = [dice.choice((b",", b",", b",", b";", b"\t")).join(row) for row in rows]
    text = dice.choice((b"\n", b"\n", b"\r\n", b"\r")).join(lines)
    return text if dice.random() < 0.8 else bytes_changed(dice, text)


# ---- arrays


def array_changed(dice: Dice, array: np.ndarray) -> np.ndarray:
    """Other values, another type or another shape."""
    array = array.copy()
    kind = dice.randrange(8)
    if kind == 0 and array.dtype.kind == "f":
        array.flat[dice.randrange(array.size)] = dice.choice((np.nan, np.inf, -np.inf, 3e38, 1e-45))
    elif kind == 1:
        array = array[: dice.randrange(len(array) + 1)]
    elif kind == 2:
        array = np.concatenate([array, array[:1]])
    elif kind == 3:
        array = array.reshape(dice.choice(((-1,), (1, -1), (*array.shape, 1), array.shape[::-1])))
    elif kind == 4:
        array[dice.randrange(len(array))] = array[0] if array.dtype.kind == "U" else 0
    elif kind == 5 and array.dtype.kind in "iu":
        array = array.astype(dice.choice((np.int8, np.uint8, np.uint64, np.int64, np.int16)))
        array.flat[dice.randrange(array.size)] = dice.choice((100, 7, 0))
    elif kind == 6 and array.dtype.kind == "U":
        array = array.astype(object).astype("U300")
        texts = ("", "\n", "x" * 300, "\u202e", "../x", "nan", "train", "\U0001f600")
        array[dice.randrange(len(array))] = dice.choice(texts)
    else:
        wanted = dice.choice(("f2", "f8", "i4", "u1", "c8", "?", "S3", "U2", "M8[s]", "f4,f4", ">f4"))
        array = np.frombuffer(dice.randbytes(np.dtype(wanted).itemsize * array.size), wanted).reshape(array.shape)
    return array


def npz_changed(dice: Dice, arrays: dict[str, np.ndarray]) -> bytes:
    """A .npz of changed arrays, changed headers of arrays, or changed entries of the archive."""
    members = {name: _npy(array) for name, array in arrays.items()}
    name = dice.choice(list(members))
    kind = dice.randrange(6)
    if kind == 0:
        members[name] = _npy(array_changed(dice, arrays[name]))
    elif kind == 1:
        members[name] = _header_changed(dice, members[name])
    elif kind == 2:
        members[name] = bytes_changed(dice, members[name])
    elif kind == 3:
        del members[name]
    elif kind == 4:
        members[dice.choice(("../x", "x/y", "features.npy", "", "labels ", "Features", "a" * 300))] = members[name]
    packed = dice.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    with zipfile.ZipFile(written := io.BytesIO(), "w", packed) as archive:
        for member, content in members.items():
            archive.writestr(f"{member}.npy", content)
    data = written.getvalue()
    if kind == 5 or dice.random() < 0.3:
        data = _entries_changed(dice, data)
    return data if dice.random() < 0.8 else bytes_changed(dice, data)


def _npy(array: np.ndarray) -> bytes:
    np.save(written := io.BytesIO(), array, allow_pickle=False)
    return written.getvalue()


def _header_changed(dice: Dice, npy: bytes) -> bytes:
    size = int.from_bytes(npy[8:10], "little")
    header = npy[10 : 10 + size].decode()
    found = dice.choice(("'descr'", "'<f4'", "'<i8'", "False", "(", ")", ",", ": ", "}", "'shape'", "0", "1", "2"))
    other = dice.choice(
        ("True", "-1", "2.0", "9" * 30, "9" * 5000, "None", "'|O'", "'|V0'", "'>f4'", "('<f4', (2,))", "[]", "(", "'",
         "1" + ",1" * 40, "0", "\n", "__import__", "'<U0'", "'<f4'", "1j", "{", "'M8'", "(1,)")
    )  # fmt: skip
    line = header.replace(found, other, 1).encode()
    if dice.random() < 0.5:
        line = line.rstrip().ljust(len(header) - 1)[: len(header) - 1] + b"\n"
    version = dice.choice((b"\1\0", b"\1\0", b"\1\0", b"\2\0", b"\3\0", b"\7\0"))
    length = len(line).to_bytes(2 if version == b"\1\0" else 4, "little") if len(line) < 65536 else b"\xff\xff"
    return b"\x93NUMPY" + version + length + line + npy[10 + size :]


def _entries_changed(dice: Dice, data: bytes) -> bytes:
    """Fields of a zip's local headers, of its directory or of its end set to other values."""
    changed = bytearray(data)
    for _ in range(dice.choice((1, 1, 3))):
        marks = [mark for mark in (b"PK\3\4", b"PK\1\2", b"PK\5\6") if mark in data]
        mark = dice.choice(marks)
        places = [at for at in range(len(data)) if data.startswith(mark, at)]
        at, size = dice.choice(places) + dice.randrange(4, 46), dice.choice((1, 2, 4))
        values = (bytes(size), b"\xff" * size, dice.randbytes(size), b"\1" + bytes(size - 1))
        changed[at : at + size] = dice.choice(values)
    return bytes(changed)


def safetensors_changed(dice: Dice, data: bytes) -> bytes:
    """A .safetensors file with another header, metadata that is other JSON, or other bytes."""
    size = int.from_bytes(data[:8], "little")
    kind = dice.randrange(5)
    if kind == 0 or size + 8 > len(data):  # or it is none any more
        return bytes_changed(dice, data)
    if kind == 1:
        return data[: 8 + size] + bytes_changed(dice, data[8 + size :])
    if kind == 2:
        other = dice.choice((0, 1, size - 1, size + 1, len(data), 2**31, 2**63, 2**64 - 1, 100_000_001))
        return other.to_bytes(8, "little") + data[8:]
    try:
        header = json.loads(data[8 : 8 + size])
    except (ValueError, RecursionError):
        return bytes_changed(dice, data)
    if kind == 3 and isinstance(header, dict) and header.get("__metadata__"):
        name = dice.choice(list(header["__metadata__"]))
        try:
            inner = json_changed(dice, json.loads(header["__metadata__"][name]))
        except ValueError:
            inner = dice.choice(WORDS)
        header["__metadata__"][name] = inner.decode("utf-8", "replace")
        line = json.dumps(header).encode()
    else:
        line = json_changed(dice, header)
    return len(line).to_bytes(8, "little") + line + data[8 + size :]


# ---- files and folders


def file_changed(dice: Dice, path: Path, change: Callable[[Dice, bytes], bytes] = bytes_changed) -> None:
    path.write_bytes(change(dice, path.read_bytes()))


def known_changed(dice: Dice, path: Path) -> None:
    """A file changed as its suffix allows, or byte by byte."""
    data = path.read_bytes()
    if dice.random() < 0.4:
        path.write_bytes(bytes_changed(dice, data))
    elif path.suffix == ".json":
        path.write_bytes(json_or_bytes_changed(dice, data))
    elif path.suffix == ".jsonl" and data.strip():
        path.write_bytes(lines_changed(dice, data))
    elif path.suffix == ".safetensors":
        path.write_bytes(safetensors_changed(dice, data))
    else:
        path.write_bytes(bytes_changed(dice, data))


def folder_changed(dice: Dice, folder: Path, other: Path | None = None) -> None:
    """One or two files of a folder changed, renamed, removed, exchanged, or replaced by that of another such folder."""
    for _ in range(dice.choice((1, 1, 1, 2))):
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        if not files:
            return
        path, second = dice.choice(files), dice.choice(files)
        kind = dice.randrange(12)
        twin = None if other is None else other / path.relative_to(folder)
        if kind == 0:
            path.unlink()
        elif kind == 1:
            path.rename(path.with_name(dice.choice(("x", f".{path.name}", f"{path.name}.bak", second.name))))
        elif kind == 2:
            shutil.copyfile(path, second) if path != second else path.write_bytes(b"")
        elif kind == 3 and twin is not None and twin.is_file():
            shutil.copyfile(twin, path)
        elif kind == 4:
            path.unlink()
            path.mkdir()
        else:
            known_changed(dice, path)
