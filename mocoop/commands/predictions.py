"""`mocoop predict` into a file or into sorted folders: a bulk job whose parts lie hidden until both are whole."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from mocoop import cli
from mocoop.commands.shared import FILE, FOLDER, resumable, together
from mocoop.errors import MoCoOpError, UsageError
from mocoop.files import crash_point, sole_writer

if TYPE_CHECKING:
    from mocoop.bulk.jobs import Job
    from mocoop.bulk.options import Options
    from mocoop.bulk.parts import Form
    from mocoop.bulk.sorting import Sorted
    from mocoop.bulk.towers import Tower

Given: TypeAlias = tuple[bool, list[Path]]  # whether they hold features; image files, or files of features
FORMS = (".csv", ".jsonl", ".parquet", ".html")
_PART = 256  # images that an interruption costs at most

output_options = together(
    click.option("--experts", type=click.Choice(["ids", "full", "none"]), default="ids", show_default=True,
                 help="What a row says of the experts: ids and weights, their templates as well, or nothing."),
    click.option("--out", "-o", type=FILE,
                 help="Write all rows here: .csv, .jsonl, .parquet, or .html, a page with the least sure first."),
    click.option("--sort-into", type=FOLDER,
                 help="Copy the images here, into a folder a class, and one for those below --unsure-below."),
    click.option("--link", is_flag=True, help="Make links in --sort-into, not copies."),
    click.option("--force", is_flag=True, help="Replace a file of -o that this command did not write."),
)  # fmt: skip


@dataclass(frozen=True)
class Outputs:
    """Where predictions go besides the terminal: a file, a folder that images are sorted into, or both."""

    out: Path | None
    sort_into: Path | None
    link: bool
    force: bool

    @staticmethod
    def of(options: dict[str, Any], images: Sequence[Path]) -> Outputs | None:
        """What `output_options` ask for, taken out of the options; None if predictions are only printed.

        Raises UsageError for a file of an unknown kind, and for a folder that the images are in, or that is in theirs.
        """
        found = Outputs(options.pop("out"), options.pop("sort_into"), options.pop("link"), options.pop("force"))
        if found.out is not None and found.out.suffix.lower() not in FORMS:
            raise UsageError(f"-o {found.out}: this name tells no form", f"end it with {', '.join(FORMS)}")
        if found.sort_into is not None:
            _check_apart(found.sort_into, images)
        elif found.link:
            raise UsageError("--link is for --sort-into", "add --sort-into FOLDER")
        if found.force and found.out is None:
            raise UsageError("--force is for -o", "add -o FILE, or leave it out")
        return found if found.out is not None or found.sort_into is not None else None

    def write(
        self, options: Options, given: Sequence[Given], asked: dict[str, Any], *, tower: Tower | None = None
    ) -> None:
        """Predict, and write all that was asked for; `tower` is that of the options, if it is open.

        Raises UsageError where the parts of another command lie, and the errors of predicting and writing.
        """
        if features := [path for are_features, paths in given if are_features for path in paths if self.sort_into]:
            raise UsageError(f"{features[0]} holds features, which cannot be sorted into folders", "give the images")
        with resumable(), self._alone():
            self._write(options, given, asked, tower)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other commands from writing the same; raises StorageError if one does, or if nothing can be written."""
        with ExitStack() as locks:
            if self.out is not None:
                locks.enter_context(sole_writer(self.out.with_name(f".{self.out.name}.lock"), self.out, "writing"))
            if self.sort_into is not None:
                lock = self.sort_into / ".lock"
                locks.enter_context(sole_writer(lock, self.sort_into, "sorting into", "--sort-into"))
            yield

    def _write(self, options: Options, given: Sequence[Given], asked: dict[str, Any], tower: Tower | None) -> None:
        from mocoop.bulk.finished import remember
        from mocoop.bulk.jobs import prepare
        from mocoop.bulk.local import predict_here
        from mocoop.bulk.parts import summarise
        from mocoop.bulk.progress import Progress
        from mocoop.bulk.shards import open_given
        from mocoop.bulk.sorting import sort_images
        from mocoop.reporting.printing import print_summary

        source = open_given(given, part_size=_PART)
        option = "--sort-into" if self.out is None else "-o"
        how = {"tower": tower, "form": self._form, "part_size": _PART, "option": option, **asked}
        job = prepare(options, source, self._hidden, **how)
        self._check(job)
        for note in job.notes:
            _say(note)
        predict_here(job, Progress(job), _say)
        summary = summarise(job.parts, job.classnames)
        if self.sort_into is not None:
            unsure = options.unsure_below is not None
            found = sort_images(job.rows(), self.sort_into, job.classnames, unsure=unsure, link=self.link)
        crash_point("before-file", 0)
        if self.out is not None:
            _write(job, summary, self.out)
            remember(self.out, job.key)
        job.parts.remove()
        print_summary(summary, self.out)
        if self.sort_into is not None:
            _say_sorted(found, self.sort_into)

    def _check(self, job: Job) -> None:
        """Raises UsageError for a file or a folder of another command, and leaves no parts there then."""
        try:
            if self.out is not None:
                self._check_file(job, self.out)
            if self.sort_into is not None:
                self._open_folder(job, self.sort_into)
        except MoCoOpError:
            if _untouched(job):
                job.parts.remove()
            raise

    def _check_file(self, job: Job, out: Path) -> None:
        """Whoever goes on with parts has been asked before; a file with nothing in it is not worth asking."""
        from mocoop.bulk.finished import is_of

        if self.force or not _untouched(job) or not out.is_file() or not out.stat().st_size or is_of(out, job.key):
            return
        raise UsageError(
            f"{out} is there already, and not known to be of this command (this run, images and options)",
            "add --force to replace it, or choose another -o",
        )

    def _open_folder(self, job: Job, folder: Path) -> None:
        """Raises UsageError for a folder with other things in it."""
        from mocoop.bulk.parts import open_job

        record = {**job.key, "format": "folders", "by": "links" if self.link else "copies"}
        about = {"run": str(job.options.run), "source": job.source.kind}
        open_job(folder, record, about, option="--sort-into")

    @property
    def _hidden(self) -> Path:
        """Where the parts lie until all is written: beside the file, or in the folder."""
        if self.out is not None:
            return self.out.with_name(f".{self.out.name}.parts")
        assert self.sort_into is not None, "one of them is asked for"
        return self.sort_into / ".parts"

    @property
    def _form(self) -> Form:
        """Of the parts: all but Parquet is made from JSON lines."""
        return "parquet" if self.out is not None and self.out.suffix.lower() == ".parquet" else "jsonl"


