"""Files of torch.export (`.pt2`): the same module for PyTorch itself, without the code that made it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from mocoop.export.graph import example_pixels
from mocoop.export.record import KEY, Record

if TYPE_CHECKING:
    from mocoop.export.graph import ImageClassifier

RECORD = f"{KEY}.json"  # the record's name among the extra files of the archive


def write_torch_export(path: Path, module: ImageClassifier, record: Record) -> None:
    """Write a module for any number of images, with the record beside it in the archive."""
    batch = torch.export.Dim("N", min=1)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.export.export(
            module, (example_pixels(record.preprocess, record.pixels),), dynamic_shapes={"pixels": {0: batch}}
        )
        torch.export.save(program, path, extra_files={RECORD: record.to_json()})
