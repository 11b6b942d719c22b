"""A bulk prediction as a whole: what is predicted, how, into which folder; the same job goes on there, no other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mocoop.bulk.options import Options
from mocoop.bulk.parts import Form, Parts, need_pyarrow, open_job
from mocoop.bulk.shards import Files, Source, open_source
from mocoop.bulk.towers import Tower, tower_of
from mocoop.data.reading import PERCENTILE, Reading, ValueRange
from mocoop.data.survey import find_reading
from mocoop.errors import UsageError


@dataclass(frozen=True)
class Job:
    """A source, where its parts go, and how its pictures are predicted; `key` is all that decides what the parts hold,
    `notes` are for the user."""

    source: Source
    parts: Parts
    options: Options
    tower: Tower
    key: Mapping[str, Any]
    notes: tuple[str, ...]

    @property
    def classnames(self) -> tuple[str, ...]:
        """The classes of the rows."""
        return self.tower.classnames

    def rows(self) -> Iterator[tuple[Path | None, dict[str, Any]]]:
        """All rows, when all parts are there, each with its file if it is one. Raises StorageError for damaged ones."""
        for number, shard in enumerate(self.source.shards):
            rows = self.parts.rows(number)
            if isinstance(shard, Files):
                yield from zip((Path(shard.home, name) for name in shard.names), rows, strict=True)
            else:
                yield from ((None, row) for row in rows)


def prepare(
    options: Options,
    source: str | Source,
    out: Path,
    *,
    tower: Tower | None = None,
    form: Form = "parquet",
    part_size: int = 1024,
    columns: Mapping[str, str] | None = None,
    follow_links: bool = False,
    bands: tuple[int, ...] | None = None,
    value_range: ValueRange | None = None,
    option: str = "-o",
) -> Job:
    """Look at the source and open the folder of the job; the backbone is not loaded. `tower` is that of the options,
    if it is open already; `option` is the one by which the folder was given.

    Raises DataError for a source that cannot be used, CheckpointError for a run, UsageError for another job's folder.
    """
    need_pyarrow(form)
    tower = tower or tower_of(options)
    named = source if isinstance(source, str) else source.kind
    if isinstance(source, str):
        source = open_source(source, part_size=part_size, columns=columns, follow_links=follow_links)
    for path, width in source.feature_files.items():
        tower.check_features(path, width)
    reading, notes = _reading(source, tower.reading, bands, value_range)
    options = replace(options, reading=reading)
    key = {
        "run": tower.sha256,
        "source": {"kind": source.kind, "identity": source.identity},
        "part size": part_size,
        "format": form,
        **_deciding(options),
    }
    open_job(out, key, {"run": str(options.run), "source": named}, option=option)
    parts = Parts(out.absolute(), len(source.shards), form, options.experts, tower.doubt.keys if tower.doubt else ())
    source = replace(source, files=())  # looked at; a million of them would stay in memory
    return Job(source, parts, options, tower, key, (*source.notes, *notes))


def _deciding(options: Options) -> dict[str, Any]:
    """What of the options decides what a row says, as plain JSON."""
    left_out = {"run", "engine", "on_bad_image", "device", "threads", "backbone", "pretrained"}
    left_out |= {"reading", "classnames", "batch_size"}  # said under other names
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
