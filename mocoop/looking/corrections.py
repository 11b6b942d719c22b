"""Labels that a person corrects: two tables beside the data, which itself stays as it is.

`NAME-corrections.csv` has a line for each image whose label was corrected (path, old label, new label, time), and is
what counts. `NAME-corrected.csv` is the whole data set with the corrected labels, as `--data` takes it (path, label,
split); it follows from the first. NAME is that of the data set's folder or file, in whose folder they lie; paths are
relative to that, labels are the data set's own: folders' names, or what its table says.
"""

from __future__ import annotations

import csv
import io
import os
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path

from mocoop.data.contents import is_inside
from mocoop.data.dataset import SPLITS, Dataset, Example
from mocoop.data.tablerows import MAX_BYTES
from mocoop.errors import DataError, StorageError
from mocoop.files import atomic_write, folder_locked, read_bytes

COLUMNS = ("path", "old label", "new label", "time")
_Line = tuple[str, str, str, str]


class Corrections:
    """The corrected labels of a data set. Several processes may correct the same one."""

    def __init__(self, dataset: Dataset, data: Path) -> None:
        """`data` is the path of the data set. Raises DataError if its labels cannot be corrected, and says why."""
        self._one = threading.Lock()
        where = Path(os.path.abspath(data))
        self._folder = where.parent
        name = where.name if where.is_dir() else where.stem
        self.through_link = where.is_dir() and where.is_symlink()  # then the table is read with --follow-links
        self.path, self.table = (self._folder / f"{name}-{word}.csv" for word in ("corrections", "corrected"))
        self.keys = dataset.keys if len(dataset.keys) == len(dataset.classnames) else dataset.classnames
        self.classnames = dataset.classnames
        self._splits = {split: dataset.split(split) for split in SPLITS}
        self._path_of = _relative_paths(dataset, self._folder)
        self._label_of = {self._path_of[one.path]: one.label for one in _examples(dataset) if one.path is not None}
        for text in (*self.keys, *self._path_of.values()):
            _check_writable(text)
        if self.table.exists() and not self.path.exists():
            raise DataError(
                f"{self.table} is there, and no {self.path.name} that it came from",
                "give it another name if it is of somebody else",
            )
        self._read()

    def labels(self) -> dict[Path, int]:
        """The corrected label of each image that has one."""
        known = self._known(self._read())
        return {path: known[name] for path, name in self._path_of.items() if name in known}

    def correct(self, path: Path, label: int) -> dict[Path, int]:
        """Give an image a label, and write both tables; its own label takes a correction back. All that are corrected.

        Raises DataError for an image or a label that is not of the data set, StorageError.
        """
        name = self._path_of.get(path)
        if name is None or not 0 <= label < len(self.keys):
            raise DataError("there is no such image or class in this data set", "load the page again")
        own = self._label_of[name]
        with self._one, folder_locked(self._folder):  # another process reads what this one has written
            before = self._read()
            lines = [line for line in before if line[0] != name]
            if label != own:
                now = datetime.now(timezone.utc).isoformat(timespec="seconds")
                lines.append((name, self.keys[own], self.keys[label], now))
            atomic_write(self.path, _csv(COLUMNS, lines))
            try:
                atomic_write(self.table, self._whole(self._known(lines)))
            except StorageError:  # then nothing is corrected: the two say the same
                with suppress(StorageError):
                    atomic_write(self.path, _csv(COLUMNS, before))
                raise
        return self.labels()

    def _known(self, lines: Iterable[_Line]) -> dict[str, int]:
        """The new label of each path whose line is of the data set as it is now."""
        places = {key: label for label, key in enumerate(self.keys)}
        return {
            path: places[new]
            for path, old, new, _ in lines
            if path in self._label_of and self.keys[self._label_of[path]] == old and new in places
        }

    def _whole(self, known: dict[str, int]) -> str:
        rows = []
        for split, examples in self._splits.items():
            for example in examples:
                assert example.path is not None
                path = self._path_of[example.path]
                rows.append((path, self.keys[known.get(path, example.label)], split))
        return _csv(("path", "label", "split"), rows)

    def _read(self) -> list[_Line]:
        """The lines of the table of corrections, none if there is none yet. Raises DataError for another table."""
        if not self.path.exists():
            return []
        data = read_bytes(self.path, max_bytes=MAX_BYTES, what="table of corrections", error=DataError)
        try:
            first, *lines = list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)) or [[]]
            if tuple(first) != COLUMNS or any(len(line) != len(COLUMNS) for line in lines):
                raise ValueError("its columns are others")
        except (ValueError, csv.Error) as error:
            columns = ",".join(COLUMNS)
            raise DataError(f"{self.path} is no table of corrections: {error}", f"its columns are {columns}") from error
        return [(line[0], line[1], line[2], line[3]) for line in lines]


def _examples(dataset: Dataset) -> list[Example]:
    return [example for split in SPLITS for example in dataset.split(split)]


def _relative_paths(dataset: Dataset, folder: Path) -> dict[Path, str]:
    """Each image's path as the tables write it. Raises DataError for images that no path can name."""
    found: dict[Path, str] = {}
    for example in _examples(dataset):
        if example.path is None or is_inside(example.path):
            raise DataError("its images are no files of their own", "correct labels where they were made")
        relative = os.path.relpath(os.path.abspath(example.path), folder)
        if relative.startswith(".."):
            raise DataError(f"{example.path} is not below {folder}", "move the images below it")
        found[example.path] = Path(relative).as_posix()
    return found


def _check_writable(text: str) -> None:
    """Raises DataError for what a table read back would not give again."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise DataError(f"the name {text!a} is not UTF-8", "give it another name") from None
    if text != text.strip() or any(mark in text for mark in "\\\n\r\0"):
        raise DataError(f"the name {text!a} cannot be written in a table", "give it another name")


def _csv(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return out.getvalue()
