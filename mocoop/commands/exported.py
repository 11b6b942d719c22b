"""Exported models on the command line: which file is meant, and which options it cannot take. No torch here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mocoop.errors import CheckpointError, UsageError
from mocoop.files import read_json, sha256_file

if TYPE_CHECKING:
    from mocoop.export.engine import Engine

MODEL = "model.onnx"  # in a run folder
_RUN = "run.json"
_OTHERS = {
    "classes_file": "--classes-file: other classes need the text tower",
    "backbone": "--backbone: the model holds its image tower",
    "pretrained": "--pretrained: the model holds its image tower",
    "precision": "--precision: it is chosen by `mocoop export`",
}


def is_exported(path: Path) -> bool:
    """Whether a path is an exported model by its name."""
    return path.suffix.lower() == ".onnx" and not path.is_dir()


def open_engine(path: Path, threads: int | None) -> Engine:
    """The engine of an exported model, or of the one in a run folder.

    Raises CheckpointError if the folder has none, or one of another training.
    """
    from mocoop.export.engine import Engine

    if not path.is_dir():
        return Engine(path, threads=threads)
    if not (path / MODEL).is_file():
        raise CheckpointError(f"{path} has no {MODEL}", f"write it first: mocoop export {path}")
    engine = Engine(path / MODEL, threads=threads)
    if engine.record.run_sha256 != sha256_file(path / _RUN):
        raise CheckpointError(
            f"{path / MODEL} was exported from another training than {path}", f"write it again: mocoop export {path}"
        )
    return engine


def refuse_other_options(given: Mapping[str, Any]) -> None:
    """Raises UsageError for options that an exported model cannot follow."""
    for name, why in _OTHERS.items():
        if given.get(name) is not None:
            raise UsageError(f"an exported model cannot take {why}", "leave it out, or use --engine torch with the run")
    if given["device"] not in ("auto", "cpu"):
        raise UsageError(f"an exported model runs on the CPU, not on {given['device']}", "leave --device out")


def trained_images(path: Path) -> frozenset[str]:
    """The hashes of the images that the run in a folder was trained on; none for a model that is a file."""
    if not path.is_dir():
        return frozenset()
    record = read_json(path / _RUN, what="run file", error=CheckpointError)
    return frozenset(record["data"].get("images_sha256") or ())


def marked(predictions: Iterator[dict[str, Any]], path: Path) -> Iterator[dict[str, Any]]:
    """The predictions, with `trained_on` for images that the run in a folder was trained on."""
    from mocoop.data.contents import picture_sha256

    trained = trained_images(path)
    for prediction in predictions:
        known = trained and "error" not in prediction and picture_sha256(Path(prediction["path"])) in trained
        yield {**prediction, "trained_on": True} if known else prediction
