"""The pictures inside Parquet files: a column of bytes, or Hugging Face's struct of bytes and path.

Rows are read a few at a time, so that memory does not grow with the file. Pictures hardly compress: a file that says
it unpacks to very much more than it holds is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from mocoop.bulk.items import MAX_INSIDE, Item, as_text, too_large
from mocoop.errors import DataError

MAX_INFLATION = 200  # a higher compression ratio is taken for a bomb
_ROWS = 8  # read at a time
_BUFFER = 1 << 20  # bytes read ahead of a column
_USUAL = ("image", "img", "picture", "photo", "jpg", "jpeg", "png", "webp", "bytes", "content", "data")
_FILES = ("path", "filepath", "file_path", "file_name", "filename", "file", "image_path")
_NAMES = (*_FILES, "id", "key", "__key__", "name", "url")
_HINT = "save it again"


class Column(NamedTuple):
    """Where the pictures of a file are, and the text column that names them, if there is one."""

    pictures: str
    nested: bool  # in a struct's field "bytes"
    name: str | None


def picture_column(path: Path, asked: str | None = None) -> Column | None:
    """The column of pictures in a file; None if it holds none. Raises DataError if there are several, or no `asked`."""
    with _opened(path) as file:
        return _chosen(path, file.schema_arrow, asked)


def _chosen(path: Path, schema: Any, asked: str | None) -> Column | None:
    nested = {one.name: _is_struct(one.type) for one in schema if _is_struct(one.type) or _is_binary(one.type)}
    if asked is not None and asked not in schema.names:
        raise DataError(f'{path}: no column "{asked}"', f"it has {', '.join(schema.names)}")
    if not nested or (asked is not None and asked not in nested):
        return None
    texts = {one.name.casefold(): one.name for one in schema if _is_text(one.type)}
    known = [name for name, is_struct in nested.items() if is_struct or name.casefold() in _USUAL]
    if asked is None and not known and texts.keys() & set(_FILES):
        return None  # paths, beside bytes of another kind
    chosen = [asked] if asked is not None else known or list(nested)
    if len(chosen) > 1:
        raise DataError(f"{path}: several columns hold bytes: {', '.join(chosen)}", "choose: --columns path=NAME")
    return Column(chosen[0], nested[chosen[0]], next((texts[word] for word in _NAMES if word in texts), None))


def row_groups(path: Path) -> list[int]:
    """The rows of each row group. Raises DataError for a file that says it unpacks to very much."""
    with _opened(path) as file:
        about = file.metadata
        # A column's own metadata is not asked for: pyarrow (26.0) ends the process if that is damaged in some ways.
        groups = [about.row_group(number) for number in range(about.num_row_groups)]
        holds, unpacks = path.stat().st_size, sum(group.total_byte_size for group in groups)
        if unpacks > MAX_INFLATION * max(holds, 1 << 16):
            raise DataError(f"{path}: its {holds:,} bytes unpack to {unpacks:,}", "is it made of pictures?")
        return [group.num_rows for group in groups]


def pictures_in(path: Path, name: str, column: Column, groups: range, first: int) -> Iterator[Item]:
    """The pictures of some row groups whose first row is `first`, named NAME/WHAT THE ROW CALLS IT, or by its number.

    A row group that is damaged ends in an item that says so, named as the file.
    """
    row = first
    try:
        with _opened(path) as file:
            wanted = _leaves(column)
            for batch in file.iter_batches(
                batch_size=_ROWS, row_groups=list(groups), columns=wanted, use_threads=False
            ):
                batch.validate(full=True)
                for place in range(batch.num_rows):
                    yield _item(batch, place, name, column, row)
                    row += 1
    except DataError as error:
        yield Item(name, f"damaged after row {row:,}: {error.message}")


def _item(batch: Any, place: int, name: str, column: Column, row: int) -> Item:
    """One row of a batch."""
    values = batch.column(column.pictures)
    own = batch.column(column.name)[place].as_py() if column.name else None
    content: bytes | str = "there is no picture in this row"
    if column.nested:
        inside = {field.name: values.field(number) for number, field in enumerate(values.type)}
        own = own or (inside["path"][place].as_py() if "path" in inside else None)
        valid, values = values[place].is_valid, inside["bytes"]
    else:
        valid = True
    if valid and values[place].is_valid:
        data = values[place].as_buffer()
        content = data.to_pybytes() if data.size <= MAX_INSIDE else too_large(data.size)
    return Item(f"{name}/{as_text(own) if isinstance(own, str) and own else row}", content)


def _leaves(column: Column) -> list[str]:
    """The columns that are read, as Parquet names them."""
    pictures = [f"{column.pictures}.bytes", f"{column.pictures}.path"] if column.nested else [column.pictures]
    return [*pictures, *([column.name] if column.name else [])]


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A Parquet file, read through a small buffer; whatever pyarrow raises on it is a DataError."""
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError as error:
        raise DataError(f"{path}: reading Parquet needs pyarrow", "pip install pyarrow") from error
    try:
        with parquet.ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False) as file:
            yield file
    except DataError:  # of who reads the file: a ValueError too
        raise
    except (arrow.ArrowException, OSError, ValueError, LookupError, OverflowError, MemoryError) as error:
        reason = str(error).split("\n")[0][:200]
        raise DataError(f"{path}: this is no Parquet file that can be read: {reason}", _HINT) from error


def _is_struct(kind: Any) -> bool:
    from pyarrow import types

    names = [kind.field(number).name for number in range(kind.num_fields)] if types.is_struct(kind) else []
    return "bytes" in names and _is_binary(kind.field(names.index("bytes")).type)


def _is_binary(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_string(kind) or types.is_large_string(kind))