def _untouched(job: Job) -> bool:
    """Whether no part of a job is there yet."""
    return len(job.parts.missing()) == job.parts.count


def _check_apart(folder: Path, images: Sequence[Path]) -> None:
    """Raises UsageError if images would be sorted into a folder that they are taken from."""
    inside = Path(os.path.realpath(folder))
    for given in images:
        real = Path(os.path.realpath(given))
        if real.is_relative_to(inside) or (inside.is_relative_to(real) and real.is_dir()):
            raise UsageError(f"--sort-into {folder} and {given} are one in the other", "sort into a folder beside it")


def _say_sorted(found: Sorted, folder: Path) -> None:
    """Where the images lie now, and what could not be sorted."""
    for one in found.first_gone:
        cli.say(f"not sorted: {one}")
    if more := found.gone - len(found.first_gone):
        cli.say(f"not sorted: {more:,} more")
    images, folders = sum(found.folders.values()), len(found.folders)
    cli.say(f"{folder}: {images:,} images in {folders:,} folder{'s' * (folders != 1)}")


def _write(job: Job, summary: dict[str, Any], out: Path) -> None:
    from mocoop.reporting.predictions import write_page, write_table

    suffix = out.suffix.lower()
    if suffix == ".csv":
        write_table((row for _, row in job.rows()), out)
    elif suffix == ".html":
        title = f"{summary['images']:,} images, by {job.options.run.resolve().name}"
        write_page(job.rows(), summary, out, title=title, reading=job.options.reading)
    else:
        job.parts.join(out)


def _say(note: str) -> None:
    cli.say(f"note: {note}")
