"""A stranger's .onnx file, looked through before any runtime sees it. Neither torch nor onnx is needed.

An ONNX file is a protocol buffer. Only its frame is read here: which fields there are, how long, and the few values
that say whether it may be run. Refused are tensors kept in other files (a path that would be opened), operators of
other domains than ONNX's own (code from a library), functions, loops and branches (which no exported model has, and
which may never end), and files that are too large. What remains is arithmetic on the input; a graph may still ask for
much time and memory, so a model from a stranger is best run in a process with limits.

The numbers of fields are those of the `onnx.proto` in the ONNX specification.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mocoop.errors import StorageError
from mocoop.files import read_bytes

MAX_BYTES = 2**31 - 1  # what one protocol buffer may hold
MAX_FIELDS = 500_000  # far above any image tower; a bound on the time to look through a file

_DOMAINS = (b"", b"ai.onnx")
_NOT_OURS = "give a file that `mocoop export` wrote"

# The messages that are entered: their fields that are messages to enter, and fields that are refused.
_ENTER: dict[str, dict[int, str]] = {
    "model": {7: "graph", 14: "entry"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 10: "tensor", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
    "entry": {},
}
_REFUSE: dict[tuple[str, int], str] = {
    ("model", 20): "it has a graph for training",
    ("model", 25): "it defines functions",
    ("attribute", 6): "it has loops or branches",
    ("attribute", 11): "it has loops or branches",
    ("tensor", 13): "it keeps tensors in other files",
}
_LOCATION, _DOMAIN, _KEY, _VALUE = 14, 7, 1, 2


class _Damaged(Exception):
    """Bytes that are no protocol buffer."""


def read_model(path: Path) -> tuple[bytes, dict[str, bytes]]:
    """The bytes of a model that may be run, and its metadata. Raises StorageError."""
    data = read_bytes(path, max_bytes=MAX_BYTES, what="model")
    return data, look_through(data, str(path))


def look_through(data: bytes, source: str) -> dict[str, bytes]:
    """The metadata of a model that may be run. Raises StorageError, with `source` and why it may not."""
    try:
        return _Look(data).model()
    except _Damaged as error:
        raise StorageError(f"{source} is no ONNX file, or damaged: {error}", _NOT_OURS) from error
    except _Refused as error:
        raise StorageError(f"{source} is not run: {error}", _NOT_OURS) from error


class _Refused(Exception):
    """Something in a model that none of ours has."""


class _Look:
    """One pass over the frame of a file."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self._left = MAX_FIELDS
        self._metadata: dict[str, bytes] = {}
        self._graphs = 0

    def model(self) -> dict[str, bytes]:
        self._enter("model", 0, len(self._data))
        if self._graphs != 1:
            raise _Damaged(f"it has {self._graphs} graphs")
        return self._metadata

    def _enter(self, message: str, start: int, end: int) -> None:
        """Look through one message; depth is bounded by the table, which has no cycle."""
        texts: dict[int, bytes] = {}
        for number, place, stop in self._fields(start, end):
            if why := _REFUSE.get((message, number)):
                raise _Refused(why)
            if number in _ENTER[message]:
                if place is None:
                    raise _Damaged(f"field {number} of a {message} is a number")
                self._graphs += message == "model" and number == 7
                self._enter(_ENTER[message][number], place, stop)
            elif message == "tensor" and number == _LOCATION and (place is not None or stop):
                raise _Refused("it keeps tensors in other files")
            elif message == "entry" or (message, number) == ("node", _DOMAIN):
                texts[number] = b"" if place is None else bytes(self._data[place:stop])
        if message == "entry":
            self._add(texts.get(_KEY, b""), texts.get(_VALUE, b""))
        if message == "node" and texts.get(_DOMAIN, b"") not in _DOMAINS:
            raise _Refused(f"it needs operators of {texts[_DOMAIN][:80]!r}")

    def _add(self, key: bytes, value: bytes) -> None:
        name = key.decode("utf-8", "replace")
        if name in self._metadata:
            raise _Refused(f"it says twice what {name[:80]!r} is")
        self._metadata[name] = value

    def _fields(self, start: int, end: int) -> Iterator[tuple[int, int | None, int]]:
        """Each field: its number, and the place and end of its bytes; or None and the value of a number."""
        while start < end:
            self._left -= 1
            if self._left < 0:
                raise _Refused(f"it has more than {MAX_FIELDS:,} parts")
            key, start = self._varint(start, end)
            number, wire = key >> 3, key & 7
            if wire == 0:
                value, start = self._varint(start, end)
                yield number, None, value
                continue
            if wire == 2:
                length, start = self._varint(start, end)
            elif wire in (1, 5):
                length = 8 if wire == 1 else 4
            else:
                raise _Damaged(f"wire type {wire}")
            if length > end - start:
                raise _Damaged("it is cut short")
            yield number, start, start + length
            start += length

    def _varint(self, start: int, end: int) -> tuple[int, int]:
        value = 0
        for shift in range(0, 70, 7):
            if start >= end:
                raise _Damaged("it is cut short")
            byte = self._data[start]
            start += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, start
        raise _Damaged("a number of more than ten bytes")
