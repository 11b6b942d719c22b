"""Sources of bulk prediction: tars and Parquet files of pictures, and headers that a stranger might write."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pyarrow as arrow
from datafiles import encoded, pixels
from pyarrow import parquet


def png(seed: int) -> bytes:
    return encoded(pixels(seed, 8, 8), "PNG")


def header(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, **changes: object) -> bytes:
    """One header of a tar, whatever follows it."""
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    for key, value in changes.items():
        setattr(info, key, value)
    return info.tobuf(tarfile.GNU_FORMAT)


def put_tar(path: Path, members: dict[str, bytes], form: int = tarfile.PAX_FORMAT) -> Path:
    """A tar of files, as tarfile writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=form) as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def put_parquet(path: Path, columns: dict[str, list[object]], rows_a_group: int = 1000, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(arrow.table(columns), path, row_group_size=rows_a_group, **options)
    return path
