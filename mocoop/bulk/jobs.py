"""A bulk prediction as a whole: what is predicted, how, into which folder; the same job goes on there, no other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mocoop.bulk.parts import Form, Parts, need_pyarrow, open_job
from mocoop.bulk.predictor import Options, doubt_asked
from mocoop.bulk.shards import Source, open_source
from mocoop.data.reading import PERCENTILE, Reading, ValueRange
from mocoop.data.survey import find_reading
from mocoop.errors import UsageError
from mocoop.files import sha256_file
from mocoop.runs.record import RUN
from mocoop.runs.run import Run


@dataclass(frozen=True)
class Job:
    """A source, where its parts go, and how its pictures are predicted; `notes` are for the user."""

    source: Source
    parts: Parts
    options: Options
    classnames: tuple[str, ...]
    notes: tuple[str, ...]


def prepare(
    options: Options,
    source: str,
    out: Path,
    *,
    form: Form = "parquet",
    part_size: int = 1024,
    columns: Mapping[str, str] | None = None,
    follow_links: bool = False,
    bands: tuple[int, ...] | None = None,
    value_range: ValueRange | None = None,
) -> Job:
    """Look at the source and open the folder of the job; the backbone is not loaded.

    Raises DataError for a source that cannot be used, CheckpointError for a run, UsageError for another job's folder.
    """
    need_pyarrow(form)
    run = Run.open(options.run)
    if options.classnames is not None:
        run.method.check_classes(run.learned, options.classnames)
    opened = open_source(source, part_size=part_size, columns=columns, follow_links=follow_links)
    reading, notes = _reading(opened, run.reading, bands, value_range)
    options = replace(options, reading=reading)
    job = {
        "run": sha256_file(options.run / RUN),  # which has the hashes of all other files
        "source": {"kind": opened.kind, "identity": opened.identity},
        "part size": part_size,
        "format": form,
        **_deciding(options),
    }
    open_job(out, job, {"run": str(options.run), "source": source})
    doubt = doubt_asked(run, options)
    parts = Parts(out.absolute(), len(opened.shards), form, options.experts, doubt.keys if doubt else ())
    opened = replace(opened, files=())  # looked at; a million of them would stay in memory
    return Job(opened, parts, options, options.classnames or run.classnames, (*opened.notes, *notes))


def _deciding(options: Options) -> dict[str, Any]:
    """What of the options decides what a row says, as plain JSON."""
    left_out = {"run", "on_bad_image", "device", "backbone", "pretrained", "reading", "classnames", "batch_size"}
    kept = {key: value for key, value in asdict(options).items() if key not in left_out}
    classes = None if options.classnames is None else list(options.classnames)
    return {**kept, "classes": classes, "batch size": options.batch_size, "reading": options.reading.to_dict()}


def _reading(
    source: Source, known: Reading, bands: tuple[int, ...] | None, value_range: ValueRange | None
) -> tuple[Reading, list[str]]:
    """The rule for bands and depths; pictures inside other files are not looked at to find one. Raises UsageError."""
    if source.files:
        return find_reading(source.files, known=known, bands=bands, value_range=value_range)
    if value_range == PERCENTILE:
        raise UsageError("--range percentile needs pictures that are files", "give --range LOW,HIGH")
    limits = value_range if isinstance(value_range, tuple) else known.limits
    return replace(known, bands=bands or known.bands, limits=limits), []
