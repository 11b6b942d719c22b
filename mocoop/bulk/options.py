"""How the pictures of a bulk prediction are predicted."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mocoop.answers import Experts
from mocoop.data.features import BadImages
from mocoop.data.reading import Reading


@dataclass(frozen=True)
class Options:
    """Plain values, so that they can be sent to another machine."""

    run: Path
    engine: Literal["torch", "onnx"] = "torch"
    top: int = 5
    coverage: float | None = None  # of the prediction sets; None: no sets
    unsure_below: float | None = None
    experts: Experts = "ids"
    classnames: tuple[str, ...] | None = None
    reading: Reading = field(default_factory=Reading)
    on_bad_image: BadImages = "skip"
    batch_size: int = 64
    device: str = "auto"
    precision: str = "auto"
    threads: int | None = None  # of an exported model
    backbone: str | None = None
    pretrained: str | None = None
