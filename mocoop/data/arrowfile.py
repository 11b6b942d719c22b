"""Arrow stream files read by pyarrow: columns batch by batch, and the pictures inside them one by one.

A picture inside a file has the path `FILE.arrow/COLUMN/ROW`, rows counted from 0; nothing of that name is on disk.
Files are mapped into memory and not loaded, so that a picture costs its own bytes only, however large the file. Files
of strangers are checked first: columns are validated, compressed batches (which could unpack to anything) and
extension types (which old readers unpickle) are refused. A file that is cut while it is mapped ends the process, as
with every mapped file.
"""

from __future__ import annotations

import os
import struct
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mocoop.errors import DataError, ImageError

SUFFIX = ".arrow"
MAX_BATCHES = 200_000  # in one file
_OPEN_FILES = 64  # mapped at once
_UNPICKLED = b"arrow.py_extension_type"
_HEADER, _COMPRESSION = 2, 3  # fields of the tables Message and RecordBatch in Arrow's format
_END = b"\xff\xff\xff\xff\0\0\0\0"  # of an Arrow stream
_HINT = "save it again with Dataset.save_to_disk"


class Opened(NamedTuple):
    """A mapped file: its columns' names and types, what its writer noted, and its batches as yet unread."""

    schema: Any
    messages: Any


class _Column(NamedTuple):
    """One column of a file: the first row of each batch, and its values in each."""

    stamp: tuple[int, int]
    starts: list[int]
    parts: list[Any]


_columns: OrderedDict[tuple[str, str], _Column] = OrderedDict()
_lock = threading.Lock()


def is_inside(path: Path) -> bool:
    """Whether a path names a picture inside an Arrow file."""
    number = path.name.isascii() and path.name.isdigit()
    return number and path.parent.parent.suffix == SUFFIX and path.parent.parent.is_file()


def picture(path: Path, max_bytes: int) -> bytes:
    """The bytes of a picture inside an Arrow file. Raises ImageError."""
    file, name, row = path.parent.parent, path.parent.name, int(path.name)
    try:
        column = _column(file, name)
    except DataError as error:
        raise ImageError(path, error.message, error.hint) from error
    if not column.starts or row >= column.starts[-1] + len(column.parts[-1]):
        raise ImageError(path, "there is no such row", "the file has changed: run again")
    number = bisect_right(column.starts, row) - 1
    values, place = column.parts[number], row - column.starts[number]
    found = _bytes_of(values).slice(place, 1)
    if not values.slice(place, 1).is_valid()[0].as_py() or not found.is_valid()[0].as_py():
        raise ImageError(path, "there is no picture in this row", "take the row out")

    from pyarrow import compute

    if compute.binary_length(found)[0].as_py() > max_bytes:
        raise ImageError(path, f"larger than {max_bytes:,} bytes", "make the picture smaller")
    return bytes(found[0].as_py())


def open_file(path: Path) -> Opened:
    """Map a file and read its columns' names. Raises DataError."""
    try:
        import pyarrow as arrow
    except ImportError as error:
        raise DataError(f"{path}: reading Arrow files needs pyarrow", "pip install pyarrow") from error
    try:
        data = arrow.memory_map(str(path)).read_buffer()
        messages = arrow.ipc.MessageReader.open_stream(arrow.BufferReader(data))
        first = messages.read_next_message()
        if first.type != "schema":
            raise DataError(f"{path}: this is no Arrow stream", _HINT)
        if _UNPICKLED in bytes(first.metadata):
            raise DataError(f"{path}: it holds Python objects, which are not read", _HINT)
        if data[-len(_END) :].to_pybytes() != _END:  # cut between two batches, the rest would read as if it were whole
            raise DataError(f"{path}: it has no end, so it was cut off", "fetch or save it again")
        schema = arrow.ipc.read_schema(first)
        for one in schema:
            _check_name(one)
        return Opened(schema, messages)
    except (arrow.ArrowException, OSError, StopIteration, UnicodeError) as error:
        raise _unreadable(path, error) from error


def batches(path: Path, opened: Opened, names: Sequence[str]) -> Iterator[list[Any]]:
    """The values of some columns, batch by batch, each checked. Raises DataError."""
    import pyarrow as arrow

    places = [opened.schema.get_field_index(name) for name in names]
    if -1 in places:
        raise DataError(f'{path}: no one column "{names[places.index(-1)]}"', _HINT)
    for count in range(MAX_BATCHES + 1):
        try:
            message = opened.messages.read_next_message()
            if message.type != "record batch":
                raise DataError(f"{path}: a {message.type} is not read", _HINT)
            if _is_compressed(bytes(message.metadata)):
                raise DataError(f"{path}: it is compressed", _HINT)
            batch = arrow.ipc.read_record_batch(message, opened.schema)
            columns = [batch.column(place) for place in places]
            for column in columns:
                column.validate(full=True)
        except StopIteration:
            return
        except (arrow.ArrowException, OSError, struct.error, IndexError) as error:
            raise _unreadable(path, error) from error
        if any(len(column) != batch.num_rows for column in columns):
            raise DataError(f"{path}: its columns are of several lengths", _HINT)
        if count == MAX_BATCHES:
            break
        yield columns
    raise DataError(f"{path}: more than {MAX_BATCHES:,} batches", _HINT)


def _check_name(one: Any) -> None:
    """Raises UnicodeError for a field, or one inside it, whose name is no text."""
    one.name  # noqa: B018  # reading it decodes it
    for number in range(one.type.num_fields):
        _check_name(one.type.field(number))


def _column(file: Path, name: str) -> _Column:
    """A column of a file, checked once as long as the file is the same. Raises DataError."""
    key = (os.path.abspath(file), name)
    try:
        about = os.stat(file)
    except OSError as error:
        raise _unreadable(file, error) from error
    stamp = (about.st_mtime_ns, about.st_size)
    with _lock:
        known = _columns.get(key)
        if known is None or known.stamp != stamp:
            opened = open_file(file)
            known = _Column(stamp, [], [])
            rows = 0
            for (values,) in batches(file, opened, (name,)):
                known.starts.append(rows)
                known.parts.append(values)
                rows += len(values)
            _columns[key] = known
        _columns.move_to_end(key)
        while len(_columns) > _OPEN_FILES:
            _columns.popitem(last=False)
        return known


def _bytes_of(values: Any) -> Any:
    """The pictures of a column: its own values, or the field "bytes" of Hugging Face's Image."""
    from pyarrow import types

    return values.field("bytes") if types.is_struct(values.type) else values


def _is_compressed(metadata: bytes) -> bool:
    """Whether the header of a record batch names a compression: read here, before anything is unpacked."""
    message = _place(metadata, 0)
    header = _field(metadata, message, _HEADER)
    return bool(header and _field(metadata, _place(metadata, header), _COMPRESSION))


def _place(data: bytes, at: int) -> int:
    """Where the table starts to which the four bytes at a place point (FlatBuffers)."""
    return at + int(struct.unpack_from("<I", data, at)[0])


def _field(data: bytes, table: int, number: int) -> int:
    """Where a field of a table stands; 0 if it has none."""
    entries = table - struct.unpack_from("<i", data, table)[0]
    if 4 + 2 * number >= struct.unpack_from("<H", data, entries)[0]:
        return 0
    offset = struct.unpack_from("<H", data, entries + 4 + 2 * number)[0]
    return table + int(offset) if offset else 0


def _unreadable(path: Path, error: BaseException) -> DataError:
    reason = str(error).split("\n")[0][:200]
    return DataError(f"{path}: this is no Arrow stream that can be read{': ' * bool(reason)}{reason}", _HINT)
