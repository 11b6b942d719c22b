"""The folder of a bulk prediction: what the job is, a file a shard, and the summary when all are there.

A part is written whole or not at all, and a whole one is never done again: giving the same command once more goes on
where the last one ended. `_job.json` says what the job is, so that no other one is mixed into the folder; its name and
that of `_summary.json` begin as readers of Parquet folders expect of what they are to pass over.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from mocoop import __version__
from mocoop.answers import Experts
from mocoop.errors import DataError, StorageError, UsageError
from mocoop.files import atomic_path, crash_point, os_error, read_json, sweep_stale, write_json

Form = Literal["parquet", "jsonl"]
JOB, SUMMARY = "_job.json", "_summary.json"
FORMAT = 1
_ROWS = 1024  # written at a time
_NAMED = 20  # failed images in the summary


class Parts:
    """The parts of one job in a folder; it can be sent to other processes that see the same folder."""

    def __init__(self, out: Path, count: int, form: Form, experts: Experts, doubt: tuple[str, ...] = ()) -> None:
        self.out, self.count, self.form, self.experts = out, count, form, experts
        self.doubt = doubt  # which of `set` and `unsure` the rows have

    def path(self, number: int) -> Path:
        """The file of a part, counted from 0; sorted by name they are in order."""
        return self.out / f"part-{number:0{max(5, len(str(self.count - 1)))}}.{self.form}"

    def missing(self) -> list[int]:
        """The parts that are not yet there."""
        return [number for number in range(self.count) if not self.path(number).is_file()]

    def write(self, number: int, rows: Iterable[dict[str, Any]]) -> None:
        """Write a part from its rows, a thousand of them in memory at a time. Raises StorageError."""
        with atomic_path(self.path(number)) as temporary:
            remaining = iter(rows)
            with (
                _json_lines(temporary)
                if self.form == "jsonl"
                else _parquet(temporary, _schema(self.experts, self.doubt)) as write
            ):
                while some := list(islice(remaining, _ROWS)):
                    write(some)

    def rows(self, number: int, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        """The rows of a part, as they were written, or some of their columns; what a row lacks may be None.

        Raises StorageError for a damaged part.
        """
        path = self.path(number)
        try:
            yield from _read_json_lines(path) if self.form == "jsonl" else _read_parquet(path, columns)
        except (OSError, ValueError, KeyError, TypeError) as error:  # of all four kinds are json's and pyarrow's
            reason = str(error).split("\n")[0][:200]
            raise StorageError(f"{path} is damaged: {reason}", "remove it and give the same command again") from error

    def join(self, file: Path) -> None:
        """Write one file of their form from all parts. Raises StorageError."""
        paths = [self.path(number) for number in range(self.count)]
        with atomic_path(file) as temporary:
            if self.form == "jsonl":
                _join_bytes(paths, temporary)
            else:
                _join_parquet(paths, temporary, _schema(self.experts, self.doubt))

    def remove(self) -> None:
        """Remove the parts and the folder, the record last, so that what is left of them can be gone on with.

        What others have put there stays. Raises StorageError.
        """
        try:
            for path in (*map(self.path, range(self.count)), self.out / SUMMARY):
                path.unlink(missing_ok=True)
                crash_point("remove-part", 0)
            sweep_stale(self.out)
            (self.out / JOB).unlink(missing_ok=True)
        except OSError as error:
            raise os_error(error, "remove", self.out) from error
        with suppress(OSError):
            self.out.rmdir()


def open_job(out: Path, job: Mapping[str, Any], about: Mapping[str, Any], *, option: str = "-o") -> None:
    """Begin a job in a new or empty folder, or go on with the same one.

    `job` is all that decides what the parts hold; `about` is for the reader, and `option` is how the folder was given.
    Raises UsageError for a folder of another job or with other files, StorageError if it cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        sweep_stale(out)
        others = sorted(entry.name for entry in out.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise os_error(error, "write", out) from error
    if JOB in others:
        _check_same(out, job, option)
        return
    if others:
        hint = f"give a new folder with {option}"
        raise UsageError(f"{out} is not empty and holds no bulk prediction: {others[0]}", hint)
    write_json(out / JOB, {"format": FORMAT, "mocoop": __version__, **about, "job": dict(job)})


def _check_same(out: Path, job: Mapping[str, Any], option: str) -> None:
    record = read_json(out / JOB, what="record of a job", error=StorageError)
    known = record.get("job") if isinstance(record, dict) else None
    if not isinstance(known, dict) or record.get("format") != FORMAT:
        raise StorageError(f"{out / JOB} is damaged, or of a newer mocoop", f"give another folder with {option}")
    differing = [key for key in {**job, **known} if known.get(key) != job.get(key)]
    if differing:
        hint = f"give another {option}, or the command that this was made by; to begin anew, remove it"
        raise UsageError(f"{out} holds another job: {'; '.join(_told(k, known, job) for k in differing)}", hint)


def _told(key: str, there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """How one setting differs; what is long, as hashes and lists are, is only named."""
    old, new = (json.dumps(values.get(key), ensure_ascii=False) for values in (there, here))
    if len(old) > 40 or len(new) > 40:
        return f"its {key} is another, or has changed"
    return f"its {key} is {old}, not {new}"


def summarise(parts: Parts, classnames: Sequence[str]) -> dict[str, Any]:
    """Read all parts, write the summary and return it: images, failures, and by class, in the classes' order, how many
    images, their mean probability (None without any) and, if that was asked for, how many of them are not sure.

    Raises StorageError if a part is damaged.
    """
    classes: Counter[str] = Counter()
    unsure: Counter[str] = Counter()
    probability: Counter[str] = Counter()  # the sum
    failed: list[dict[str, str]] = []
    total = failures = again = 0
    asked = "unsure" in parts.doubt
    columns = ("path", "class", "probability", "trained_on", "error", *(["unsure"] * asked))
    for number in range(parts.count):
        for row in parts.rows(number, columns):
            total += 1
            again += bool(row.get("trained_on"))
            if row.get("error") is None:
                classes[row["class"]] += 1
                unsure[row["class"]] += bool(row.get("unsure"))
                probability[row["class"]] += row["probability"]
                continue
            failures += 1
            if len(failed) < _NAMED:
                failed.append({"path": row["path"], "error": row["error"]})
    means = {name: round(probability[name] / classes[name], 6) if classes[name] else None for name in classnames}
    summary = {
        "images": total,
        "failed": failures,
        "trained_on": again,
        "classes": {name: classes[name] for name in classnames},
        "mean_probability": means,
        **({"unsure": {name: unsure[name] for name in classnames}} if asked else {}),
        "first_failed": failed,
    }
    write_json(parts.out / SUMMARY, summary)
    return summary


@contextmanager
def _json_lines(path: Path) -> Iterator[Any]:
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
        yield lambda rows: file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


@contextmanager
def _parquet(path: Path, schema: Any) -> Iterator[Any]:
    import pyarrow as arrow
    from pyarrow import parquet

    with parquet.ParquetWriter(path, schema) as writer:
        yield lambda rows: writer.write_table(arrow.Table.from_pylist(rows, schema=schema))


def _schema(experts: Experts, doubt: Sequence[str]) -> Any:
    """The columns of a part: the keys of a row, those that a row lacks being null."""
    import pyarrow as arrow

    text, number = arrow.string(), arrow.float64()
    expert = {"id": text, "weight": number, **({"templates": arrow.list_(text)} if experts == "full" else {})}
    guesses = arrow.list_(arrow.struct({"class": text, "probability": number}))
    kinds = {"set": arrow.list_(text), "unsure": arrow.bool_()}
    columns = {"path": text, "class": text, "probability": number, **{name: kinds[name] for name in doubt}}
    columns["top_k"] = guesses
    if experts != "none":
        columns["experts"] = arrow.list_(arrow.struct(expert))
    return arrow.schema({**columns, "trained_on": arrow.bool_(), "error": text})


def _read_json_lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            if not isinstance(row["path"], str) or not isinstance(row.get("error"), str | None):
                raise TypeError("a line is no row of a prediction")
            yield row


def _read_parquet(path: Path, columns: Sequence[str] | None) -> Iterator[dict[str, Any]]:
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=columns):
            yield from batch.to_pylist()


def _join_bytes(parts: Sequence[Path], out: Path) -> None:
    with out.open("wb") as file:
        for part in parts:
            with part.open("rb") as piece:
                shutil.copyfileobj(piece, file)


def _join_parquet(parts: Sequence[Path], out: Path, schema: Any) -> None:
    """Row group by row group, as they are in the parts."""
    from pyarrow import parquet

    with parquet.ParquetWriter(out, schema) as writer:
        for part in parts:
            with parquet.ParquetFile(part) as file:
                for number in range(file.num_row_groups):
                    writer.write_table(file.read_row_group(number))


def need_pyarrow(form: Form) -> None:
    """Raises DataError if parts of a form cannot be written here."""
    if form == "parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError as error:
            hint = "pip install pyarrow, or choose JSON lines"
            raise DataError("writing Parquet needs pyarrow", hint) from error
